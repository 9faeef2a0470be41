package objects

import (
	"context"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"portico.test/e2e/harness"
)

const ourController = "portico.dev/ingress-controller"

func classYAML(name, controller string, isDefault bool) string {
	return fmt.Sprintf(`
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: %s, annotations: {ingressclass.kubernetes.io/is-default-class: "%t"}}
spec: {controller: %s}
`, name, isDefault, controller)
}

// Two instances with classes of their own serve, publish and tell of their own Ingresses only.
func TestTwoClasses(t *testing.T) {
	first := harness.SharedPortico(t)
	second := harness.InstallPortico(t, harness.Install{Namespace: "portico-second", Class: "second", Replicas: 1})
	namespace := harness.Namespace(t)
	harness.Deploy(t, namespace, harness.Echo{Name: "one"}, harness.Echo{Name: "two"})
	harness.Apply(t, namespace, ingressYAML("one", first.Class, "same.test", "one")+ingressYAML("two", second.Class, "same.test", "two")+
		ingressYAML("broken-one", first.Class, "one.test", "missing")+ingressYAML("broken-two", second.Class, "two.test", "missing"))

	awaitServed(t, first, namespace, "one", "same.test", "one")
	awaitServed(t, second, namespace, "two", "same.test", "two")
	if first.Address(t) == second.Address(t) {
		t.Fatalf("both instances have the address %s", first.Address(t))
	}
	for ingress, controller := range map[string]string{"broken-one": ourController, "broken-two": "portico.test/second"} {
		awaitTold(t, namespace, ingress, "ServiceNotFound", 1)
		harness.Stays(t, quiet, "events of "+ingress, func(ctx context.Context) error {
			told, err := events(ctx, namespace, ingress, "")
			for _, e := range told {
				if e.ReportingController != controller {
					return fmt.Errorf("%s told of it as well: %s", e.ReportingController, e.Note)
				}
			}
			return err
		})
	}
	for ingress, p := range map[string]*harness.Portico{"one": first, "two": second} {
		awaitStatus(t, namespace, ingress, p.Address(t))
	}
	// Nor is the other's rule a claim that the older one would win.
	for _, ingress := range []string{"one", "two"} {
		if told, err := events(harness.Short(t), namespace, ingress, "PathConflict"); err != nil || len(told) > 0 {
			t.Errorf("%s: %v %v", ingress, told, err)
		}
	}
}

// A class that comes, goes and comes again as somebody else's.
func TestClassAtRunTime(t *testing.T) {
	p, namespace := harness.SharedPortico(t), harness.Namespace(t)
	harness.Deploy(t, namespace, harness.Echo{Name: "shop"})
	harness.Apply(t, namespace, ingressYAML("shop", "late", "late.test", "shop"))
	staysForeign(t, p, namespace, "shop", "late.test")

	harness.Apply(t, "", classYAML("late", ourController, false))
	awaitServed(t, p, namespace, "shop", "late.test", "shop")

	harness.Delete(t, "", classYAML("late", ourController, false))
	awaitWithdrawn(t, p, namespace, "shop", "late.test")

	harness.Apply(t, "", classYAML("late", "other.test/controller", false))
	staysForeign(t, p, namespace, "shop", "late.test")
}

// An Ingress that is given another class leaves, with its address, and comes back.
func TestIngressChangesItsClass(t *testing.T) {
	p, namespace := harness.SharedPortico(t), harness.Namespace(t)
	harness.Apply(t, "", classYAML("other", "other.test/controller", false))
	harness.Deploy(t, namespace, harness.Echo{Name: "shop"})
	for range 2 {
		harness.Apply(t, namespace, ingressYAML("shop", p.Class, "moving.test", "shop"))
		awaitServed(t, p, namespace, "shop", "moving.test", "shop")
		harness.Apply(t, namespace, ingressYAML("shop", "other", "moving.test", "shop"))
		awaitWithdrawn(t, p, namespace, "shop", "moving.test")
	}
}

