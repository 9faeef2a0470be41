package cluster

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"portico.test/e2e/harness"
)

// TestDaemons: the API server dies and comes back; halted it leaves requests unanswered.
func TestDaemons(t *testing.T) {
	harness.APIServer.Kill(t)
	if _, err := harness.TryKubectl("get", "--request-timeout=2s", "--raw=/readyz"); err == nil {
		t.Error("it answers though killed")
	}
	harness.APIServer.Start(t)
	t.Logf("ready again after %v", harness.AwaitAPIServer(t))

	harness.APIServer.Signal(t, syscall.SIGSTOP)
	if _, err := harness.TryKubectl("get", "--request-timeout=1s", "--raw=/readyz"); err == nil {
		t.Error("it answers though halted")
	}
	harness.APIServer.Signal(t, syscall.SIGCONT)
	harness.AwaitAPIServer(t)
}

// TestEtcd: a restored snapshot forgets what came after it, and a compaction what came before it.
func TestEtcd(t *testing.T) {
	ns := harness.Namespace(t)
	maps := harness.Kubernetes().CoreV1().ConfigMaps(ns)
	write := func(name string) *corev1.ConfigMap {
		made, err := maps.Create(harness.Short(t), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	before := write("before")
	snapshot := harness.SnapshotEtcd(t)
	write("after")
	snapshot.Restore(t)
	harness.Eventually(t, 20*time.Second, "older state", func(ctx context.Context) error {
		if _, err := maps.Get(ctx, "before", metav1.GetOptions{}); err != nil {
			return err
		}
		if _, err := maps.Get(ctx, "after", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("what came after it: %v", err)
		}
		return nil
	})
	write("later")
	harness.CompactEtcd(t)
	harness.APIServer.Kill(t)
	harness.APIServer.Start(t)
	harness.AwaitAPIServer(t)
	harness.Eventually(t, 10*time.Second, "410 for a watch from the past", func(ctx context.Context) error {
		w, err := maps.Watch(ctx, metav1.ListOptions{ResourceVersion: before.ResourceVersion})
		if err != nil {
			if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
				return nil
			}
			return err
		}
		defer w.Stop()
		event := <-w.ResultChan()
		if status, is := event.Object.(*metav1.Status); is && (status.Code == 410) {
			return nil
		}
		return fmt.Errorf("the watch began with %s %T", event.Type, event.Object)
	})
}

// TestLoadCounts: a crash under load shows as failures with a cause, and nothing fails without one.
func TestLoadCounts(t *testing.T) {
	ns := harness.Namespace(t)
	harness.Deploy(t, ns, harness.Echo{Name: "echo", Type: "LoadBalancer"})
	c := &harness.Client{Address: harness.BalancerAddress(t, ns, "echo")}
	c.GetWhen(t, "http://echo/", harness.From("echo"))
	load := harness.Load{Client: c, URL: "http://echo/", Rate: 500}

	quiet := load.For(t, time.Second)
	t.Log(quiet)
	if quiet.Sent < 400 || quiet.OK != quiet.Sent || quiet.Failures() != 0 || len(quiet.By) != 1 {
		t.Errorf("without a fault: %v, by %v", quiet, quiet.By)
	}
	pod := harness.Pods(t, ns, "app=echo")[0]
	if size := harness.RSS(t, pod); size < 1<<20 || size > 1<<30 {
		t.Errorf("the pod's processes hold %d octets", size)
	}
	running := load.Start(t)
	harness.SignalPod(t, pod, syscall.SIGKILL)
	harness.Eventually(t, 10*time.Second, "failures", func(context.Context) error {
		if running.Report().Failures() == 0 {
			return fmt.Errorf("none yet")
		}
		return nil
	})
	crashed := running.Stop()
	t.Log(crashed)
	if crashed.Sent != crashed.OK+crashed.Failures() {
		t.Errorf("the sums differ: %v", crashed)
	}
	if requests := harness.APIServerRequests(t); requests["LIST pods"] == 0 {
		t.Errorf("the API server counts no LIST of pods: %v", requests)
	}
}
