package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AwaitReady waits until every pod of the instance's workload is ready and of its last template.
func (p *Portico) AwaitReady(t testing.TB, within time.Duration) time.Duration {
	t.Helper()
	return Eventually(t, within, p.Namespace+"/"+p.Workload, p.ready)
}

func (p *Portico) ready(ctx context.Context) error {
	kind, name, _ := strings.Cut(p.Workload, "/")
	if kind == "deployment" {
		return rolledOut(ctx, p.Namespace, name)
	}
	d, err := Kubernetes().AppsV1().DaemonSets(p.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	s := d.Status
	if s.ObservedGeneration < d.Generation || s.NumberReady == 0 || s.NumberReady != s.DesiredNumberScheduled || s.UpdatedNumberScheduled != s.DesiredNumberScheduled {
		return fmt.Errorf("%d of %d ready", s.NumberReady, s.DesiredNumberScheduled)
	}
	return nil
}

// Address is the load balancer's address of the instance's Service.
func (p *Portico) Address(t testing.TB) string {
	t.Helper()
	return BalancerAddress(t, p.Namespace, "portico")
}

// Client dials the instance's load balancer address from outside the cluster; its GetWhen waits for all replicas.
func (p *Portico) Client(t testing.TB) *Client {
	t.Helper()
	return &Client{Address: p.Address(t), Behind: p.Replicas}
}

// Replicas dial each of the instance's ready pods at its own address, from the node: port 80 is that of its plain listener
// and 443 that of its TLS listener.
func (p *Portico) Replicas(ctx context.Context) ([]Dialer, error) {
	list, err := Kubernetes().CoreV1().Pods(p.Namespace).List(ctx, metav1.ListOptions{LabelSelector: PorticoSelector})
	if err != nil {
		return nil, err
	}
	var dialers []Dialer
	for _, pod := range list.Items {
		if pod.DeletionTimestamp == nil && isReady(pod) {
			dialers = append(dialers, dialReplica(pod))
		}
	}
	if len(dialers) == 0 {
		return nil, fmt.Errorf("no pod of %s is ready", p.Namespace)
	}
	return dialers, nil
}

func isReady(pod corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

func dialReplica(pod corev1.Pod) Dialer {
	names := map[string]string{"80": "http", "443": "https"}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		for _, own := range pod.Spec.Containers[0].Ports {
			if own.Name == names[port] {
				return DialNode(ctx, network, net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(own.ContainerPort))))
			}
		}
		return nil, fmt.Errorf("pod %s has no port for %s", pod.Name, port)
	}
}

// Pods are the instance's running pods.
func (p *Portico) Pods(t testing.TB) []corev1.Pod {
	t.Helper()
	return Pods(t, p.Namespace, PorticoSelector)
}

// Leader is the pod that holds the instance's Lease, as the Lease's holder names it.
func (p *Portico) Leader(t testing.TB) corev1.Pod {
	t.Helper()
	var leader corev1.Pod
	Eventually(t, 30*time.Second, "leader of "+p.Namespace, func(ctx context.Context) error {
		lease, err := Kubernetes().CoordinationV1().Leases(p.Namespace).Get(ctx, "portico-"+p.Class, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if lease.Spec.HolderIdentity == nil {
			return fmt.Errorf("the Lease has no holder")
		}
		for _, pod := range p.Pods(t) {
			if strings.HasPrefix(*lease.Spec.HolderIdentity, pod.Name) {
				leader = pod
				return nil
			}
		}
		return fmt.Errorf("the Lease's holder %q is no running pod", *lease.Spec.HolderIdentity)
	})
	return leader
}

// Ask gets a path such as /readyz or /metrics from a pod's status port.
func Ask(t testing.TB, pod corev1.Pod, path string) *Reply {
	t.Helper()
	c := &Client{Address: pod.Status.PodIP, Dial: DialNode}
	return c.Get(t, "http://status:9090"+path)
}

// Explain runs `portico explain URL` in a pod and returns what it prints.
func (p *Portico) Explain(t testing.TB, url string) string {
	t.Helper()
	return Kubectl(t, "-n", p.Namespace, "exec", p.Pods(t)[0].Name, "--", "/portico", "explain", url)
}

// Access is a line of Portico's access log.
type Access struct {
	Client   string `json:"client"` // address:port
	Host     string `json:"host"`
	Path     string `json:"path"`
	Status   int    `json:"status"`
	Route    string `json:"route"`
	Ingress  string `json:"ingress"`  // namespace/name
	Upstream string `json:"upstream"` // namespace/service:port
	Endpoint string `json:"endpoint"` // address:port that was connected to
	Tries    int    `json:"tries"`
}

// Accesses waits for at least that many lines with that path (without query), which tests make unique, in the access
// logs of all pods together. Lines come a moment after their answers.
func (p *Portico) Accesses(t testing.TB, path string, count int) []Access {
	t.Helper()
	var found []Access
	Eventually(t, 10*time.Second, "access log of "+path, func(ctx context.Context) error {
		found = nil
		for _, pod := range p.Pods(t) {
			text, err := Kubernetes().CoreV1().Pods(p.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(ctx)
			if err != nil {
				return err
			}
			for line := range strings.Lines(string(text)) {
				var access Access
				if json.Unmarshal([]byte(line), &access) == nil && access.Path == path {
					found = append(found, access)
				}
			}
		}
		if len(found) < count {
			return fmt.Errorf("%d of %d lines", len(found), count)
		}
		return nil
	})
	return found
}
