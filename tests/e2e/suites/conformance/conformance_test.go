// Package conformance holds Portico to what the Kubernetes project expects of every Ingress controller: the scenarios of
// its conformance suite for Ingress, retold in features/ and run against an install as a user makes it.
//
// The harshest rule is kept: once an Ingress's status shows an address, the very first request must get the right answer.
// Nothing is asked twice. With two replicas behind the address that holds for whichever of them takes the connection.
package conformance

import (
	"path/filepath"
	"testing"

	"github.com/cucumber/godog"

	"portico.test/e2e/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

func TestDefaultBackend(t *testing.T) { run(t, "default_backend", 6) }
func TestHostRules(t *testing.T)      { run(t, "host_rules", 6) }
func TestIngressClass(t *testing.T)   { run(t, "ingress_class", 1) }
func TestLoadBalancing(t *testing.T)  { run(t, "load_balancing", 1) }
func TestPathRules(t *testing.T)      { run(t, "path_rules", 16) }

// run runs a feature in a namespace of its own, each scenario as a subtest; so many scenarios must have passed.
func run(t *testing.T, feature string, scenarios int) {
	t.Helper()
	pair := harness.NewAuthority(t).Issue(t, "foo.bar.com")
	portico := harness.SharedPortico(t)
	w := &world{class: portico.Class, namespace: harness.Namespace(t), pair: pair}
	// The next feature must not meet this one's rules: an Ingress without rules would answer for hosts that nobody has.
	defer func() {
		harness.Kubectl(t, "-n", w.namespace, "delete", "ingress", "--all")
		portico.Client(t).GetWhen(t, "http://nobody.test/", harness.Status(404))
	}()
	suite := godog.TestSuite{
		Name:                feature,
		ScenarioInitializer: w.steps,
		Options: &godog.Options{
			Format: "pretty", NoColors: true, Strict: true, Concurrency: 1, TestingT: t,
			Paths: []string{filepath.Join("features", feature+".feature")},
		},
	}
	if status := suite.Run(); status != 0 {
		t.Errorf("feature %s: godog ended with %d", feature, status)
	}
	if w.passed != scenarios {
		t.Errorf("feature %s: %d of %d scenarios passed", feature, w.passed, scenarios)
	}
}
