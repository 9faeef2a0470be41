package ecosystem

import (
	"strings"
	"testing"

	"portico.test/e2e/harness"
)

// What a user sees first: class, hosts, address, ports.
func TestKubectlShowsTheAddress(t *testing.T) {
	p := harness.SharedPortico(t)
	namespace := site(t, p, "shop.kubectl.test", harness.Echo{})
	harness.Kubectl(t, "-n", namespace, "wait", "ingress/shop", "--for=jsonpath={.status.loadBalancer.ingress[0].ip}="+p.Address(t), "--timeout=10s")
	out := harness.Kubectl(t, "-n", namespace, "get", "ingress", "shop")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 2 {
		t.Fatalf("kubectl get ingress:\n%s", out)
	}
	have := map[string]string{}
	values := strings.Fields(lines[1])
	for n, column := range strings.Fields(lines[0]) {
		have[column] = values[n]
	}
	for column, want := range map[string]string{"NAME": "shop", "CLASS": p.Class, "HOSTS": "shop.kubectl.test", "ADDRESS": p.Address(t), "PORTS": "80"} {
		if have[column] != want {
			t.Errorf("%s is %q instead of %q:\n%s", column, have[column], want, out)
		}
	}
}
