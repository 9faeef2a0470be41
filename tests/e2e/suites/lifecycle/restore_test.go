package lifecycle

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"portico.test/e2e/harness"
)

// etcd is put back to an older state: revisions go back, and the table follows the older truth. It is the last test of
// the suite, because other controllers have a hard time with it too.
func TestRestored(t *testing.T) {
	s := newSite(t, harness.SharedPortico(t), 2)
	ingress := func(name string) string { return ingressYAML(name, s.named(name), s.portico.Class, s.name) }
	replicas := s.portico.Pods(t)
	harness.Apply(t, s.namespace, ingress("deleted")+ingress("changed"))
	both(t, replicas, 10*time.Second, s.named("deleted"), http.StatusOK)
	both(t, replicas, 10*time.Second, s.named("changed"), http.StatusOK)
	snapshot := harness.SnapshotEtcd(t)

	harness.Delete(t, s.namespace, ingress("deleted"))
	harness.Apply(t, s.namespace, ingress("added")+ingressYAML("changed", s.named("moved"), s.portico.Class, s.name))
	both(t, replicas, 10*time.Second, s.named("deleted"), http.StatusNotFound)
	both(t, replicas, 10*time.Second, s.named("added"), http.StatusOK)
	both(t, replicas, 10*time.Second, s.named("moved"), http.StatusOK)

	load := s.load().Start(t)
	endControllers(t)
	snapshot.Restore(t)
	back := time.Now()
	both(t, replicas, time.Minute, s.named("deleted"), http.StatusOK)
	both(t, replicas, time.Minute, s.named("added"), http.StatusNotFound)
	both(t, replicas, time.Minute, s.named("changed"), http.StatusOK)
	both(t, replicas, time.Minute, s.named("moved"), http.StatusNotFound)
	took := time.Since(back)
	// And it goes on from there: revisions that Portico has seen before come again with other contents.
	next := time.Now()
	harness.Apply(t, s.namespace, ingress("later"))
	both(t, replicas, time.Minute, s.named("later"), http.StatusOK)
	later := time.Since(next)
	flawless(t, "etcd restored", load.Stop())
	startControllers(t)
	figure(t, "etcd restored: the older truth served after %v, a change afterwards within %v", took.Round(time.Millisecond), later.Round(time.Millisecond))
	within(t, "older truth", took, applied)
	within(t, "change after the restore", later, applied)
}

// replicasSettled waits until exactly so many of Portico's pods are there, those that are ending included.
func replicasSettled(t *testing.T, p *harness.Portico, count int) {
	t.Helper()
	harness.Eventually(t, 2*time.Minute, "end of old replicas", func(ctx context.Context) error {
		list, err := harness.Kubernetes().CoreV1().Pods(p.Namespace).List(ctx, metav1.ListOptions{LabelSelector: harness.PorticoSelector})
		if err == nil && len(list.Items) != count {
			err = fmt.Errorf("%d pods instead of %d", len(list.Items), count)
		}
		return err
	})
}
