package objects

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"portico.test/e2e/harness"
)

const (
	refreshed = 35 * time.Second // Secrets read by name, every 30 s
	watched   = time.Second
)

// awaitCertificate waits until every replica shows a certificate for the host and returns how long that took. Replicas are
// asked at their own addresses, for the load balancer would hide the slow one.
func awaitCertificate(t *testing.T, p *harness.Portico, host string, pair harness.Pair, within time.Duration) time.Duration {
	t.Helper()
	pods := p.Pods(t)
	return harness.Eventually(t, within, "certificate of "+host, func(ctx context.Context) error {
		for _, pod := range pods {
			client := &harness.Client{Address: pod.Status.PodIP, Dial: harness.DialNode, ServerName: host, Timeout: 2 * time.Second}
			reply, err := client.Try(ctx, "https://"+host+":8443/")
			if err != nil {
				return err
			}
			if reply.Certificate == nil || reply.Certificate.SerialNumber.Cmp(pair.Serial) != 0 {
				return fmt.Errorf("%s still shows another one", pod.Name)
			}
		}
		return nil
	})
}

// rotate replaces a host's certificate several times and holds every change to the time.
func rotate(t *testing.T, p *harness.Portico, rounds int, within time.Duration, prepare func(namespace string)) {
	t.Helper()
	namespace := harness.Namespace(t)
	if prepare != nil {
		prepare(namespace)
	}
	host := namespace + ".test"
	authority := harness.NewAuthority(t)
	pair := authority.Issue(t, host)
	harness.Apply(t, namespace, pair.Secret("tls"))
	harness.Apply(t, namespace, ingressYAML("shop", p.Class, host, "shop", tlsLine(host, "tls")))
	// What is referenced for the first time is read at once, whatever the mode.
	first := awaitCertificate(t, p, host, pair, 5*time.Second)
	var slowest time.Duration
	for range rounds {
		pair = authority.Issue(t, host)
		harness.Apply(t, namespace, pair.Secret("tls"))
		slowest = max(slowest, awaitCertificate(t, p, host, pair, within))
	}
	fmt.Printf("FIGURE %s: first certificate after %v, slowest of %d rotations %v (limit %v)\n", t.Name(),
		first.Round(time.Millisecond), rounds, slowest.Round(time.Millisecond), within)
}

// The default install reads Secrets by name only.
func TestRotationByReading(t *testing.T) {
	t.Parallel()
	rotate(t, harness.SharedPortico(t), 1, refreshed, nil)
}

// A namespace that binds the role that watches has its Secrets watched.
func TestRotationInAWatchedNamespace(t *testing.T) {
	p := harness.SharedPortico(t)
	rotate(t, p, 5, watched, func(namespace string) {
		harness.ApplyFile(t, namespace, filepath.Join(harness.Root(), "deploy/manifests/examples/watched-secrets.yaml"))
	})
}

// The overlay that watches all Secrets of the cluster.
func TestRotationWithWatchedSecrets(t *testing.T) {
	p := harness.InstallPortico(t, harness.Install{Overlay: "overlays/watch-secrets", Namespace: "portico-watching", Class: "watching", Replicas: 1})
	rotate(t, p, 5, watched, nil)
}
