package conformance

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/cucumber/godog"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"portico.test/e2e/harness"
)

// foreignWait is how long an Ingress of a foreign class is looked at. Elsewhere five minutes are usual, for controllers
// that publish by a clock. Portico publishes within a second of the last change or not at all.
const foreignWait = 10 * time.Second

// world is what a feature's scenarios share: they run one after the other on the same objects. The answer is the last one.
type world struct {
	class, namespace string
	pair             harness.Pair // for foo.bar.com

	ingress string // the last one applied
	address string // in its status
	reply   *harness.Reply
	passed  int
}

func (w *world) steps(s *godog.ScenarioContext) {
	s.Before(func(ctx context.Context, _ *godog.Scenario) (context.Context, error) {
		w.ingress, w.address, w.reply = "", "", nil
		return ctx, nil
	})
	s.After(func(ctx context.Context, _ *godog.Scenario, err error) (context.Context, error) {
		if err == nil {
			w.passed++
		}
		return ctx, nil
	})
	s.Step(`^the backends? "([^"]+)"$`, w.backends)
	s.Step(`^a TLS Secret "([^"]+)" for "foo.bar.com"$`, w.secret)
	s.Step(`^the Ingress$`, w.apply)
	s.Step(`^its status shows an address$`, w.published)
	s.Step(`^its status stays empty$`, w.unpublished)
	s.Step(`^"([^"]+)" is scaled to (\d+) pods$`, w.scaled)
	s.Step(`^a client sends ([A-Z]+) (\S+)$`, w.send)
	s.Step(`^the answer is (\d+)$`, w.answered)
	s.Step(`^the answer is (\d+) from "([^"]+)"$`, w.answeredFrom)
	s.Step(`^the answer is (HTTP/1.1) with the fields "([^"]+)"$`, w.answeredWith)
	s.Step(`^the backend saw ([A-Z]+) "([^"]+)" in (HTTP/1.1) from "([^"]+)"$`, w.saw)
	s.Step(`^the backend saw the host "([^"]+)"$`, w.sawHost)
	s.Step(`^the certificate shown is good for "([^"]+)"$`, w.certified)
	s.Step(`^(\d+) requests for (\S+), each on its own connection, are answered by (\d+) pods of "([^"]+)"$`, w.spread)
}

func (w *world) backends(ctx context.Context, names string) error {
	var all []string
	for name := range strings.SplitSeq(names, ", ") {
		all = append(all, name)
		if _, err := harness.TryApply(ctx, w.namespace, harness.Echo{Name: name, Service: 8080}.YAML()); err != nil {
			return err
		}
	}
	for _, name := range all {
		if err := w.endpoints(name, 1); err != nil {
			return err
		}
	}
	return nil
}

// endpoints waits until a backend has that many ready endpoints, as the API server tells them.
func (w *world) endpoints(name string, want int) error {
	return harness.Poll(time.Minute, func(ctx context.Context) error { return harness.ReadyEndpoints(ctx, w.namespace, name, want) })
}

// secret holds the same pair in every scenario: another one would be a rotation.
func (w *world) secret(ctx context.Context, name string) error {
	_, err := harness.TryApply(ctx, w.namespace, w.pair.Secret(name))
	return err
}

// apply takes an Ingress without its type; it gets our class if it names none.
func (w *world) apply(ctx context.Context, text *godog.DocString) error {
	objects, err := harness.Parse("apiVersion: networking.k8s.io/v1\nkind: Ingress\n" + text.Content)
	if err != nil {
		return err
	}
	spec := objects[0].Object["spec"].(map[string]any)
	if spec["ingressClassName"] == nil {
		spec["ingressClassName"] = w.class
	}
	w.ingress = objects[0].GetName()
	_, err = harness.TryApplyObjects(ctx, w.namespace, []*unstructured.Unstructured{objects[0]})
	return err
}

func (w *world) status(ctx context.Context) (string, error) {
	ingress, err := harness.Kubernetes().NetworkingV1().Ingresses(w.namespace).Get(ctx, w.ingress, metav1.GetOptions{})
	if err != nil || len(ingress.Status.LoadBalancer.Ingress) == 0 {
		return "", err
	}
	first := ingress.Status.LoadBalancer.Ingress[0]
	return first.IP + first.Hostname, nil
}

func (w *world) published() error {
	return harness.Poll(30*time.Second, func(ctx context.Context) (err error) {
		if w.address, err = w.status(ctx); err == nil && w.address == "" {
			err = fmt.Errorf("no address in the status of %s", w.ingress)
		}
		return err
	})
}

func (w *world) unpublished(ctx context.Context) error {
	for end := time.Now().Add(foreignWait); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if address, err := w.status(ctx); err != nil || address != "" {
			return fmt.Errorf("its status shows %q (%w)", address, err)
		}
	}
	return nil
}

func (w *world) scaled(name string, pods int) error {
	if _, err := harness.TryKubectl("-n", w.namespace, "scale", "deployment", name, fmt.Sprintf("--replicas=%d", pods)); err != nil {
		return err
	}
	return w.endpoints(name, pods)
}
