package journey

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"portico.test/e2e/harness"
)

// What the node becomes for pods: kube-proxy masquerades with the address of the bridge they are on.
const nodeForPods = "10.244.0.1"

// TestWholeWay follows one request from a machine outside the cluster to the load balancer's address, through TLS and a
// path to a pod, and the answer back. How the Service passes connections on decides whether the client's address
// survives: Cluster replaces it by the node's, Local keeps it.
func TestWholeWay(t *testing.T) {
	p, ns := portico(t), harness.Namespace(t)
	authority := harness.NewAuthority(t)
	harness.Apply(t, ns, authority.Issue(t, "way.example.com").Secret("way-tls"))
	harness.Deploy(t, ns, harness.Echo{Name: "app"})
	harness.Kubectl(t, "-n", ns, "create", "ingress", "way", "--rule=way.example.com/shop*=app:http,tls=way-tls")
	c := p.Client(t)
	c.Roots = authority.Pool()
	c.GetWhen(t, "https://way.example.com/shop", harness.From("app"))
	c.Behind = nil // for whoever asks the replicas themselves is seen as somebody else

	rows := []struct{ policy, client string }{{"Cluster", nodeForPods}, {"Local", harness.OutsideAddress}, {"Cluster", nodeForPods}}
	for n, row := range rows {
		t.Run(row.policy, func(t *testing.T) {
			harness.Kubectl(t, "-n", p.Namespace, "patch", "service", "portico", "-p", `{"spec":{"externalTrafficPolicy":"`+row.policy+`"}}`)
			c.GetWhen(t, "https://way.example.com/shop", func(r *harness.Reply) error {
				if seen := r.Echo.Headers.Get("X-Forwarded-For"); seen != row.client {
					return fmt.Errorf("status %d, client seen as %q instead of %s", r.Status, seen, row.client)
				}
				return nil
			})
			request := wayRequest(t, n)
			reply, err := c.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			checkWay(t, reply, row.client, n)
			accesses := p.Accesses(t, "/shop/cart/"+strconv.Itoa(n), 1)
			if len(accesses) != 1 || !strings.HasPrefix(accesses[0].Client, row.client+":") || accesses[0].Ingress != ns+"/way" {
				t.Errorf("the access log has %+v", accesses)
			}
		})
	}
}

func wayURL(n int) string {
	return fmt.Sprintf("https://way.example.com/shop/cart/%d?item=1&item=%%C3%%A4", n)
}

func wayRequest(t *testing.T, n int) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, wayURL(n),
		bytes.NewReader(make([]byte, 100_000)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Mine", "kept")
	request.Header.Set("X-Forwarded-For", "203.0.113.9")
	request.Header.Set("X-Forwarded-Proto", "gopher")
	request.Header.Set("Connection", "X-Hop")
	request.Header.Set("X-Hop", "for the next hop only")
	request.Header.Set("X-Echo-Set-Header", "X-Answer:from the pod")
	return request
}

// checkWay compares what the pod saw and what came back.
func checkWay(t *testing.T, reply *harness.Reply, client string, n int) {
	t.Helper()
	if reply.Status != http.StatusOK || reply.Echo.Service != "app" {
		t.Fatalf("status %d: %s", reply.Status, reply.Body)
	}
	seen := reply.Echo
	if seen.Method != http.MethodPost || "https://way.example.com"+seen.Path != wayURL(n) || seen.Host != "way.example.com" {
		t.Errorf("arrived as %s %s of %s", seen.Method, seen.Path, seen.Host)
	}
	want := map[string]string{"X-Mine": "kept", "X-Hop": "", "X-Forwarded-For": client, "X-Forwarded-Proto": "https", "X-Forwarded-Host": "way.example.com"}
	for name, value := range want {
		if got := strings.Join(seen.Headers.Values(name), " | "); got != value {
			t.Errorf("the pod sees %s: %q instead of %q", name, got, value)
		}
	}
	if seen.Headers.Get("X-Request-Id") == "" {
		t.Errorf("the pod sees no X-Request-Id")
	}
	if got := reply.Header.Get("X-Answer"); got != "from the pod" {
		t.Errorf("the answer's own field came back as %q", got)
	}
	if reply.Certificate == nil || reply.Certificate.VerifyHostname("way.example.com") != nil {
		t.Errorf("shown another certificate: %v", reply.Certificate)
	}
}
