package scale

import (
	"context"
	"fmt"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"portico.test/e2e/harness"
)

// TestScale goes through the whole measurement in one order, because each step needs what the ones before it made.
func TestScale(t *testing.T) {
	serveEndpoints(t)
	installRights(t)
	audit := auditLog(t)
	config := kubeconfig(t)
	quiet := createNamespace(t, "scale-quiet")
	makeProbe(t, quiet)

	portico := start(t, config)
	ready(t, 20*time.Second)
	publish(t, "203.0.113.1")
	latencies(t, "quiet: endpoint to traffic", endpointChanges(t, quiet, samples()), 250*time.Millisecond)
	latencies(t, "quiet: Ingress to traffic", ingressChanges(t, quiet, "quiet", samples()), 500*time.Millisecond)
	rss, _ := portico.memory(t)
	note("quiet: memory", rss, "MB")
	portico.stop(t)

	began := time.Now()
	createAll(t)
	note("creation of all objects", time.Since(began).Seconds(), "s")

	_, offset := requests(t, audit, 0)
	began = time.Now()
	portico = start(t, config)
	ready(t, 60*time.Second)
	figure(t, "10,000 Ingresses: time to ready", time.Since(began).Seconds(), 5, "s", 2)
	everyHostServed(t)
	rss, _ = portico.memory(t)
	note("10,000 Ingresses: memory once ready", rss, "MB")
	counts, offset := requests(t, audit, offset)
	printRequests("until all is served", counts)

	seen := followStatuses(t)
	seen.await(t, "203.0.113.1", 2*time.Minute)
	note("10,000 Ingresses: first address in all statuses", time.Since(began).Seconds(), "s")
	counts, offset = requests(t, audit, offset)
	printRequests("until all statuses are written", counts)

	latencies(t, "10,000 Ingresses: endpoint to traffic", endpointChanges(t, quiet, samples()), 250*time.Millisecond)
	latencies(t, "10,000 Ingresses: Ingress to traffic", ingressChanges(t, quiet, "full", samples()), 500*time.Millisecond)
	rss, highest := portico.memory(t)
	figure(t, "10,000 Ingresses: memory", rss, 150, "MB", 2)
	note("10,000 Ingresses: memory at its highest", highest, "MB")

	counts, offset = requests(t, audit, offset)
	printRequests("for single changes", counts)
	changedAddress(t, quiet, seen)
	churn(t, portico)
	counts, _ = requests(t, audit, offset)
	printRequests("for a changed address and the churn", counts)
	portico.stop(t)
}

// changedAddress publishes another address and measures how long it takes to be in all statuses, and how long an
// endpoint's change takes meanwhile.
func changedAddress(t *testing.T, quiet string, seen *statuses) {
	t.Helper()
	// The Ingress added last may not have its first address yet; that write is none of those counted here.
	seen.await(t, "203.0.113.1", time.Minute)
	seen.mu.Lock()
	before, count := seen.writes, len(seen.address)
	seen.mu.Unlock()
	began := time.Now()
	publish(t, "203.0.113.2")
	meanwhile := endpointChanges(t, quiet, samples())
	seen.await(t, "203.0.113.2", 2*time.Minute)
	figure(t, "10,000 Ingresses: changed address in all statuses", time.Since(began).Seconds(), 60, "s", 2)
	latencies(t, "meanwhile: endpoint to traffic", meanwhile, time.Second)
	seen.mu.Lock()
	defer seen.mu.Unlock()
	if writes := seen.writes - before; writes != count {
		t.Errorf("%d changes of status seen for %d Ingresses; each is written once", writes, count)
	}
}

// everyHostServed asks for every hundredth host.
func everyHostServed(t *testing.T) {
	t.Helper()
	for i := 0; i < ingresses; i += 100 {
		status, endpoint, err := ask(t.Context(), host(i))
		if err != nil || status != 200 {
			t.Fatalf("%s: status %d from %q, %v", host(i), status, endpoint, err)
		}
	}
}

func createNamespace(t *testing.T, name string) string {
	t.Helper()
	object := &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: name}}
	_, err := client().CoreV1().Namespaces().Create(t.Context(), object, meta.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	return name
}

// createAll makes the namespaces, Services, EndpointSlices, Secrets and Ingresses.
func createAll(t *testing.T) {
	t.Helper()
	for i := range namespaces {
		createNamespace(t, namespace(i))
	}
	service := func(i int) string { return fmt.Sprintf("service-%04d", i%services) }
	parallel(t, services, func(ctx context.Context, i int) error {
		object := newService(namespace(i), service(i))
		if _, err := client().CoreV1().Services(object.Namespace).Create(ctx, object, meta.CreateOptions{}); err != nil {
			return err
		}
		var addresses []string
		for n := range endpoints {
			addresses = append(addresses, address(i*endpoints+n))
		}
		slice := newSlice(object.Namespace, object.Name, addresses...)
		_, err := client().DiscoveryV1().EndpointSlices(slice.Namespace).Create(ctx, slice, meta.CreateOptions{})
		return err
	})
	authority := harness.NewAuthority(t)
	parallel(t, hosts, func(ctx context.Context, i int) error {
		object := newSecret(namespace(i), fmt.Sprintf("certificate-%03d", i), authority.Issue(t, host(i)))
		_, err := client().CoreV1().Secrets(object.Namespace).Create(ctx, object, meta.CreateOptions{})
		return err
	})
	parallel(t, ingresses, func(ctx context.Context, i int) error {
		object := newIngress(namespace(i), fmt.Sprintf("ingress-%05d", i), host(i), service(i))
		if i < hosts {
			object.Spec.TLS = []networking.IngressTLS{{Hosts: []string{host(i)}, SecretName: fmt.Sprintf("certificate-%03d", i)}}
		}
		_, err := client().NetworkingV1().Ingresses(object.Namespace).Create(ctx, object, meta.CreateOptions{})
		return err
	})
}
