// Package ecosystem runs Portico beside the programs that people use with an Ingress controller: cert-manager, external-dns,
// kubectl, helm, and the load generators that the README names.
package ecosystem

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"portico.test/e2e/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// program is where a program is that was built for the cluster.
func program(name string) string { return filepath.Join(os.Getenv("CLUSTER_BIN"), name) }

// start runs a program until the test ends; what it says goes to the artifacts.
func start(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(harness.Artifacts(t, "programs"), name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program(name), args...)
	command.Env = append(os.Environ(), env...)
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	t.Cleanup(func() {
		defer log.Close()
		select {
		case err := <-ended:
			t.Errorf("%s ended by itself: %v; see %s", name, err, log.Name())
		default:
			_ = command.Process.Signal(syscall.SIGKILL)
			<-ended
		}
	})
}

// said runs a command to its end and returns what it printed.
func said(t *testing.T, name string, args ...string) string {
	t.Helper()
	var out, errors bytes.Buffer
	command := exec.Command(name, args...)
	command.Stdout, command.Stderr = &out, &errors
	if err := command.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out.Bytes(), errors.Bytes())
	}
	return out.String()
}

// site deploys the echo "shop" behind an Ingress of the class and waits until the host is served.
func site(t *testing.T, p *harness.Portico, host string, echo harness.Echo) string {
	t.Helper()
	namespace := harness.Namespace(t)
	echo.Name = "shop"
	harness.Deploy(t, namespace, echo)
	harness.Apply(t, namespace, ingressYAML(p.Class, host, ""))
	p.Client(t).GetWhen(t, "http://"+host+"/", harness.From("shop"))
	return namespace
}

// ingressYAML is the Ingress "shop" from a host to the echo "shop"; more are further lines of the object.
func ingressYAML(class, host, annotations string, more ...string) string {
	return fmt.Sprintf(`
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, annotations: {%s}}
spec:
  ingressClassName: %s
  rules:
  - host: %s
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: shop, port: {name: http}}}}]}
%s
`, annotations, class, host, strings.Join(more, "\n"))
}
