package journey

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"portico.test/e2e/harness"
)

// TestNetworkPolicies: backends that admit one kind of pod refuse every other, Portico too, until a policy admits the
// pods of Portico; then Portico reaches them and a stranger still does not.
func TestNetworkPolicies(t *testing.T) {
	p, ns := portico(t), harness.Namespace(t)
	harness.Deploy(t, ns, harness.Echo{Name: "my-app", Port: 80}, harness.Echo{Name: "frontend", Labels: map[string]string{"role": "frontend"}},
		harness.Echo{Name: "db", Port: 6379, Labels: map[string]string{"role": "db"}}, harness.Echo{Name: "stranger"})
	harness.Kubectl(t, "-n", ns, "create", "ingress", "guarded", "--rule=guarded.example.com/*=my-app:80")
	c := p.Client(t)
	c.GetWhen(t, "http://guarded.example.com/", harness.From("my-app"))
	frontend, stranger := from(t, ns, "frontend"), from(t, ns, "stranger")
	app, database := addressOf(t, ns, "my-app")+":80", addressOf(t, ns, "db")+":6379"

	t.Run("without Portico", func(t *testing.T) {
		harness.ApplyFile(t, ns, "testdata/network-policies.yaml")
		harness.EnforcePolicies(t, ns)
		reaches(t, frontend, app, true)
		reaches(t, frontend, database, true)
		reaches(t, stranger, app, false)
		reaches(t, stranger, database, false)
		// Portico says that the backend cannot be reached, in its own time and without harm to others. One worker is enough:
		// connections that were there before go on, as policies have it.
		some := &harness.Client{Address: c.Address}
		some.GetWhen(t, "http://guarded.example.com/", func(r *harness.Reply) error {
			if r.Status != http.StatusBadGateway && r.Status != http.StatusGatewayTimeout {
				return fmt.Errorf("status %d instead of 502 or 504", r.Status)
			}
			return nil
		})
	})
	t.Run("with Portico", func(t *testing.T) {
		harness.ApplyFile(t, ns, "testdata/admit-portico.yaml")
		harness.EnforcePolicies(t, ns)
		c.GetWhen(t, "http://guarded.example.com/", harness.From("my-app"))
		reaches(t, frontend, app, true)
		reaches(t, stranger, app, false)
	})
	t.Run("Portico's own", func(t *testing.T) {
		harness.EnforcePolicies(t, p.Namespace)
		c.GetWhen(t, "http://guarded.example.com/", harness.From("my-app"))
		pod := p.Pods(t)[0]
		for port, want := range map[string]bool{"8080": true, "8443": true, "9090": true, "9091": false} {
			reaches(t, stranger, net.JoinHostPort(pod.Status.PodIP, port), want)
		}
		if ready := harness.Ask(t, pod, "/readyz"); ready.Status != http.StatusOK {
			t.Errorf("the node's probe gets %d", ready.Status)
		}
	})
}

func from(t *testing.T, ns, app string) harness.Dialer {
	t.Helper()
	return harness.DialFrom(t, harness.Pods(t, ns, "app="+app)[0])
}

func addressOf(t *testing.T, ns, app string) string {
	t.Helper()
	return harness.Pods(t, ns, "app="+app)[0].Status.PodIP
}

// reaches opens a connection; a refused one is dropped silently and shows as a timeout.
func reaches(t *testing.T, dial harness.Dialer, address string, want bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	connection, err := dial(ctx, "tcp", address)
	if err == nil {
		_ = connection.Close()
	}
	if (err == nil) != want {
		t.Errorf("connection to %s: %v", address, err)
	}
}
