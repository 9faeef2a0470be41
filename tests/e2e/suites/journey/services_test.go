package journey

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"portico.test/e2e/harness"
)

// The primer's Services name the namespace they are in.
const servicesNamespace = "default"

// TestServices reaches one Deployment through every kind of Service, directly and through Portico.
func TestServices(t *testing.T) {
	t.Parallel()
	p := portico(t)
	app := harness.Echo{Name: "my-app", Port: 9376, Replicas: 2, NoService: true}
	applyHere(t, app.YAML())
	applyHere(t, harness.ReadFile(t, "testdata/services.yaml"))
	applyHere(t, harness.ReadFile(t, "testdata/more-services.yaml"))
	harness.Rollout(t, servicesNamespace, "my-app", harness.PodsTime)
	pods := addresses(t, "app=my-app")
	applyHere(t, manualSlice(pods))
	applyHere(t, harness.ReadFile(t, "testdata/services-ingress.yaml"))

	t.Run("directly", func(t *testing.T) {
		outside, node := &harness.Client{Address: harness.NodeAddress}, &harness.Client{Dial: harness.DialNode}
		outside.GetWhen(t, "http://my-service:30007/", harness.From("my-app"))
		outside.Address = harness.BalancerAddress(t, servicesNamespace, "my-service-lb")
		outside.GetWhen(t, "http://my-service/", harness.From("my-app"))
		node.Address = clusterIP(t, "my-service")
		node.GetWhen(t, "http://my-service/", harness.From("my-app"))
	})
	c := p.Client(t)
	endpoints := func(port string) []string {
		var all []string
		for _, pod := range pods {
			all = append(all, net.JoinHostPort(pod, port))
		}
		return all
	}
	rows := map[string][]string{
		// To the pods themselves, whatever the kind of Service.
		"cluster-ip": endpoints("9376"), "node-port": endpoints("9376"), "load-balancer": endpoints("9376"),
		"headless": endpoints("9376"), "manual": endpoints("9376"),
		// To the address of the Service, where kube-proxy chooses the pod.
		"external-name": {clusterIP(t, "my-service") + ":80"},
		"upstream":      {clusterIP(t, "my-service-upstream") + ":80"},
	}
	for kind, want := range rows {
		t.Run(kind, func(t *testing.T) {
			url := "http://services.example.com/" + kind
			c.GetWhen(t, url, harness.From("my-app"))
			// A replica that has heard of one pod may yet have to hear of the other.
			harness.Eventually(t, 10*time.Second, "requests to all of "+strings.Join(want, ", "), func(context.Context) error {
				return usesAll(t, p, c, url, want)
			})
		})
	}
}

// usesAll sends forty requests, each of which must be answered, and is nil when every wanted endpoint had its turn. Another
// endpoint fails the test.
func usesAll(t *testing.T, p *harness.Portico, c *harness.Client, url string, want []string) error {
	t.Helper()
	const requests = 40
	path := "/counted/" + strconv.Itoa(rand.Int())
	for range requests {
		if err := harness.From("my-app")(c.Get(t, url+path)); err != nil {
			t.Error(err)
		}
	}
	used := map[string]bool{}
	for _, access := range p.Accesses(t, url[strings.LastIndex(url, "/"):]+path, requests) {
		if used[access.Endpoint] = true; !slices.Contains(want, access.Endpoint) {
			t.Errorf("connected to %s instead of %v", access.Endpoint, want)
		}
	}
	if len(used) != len(want) {
		return fmt.Errorf("used %v, wanted all of %v", used, want)
	}
	return nil
}

// TestServiceUpstreamFollowsKubeProxy: with service-upstream a restart of the pods is the cluster's business alone.
func TestServiceUpstreamFollowsKubeProxy(t *testing.T) {
	t.Parallel()
	p, ns := portico(t), harness.Namespace(t)
	harness.Deploy(t, ns, harness.Echo{Name: "app", PreStop: 2})
	harness.Kubectl(t, "-n", ns, "annotate", "service", "app", "portico.dev/service-upstream=true")
	harness.Kubectl(t, "-n", ns, "create", "ingress", "app", "--rule=upstream.example.com/*=app:80")
	c := p.Client(t)
	first := c.GetWhen(t, "http://upstream.example.com/", harness.From("app")).Echo.Pod
	harness.Restart(t, ns, "app")
	harness.Rollout(t, ns, "app", harness.PodsTime)
	c.GetWhen(t, "http://upstream.example.com/", func(r *harness.Reply) error {
		if err := harness.From("app")(r); err != nil {
			return err
		}
		if r.Echo.Pod == first {
			return fmt.Errorf("still from the old pod %s", first)
		}
		return nil
	})
}

// applyHere applies to the shared namespace, and deletes when the test ends what would go with one of its own.
func applyHere(t *testing.T, text string) {
	t.Helper()
	harness.Apply(t, servicesNamespace, text)
	t.Cleanup(func() {
		if t.Failed() {
			harness.Dump(t, servicesNamespace)
		}
		harness.Delete(t, servicesNamespace, text)
	})
}

func addresses(t *testing.T, selector string) []string {
	t.Helper()
	var all []string
	for _, pod := range harness.Pods(t, servicesNamespace, selector) {
		all = append(all, pod.Status.PodIP)
	}
	return all
}

// manualSlice is what somebody writes for a Service without a selector.
func manualSlice(addresses []string) string {
	return fmt.Sprintf(`
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: my-service-manual-1, labels: {kubernetes.io/service-name: my-service-manual}}
addressType: IPv4
ports: [{name: web, port: 9376, protocol: TCP}]
endpoints: [{addresses: [%s]}]
`, strings.Join(addresses, "]}, {addresses: ["))
}

func clusterIP(t *testing.T, service string) string {
	t.Helper()
	var address string
	harness.Eventually(t, 10*time.Second, "cluster address of "+service, func(ctx context.Context) error {
		s, err := harness.Kubernetes().CoreV1().Services(servicesNamespace).Get(ctx, service, metav1.GetOptions{})
		if err != nil {
			return err
		}
		address = s.Spec.ClusterIP
		return nil
	})
	return address
}
