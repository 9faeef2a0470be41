package ecosystem

import (
	"bytes"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"portico.test/e2e/harness"
)

// deploy/check holds the chart against the manifests: lint-clean, and the same objects for the base and every overlay.
func TestChartIsTheManifests(t *testing.T) {
	t.Setenv("HELM", program("helm"))
	out := said(t, filepath.Join(harness.Root(), "deploy/check"))
	fmt.Print(out)
	for _, want := range []string{"ok      chart is lint-clean", "ok      chart renders the base"} {
		if !strings.Contains(out, want+"\n") {
			t.Errorf("it does not say %q", want)
		}
	}
}

// A release of its own is installed, upgraded with a changed value and rolled back; from the first answer to the end of the
// last old pod no request fails.
func TestRelease(t *testing.T) {
	const release, class = "portico-chart", "chart"
	chart := filepath.Join(harness.Root(), "deploy/helm/portico")
	helm := helmFor(t, release)
	values := []string{"--set", "ingressClass.name=" + class, "--set", "ingressClass.controller=portico.test/" + class}
	helm(append([]string{"install", release, chart, "--create-namespace", "--wait", "--timeout", "90s"}, values...)...)
	t.Cleanup(func() {
		helm("uninstall", release, "--wait", "--timeout", "90s")
		harness.Kubectl(t, "delete", "namespace", release, "--wait=false")
	})
	p := &harness.Portico{Namespace: release, Class: class, Workload: "deployment/" + release}
	client := &harness.Client{Address: harness.BalancerAddress(t, release, release), Behind: p.Replicas}
	host := "shop.helm.test"
	namespace := harness.Namespace(t)
	harness.Deploy(t, namespace, harness.Echo{Name: "shop", Replicas: 2})
	harness.Apply(t, namespace, ingressYAML(class, host, ""))
	client.GetWhen(t, "http://"+host+"/", harness.From("shop"))

	load := harness.Load{Client: client, URL: "http://" + host + "/", Rate: 300}.Start(t)
	before := podNames(t, p)
	helm(append([]string{"upgrade", release, chart, "--wait", "--timeout", "3m", "--set", "extraArgs={--max-body-size=1M}"}, values...)...)
	replaced(t, p, before)
	if got := tooLarge(t, client, host); got != 413 {
		t.Errorf("the changed value does not hold: status %d for 2 MB", got)
	}
	before = podNames(t, p)
	helm("rollback", release, "1", "--wait", "--timeout", "3m")
	replaced(t, p, before)
	if got := tooLarge(t, client, host); got != 200 {
		t.Errorf("the first value is not back: status %d for 2 MB", got)
	}
	report := load.Stop()
	fmt.Printf("FIGURE %s: upgrade and rollback: %v\n", t.Name(), report)
	if report.Failures() > 0 || report.OK == 0 {
		t.Errorf("upgrade and rollback: %v", report)
	}
}

// helmFor runs helm in a namespace, with its files in a directory of the test's.
func helmFor(t *testing.T, namespace string) func(args ...string) string {
	dir := t.TempDir()
	for _, name := range []string{"HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"} {
		t.Setenv(name, filepath.Join(dir, strings.ToLower(name)))
	}
	return func(args ...string) string {
		t.Helper()
		return said(t, program("helm"), append([]string{"--namespace", namespace}, args...)...)
	}
}

func podNames(t *testing.T, p *harness.Portico) []string {
	t.Helper()
	var names []string
	for _, pod := range p.Pods(t) {
		names = append(names, pod.Name)
	}
	return names
}

// replaced waits until none of the pods is left, not even on its way out.
func replaced(t *testing.T, p *harness.Portico, before []string) {
	t.Helper()
	for _, name := range before {
		harness.Kubectl(t, "-n", p.Namespace, "wait", "--for=delete", "pod/"+name, "--timeout=90s")
	}
}

// tooLarge posts 2 MB and returns the status.
func tooLarge(t *testing.T, client *harness.Client, host string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+host+"/", bytes.NewReader(make([]byte, 2<<20)))
	if err != nil {
		t.Fatal(err)
	}
	reply, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	return reply.Status
}
