package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"portico.test/e2e/harness"
)

// controllers is the daemon that judges by heartbeats whether nodes live. Left running, it may take the node for dead when
// the API server is back before the kubelet.
const controllers = harness.Daemon("kube-controller-manager")

// endControllers ends the daemons that end with the API server where all run on one machine.
func endControllers(t *testing.T) {
	t.Helper()
	controllers.Kill(t)
	harness.Scheduler.Kill(t)
}

// startControllers starts them again; anew, they do not wait half a minute before they look for the API server.
func startControllers(t *testing.T) {
	t.Helper()
	controllers.Start(t)
	harness.Scheduler.Start(t)
}

// applied is how soon a change must be served once Portico can know of it.
const applied = 5 * time.Second

// The data plane does not notice that the API server is away, and afterwards what changed is served soon.
func TestAPIServerStopped(t *testing.T) {
	s := newSite(t, harness.SharedPortico(t), 2)
	harness.Apply(t, s.namespace, ingressYAML("old", s.named("old"), s.portico.Class, s.name))
	replicas := s.portico.Pods(t)
	both(t, replicas, 10*time.Second, s.named("old"), http.StatusOK)
	period := either(time.Minute, 10*time.Minute)
	load := s.load().Start(t)

	endControllers(t)
	harness.APIServer.Kill(t)
	harness.Stays(t, period, "readiness without an API server", func(ctx context.Context) error { return ready(ctx, replicas) })
	harness.APIServer.Start(t)
	harness.AwaitAPIServer(t)
	back := time.Now()
	harness.Apply(t, s.namespace, ingressYAML("new", s.named("new"), s.portico.Class, s.name))
	harness.Delete(t, s.namespace, ingressYAML("old", s.named("old"), s.portico.Class, s.name))
	both(t, replicas, time.Minute, s.named("new"), http.StatusOK)
	added := time.Since(back)
	both(t, replicas, time.Minute, s.named("old"), http.StatusNotFound)
	removed := time.Since(back)
	startControllers(t)
	flawless(t, fmt.Sprintf("%v without an API server", period), load.Stop())
	figure(t, "API server back: an Ingress added served after %v, one removed gone after %v",
		added.Round(time.Millisecond), removed.Round(time.Millisecond))
	within(t, "change after the API server is back", max(added, removed), applied)
}

// ready is nil when all replicas say that they are.
func ready(ctx context.Context, replicas []corev1.Pod) error {
	for _, replica := range replicas {
		reply, err := direct(replica).Try(ctx, "http://status:9090/readyz")
		if err != nil {
			return fmt.Errorf("%s: %w", replica.Name, err)
		}
		if reply.Status != http.StatusOK {
			return fmt.Errorf("%s: readyz: status %d: %s", replica.Name, reply.Status, reply.Body)
		}
	}
	return nil
}

// Changes are made while Portico alone cannot reach the API server, which started anew meanwhile (its connections were
// reset), or whose packets were lost without a word.
func TestDisconnected(t *testing.T) {
	for _, cut := range []struct {
		name, verdict string
		restart       bool
		period        time.Duration
	}{
		// Long enough for whatever grows between attempts to have grown, and for half open connections to be noticed.
		{"refused", refused, true, either(15*time.Second, time.Minute)},
		{"dropped", dropped, false, either(40*time.Second, 2*time.Minute)},
	} {
		t.Run(cut.name, func(t *testing.T) {
			s := newSite(t, harness.SharedPortico(t), 2)
			harness.Apply(t, s.namespace, ingressYAML("old", s.named("old"), s.portico.Class, s.name))
			replicas := s.portico.Pods(t)
			both(t, replicas, 10*time.Second, s.named("old"), http.StatusOK)
			load := s.load().Start(t)

			mend := cutOff(t, cut.verdict, replicas...)
			if cut.restart {
				harness.APIServer.Kill(t)
				harness.APIServer.Start(t)
				harness.AwaitAPIServer(t)
			}
			harness.Apply(t, s.namespace, ingressYAML("new", s.named("new"), s.portico.Class, s.name))
			harness.Delete(t, s.namespace, ingressYAML("old", s.named("old"), s.portico.Class, s.name))
			harness.Stays(t, cut.period, "last good table", func(ctx context.Context) error {
				return errors.Join(ready(ctx, replicas), answers(ctx, replicas[0], s.named("old"), http.StatusOK))
			})
			back := time.Now()
			mend()
			both(t, replicas, 2*time.Minute, s.named("new"), http.StatusOK)
			both(t, replicas, 2*time.Minute, s.named("old"), http.StatusNotFound)
			took := time.Since(back)
			flawless(t, "Portico cut off ("+cut.name+")", load.Stop())
			figure(t, "way to the API server mended: changes served after %v", took.Round(time.Millisecond))
			within(t, "changes after the way is mended", took, applied)
		})
	}
}

