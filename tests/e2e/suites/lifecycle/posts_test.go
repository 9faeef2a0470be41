package lifecycle

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"portico.test/e2e/harness"
)

func newPost(t *testing.T, url string) (*http.Request, error) {
	return http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("one order"))
}

// orders are POST requests of which each is remembered: none may be sent twice, and only those under way when a
// backend dies may be lost.
type orders struct {
	mu     sync.Mutex
	sent   int
	failed []order
	stop   context.CancelFunc
	done   sync.WaitGroup
}

type order struct {
	begin, end time.Time
	cause      string
}

// sendOrders keeps `at once` orders under way, each of which takes the backend 50 ms.
func sendOrders(t *testing.T, s *site, atOnce int) *orders {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	o := &orders{stop: cancel}
	transport := s.client.Transport(false)
	for range atOnce {
		o.done.Go(func() {
			for ctx.Err() == nil {
				o.send(t, transport, s.url("/slow?for=50ms"))
			}
		})
	}
	t.Cleanup(func() { o.finish(); transport.CloseIdleConnections() })
	return o
}

func (o *orders) send(t *testing.T, transport http.RoundTripper, url string) {
	begin := time.Now()
	cause := ""
	// No deadline of the test's: a request that Portico would never answer shows as a test that does not end.
	request, err := http.NewRequest(http.MethodPost, url, strings.NewReader("one order"))
	if err != nil {
		t.Error(err)
		return
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		cause = err.Error()
	} else {
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			cause = fmt.Sprintf("status %d %v", response.StatusCode, err)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent++
	if cause != "" {
		o.failed = append(o.failed, order{begin, time.Now(), cause})
	}
}

// finish ends the sending and waits for the answers.
func (o *orders) finish() {
	o.stop()
	o.done.Wait()
}

// kill is the time in which a backend died: from before it was asked to until it was seen to.
type kill struct{ begin, end time.Time }

// lostOnlyAt fails the test for every lost order that was not under way at one of the kills, give or take `slack`.
func (o *orders) lostOnlyAt(t *testing.T, what string, kills []kill, atOnce int, slack time.Duration) {
	t.Helper()
	causes := map[string]int{}
	for _, lost := range o.failed {
		causes[lost.cause]++
		excused := false
		for _, kill := range kills {
			excused = excused || lost.begin.Before(kill.end.Add(slack)) && lost.end.After(kill.begin.Add(-slack))
		}
		if !excused {
			t.Errorf("an order was lost outside of any kill: %s, %v after the first", lost.cause, lost.begin.Sub(kills[0].begin))
		}
	}
	figure(t, "%s: POST: %d sent, %d lost, all under way at one of %d kills %v", what, o.sent, len(o.failed), len(kills), causes)
	if most := atOnce * len(kills); len(o.failed) > most {
		t.Errorf("%d orders lost, more than the %d under way at the kills", len(o.failed), most)
	}
}

// twoLoads are what the tests of dying backends run under: idempotent requests and orders.
type twoLoads struct {
	gets  *harness.Running
	slow  *harness.Running
	posts *orders
}

const atOnce = 20

func startTwoLoads(t *testing.T, s *site) twoLoads {
	t.Helper()
	quick, slow := s.load(), s.load()
	quick.Rate = 500
	slow.Rate, slow.URL = 100, s.url("/slow?for=100ms")
	return twoLoads{quick.Start(t), slow.Start(t), sendOrders(t, s, atOnce)}
}

func (l twoLoads) judge(t *testing.T, what string, kills []kill) {
	t.Helper()
	flawless(t, what+": GET", l.gets.Stop())
	flawless(t, what+": GET that takes 100 ms", l.slow.Stop())
	l.posts.finish()
	l.posts.lostOnlyAt(t, what, kills, atOnce, 100*time.Millisecond)
}
