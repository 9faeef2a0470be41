package harness

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Client sends requests to one address, whatever the host in the URL says: that host goes into Host and SNI.
// The zero value of every field but Address is good. A Client may be used by many goroutines once set up.
type Client struct {
	// Address is where to connect, without a port; the port is the URL's, or 80 or 443 by its scheme.
	Address string
	// Dial is DialOutside unless set.
	Dial Dialer
	// Roots are trusted for https; without them any certificate is accepted (and shown in the Reply).
	Roots *x509.CertPool
	// ServerName overrides the SNI; the certificate is then verified for it.
	ServerName string
	// HTTP2 negotiates h2 over TLS; otherwise HTTP/1.1 only.
	HTTP2 bool
	// Timeout of a whole exchange; 10 s unless set.
	Timeout time.Duration
	// Behind tells how to dial each of those that share Address; GetWhen asks them, too. Nobody unless set.
	Behind func(ctx context.Context) ([]Dialer, error)
}

// Reply is an answer read to its end.
type Reply struct {
	Status      int
	Proto       string // "HTTP/1.1", "HTTP/2.0"
	Header      http.Header
	Body        []byte
	Certificate *x509.Certificate // the leaf shown to us; nil without TLS
	Echo        Echoed            // what the backend saw; zero when the body is not an echo
}

// Echoed is the JSON of echo-basic and of the fake node's pods: the request as the backend saw it.
type Echoed struct {
	Path      string      `json:"path"` // with the query
	Host      string      `json:"host"`
	Method    string      `json:"method"`
	Proto     string      `json:"proto"`
	Headers   http.Header `json:"headers"`
	Namespace string      `json:"namespace"`
	Service   string      `json:"service"` // the name of the Echo that deployed it
	Pod       string      `json:"pod"`
}

// Transport makes a transport of its own for the client; fresh opens a new connection for every request.
func (c *Client) Transport(fresh bool) *http.Transport {
	dial := c.Dial
	if dial == nil {
		dial = DialOutside
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return dial(ctx, network, net.JoinHostPort(c.Address, port))
		},
		TLSClientConfig:     &tls.Config{RootCAs: c.Roots, ServerName: c.ServerName, InsecureSkipVerify: c.Roots == nil},
		TLSHandshakeTimeout: 10 * time.Second,
		DisableKeepAlives:   fresh,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 10_000,
		IdleConnTimeout:     time.Minute,
		Protocols:           new(http.Protocols),
	}
	transport.Protocols.SetHTTP1(true)
	transport.Protocols.SetHTTP2(c.HTTP2)
	return transport
}

// A connection that was begun before kube-proxy knew its Service goes nowhere for minutes, since its packets are tracked as
// they were first seen. Whoever asks again must do so with another one.
const connectTimeout = 2 * time.Second

// Do sends the request on a connection of its own and reads the answer; redirects are answers.
func (c *Client) Do(request *http.Request) (*Reply, error) {
	transport := c.Transport(true)
	defer transport.CloseIdleConnections()
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		return dial(ctx, network, address)
	}
	timeout := c.Timeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(request.Context(), timeout)
	defer cancel()
	response, err := transport.RoundTrip(request.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	return ReadReply(response)
}

// ReadReply reads a response to its end and closes it.
func ReadReply(response *http.Response) (*Reply, error) {
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("status %d, then: %w", response.StatusCode, err)
	}
	reply := &Reply{Status: response.StatusCode, Proto: response.Proto, Header: response.Header, Body: body}
	if response.TLS != nil && len(response.TLS.PeerCertificates) > 0 {
		reply.Certificate = response.TLS.PeerCertificates[0]
	}
	if bytes.HasPrefix(body, []byte("{")) {
		_ = json.Unmarshal(body, &reply.Echo) // not an echo: left zero
	}
	return reply, nil
}

// Try asks for a URL once: Try(ctx, "https://shop.test/a?b", "X-Field: value").
func (c *Client) Try(ctx context.Context, url string, fields ...string) (*Reply, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	for _, field := range fields {
		name, value, _ := strings.Cut(field, ":")
		if strings.EqualFold(name, "Host") {
			request.Host = strings.TrimSpace(value)
			continue
		}
		request.Header.Add(name, strings.TrimSpace(value))
	}
	return c.Do(request)
}

// Get is Try that fails the test when there is no answer; any status is an answer.
func (c *Client) Get(t testing.TB, url string, fields ...string) *Reply {
	t.Helper()
	reply, err := c.Try(context.Background(), url, fields...)
	if err != nil {
		t.Fatalf("GET %s at %s: %v", url, c.Address, err)
	}
	return reply
}

// GetWhen asks until the answer pleases: until returns nil. Up to 10 s, for changes on their way to the data plane. What one
// replica has heard of, another may hear of a moment later; so the answer of each that is Behind has to please as well. until
// is called by several goroutines then. The reply is the one from Address.
func (c *Client) GetWhen(t testing.TB, url string, until func(*Reply) error, fields ...string) *Reply {
	t.Helper()
	var reply *Reply
	Eventually(t, 10*time.Second, "GET "+url, func(ctx context.Context) (err error) {
		ways := []Dialer{c.Dial}
		if c.Behind != nil {
			behind, err := c.Behind(ctx)
			if err != nil {
				return err
			}
			ways = append(ways, behind...)
		}
		replies, errs := make([]*Reply, len(ways)), make([]error, len(ways))
		var group sync.WaitGroup
		for i, dial := range ways {
			group.Go(func() {
				direct := *c
				direct.Dial = dial
				if replies[i], errs[i] = direct.Try(ctx, url, fields...); errs[i] == nil {
					errs[i] = until(replies[i])
				}
			})
		}
		group.Wait()
		reply = replies[0]
		return errors.Join(errs...)
	})
	return reply
}

// Status pleases GetWhen by a status.
func Status(want int) func(*Reply) error {
	return func(r *Reply) error {
		if r.Status != want {
			return fmt.Errorf("status %d instead of %d: %.300s", r.Status, want, r.Body)
		}
		return nil
	}
}

// From pleases GetWhen by a 200 from a pod of that Echo.
func From(echo string) func(*Reply) error {
	return func(r *Reply) error {
		if r.Status != http.StatusOK || r.Echo.Service != echo {
			return fmt.Errorf("status %d from %q instead of 200 from %q: %.300s", r.Status, r.Echo.Service, echo, r.Body)
		}
		return nil
	}
}
