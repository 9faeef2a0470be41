package lifecycle

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"portico.test/e2e/harness"
)

func TestBackendsScaled(t *testing.T) {
	s := newSite(t, harness.SharedPortico(t), 3)
	load := s.load().Start(t)
	harness.Scale(t, s.namespace, s.name, 10)
	harness.Rollout(t, s.namespace, s.name, harness.PodsTime)
	harness.Eventually(t, 10*time.Second, "traffic on all ten pods", func(context.Context) error {
		if pods := len(load.Report().By); pods != 10 {
			return fmt.Errorf("%d pods have answered", pods)
		}
		return nil
	})
	harness.Scale(t, s.namespace, s.name, 1)
	s.settled(t, 1)
	flawless(t, "3 -> 10 -> 1 pods", load.Stop())
}

func TestBackendsRestarted(t *testing.T) {
	s := newSite(t, harness.SharedPortico(t), 10)
	rounds := either(5, 20)
	load := s.load().Start(t)
	for range rounds {
		harness.Restart(t, s.namespace, s.name)
		harness.Rollout(t, s.namespace, s.name, 2*time.Minute)
	}
	s.settled(t, 10)
	report := load.Stop()
	flawless(t, fmt.Sprintf("%d rolling restarts of 10 pods", rounds), report)
	if pods := len(report.By); pods < 10*(rounds+1) {
		t.Errorf("%d pods have answered in %d rounds; did all of them restart?", pods, rounds)
	}
}

// A pod that says it is unready gets nothing more, and requests again once it is ready.
func TestReadinessFlips(t *testing.T) {
	s := newSite(t, harness.SharedPortico(t), 3)
	rounds := either(3, 20)
	load := s.load().Start(t)
	pods := s.pods(t)
	var without, with []time.Duration
	for round := range rounds {
		pod := pods[round%len(pods)]
		setReady(t, pod, false)
		without = append(without, awaitSilence(t, load, pod.Name))
		setReady(t, pod, true)
		before := load.Report().By[pod.Name]
		with = append(with, harness.Eventually(t, 20*time.Second, pod.Name+" in use again", func(context.Context) error {
			if load.Report().By[pod.Name] == before {
				return fmt.Errorf("no request since")
			}
			return nil
		}))
	}
	flawless(t, fmt.Sprintf("%d flips of readiness", rounds), load.Stop())
	spread(t, "unready to the last request (probe every second included)", without)
	spread(t, "ready to the first request (probe every second included)", with)
}

func setReady(t *testing.T, pod corev1.Pod, ready bool) {
	t.Helper()
	path := fmt.Sprintf("http://pod:3000/ready?set=%t", ready)
	post := harness.Client{Address: pod.Status.PodIP, Dial: harness.DialNode}
	request, err := newPost(t, path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := post.Do(request); err != nil {
		t.Fatalf("readiness of %s: %v", pod.Name, err)
	}
}

// awaitSilence waits until a pod has had no request for a second and returns when its last one was.
func awaitSilence(t *testing.T, load *harness.Running, pod string) time.Duration {
	t.Helper()
	begin := time.Now()
	count, last := load.Report().By[pod], begin
	harness.Eventually(t, 20*time.Second, "no requests to "+pod, func(context.Context) error {
		if now := load.Report().By[pod]; now != count {
			count, last = now, time.Now()
		}
		if quiet := time.Since(last); quiet < time.Second {
			return fmt.Errorf("the last one was %v ago", quiet)
		}
		return nil
	})
	return last.Sub(begin)
}
