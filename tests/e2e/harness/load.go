package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Load sends requests at a fixed rate whatever the answers do: a slow answer does not slow the next request down, as
// long as Workers suffice. Zero values but for Client and URL are good.
type Load struct {
	Client *Client
	URL    string
	// Rate in requests a second; 1000 unless set.
	Rate int
	// Workers bounds the requests in flight; 200 unless set. A request that finds none free waits, and counts as late.
	Workers int
	// Fresh of every 100 requests open a connection of their own; the others keep theirs alive. 10 unless set; -1: none.
	Fresh int
	// Method is GET unless set; with POST a body of 1 KiB is sent.
	Method string
	// Fields are header fields of every request, "Name: value".
	Fields []string
	// Accept says what a good answer is; a 200 unless set. The error is the cause that the failure is counted under.
	Accept func(*Reply) error
	// Timeout of one request; 10 s unless set.
	Timeout time.Duration
}

// Report is what a load met. Sent = OK + Failures in all.
type Report struct {
	Sent, OK int
	// Failed counts by cause: "status 503", "connection refused", "reset", "closed without an answer", "timeout" ...
	Failed map[string]int
	// First is the first failure of each cause in full, with its time since the start.
	First map[string]string
	// Late requests began over 100 ms after their time: the generator, or all workers waiting for answers.
	Late int
	// Resent requests are those that Go's client sent again by itself on a new connection, because a kept one was
	// closed under it before any answer; they count as OK if that went well, so that a strict test asks for none.
	Resent int
	// By counts good answers by pod.
	By       map[string]int
	Took     time.Duration
	P50, P99 time.Duration
	Slowest  time.Duration
}

// Failures is the sum of Failed.
func (r *Report) Failures() int {
	sum := 0
	for _, n := range r.Failed {
		sum += n
	}
	return sum
}

// String is one line for the log.
func (r *Report) String() string {
	line := fmt.Sprintf("%d sent in %.1f s, %d failed, %d resent, %d late, p50 %v, p99 %v, slowest %v", r.Sent, r.Took.Seconds(),
		r.Failures(), r.Resent, r.Late, r.P50.Round(10*time.Microsecond), r.P99.Round(10*time.Microsecond), r.Slowest.Round(10*time.Microsecond))
	for _, cause := range slices.Sorted(maps.Keys(r.Failed)) {
		line += fmt.Sprintf("; %d x %s (first: %s)", r.Failed[cause], cause, r.First[cause])
	}
	return line
}

// Running is a load under way.
type Running struct {
	load   Load
	begin  time.Time
	stop   context.CancelFunc
	done   chan struct{}
	mu     sync.Mutex
	report Report
	times  []time.Duration
}

// Start starts the load; Stop ends it, or the test's end.
func (l Load) Start(t testing.TB) *Running {
	t.Helper()
	l.defaults()
	ctx, cancel := context.WithCancel(context.Background())
	r := &Running{load: l, begin: time.Now(), stop: cancel, done: make(chan struct{}),
		report: Report{Failed: map[string]int{}, First: map[string]string{}, By: map[string]int{}}}
	go r.run(ctx)
	t.Cleanup(func() { r.Stop() })
	return r
}

// For runs the load for a time and returns its report.
func (l Load) For(t testing.TB, period time.Duration) *Report {
	t.Helper()
	r := l.Start(t)
	time.Sleep(period)
	return r.Stop()
}

func (l *Load) defaults() {
	if l.Rate == 0 {
		l.Rate = 1000
	}
	if l.Workers == 0 {
		l.Workers = 200
	}
	if l.Fresh == 0 {
		l.Fresh = 10
	}
	if l.Method == "" {
		l.Method = http.MethodGet
	}
	if l.Timeout == 0 {
		l.Timeout = 10 * time.Second
	}
	if l.Accept == nil {
		l.Accept = func(r *Reply) error {
			if r.Status != http.StatusOK {
				return fmt.Errorf("status %d", r.Status)
			}
			return nil
		}
	}
}

// Stop ends the load, waits for the requests in flight and returns the report.
func (r *Running) Stop() *Report {
	r.stop()
	<-r.done
	return r.Report()
}

// Report is how things stand.
func (r *Running) Report() *Report {
	r.mu.Lock()
	report, times := r.report, slices.Clone(r.times)
	report.Failed, report.First, report.By = maps.Clone(report.Failed), maps.Clone(report.First), maps.Clone(report.By)
	r.mu.Unlock()
	report.Took = time.Since(r.begin)
	if len(times) > 0 {
		slices.Sort(times)
		report.P50, report.P99, report.Slowest = times[len(times)/2], times[len(times)*99/100], times[len(times)-1]
	}
	return &report
}

type job struct {
	number int
	due    time.Time
}

// run hands out jobs by the clock and returns when all are answered.
func (r *Running) run(ctx context.Context) {
	defer close(r.done)
	kept, fresh := r.load.Client.Transport(false), r.load.Client.Transport(true)
	defer kept.CloseIdleConnections()
	jobs := make(chan job)
	var workers sync.WaitGroup
	for range r.load.Workers {
		workers.Go(func() {
			for j := range jobs {
				transport := kept
				if r.load.Fresh > 0 && j.number%100 < r.load.Fresh {
					transport = fresh
				}
				r.send(transport, j)
			}
		})
	}
	gap := time.Second / time.Duration(r.load.Rate)
	for n := 0; ; n++ {
		due := r.begin.Add(time.Duration(n) * gap)
		select {
		case <-ctx.Done():
		case <-time.After(time.Until(due)):
		}
		if ctx.Err() != nil {
			close(jobs)
			workers.Wait()
			return
		}
		jobs <- job{n, due}
	}
}

func (r *Running) send(transport *http.Transport, j job) {
	begin := time.Now()
	connections := 0
	ctx, cancel := context.WithTimeout(context.Background(), r.load.Timeout)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connections++ }})
	reply, err := r.exchange(ctx, transport)
	took := time.Since(begin)

	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Sent++
	r.times = append(r.times, took)
	if begin.Sub(j.due) > 100*time.Millisecond {
		r.report.Late++
	}
	if connections > 1 {
		r.report.Resent++
	}
	if err == nil {
		r.report.OK++
		r.report.By[reply.Echo.Pod]++
		return
	}
	cause := causeOf(err)
	if r.report.Failed[cause]++; r.report.Failed[cause] == 1 {
		r.report.First[cause] = fmt.Sprintf("%v at %.2f s after %v", err, begin.Sub(r.begin).Seconds(), took.Round(time.Millisecond))
	}
}

func (r *Running) exchange(ctx context.Context, transport *http.Transport) (*Reply, error) {
	var body io.Reader
	if r.load.Method == http.MethodPost {
		body = bytes.NewReader(make([]byte, 1024))
	}
	request, err := http.NewRequestWithContext(ctx, r.load.Method, r.load.URL, body)
	if err != nil {
		return nil, err
	}
	for _, field := range r.load.Fields {
		name, value, _ := strings.Cut(field, ":")
		request.Header.Add(name, strings.TrimSpace(value))
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	reply, err := ReadReply(response)
	if err != nil {
		return nil, err
	}
	return reply, r.load.Accept(reply)
}

// causeOf names an error's kind, so that failures can be counted.
func causeOf(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "unreachable"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "cut off in the answer"
	case errors.Is(err, io.EOF), strings.Contains(err.Error(), "server closed idle connection"):
		return "closed without an answer"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	return err.Error()
}
