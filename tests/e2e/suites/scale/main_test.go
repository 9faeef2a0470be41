// Package scale measures Portico beside 10,000 Ingresses on a real API server: time to ready, memory, requests to the
// API server, how long a change takes to reach the traffic, and how long a new address takes to reach all statuses.
//
// It runs on the fake node: Portico is a process on it with the ServiceAccount and the RBAC of the default install,
// and this test is every one of the 50,000 endpoints.
package scale

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"

	"portico.test/e2e/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// long runs with the full figures rather than those that fit a check of every change.
var long = os.Getenv("PORTICO_E2E_LONG") != ""

// client is the administrator's without a limit of its own: 14,000 objects shall not take half a minute.
var client = sync.OnceValue(func() kubernetes.Interface {
	config := harness.Config()
	config.QPS = -1
	config.ContentType = "application/vnd.kubernetes.protobuf"
	return kubernetes.NewForConfigOrDie(config)
})

// parallel does work for 0..count with 24 goroutines; the first error stops all and fails the test.
func parallel(t *testing.T, count int, work func(ctx context.Context, i int) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	var next, failures atomic.Int64
	var group sync.WaitGroup
	for range 24 {
		group.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= count {
					return
				}
				if err := work(ctx, i); err != nil {
					t.Errorf("object %d: %v", i, err)
					failures.Add(1)
					cancel()
				}
			}
		})
	}
	group.Wait()
	if failures.Load() > 0 || int(next.Load()) < count {
		t.Fatalf("%d of %d were begun, %d failed", min(int(next.Load()), count), count, failures.Load())
	}
}
