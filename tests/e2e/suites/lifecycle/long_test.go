package lifecycle

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"golang.org/x/net/websocket"

	"portico.test/e2e/harness"
)

// exchange is a request that takes its time, under way.
type exchange struct {
	path  string
	reply *harness.Reply
	err   error
	done  chan struct{}
}

func begin(t *testing.T, s *site, path string) *exchange { return beginAt(t, s, s.host(), path) }

// beginAt sends a request and returns once a backend is at work on it.
func beginAt(t *testing.T, s *site, host, path string) *exchange {
	t.Helper()
	e := &exchange{path: path, done: make(chan struct{})}
	client := *s.client
	client.Timeout = time.Minute
	go func() {
		defer close(e.done)
		e.reply, e.err = client.Try(t.Context(), "http://"+host+path)
	}()
	// What is under way is seen nowhere from outside; a further request that is answered went the same way after it.
	s.client.GetWhen(t, "http://"+host+"/", harness.Status(http.StatusOK))
	return e
}

// finished waits for the end and says what was wrong with it.
func (e *exchange) finished(t *testing.T) error {
	t.Helper()
	select {
	case <-e.done:
	case <-time.After(time.Minute):
		return fmt.Errorf("no end within a minute")
	}
	if e.err != nil {
		return e.err
	}
	if bytes.Contains(e.reply.Body, []byte("\n")) && e.reply.Echo.Pod == "" && !bytes.HasSuffix(e.reply.Body, []byte("end\n")) {
		return fmt.Errorf("the stream breaks off after %d octets", len(e.reply.Body))
	}
	return harness.Status(http.StatusOK)(e.reply)
}

// socket is a WebSocket through Portico; the backend answers each message with its pod's name.
type socket struct {
	conn  *websocket.Conn
	pod   string
	count int
}

func openSocket(t *testing.T, s *site) *socket { return openSocketAt(t, s, s.host()) }

func openSocketAt(t *testing.T, s *site, host string) *socket {
	t.Helper()
	conn, err := harness.DialOutside(t.Context(), "tcp", net.JoinHostPort(s.client.Address, "80"))
	if err != nil {
		t.Fatal(err)
	}
	at := &url.URL{Scheme: "ws", Host: host, Path: "/ws"}
	origin := &url.URL{Scheme: "http", Host: host}
	ws, err := websocket.NewClient(&websocket.Config{Location: at, Origin: origin, Version: websocket.ProtocolVersionHybi13}, conn)
	if err != nil {
		t.Fatalf("WebSocket: %v", err)
	}
	t.Cleanup(func() { _ = ws.Close() })
	w := &socket{conn: ws}
	w.say(t)
	return w
}

// say sends one message and checks the answer; it comes from the same pod every time.
func (w *socket) say(t *testing.T) {
	t.Helper()
	w.count++
	_ = w.conn.SetDeadline(time.Now().Add(5 * time.Second))
	if err := websocket.Message.Send(w.conn, fmt.Sprint(w.count)); err != nil {
		t.Fatalf("message %d: %v", w.count, err)
	}
	var answer string
	if err := websocket.Message.Receive(w.conn, &answer); err != nil {
		t.Fatalf("answer %d: %v", w.count, err)
	}
	var pod string
	var number int
	if _, err := fmt.Sscan(answer, &pod, &number); err != nil || number != w.count || w.pod != "" && pod != w.pod {
		t.Fatalf("answer %d: %q, from %q before", w.count, answer, w.pod)
	}
	w.pod = pod
}

// sayFor goes on talking for a time and returns how many messages were answered.
func (w *socket) sayFor(t *testing.T, period time.Duration) int {
	t.Helper()
	before := w.count
	for end := time.Now().Add(period); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		w.say(t)
	}
	return w.count - before
}

func (w *socket) close(t *testing.T) {
	t.Helper()
	if err := w.conn.Close(); err != nil {
		t.Errorf("WebSocket: %v", err)
	}
}
