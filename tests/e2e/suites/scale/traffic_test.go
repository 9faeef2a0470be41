package scale

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"portico.test/e2e/harness"
)

const (
	trafficAddress = "127.0.0.1:18080"
	statusAddress  = "127.0.0.1:19090"
	adminAddress   = "127.0.0.1:19091"
)

// serveEndpoints answers on all addresses of the node, so on every endpoint there can be, and says which one was asked.
func serveEndpoints(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", fmt.Sprintf("0.0.0.0:%d", backends))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		local := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
		w.Header().Set("X-Endpoint", local.IP.String())
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
}

var browser = &http.Client{Timeout: 5 * time.Second}

// ask sends one request for a host through Portico and returns the status and the endpoint that answered.
func ask(ctx context.Context, host string) (status int, endpoint string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+trafficAddress+"/", nil)
	if err != nil {
		return 0, "", err
	}
	request.Host = host
	response, err := browser.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, response.Header.Get("X-Endpoint"), err
}

// untilServed is how long it takes from `begin` until requests for the host reach `endpoint` ("" is any).
func untilServed(t *testing.T, begin time.Time, host, endpoint string) time.Duration {
	t.Helper()
	for time.Since(begin) < 20*time.Second {
		status, from, err := ask(t.Context(), host)
		if err != nil {
			t.Fatal(err)
		}
		if status == http.StatusOK && (endpoint == "" || from == endpoint) {
			return time.Since(begin)
		}
		time.Sleep(2 * time.Millisecond)
	}
	t.Fatalf("%s: not served by %q after 20 s", host, endpoint)
	return 0
}

// readiness asks Portico whether it is ready.
func readiness(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+statusAddress+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := browser.Do(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("readyz: %s", response.Status)
	}
	return nil
}

func ready(t *testing.T, within time.Duration) {
	t.Helper()
	if err := harness.Poll(within, readiness); err != nil {
		t.Fatalf("Portico is not ready: %v", err)
	}
}
