package ecosystem

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"portico.test/e2e/harness"
)

const (
	acmeHost    = "shop.acme.test"
	solverImage = "portico.test/acme-solver:1"
	nameserver  = "127.0.0.1:8053"
	// Where the ACME authority is, and where it shows its root.
	directory = "https://127.0.0.1:14000/dir"
	roots     = "https://pebble:15000/roots/0"
)

// cert-manager proves by HTTP-01 that the host is ours, which goes through Portico to a pod of cert-manager's; the authority
// asks for it at the load balancer's address. Portico then serves the certificate, which a client that trusts the authority
// accepts.
func TestCertificateByHTTP01(t *testing.T) {
	p := harness.SharedPortico(t)
	trusted := startAuthority(t, p.Address(t))
	harness.Image(t, solverImage, program("acme-solver"))
	for _, file := range crds(t) {
		harness.ApplyFile(t, "", file)
	}
	// A definition that was made this moment has no conditions at all, which kubectl takes for an error.
	harness.Eventually(t, 20*time.Second, "definitions of cert-manager's objects", func(context.Context) error {
		_, err := harness.TryKubectl("wait", "--for=condition=Established", "--timeout=5s", "crd/issuers.cert-manager.io", "crd/certificates.cert-manager.io",
			"crd/certificaterequests.cert-manager.io", "crd/orders.acme.cert-manager.io", "crd/challenges.acme.cert-manager.io", "crd/clusterissuers.cert-manager.io")
		return err
	})
	start(t, nil, "cert-manager", "--solver-image="+solverImage, "--nameserver="+nameserver)

	namespace := site(t, p, acmeHost, harness.Echo{})
	harness.Apply(t, namespace, fmt.Sprintf(`
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: authority}
spec:
  acme:
    server: %s
    caBundle: %s
    privateKeySecretRef: {name: account}
    solvers: [{http01: {ingress: {ingressClassName: %s, serviceType: ClusterIP}}}]
`, directory, base64.StdEncoding.EncodeToString(trusted), p.Class))
	harness.Apply(t, namespace, ingressYAML(p.Class, acmeHost, "cert-manager.io/issuer: authority",
		"  tls: [{hosts: ["+acmeHost+"], secretName: shop-tls}]"))

	issued := harness.Eventually(t, 2*time.Minute, "certificate issued", func(ctx context.Context) error {
		secret, err := harness.Kubernetes().CoreV1().Secrets(namespace).Get(ctx, "shop-tls", metav1.GetOptions{})
		if err == nil && len(secret.Data["tls.crt"]) == 0 {
			err = fmt.Errorf("its Secret is empty")
		}
		return err
	})
	served := awaitTrusted(t, p, namespace)
	fmt.Printf("FIGURE %s: issued after %v, served %v later\n", t.Name(), issued.Round(time.Millisecond), served.Round(time.Millisecond))

	harness.Eventually(t, 30*time.Second, "end of the challenge", func(ctx context.Context) error {
		list, err := harness.Kubernetes().NetworkingV1().Ingresses(namespace).List(ctx, metav1.ListOptions{})
		if err == nil && len(list.Items) != 1 {
			err = fmt.Errorf("%d Ingresses", len(list.Items))
		}
		return err
	})
	p.Client(t).GetWhen(t, "http://"+acmeHost+"/.well-known/acme-challenge/gone", harness.From("shop"))
}

// startAuthority starts the ACME authority and a DNS in which every name leads to the address; it returns what the
// authority's own web page is to be trusted by.
func startAuthority(t *testing.T, address string) []byte {
	t.Helper()
	start(t, nil, "pebble-challtestsrv", "-dnsserver="+nameserver, "-management=127.0.0.1:8055", "-defaultIPv4="+address, "-defaultIPv6=",
		"-http01=", "-https01=", "-tlsalpn01=", "-doh=")
	authority := harness.NewAuthority(t)
	pair := authority.Issue(t, "127.0.0.1", "pebble")
	dir := t.TempDir()
	for name, data := range map[string][]byte{"tls.crt": pair.Certificate, "tls.key": pair.Key} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	settings := map[string]any{
		"listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000", "httpPort": 80, "tlsPort": 443,
		"certificate": filepath.Join(dir, "tls.crt"), "privateKey": filepath.Join(dir, "tls.key"),
		"retryAfter": map[string]int{"authz": 1, "order": 1}, "keyAlgorithm": "ecdsa",
		"profiles": map[string]any{"default": map[string]any{"description": "90 days", "validityPeriod": 90 * 24 * 3600}},
	}
	text, err := json.Marshal(map[string]any{"pebble": settings})
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	// Without its wait before a validation, and without refusing good nonces now and then.
	start(t, []string{"PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0"}, "pebble", "-config="+config, "-dnsserver="+nameserver)
	return authority.PEM
}

// awaitTrusted waits until the host's certificate is one of the ACME authority's.
func awaitTrusted(t *testing.T, p *harness.Portico, namespace string) time.Duration {
	t.Helper()
	pebble := &harness.Client{Address: "127.0.0.1", Dial: harness.DialNode}
	root := pebble.Get(t, roots)
	if root.Status != http.StatusOK {
		t.Fatalf("roots of the authority: status %d", root.Status)
	}
	client := p.Client(t)
	client.Roots = x509.NewCertPool()
	if !client.Roots.AppendCertsFromPEM(root.Body) {
		t.Fatalf("the authority's root is not PEM: %s", root.Body)
	}
	return harness.Eventually(t, 40*time.Second, "certificate of "+namespace+" served", func(ctx context.Context) error {
		reply, err := client.Try(ctx, "https://"+acmeHost+"/")
		if err != nil {
			return err
		}
		return harness.From("shop")(reply)
	})
}

// crds are the files of cert-manager's CustomResourceDefinitions, in its module.
func crds(t *testing.T) []string {
	t.Helper()
	list := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/cert-manager/cert-manager")
	list.Dir = filepath.Join(harness.Root(), "tests/e2e")
	dir, err := list.Output()
	if err != nil {
		t.Fatalf("module of cert-manager: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "deploy/crds/*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no CustomResourceDefinitions in %s: %v", dir, err)
	}
	return files
}