// A Portico that starts without an API server does not pretend: it is not ready, and nobody is told 404.
func TestStartWithoutAPIServer(t *testing.T) {
	s := newSite(t, harness.SharedPortico(t), 2)
	t.Cleanup(func() { s.portico.AwaitReady(t, 2*time.Minute) })
	pod := s.portico.Pods(t)[0]
	endControllers(t)
	harness.APIServer.Kill(t)
	before := harness.Processes(t, pod)
	harness.SignalPod(t, pod, syscall.SIGKILL)
	harness.Eventually(t, 30*time.Second, "restart of "+pod.Name, func(ctx context.Context) error {
		now := harness.Processes(t, pod)
		if len(now) == 0 || slices.Equal(now, before) {
			return fmt.Errorf("processes %v", now)
		}
		_, err := direct(pod).Try(ctx, "http://status:9090/healthz")
		return err
	})
	refusals := map[string]int{}
	harness.Stays(t, 5*time.Second, "not ready, and no answer from an empty table", func(ctx context.Context) error {
		if ready(ctx, []corev1.Pod{pod}) == nil {
			return fmt.Errorf("ready without an API server")
		}
		reply, err := direct(pod).Try(ctx, url8080(s.host(), "/"))
		if err != nil {
			refusals["no listener"]++
			return nil
		}
		refusals[fmt.Sprint("status ", reply.Status)]++
		if reply.Status == http.StatusNotFound {
			return fmt.Errorf("404 from an empty table")
		}
		return nil
	})
	harness.APIServer.Start(t)
	harness.AwaitAPIServer(t)
	took := harness.Eventually(t, time.Minute, "ready", func(ctx context.Context) error { return ready(ctx, []corev1.Pod{pod}) })
	if err := answers(t.Context(), pod, s.host(), http.StatusOK); err != nil {
		t.Errorf("ready, but: %v", err)
	}
	startControllers(t)
	figure(t, "started without an API server: requests met %v; ready %v after it was back", refusals, took.Round(time.Millisecond))
	within(t, "ready after the API server is back", took, 2*time.Second)
}

// etcd forgets the revisions that Portico would go on from. It lists again, and nothing is missing in between.
func TestCompacted(t *testing.T) {
	s := newSite(t, harness.SharedPortico(t), 2)
	harness.Apply(t, s.namespace, ingressYAML("old", s.named("old"), s.portico.Class, s.name))
	replicas := s.portico.Pods(t)
	both(t, replicas, 10*time.Second, s.named("old"), http.StatusOK)
	load := s.load().Start(t)

	harness.APIServer.Kill(t)
	mend := cutOff(t, refused, replicas...)
	harness.APIServer.Start(t)
	harness.AwaitAPIServer(t)
	harness.Delete(t, s.namespace, ingressYAML("old", s.named("old"), s.portico.Class, s.name))
	harness.Apply(t, s.namespace, ingressYAML("new", s.named("new"), s.portico.Class, s.name))
	harness.CompactEtcd(t)
	// A new API server has no cache of events to answer from.
	harness.APIServer.Kill(t)
	harness.APIServer.Start(t)
	harness.AwaitAPIServer(t)
	back := time.Now()
	mend()
	both(t, replicas, time.Minute, s.named("old"), http.StatusNotFound)
	deleted := time.Since(back)
	both(t, replicas, time.Minute, s.named("new"), http.StatusOK)
	took := time.Since(back)
	flawless(t, "compaction", load.Stop())
	figure(t, "after a compaction: delete served after %v, all after %v, to be within %v", deleted.Round(time.Millisecond), took.Round(time.Millisecond), applied)
	// 1.6 to 6.6 s were seen, more where the API server takes longer to start: some seconds after it is back connections
	// to it are reset once more, and it is not known by whom.
	within(t, "changes after a compaction", took, 2*applied)
}
