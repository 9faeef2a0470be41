package scale

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// samples of each kind of change.
func samples() int {
	if long {
		return 500
	}
	return 60
}

// pause lets a change arrive at any point of whatever clock Portico may have inside.
func pause() { time.Sleep(50*time.Millisecond + rand.N(100*time.Millisecond)) }

// endpointChanges moves a Service's only endpoint to and fro and measures from before the write until a request
// reaches the new one.
func endpointChanges(t *testing.T, namespace string, rounds int) []time.Duration {
	t.Helper()
	const host = "endpoint-probe.scale.test"
	slices := client().DiscoveryV1().EndpointSlices(namespace)
	var all []time.Duration
	for i := range rounds {
		to := fmt.Sprintf("10.244.250.%d", 1+i%2)
		patch := fmt.Sprintf(`{"endpoints":[{"addresses":[%q],"conditions":{"ready":true}}]}`, to)
		begin := time.Now()
		if _, err := slices.Patch(t.Context(), "probe-1", types.MergePatchType, []byte(patch), meta.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		all = append(all, untilServed(t, begin, host, to))
		pause()
	}
	return all
}

// ingressChanges adds Ingresses and measures from before the write until a request for the new host is served.
func ingressChanges(t *testing.T, namespace, prefix string, rounds int) []time.Duration {
	t.Helper()
	var all []time.Duration
	for i := range rounds {
		name := fmt.Sprintf("%s-%03d", prefix, i)
		host := name + ".scale.test"
		begin := time.Now()
		ingress := newIngress(namespace, name, host, "probe")
		if _, err := client().NetworkingV1().Ingresses(namespace).Create(t.Context(), ingress, meta.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		all = append(all, untilServed(t, begin, host, ""))
		pause()
	}
	return all
}

// makeProbe makes the Service, slice and Ingress that endpointChanges needs.
func makeProbe(t *testing.T, namespace string) {
	t.Helper()
	if _, err := client().CoreV1().Services(namespace).Create(t.Context(), newService(namespace, "probe"), meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	slice := newSlice(namespace, "probe", "10.244.250.2")
	if _, err := client().DiscoveryV1().EndpointSlices(namespace).Create(t.Context(), slice, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	ingress := newIngress(namespace, "probe", "endpoint-probe.scale.test", "probe")
	if _, err := client().NetworkingV1().Ingresses(namespace).Create(t.Context(), ingress, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}
