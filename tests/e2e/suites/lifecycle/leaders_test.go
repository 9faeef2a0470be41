package lifecycle

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"portico.test/e2e/harness"
)

// Whoever leads only writes statuses: its death is nothing to the other replica's traffic.
func TestLeaderKilled(t *testing.T) {
	s := newSite(t, harness.SharedPortico(t), 2)
	t.Cleanup(func() { s.portico.AwaitReady(t, harness.PodsTime) })
	awaitStatus(t, s, s.name, 30*time.Second)
	leader := s.portico.Leader(t)
	other := another(t, s.portico.Pods(t), leader)
	load := s.load()
	load.Client, load.URL = direct(other), url8080(s.host(), "/")
	running := load.Start(t)

	begin := time.Now()
	harness.SignalPod(t, leader, syscall.SIGKILL)
	now := int64(0)
	err := harness.Kubernetes().CoreV1().Pods(leader.Namespace).Delete(harness.Short(t), leader.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	if err != nil {
		t.Fatal(err)
	}
	harness.Apply(t, s.namespace, ingressYAML("late", s.named("late"), s.portico.Class, s.name))
	harness.Eventually(t, time.Minute, "new leader", func(ctx context.Context) error {
		holder, err := holder(ctx, s.portico)
		if err == nil && strings.HasPrefix(holder, leader.Name) {
			err = fmt.Errorf("%s holds the Lease still", holder)
		}
		return err
	})
	elected := time.Since(begin)
	awaitStatus(t, s, "late", time.Minute)
	converged := time.Since(begin)
	flawless(t, "leader killed: the other replica's traffic", running.Stop())
	figure(t, "leader killed: new leader after %.1f s, status of an Ingress made meanwhile after %.1f s", elected.Seconds(), converged.Seconds())
	within(t, "new leader", elected, 20*time.Second)
	within(t, "status after the leader's death", converged, 25*time.Second)
}

// A leader that is cut off cannot be told that it is none any more. Nobody may see statuses go to and fro for that.
func TestTwoLeaders(t *testing.T) {
	s := newSite(t, harness.SharedPortico(t), 2)
	awaitStatus(t, s, s.name, 30*time.Second)
	leader := s.portico.Leader(t)
	writes := watchStatus(t, s)
	load := s.load()
	load.Rate = 200
	running := load.Start(t)

	begin := time.Now()
	mend := cutOff(t, dropped, leader)
	harness.Eventually(t, time.Minute, "second leader", func(ctx context.Context) error {
		holder, err := holder(ctx, s.portico)
		if err == nil && strings.HasPrefix(holder, leader.Name) {
			err = fmt.Errorf("%s holds the Lease still", holder)
		}
		return err
	})
	elected := time.Since(begin)
	harness.Apply(t, s.namespace, ingressYAML("late", s.named("late"), s.portico.Class, s.name))
	awaitStatus(t, s, "late", 20*time.Second)
	mend()
	// The one that was cut off comes back, finds the Lease taken, and serves what it has missed.
	both(t, s.portico.Pods(t), time.Minute, s.named("late"), http.StatusOK)
	harness.Stays(t, 5*time.Second, "no status rewritten", func(context.Context) error { return writes.excess() })
	flawless(t, "leader cut off and back", running.Stop())
	figure(t, "leader cut off: second leader after %.1f s; writes of status: %v", elected.Seconds(), writes)
	within(t, "second leader", elected, 20*time.Second)
}

func another(t *testing.T, pods []corev1.Pod, than corev1.Pod) corev1.Pod {
	t.Helper()
	for _, pod := range pods {
		if pod.Name != than.Name {
			return pod
		}
	}
	t.Fatalf("no replica but %s", than.Name)
	return corev1.Pod{}
}

// holder is who holds the Lease; it begins with a pod's name.
func holder(ctx context.Context, p *harness.Portico) (string, error) {
	lease, err := harness.Kubernetes().CoordinationV1().Leases(p.Namespace).Get(ctx, "portico-"+p.Class, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	if lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" {
		return "", fmt.Errorf("nobody holds the Lease")
	}
	return *lease.Spec.HolderIdentity, nil
}

// awaitStatus waits until an Ingress shows the address of Portico's Service.
func awaitStatus(t *testing.T, s *site, name string, limit time.Duration) {
	t.Helper()
	want := s.portico.Address(t)
	harness.Eventually(t, limit, "status of "+name, func(ctx context.Context) error {
		ingress, err := harness.Kubernetes().NetworkingV1().Ingresses(s.namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if addresses := ingress.Status.LoadBalancer.Ingress; len(addresses) != 1 || addresses[0].IP != want {
			return fmt.Errorf("%v instead of %s", addresses, want)
		}
		return nil
	})
}

// statusWrites counts how often the status of each Ingress of a site was written.
type statusWrites struct {
	mu     sync.Mutex
	counts map[string]int
}

func watchStatus(t *testing.T, s *site) *statusWrites {
	t.Helper()
	w := &statusWrites{counts: map[string]int{}}
	watch, err := harness.Kubernetes().NetworkingV1().Ingresses(s.namespace).Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(watch.Stop)
	last := map[string]string{}
	go func() {
		for event := range watch.ResultChan() {
			ingress, ok := event.Object.(*networkingv1.Ingress)
			if !ok {
				continue
			}
			status := fmt.Sprint(ingress.Status.LoadBalancer.Ingress)
			w.mu.Lock()
			if before, known := last[ingress.Name]; known && before != status {
				w.counts[ingress.Name]++
			}
			last[ingress.Name] = status
			w.mu.Unlock()
		}
	}()
	return w
}

// excess is an error when a status was written more than once: an address that did not change needs no second write.
func (w *statusWrites) excess() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, count := range w.counts {
		if count > 1 {
			return fmt.Errorf("status of %s written %d times", name, count)
		}
	}
	return nil
}

func (w *statusWrites) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprint(w.counts)
}