// A class of ours that is marked as the default takes Ingresses without a class, those older than the mark too.
func TestDefaultClass(t *testing.T) {
	p, namespace := harness.SharedPortico(t), harness.Namespace(t)
	harness.Deploy(t, namespace, harness.Echo{Name: "shop"})
	harness.Apply(t, namespace, ingressYAML("older", "", "older.test", "shop"))
	staysForeign(t, p, namespace, "older", "older.test")

	harness.Apply(t, "", classYAML("fallback", ourController, true))
	awaitServed(t, p, namespace, "older", "older.test", "shop")

	harness.Apply(t, namespace, ingressYAML("younger", "", "younger.test", "shop"))
	awaitServed(t, p, namespace, "younger", "younger.test", "shop")
	younger, err := getIngress(harness.Short(t), namespace, "younger")
	if err != nil || younger.Spec.IngressClassName == nil || *younger.Spec.IngressClassName != "fallback" {
		t.Fatalf("the API server did not fill in the default class: %v %v", younger.Spec.IngressClassName, err)
	}

	harness.Apply(t, "", classYAML("fallback", ourController, false))
	awaitWithdrawn(t, p, namespace, "older", "older.test")
	awaitServed(t, p, namespace, "younger", "younger.test", "shop") // it names the class now
}

// The annotation from before there were classes.
func TestLegacyAnnotation(t *testing.T) {
	p, namespace := harness.SharedPortico(t), harness.Namespace(t)
	harness.Deploy(t, namespace, harness.Echo{Name: "shop"})
	for name, value := range map[string]string{"ours": p.Class, "theirs": "nginx"} {
		harness.Apply(t, namespace, ingressYAML(name, "", name+".legacy.test", "shop"))
		harness.Kubectl(t, "-n", namespace, "annotate", "ingress", name, "kubernetes.io/ingress.class="+value)
	}
	awaitServed(t, p, namespace, "ours", "ours.legacy.test", "shop")
	staysForeign(t, p, namespace, "theirs", "theirs.legacy.test")
}

// --watch-ingress-without-class takes what names no class at all, and nothing else beside its own.
func TestIngressesWithoutClass(t *testing.T) {
	shared, namespace := harness.SharedPortico(t), harness.Namespace(t)
	p := harness.InstallPortico(t, harness.Install{Namespace: "portico-classless", Class: "classless", Replicas: 1,
		Env: map[string]string{"PORTICO_WATCH_INGRESS_WITHOUT_CLASS": "true"}})
	harness.Deploy(t, namespace, harness.Echo{Name: "shop"})
	harness.Apply(t, namespace, ingressYAML("none", "", "none.test", "shop")+ingressYAML("own", p.Class, "own.test", "shop")+
		ingressYAML("shared", shared.Class, "shared.test", "shop"))
	awaitServed(t, p, namespace, "none", "none.test", "shop")
	awaitServed(t, p, namespace, "own", "own.test", "shop")
	awaitServed(t, shared, namespace, "shared", "shared.test", "shop")
	staysForeign(t, p, namespace, "shared", "shared.test")
	staysForeign(t, shared, namespace, "none", "none.test")
}

// With Roles only, Portico serves its namespace, reads nothing of the cluster and knows classes by name; the name is its
// own, or the Portico of the whole cluster would serve the same Ingresses.
func TestSingleNamespace(t *testing.T) {
	namespace, elsewhere := harness.Namespace(t), harness.Namespace(t)
	p := harness.InstallPortico(t, harness.Install{Overlay: "overlays/single-namespace", Namespace: namespace,
		Class: "tenant", Replicas: 1})
	account := "system:serviceaccount:" + namespace + ":portico"
	bindings, err := harness.Kubernetes().RbacV1().ClusterRoleBindings().List(harness.Short(t), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bindings.Items {
		for _, s := range b.Subjects {
			if s.Kind == "ServiceAccount" && s.Namespace == namespace {
				t.Errorf("%s is bound in the whole cluster by %s", account, b.Name)
			}
		}
	}
	for _, n := range []string{namespace, elsewhere} {
		harness.Deploy(t, n, harness.Echo{Name: "shop"})
		harness.Apply(t, n, ingressYAML("shop", p.Class, n+".test", "shop")+ingressYAML("other", "other", "other-"+n+".test", "shop"))
	}
	awaitServed(t, p, namespace, "shop", namespace+".test", "shop")
	staysForeign(t, p, namespace, "other", "other-"+namespace+".test")
	staysForeign(t, p, elsewhere, "shop", elsewhere+".test")

	host := "tls." + namespace + ".test"
	pair := harness.NewAuthority(t).Issue(t, host)
	harness.Apply(t, namespace, pair.Secret("tls")+"---\n"+ingressYAML("tls", p.Class, host, "shop", tlsLine(host, "tls")))
	awaitCertificate(t, p, host, pair, refreshed)
}
