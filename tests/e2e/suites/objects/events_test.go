package objects

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"portico.test/e2e/harness"
)

// problem is a way to go wrong: the objects that make it, and the Event that tells of it at the Ingress called `of`.
type problem struct {
	code string
	of   string // "broken" unless set
	yaml func(class string, a *harness.Authority, t *testing.T) string
}

const opaqueYAML = `
apiVersion: v1
kind: Secret
metadata: {name: no-pair}
type: Opaque
stringData: {note: nothing to serve with}
---
`

func serviceYAML(name, more string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: {%s}\n---\n", name, more)
}

func secured(a *harness.Authority, t *testing.T, class, host string, end time.Time, names ...string) string {
	return a.IssueUntil(t, end, names...).Secret("pair") + "---\n" + ingressYAML("broken", class, host, "shop", tlsLine(host, "pair"))
}

func inDays(days int) time.Time { return time.Now().Add(time.Duration(days) * 24 * time.Hour) }

// Every namespace has the Service "shop", which works. Hosts are by code, so that the problems do not meet.
var problems = []problem{
	{"ServiceNotFound", "", func(class string, _ *harness.Authority, _ *testing.T) string {
		return ingressYAML("broken", class, "no-service.test", "missing")
	}},
	{"PortNotFound", "", func(class string, _ *harness.Authority, _ *testing.T) string {
		return strings.Replace(ingressYAML("broken", class, "no-port.test", "shop"), "number: 80", "number: 81", 1)
	}},
	{"NoEndpoints", "", func(class string, _ *harness.Authority, _ *testing.T) string {
		return serviceYAML("empty", "selector: {app: nobody}, ports: [{port: 80}]") + ingressYAML("broken", class, "empty.test", "empty")
	}},
	{"ProtocolUnsupported", "", func(class string, _ *harness.Authority, _ *testing.T) string {
		return serviceYAML("datagrams", "selector: {app: shop}, ports: [{port: 80, protocol: UDP}]") + ingressYAML("broken", class, "udp.test", "datagrams")
	}},
	{"ExternalNameRefused", "", func(class string, _ *harness.Authority, _ *testing.T) string {
		return serviceYAML("myself", "type: ExternalName, externalName: localhost") + ingressYAML("broken", class, "external.test", "myself")
	}},
	{"ResourceBackendUnsupported", "", func(class string, _ *harness.Authority, _ *testing.T) string {
		return strings.Replace(ingressYAML("broken", class, "resource.test", "shop"), "service: {name: shop, port: {number: 80}}",
			"resource: {apiGroup: storage.test, kind: Bucket, name: static}", 1)
	}},
	{"SecretNotFound", "", func(class string, _ *harness.Authority, _ *testing.T) string {
		return ingressYAML("broken", class, "no-secret.test", "shop", tlsLine("no-secret.test", "missing"))
	}},
	{"SecretInvalid", "", func(class string, _ *harness.Authority, _ *testing.T) string {
		return opaqueYAML + ingressYAML("broken", class, "bad-secret.test", "shop", tlsLine("bad-secret.test", "no-pair"))
	}},
	{"CertificateMismatch", "", func(class string, a *harness.Authority, t *testing.T) string {
		return secured(a, t, class, "mismatch.test", inDays(90), "another.test")
	}},
	{"CertificateExpiring", "", func(class string, a *harness.Authority, t *testing.T) string {
		return secured(a, t, class, "expiring.test", time.Now().Add(20*time.Hour), "expiring.test")
	}},
	{"CertificateExpired", "", func(class string, a *harness.Authority, t *testing.T) string {
		return secured(a, t, class, "expired.test", inDays(-1), "expired.test")
	}},
	{"PathConflict", "younger", func(class string, _ *harness.Authority, _ *testing.T) string {
		return ingressYAML("elder", class, "conflict.test", "shop") + ingressYAML("younger", class, "conflict.test", "shop")
	}},
	{"RuleShadowed", "", func(class string, _ *harness.Authority, _ *testing.T) string {
		path := func(path string) string {
			return "{path: " + path + ", pathType: Prefix, backend: {service: {name: shop, port: {number: 80}}}}"
		}
		return strings.Replace(ingressYAML("broken", class, "shadowed.test", "shop"), path("/"), path("/x/")+", "+path("/x"), 1)
	}},
	{"HostConflict", "younger", func(class string, _ *harness.Authority, _ *testing.T) string {
		fallback := "  defaultBackend: {service: {name: %s, port: {number: 80}}}"
		path := "path: /elder,"
		elder := ingressYAML("elder", class, "fallback.test", "shop", fmt.Sprintf(fallback, "shop"))
		return strings.Replace(elder, "path: /,", path, 1) + serviceYAML("shop2", "selector: {app: shop}, ports: [{port: 80, targetPort: http}]") +
			ingressYAML("younger", class, "fallback.test", "shop2", fmt.Sprintf(fallback, "shop2"))
	}},
	{"AnnotationInvalid", "", func(class string, _ *harness.Authority, _ *testing.T) string {
		return annotated(ingressYAML("broken", class, "invalid.test", "shop"), "portico.dev/request-timeout: soon")
	}},
	{"AnnotationUnknown", "", func(class string, _ *harness.Authority, _ *testing.T) string {
		return annotated(ingressYAML("broken", class, "unknown.test", "shop"), `portico.dev/reqest-timeout: "5s"`)
	}},
}

