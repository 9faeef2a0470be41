package lifecycle

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"portico.test/e2e/harness"
)

// Endpoints written by hand go to and fro between two pairs of pods under load.
func TestEndpointsSwapped(t *testing.T) {
	s := newSite(t, harness.SharedPortico(t), 4)
	pods, replicas := s.pods(t), s.portico.Pods(t)
	pairs := [2][]corev1.Pod{pods[:2], pods[2:]}
	handWritten(t, s, "swapped", pairs[0])
	host := s.named("swapped")
	both(t, replicas, 10*time.Second, host, http.StatusOK)

	load := s.load()
	load.URL = "http://" + host + "/"
	running := load.Start(t)
	var times []time.Duration
	for swap := 1; swap <= 200; swap++ {
		to := pairs[swap%2]
		begin := time.Now()
		writeEndpoints(t, s, "swapped", to)
		times = append(times, awaitMove(t, replicas, host, to, begin))
	}
	flawless(t, "200 swaps of all endpoints", running.Stop())
	p99, _ := spread(t, "write to the first requests on the new endpoints, in both replicas", times)
	within(t, "swap of endpoints", p99, time.Second)
}

// awaitMove waits until every replica of Portico sends requests to one of the pods, and returns the time since `begin`.
func awaitMove(t *testing.T, replicas []corev1.Pod, host string, to []corev1.Pod, begin time.Time) time.Duration {
	t.Helper()
	harness.Eventually(t, 10*time.Second, "requests to the new endpoints", func(ctx context.Context) error {
		for _, replica := range replicas {
			reply, err := direct(replica).Try(ctx, url8080(host, "/"))
			if err != nil {
				return err
			}
			if from := reply.Echo.Pod; from != to[0].Name && from != to[1].Name {
				return fmt.Errorf("%s still uses %s", replica.Name, from)
			}
		}
		return nil
	})
	return time.Since(begin)
}

// handWritten makes a Service without a selector, its EndpointSlice and an Ingress, all of one name.
func handWritten(t *testing.T, s *site, name string, pods []corev1.Pod) {
	t.Helper()
	harness.Apply(t, s.namespace, fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s-1, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{name: http, port: 3000}]
endpoints: [{addresses: [%[2]s]}]
---
`, name, pods[0].Status.PodIP)+ingressYAML(name, s.named(name), s.portico.Class, name))
	writeEndpoints(t, s, name, pods)
}

func writeEndpoints(t *testing.T, s *site, name string, pods []corev1.Pod) {
	t.Helper()
	var endpoints []map[string]any
	for _, pod := range pods {
		endpoints = append(endpoints, map[string]any{"addresses": []string{pod.Status.PodIP}})
	}
	patch, err := json.Marshal(map[string]any{"endpoints": endpoints})
	if err != nil {
		t.Fatal(err)
	}
	_, err = harness.Kubernetes().DiscoveryV1().EndpointSlices(s.namespace).Patch(harness.Short(t), name+"-1",
		types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// Without any endpoint the answer is 503 with Retry-After, at once; with one again it is 200.
func TestAllEndpointsGone(t *testing.T) {
	s := newSite(t, harness.SharedPortico(t), 2)
	replicas := s.portico.Pods(t)
	load := s.load()
	load.Rate = 200
	running := load.Start(t)
	harness.Scale(t, s.namespace, s.name, 0)
	// Both pods end and go on serving for three seconds: they are the last resort until they are gone.
	harness.Stays(t, 2*time.Second, "served by ending pods", func(context.Context) error {
		if report := running.Report(); report.Failures() > 0 {
			return fmt.Errorf("%v", report)
		}
		return nil
	})
	flawless(t, "only ending endpoints left", running.Stop())
	both(t, replicas, 20*time.Second, s.host(), http.StatusServiceUnavailable)

	var times []time.Duration
	transport := s.client.Transport(false)
	defer transport.CloseIdleConnections()
	for range 100 {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url("/"), nil)
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, time.Since(begin))
		if reply, err := harness.ReadReply(response); err != nil || reply.Status != 503 || reply.Header.Get("Retry-After") == "" {
			t.Fatalf("no endpoint: status %d, Retry-After %q, %v", response.StatusCode, response.Header.Get("Retry-After"), err)
		}
	}
	p99, _ := spread(t, "503 without endpoints", times)
	within(t, "503 without endpoints (target 5 ms)", p99, 50*time.Millisecond)

	harness.Scale(t, s.namespace, s.name, 1)
	harness.Rollout(t, s.namespace, s.name, harness.PodsTime)
	took := both(t, replicas, 10*time.Second, s.host(), http.StatusOK)
	figure(t, "first pod ready to 200: %v", took.Round(time.Millisecond))
}

// An ending pod gets no new request while others are ready, and finishes what it has: an answer that takes its time, a
// stream, a WebSocket.
func TestEndingPodFinishes(t *testing.T) {
	s := newSite(t, harness.SharedPortico(t), 2)
	slow := begin(t, s, "/slow?for=6s")
	stream := begin(t, s, "/stream?for=6s")
	socket := openSocket(t, s)
	load := s.load().Start(t)

	// Every pod there is now ends within the next seconds.
	harness.Restart(t, s.namespace, s.name)
	harness.Rollout(t, s.namespace, s.name, harness.PodsTime)
	for _, one := range []*exchange{slow, stream} {
		if err := one.finished(t); err != nil {
			t.Errorf("%s: %v", one.path, err)
		}
	}
	said := socket.sayFor(t, 5*time.Second)
	socket.close(t)
	s.settled(t, 2)
	flawless(t, "restart with long requests under way", load.Stop())
	figure(t, "6 s answer, 6 s stream and a WebSocket with %d messages outlived their pods' end", said)
}

// A WebSocket and a stream go on while the endpoints are swapped under them.
func TestLongRequestsOutliveSwaps(t *testing.T) {
	s := newSite(t, harness.SharedPortico(t), 4)
	pods := s.pods(t)
	pairs := [2][]corev1.Pod{pods[:2], pods[2:]}
	handWritten(t, s, "long", pairs[0])
	both(t, s.portico.Pods(t), 10*time.Second, s.named("long"), http.StatusOK)
	stream, socket := beginAt(t, s, s.named("long"), "/stream?for=8s"), openSocketAt(t, s, s.named("long"))
	swaps := 0
	for begun := time.Now(); time.Since(begun) < 7*time.Second; swaps++ {
		writeEndpoints(t, s, "long", pairs[swaps%2])
		socket.say(t)
	}
	said := socket.sayFor(t, time.Second)
	socket.close(t)
	if err := stream.finished(t); err != nil {
		t.Errorf("stream: %v", err)
	}
	figure(t, "%d swaps; stream of 8 s complete, WebSocket still there, %d further messages", swaps, said)
}
