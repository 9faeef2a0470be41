package scale

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"portico.test/e2e/harness"
)

// churn changes 100 Ingresses a second for ten seconds and sees what that costs.
func churn(t *testing.T, p *portico) {
	t.Helper()
	const seconds, rate = 10, 100
	before, begin := metrics(t), time.Now()
	parallel(t, seconds*rate, func(ctx context.Context, i int) error {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / rate)))
		patch := fmt.Sprintf(`[{"op":"replace","path":"/spec/rules/0/http/paths/1/path","value":"/changed-%d"}]`, i)
		name := fmt.Sprintf("ingress-%05d", i)
		_, err := client().NetworkingV1().Ingresses(namespace(i)).Patch(ctx, name, types.JSONPatchType, []byte(patch), meta.PatchOptions{})
		return err
	})
	took := time.Since(begin)
	// A change after all of these is served: nothing is waiting any more.
	latencies(t, "after the churn: endpoint to traffic", endpointChanges(t, "scale-quiet", 6), time.Second)
	after := metrics(t)
	change := func(name string) float64 { return after.Sum(name) - before.Sum(name) }
	compiles := change("portico_compile_seconds_count")
	note("churn: changes a second", seconds*rate/took.Seconds(), "/s")
	figure(t, "churn: compiles a second", compiles/time.Since(begin).Seconds(), 10, "/s", 1.5)
	if compiles > 0 {
		figure(t, "churn: a compile on average", 1000*change("portico_compile_seconds_sum")/compiles, 1000, "ms", 1)
	}
	rss, _ := p.memory(t)
	figure(t, "churn: memory", rss, 537, "MB", 1)
}

// metrics are Portico's.
func metrics(t *testing.T) harness.Metrics {
	t.Helper()
	response, err := browser.Get("http://" + statusAddress + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	reply, err := harness.ReadReply(response)
	if err != nil || reply.Status != http.StatusOK {
		t.Fatalf("metrics: %v %v", reply, err)
	}
	parsed, err := harness.ParseMetrics(bytes.NewReader(reply.Body))
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}
