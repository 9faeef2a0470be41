package harness

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// PodsTime is how long pods are waited for. On a quiet machine they take a second or two; but a kubelet that an API server
// was taken from looks for it again after up to a minute.
const PodsTime = 3 * time.Minute

// Poll asks every 20 ms until ask returns nil, and returns ask's last error when the deadline comes first.
// Each ask gets a context that ends at the deadline.
func Poll(within time.Duration, ask func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	var last error
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		// An ask cut off by the deadline says less than the one before it.
		if last == nil || !errors.Is(err, context.DeadlineExceeded) {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %w", within, last)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Eventually fails the test unless ask returns nil within the time; what names the awaited thing in the failure.
// It returns how long it took.
func Eventually(t testing.TB, within time.Duration, what string, ask func(ctx context.Context) error) time.Duration {
	t.Helper()
	begin := time.Now()
	if err := Poll(within, ask); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return time.Since(begin)
}

// Stays fails the test when ask returns an error at any time during the period; it asks every 50 ms. For what must
// not happen, where there is nothing to wait for.
func Stays(t testing.TB, period time.Duration, what string, ask func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), period+10*time.Second)
	defer cancel()
	begin := time.Now()
	for end := begin.Add(period); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err := ask(ctx); err != nil {
			t.Fatalf("%s: no longer after %v: %v", what, time.Since(begin).Round(time.Millisecond), err)
		}
	}
}
