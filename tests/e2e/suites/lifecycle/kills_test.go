package lifecycle

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"portico.test/e2e/harness"
)

func TestBackendsKilled(t *testing.T) {
	s := newSite(t, harness.SharedPortico(t), 3)
	loads := startTwoLoads(t, s)
	var kills []kill
	for round := range either(3, 10) {
		pod := s.pods(t)[round%3]
		restarts := restartsOf(pod)
		begin := time.Now()
		harness.SignalPod(t, pod, syscall.SIGKILL)
		kills = append(kills, kill{begin, time.Now()})
		awaitRestart(t, pod, restarts, "")
	}
	loads.judge(t, fmt.Sprintf("%d backends killed", len(kills)), kills)
}

func TestBackendsOutOfMemory(t *testing.T) {
	s := newSite(t, harness.SharedPortico(t), 3)
	loads := startTwoLoads(t, s)
	var kills []kill
	for round := range either(2, 5) {
		pod := s.pods(t)[round%3]
		restarts := restartsOf(pod)
		greedy := harness.Client{Address: pod.Status.PodIP, Dial: harness.DialNode}
		request, err := newPost(t, "http://pod:3000/eat")
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if reply, err := greedy.Do(request); err == nil {
			t.Fatalf("%s lives on: status %d", pod.Name, reply.Status)
		}
		kills = append(kills, kill{begin, time.Now()}) // our own connection broke at the kill
		awaitRestart(t, pod, restarts, "OOMKilled")
	}
	loads.judge(t, fmt.Sprintf("%d backends out of memory", len(kills)), kills)
}

func restartsOf(pod corev1.Pod) int32 {
	if len(pod.Status.ContainerStatuses) == 0 {
		return 0
	}
	return pod.Status.ContainerStatuses[0].RestartCount
}

// awaitRestart waits until a pod's container has ended (for that reason, if one is given), started again and is ready.
func awaitRestart(t *testing.T, pod corev1.Pod, before int32, reason string) {
	t.Helper()
	harness.Eventually(t, 2*time.Minute, "restart of "+pod.Name, func(ctx context.Context) error {
		now, err := harness.Kubernetes().CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if restartsOf(*now) <= before {
			return fmt.Errorf("%d restarts", before)
		}
		status := now.Status.ContainerStatuses[0]
		if last := status.LastTerminationState.Terminated; reason != "" && (last == nil || last.Reason != reason) {
			return fmt.Errorf("it ended for %+v instead of %s", last, reason)
		}
		if !status.Ready {
			return fmt.Errorf("not ready")
		}
		return nil
	})
}
