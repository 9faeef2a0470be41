// Package objects is about what Portico does with the objects of a cluster beside serving them: which Ingresses are its own,
// which Secrets it may read and how soon it sees them change, and what it tells of an Ingress in Events.
package objects

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"portico.test/e2e/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// quiet is how long nothing must happen where there is nothing to wait for: several times what Portico takes to serve a
// change, to publish an address or to tell an Event.
const quiet = 3 * time.Second

// ingressYAML leads a host to port 80 of a Service; without a class it names none. more are further lines of the object.
func ingressYAML(name, class, host, service string, more ...string) string {
	text := fmt.Sprintf(`
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %s}
spec:
  rules:
  - host: %s
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: %s, port: {number: 80}}}}]}
`, name, host, service)
	if class != "" {
		text += "  ingressClassName: " + class + "\n"
	}
	return text + strings.Join(more, "\n") + "\n---\n"
}

// tlsLine is a line for ingressYAML.
func tlsLine(host, secret string) string {
	return fmt.Sprintf("  tls: [{hosts: [%q], secretName: %s}]", host, secret)
}

func getIngress(ctx context.Context, namespace, name string) (*networkingv1.Ingress, error) {
	return harness.Kubernetes().NetworkingV1().Ingresses(namespace).Get(ctx, name, metav1.GetOptions{})
}

// addresses are those in an Ingress's status, joined by commas.
func addresses(ctx context.Context, namespace, name string) (string, error) {
	ingress, err := getIngress(ctx, namespace, name)
	if err != nil {
		return "", err
	}
	var all []string
	for _, a := range ingress.Status.LoadBalancer.Ingress {
		all = append(all, a.IP+a.Hostname)
	}
	return strings.Join(all, ","), nil
}

// awaitServed waits until an Ingress's host is answered by the backend and its status has the instance's address.
func awaitServed(t *testing.T, p *harness.Portico, namespace, name, host, backend string) {
	t.Helper()
	p.Client(t).GetWhen(t, "http://"+host+"/", harness.From(backend))
	awaitStatus(t, namespace, name, p.Address(t))
}

// awaitStatus waits until an Ingress's status shows exactly that; "" for no address.
func awaitStatus(t *testing.T, namespace, name, want string) {
	t.Helper()
	harness.Eventually(t, 10*time.Second, "status of "+name, func(ctx context.Context) error {
		have, err := addresses(ctx, namespace, name)
		if err == nil && have != want {
			err = fmt.Errorf("it shows %q instead of %q", have, want)
		}
		return err
	})
}

// awaitWithdrawn waits until a host is not served any more and the status is empty.
func awaitWithdrawn(t *testing.T, p *harness.Portico, namespace, name, host string) {
	t.Helper()
	p.Client(t).GetWhen(t, "http://"+host+"/", harness.Status(404))
	awaitStatus(t, namespace, name, "")
}

// staysForeign fails the test when an instance serves, publishes or tells anything of an Ingress.
func staysForeign(t *testing.T, p *harness.Portico, namespace, name, host string) {
	t.Helper()
	client, own := p.Client(t), p.Address(t)
	harness.Stays(t, quiet, name+" is left alone", func(ctx context.Context) error {
		reply, err := client.Try(ctx, "http://"+host+"/")
		if err != nil {
			return err
		}
		if err := harness.Status(404)(reply); err != nil {
			return err
		}
		have, err := addresses(ctx, namespace, name)
		if err == nil && strings.Contains(have, own) {
			err = fmt.Errorf("its status shows %s", have)
		}
		return err
	})
}

// events are those at an Ingress, with one reason or (reason "") all.
func events(ctx context.Context, namespace, ingress, reason string) ([]eventsv1.Event, error) {
	list, err := harness.Kubernetes().EventsV1().Events(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var found []eventsv1.Event
	for _, e := range list.Items {
		if e.Regarding.Kind == "Ingress" && e.Regarding.Name == ingress && (reason == "" || e.Reason == reason) {
			found = append(found, e)
		}
	}
	return found, nil
}

// times is how often events were told, those of a series included.
func times(told []eventsv1.Event) int {
	sum := 0
	for _, e := range told {
		if e.Series != nil {
			sum += int(e.Series.Count)
		} else {
			sum++
		}
	}
	return sum
}

// awaitTold waits until reason was told of an Ingress so often in all, and returns the events.
func awaitTold(t *testing.T, namespace, ingress, reason string, often int) []eventsv1.Event {
	t.Helper()
	var told []eventsv1.Event
	harness.Eventually(t, 20*time.Second, reason+" of "+ingress, func(ctx context.Context) (err error) {
		if told, err = events(ctx, namespace, ingress, reason); err != nil {
			return err
		}
		if times(told) != often {
			return fmt.Errorf("told %d times instead of %d", times(told), often)
		}
		return nil
	})
	return told
}
