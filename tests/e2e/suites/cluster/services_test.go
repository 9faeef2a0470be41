package cluster

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"portico.test/e2e/harness"
)

func TestVersionIsStamped(t *testing.T) {
	if said := harness.Kubectl(t, "version"); !strings.Contains(said, "Server Version: v1.36") {
		t.Error(said)
	}
}

// TestServices reaches a pod by every address it has, from every place there is.
func TestServices(t *testing.T) {
	ns := harness.Namespace(t)
	harness.Deploy(t, ns, harness.Echo{Name: "echo", Type: "LoadBalancer"}, harness.Echo{Name: "other"})
	balancer := harness.BalancerAddress(t, ns, "echo")
	service, err := harness.Kubernetes().CoreV1().Services(ns).Get(harness.Short(t), "echo", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod := harness.Pods(t, ns, "app=echo")[0]
	other := harness.DialFrom(t, harness.Pods(t, ns, "app=other")[0])
	nodePort := fmt.Sprintf("http://echo:%d/", service.Spec.Ports[0].NodePort)
	rows := []struct {
		name, address, url string
		dial               harness.Dialer
	}{
		{"pod from the node", pod.Status.PodIP, "http://echo:3000/", harness.DialNode},
		{"pod from a pod", pod.Status.PodIP, "http://echo:3000/", other},
		{"cluster address from the node", service.Spec.ClusterIP, "http://echo/", harness.DialNode},
		{"cluster address from a pod", service.Spec.ClusterIP, "http://echo/", other},
		{"node port from outside", harness.NodeAddress, nodePort, harness.DialOutside},
		{"balancer from outside", balancer, "http://echo/", harness.DialOutside},
		{"balancer from the node", balancer, "http://echo/", harness.DialNode},
		{"balancer from a pod", balancer, "http://echo/", other},
	}
	for _, row := range rows {
		c := &harness.Client{Address: row.address, Dial: row.dial}
		reply := c.GetWhen(t, row.url, harness.From("echo"))
		if reply.Echo.Pod != pod.Name || reply.Echo.Namespace != ns {
			t.Errorf("%s: answered by %s in %s", row.name, reply.Echo.Pod, reply.Echo.Namespace)
		}
	}
	ctx := harness.Short(t)
	if found, err := net.DefaultResolver.LookupHost(ctx, "echo."+ns+".svc.cluster.local"); err != nil || len(found) != 1 || found[0] != service.Spec.ClusterIP {
		t.Errorf("DNS says %v, %v", found, err)
	}
	if _, err := harness.DialOutside(ctx, "tcp", pod.Status.PodIP+":3000"); err == nil {
		t.Errorf("the machine outside reaches pods")
	}
}

// TestRestartShowsTerminatingEndpoints: a pod that ends is listed as serving and terminating for its preStop time.
func TestRestartShowsTerminatingEndpoints(t *testing.T) {
	ns := harness.Namespace(t)
	harness.Deploy(t, ns, harness.Echo{Name: "echo", Replicas: 2, PreStop: 3})
	harness.Restart(t, ns, "echo")
	harness.Eventually(t, 20*time.Second, "terminating endpoint", func(ctx context.Context) error {
		slices, err := harness.Kubernetes().DiscoveryV1().EndpointSlices(ns).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, slice := range slices.Items {
			for _, e := range slice.Endpoints {
				if c := e.Conditions; c.Terminating != nil && *c.Terminating && c.Serving != nil && *c.Serving && c.Ready != nil && !*c.Ready {
					return nil
				}
			}
		}
		return fmt.Errorf("none in %d slices", len(slices.Items))
	})
	harness.Rollout(t, ns, "echo", harness.PodsTime)
}
