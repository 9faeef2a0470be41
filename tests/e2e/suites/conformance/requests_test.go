package conformance

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"portico.test/e2e/harness"
)

// send sends one request to the address in the status, and follows redirects to the same address. ADDRESS in the URL
// stands for it, for a client that names no host.
func (w *world) send(ctx context.Context, method, url string) error {
	client := &harness.Client{Address: w.address}
	url = strings.ReplaceAll(url, "ADDRESS", w.address)
	for range 10 {
		request, err := http.NewRequestWithContext(ctx, method, url, nil)
		if err != nil {
			return err
		}
		if w.reply, err = client.Do(request); err != nil {
			return fmt.Errorf("%s %s at %s: %w", method, url, w.address, err)
		}
		next := w.reply.Header.Get("Location")
		if w.reply.Status/100 != 3 || next == "" {
			return nil
		}
		absolute, err := request.URL.Parse(next)
		if err != nil {
			return fmt.Errorf("redirect to %q: %w", next, err)
		}
		url = absolute.String()
	}
	return fmt.Errorf("more than 10 redirects, the last one to %s", url)
}

func (w *world) answered(status int) error { return harness.Status(status)(w.reply) }

func (w *world) answeredFrom(status int, backend string) error {
	if err := w.answered(status); err != nil {
		return err
	}
	return equal("backend", w.reply.Echo.Service, backend)
}

func (w *world) answeredWith(proto, fields string) error {
	for name := range strings.SplitSeq(fields, ", ") {
		if w.reply.Header.Get(name) == "" {
			return fmt.Errorf("the answer has no field %s: %v", name, w.reply.Header)
		}
	}
	return equal("protocol", w.reply.Proto, proto)
}

func (w *world) saw(method, path, proto, agent string) error {
	seen := w.reply.Echo
	for _, pair := range [][3]string{
		{"method", seen.Method, method}, {"path", seen.Path, path}, {"protocol", seen.Proto, proto},
		{"User-Agent", seen.Headers.Get("User-Agent"), agent},
	} {
		if err := equal(pair[0]+" at the backend", pair[1], pair[2]); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) sawHost(host string) error {
	return equal("host at the backend", w.reply.Echo.Host, host)
}

func (w *world) certified(host string) error {
	if w.reply.Certificate == nil {
		return fmt.Errorf("no certificate was shown")
	}
	return w.reply.Certificate.VerifyHostname(host)
}

// spread sends so many requests one after the other, each of which must be answered, and counts the pods that do. The API
// server tells of ready pods before every replica can have heard of them: until all take part, it asks as often again.
func (w *world) spread(ctx context.Context, requests int, url string, pods int, backend string) error {
	for begin := time.Now(); ; {
		seen := map[string]int{}
		for n := range requests {
			if err := w.send(ctx, http.MethodGet, url); err != nil {
				return fmt.Errorf("request %d: %w", n+1, err)
			}
			if err := w.answeredFrom(http.StatusOK, backend); err != nil {
				return fmt.Errorf("request %d: %w", n+1, err)
			}
			seen[w.reply.Echo.Pod]++
		}
		if len(seen) == pods {
			return nil
		}
		if time.Since(begin) > 20*time.Second {
			return fmt.Errorf("%d pods answered instead of %d: %v", len(seen), pods, seen)
		}
	}
}

func equal(what, have, want string) error {
	if have != want {
		return fmt.Errorf("%s: %q instead of %q", what, have, want)
	}
	return nil
}
