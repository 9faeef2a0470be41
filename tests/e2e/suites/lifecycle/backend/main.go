// The backend of the lifecycle suite: an application that stops as a well-made one does, and that can be asked to be
// slow, unready, long-winded or greedy. It answers with its pod's name, so that a test can tell who served.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/websocket"
)

// Longest time that one request may ask for.
const longest = 2 * time.Minute

func main() {
	backend := &backend{pod: os.Getenv("POD_NAME")}
	backend.ready.Store(true)
	server := &http.Server{Addr: ":3000", Handler: backend.routes(), ReadHeaderTimeout: 10 * time.Second}

	// Whoever is still in the middle of something at SIGTERM gets it finished; the kubelet's grace period is the limit.
	stopped := make(chan struct{})
	go func() {
		terminate := make(chan os.Signal, 1)
		signal.Notify(terminate, syscall.SIGTERM)
		<-terminate
		_ = server.Shutdown(context.Background())
		for backend.upgraded.Load() > 0 {
			time.Sleep(20 * time.Millisecond)
		}
		close(stopped)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	<-stopped
}

type backend struct {
	pod      string
	ready    atomic.Bool
	upgraded atomic.Int64
}

func (b *backend) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", b.answer)
	mux.HandleFunc("/ready", b.readiness)
	mux.HandleFunc("/slow", b.slow)
	mux.HandleFunc("/stream", b.stream)
	mux.HandleFunc("POST /eat", b.eat)
	mux.Handle("/ws", websocket.Server{Handler: b.echo})
	return mux
}

// answer reads the whole request and says who answered.
func (b *backend) answer(w http.ResponseWriter, r *http.Request) {
	size, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Pod", b.pod)
	_ = json.NewEncoder(w).Encode(map[string]any{"pod": b.pod, "method": r.Method, "path": r.RequestURI, "bytes": size})
}

// readiness is what the probe asks; POST /ready?set=false changes its answer.
func (b *backend) readiness(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		b.ready.Store(r.FormValue("set") == "true")
	}
	if !b.ready.Load() && r.Method == http.MethodGet {
		http.Error(w, "told to be unready", http.StatusServiceUnavailable)
	}
}

func duration(r *http.Request) time.Duration {
	d, err := time.ParseDuration(r.FormValue("for"))
	if err != nil {
		return 0
	}
	return min(d, longest)
}

// slow answers after ?for=DURATION.
func (b *backend) slow(w http.ResponseWriter, r *http.Request) {
	select {
	case <-time.After(duration(r)):
		b.answer(w, r)
	case <-r.Context().Done():
	}
}

// stream writes the pod's name ten times a second for ?for=DURATION and ends with a line "end".
func (b *backend) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Pod", b.pod)
	end := time.Now().Add(duration(r))
	for time.Now().Before(end) {
		if _, err := fmt.Fprintln(w, b.pod); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		time.Sleep(100 * time.Millisecond)
	}
	fmt.Fprintln(w, "end")
}

// eat takes memory until the kernel ends the process for it.
func (b *backend) eat(http.ResponseWriter, *http.Request) {
	var eaten [][]byte
	for {
		block := make([]byte, 1<<20)
		for i := range block {
			block[i] = byte(i)
		}
		eaten = append(eaten, block)
	}
}

func (b *backend) echo(ws *websocket.Conn) {
	b.upgraded.Add(1)
	defer b.upgraded.Add(-1)
	for {
		var text string
		if websocket.Message.Receive(ws, &text) != nil || websocket.Message.Send(ws, b.pod+" "+text) != nil {
			return
		}
	}
}