func annotated(yaml, annotation string) string {
	return strings.Replace(yaml, "metadata: {name: broken}", "metadata: {name: broken, annotations: {"+annotation+"}}", 1)
}

// Each problem is told once at the Ingress that has it, with what to do; again only when it has come again. Admin and
// metrics show the same code.
func TestEvents(t *testing.T) {
	p, authority := harness.SharedPortico(t), harness.NewAuthority(t)
	for _, problem := range problems {
		t.Run(problem.code, func(t *testing.T) {
			t.Parallel()
			namespace, ingress := harness.Namespace(t), problem.of
			if ingress == "" {
				ingress = "broken"
			}
			harness.Deploy(t, namespace, harness.Echo{Name: "shop"})
			yaml := problem.yaml(p.Class, authority, t)
			applyInOrder(t, namespace, yaml)
			told := awaitTold(t, namespace, ingress, problem.code, 1)
			harness.Stays(t, quiet, problem.code+" is told once", func(ctx context.Context) error {
				now, err := events(ctx, namespace, ingress, problem.code)
				if err == nil && times(now) != 1 {
					err = fmt.Errorf("told %d times", times(now))
				}
				return err
			})
			fmt.Printf("EVENT %s: %s\n", problem.code, told[0].Note)
			if !strings.Contains(told[0].Note, "; to mend it, ") {
				t.Errorf("no remedy: %s", told[0].Note)
			}
			if e := told[0]; e.ReportingController != ourController || e.Regarding.UID == "" || e.Action == "" {
				t.Errorf("not told in full: %+v", e)
			}
			if harness.Scrape(t, p.Pods(t)[0]).Sum("portico_diagnostics", "code", problem.code) < 1 {
				t.Errorf("no metric counts %s", problem.code)
			}
		})
	}
}

// applyInOrder gives Ingresses different seconds of creation, by which the elder is told from the younger.
func applyInOrder(t *testing.T, namespace, yaml string) {
	t.Helper()
	elder, younger, both := strings.Cut(yaml, "metadata: {name: younger")
	if !both {
		harness.Apply(t, namespace, yaml)
		return
	}
	cut := strings.LastIndex(elder, "---")
	harness.Apply(t, namespace, elder[:cut])
	created, err := getIngress(harness.Short(t), namespace, "elder")
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(created.CreationTimestamp.Add(1100 * time.Millisecond)))
	harness.Apply(t, namespace, elder[cut:]+"metadata: {name: younger"+younger)
}

// A problem that is mended and comes back is news again. It stays one Event, which is written at most once a minute and
// then counts how often the problem came.
func TestEventsOfTransitions(t *testing.T) {
	t.Parallel()
	p, namespace := harness.SharedPortico(t), harness.Namespace(t)
	harness.Deploy(t, namespace, harness.Echo{Name: "shop"})
	url := "http://transitions.test/"
	client := p.Client(t)
	breakIt := func() {
		harness.Apply(t, namespace, ingressYAML("shop", p.Class, "transitions.test", "missing"))
		client.GetWhen(t, url, harness.Status(503))
	}
	mendIt := func() {
		harness.Apply(t, namespace, ingressYAML("shop", p.Class, "transitions.test", "shop"))
		client.GetWhen(t, url, harness.From("shop"))
		// For a moment only would be no transition.
		harness.Stays(t, quiet, "mended", func(ctx context.Context) error {
			reply, err := client.Try(ctx, url)
			if err != nil {
				return err
			}
			return harness.Status(200)(reply)
		})
	}
	breakIt()
	awaitTold(t, namespace, "shop", "ServiceNotFound", 1)
	first := time.Now()
	for range 2 {
		mendIt()
		breakIt()
		harness.Stays(t, quiet, "a problem within the minute is not written", func(ctx context.Context) error {
			told, err := events(ctx, namespace, "shop", "ServiceNotFound")
			if err == nil && times(told) != 1 {
				err = fmt.Errorf("told %d times after %v", times(told), time.Since(first))
			}
			return err
		})
	}
	mendIt()
	served := awaitTold(t, namespace, "shop", "Served", 1)
	if !strings.Contains(served[0].Note, p.Address(t)) {
		t.Errorf("what is served is not told with its address: %s", served[0].Note)
	}
	time.Sleep(time.Until(first.Add(61 * time.Second)))
	breakIt()
	if told := awaitTold(t, namespace, "shop", "ServiceNotFound", 4); len(told) != 1 {
		t.Errorf("%d Events for one problem", len(told))
	}
}
