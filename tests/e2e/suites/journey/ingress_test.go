package journey

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"portico.test/e2e/harness"
)

func TestHotel(t *testing.T) {
	t.Parallel()
	p, ns := portico(t), harness.Namespace(t)
	harness.Deploy(t, ns, harness.Echo{Name: "hotel-service"})
	harness.ApplyFile(t, ns, "testdata/hotel.yaml")
	c := p.Client(t)

	for _, path := range []string{"/", "/rooms", "/rooms/12?nights=2"} {
		reply := c.GetWhen(t, "http://hotel.example.com"+path, harness.From("hotel-service"))
		if reply.Echo.Path != path || reply.Echo.Host != "hotel.example.com" || reply.Echo.Namespace != ns {
			t.Errorf("%s arrived as %s of %s in %s", path, reply.Echo.Path, reply.Echo.Host, reply.Echo.Namespace)
		}
	}
	for _, host := range []string{"motel.example.com", "www.hotel.example.com", "example.com.hotel"} {
		if reply := c.Get(t, "http://"+host+"/"); reply.Status != http.StatusNotFound {
			t.Errorf("host %s: status %d instead of 404", host, reply.Status)
		}
	}
}

// TestAddressAndClass: an Ingress without a class gets the default one from the API server, and Portico's address, which
// kubectl shows.
func TestAddressAndClass(t *testing.T) {
	t.Parallel()
	p, ns := portico(t), harness.Namespace(t)
	harness.Deploy(t, ns, harness.Echo{Name: "hotel-service"})
	manifest := strings.ReplaceAll(harness.ReadFile(t, "testdata/hotel.yaml"), "hotel.example.com", "status.example.com")
	stored := harness.Apply(t, ns, manifest)[0]
	if class, _, _ := unstructured.NestedString(stored.Object, "spec", "ingressClassName"); class != "portico" {
		t.Errorf("the API server filled in the class %q", class)
	}
	address := p.Address(t)
	harness.Eventually(t, 20*time.Second, "address in the status", func(ctx context.Context) error {
		i, err := harness.Kubernetes().NetworkingV1().Ingresses(ns).Get(ctx, "hotel-ingress", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if s := i.Status.LoadBalancer.Ingress; len(s) != 1 || s[0].IP != address {
			return fmt.Errorf("status holds %v instead of %s", s, address)
		}
		return nil
	})
	shown := strings.Fields(harness.Kubectl(t, "-n", ns, "get", "ingress", "hotel-ingress", "--no-headers"))
	if len(shown) < 4 || shown[1] != "portico" || shown[2] != "status.example.com" || shown[3] != address {
		t.Errorf("kubectl get ingress shows %q", shown)
	}
}

func TestMinimal(t *testing.T) {
	t.Parallel()
	p, ns := portico(t), harness.Namespace(t)
	harness.Deploy(t, ns, harness.Echo{Name: "test"})
	harness.ApplyFile(t, ns, "testdata/minimal.yaml")
	c := p.Client(t)

	for _, url := range []string{"http://any.example.org/testpath", "http://172.18.200.1/testpath/x", "http://any.example.org/testpath/"} {
		c.GetWhen(t, url, harness.From("test"))
	}
	for _, path := range []string{"/testpathx", "/", "/test", "/TESTPATH"} {
		if reply := c.Get(t, "http://any.example.org"+path); reply.Status != http.StatusNotFound {
			t.Errorf("%s: status %d instead of 404", path, reply.Status)
		}
	}
}

func TestPathBasedWithTLS(t *testing.T) {
	t.Parallel()
	p, ns := portico(t), harness.Namespace(t)
	authority := harness.NewAuthority(t)
	harness.Apply(t, ns, authority.Issue(t, "example.com").Secret("tls-secret"))
	harness.Deploy(t, ns, harness.Echo{Name: "api-service"}, harness.Echo{Name: "web-service"})
	harness.ApplyFile(t, ns, "testdata/path-based-tls.yaml")

	for _, http2 := range []bool{false, true} {
		c := p.Client(t)
		c.Roots, c.HTTP2 = authority.Pool(), http2
		c.GetWhen(t, "https://example.com/api", harness.From("api-service"))
		c.GetWhen(t, "https://example.com/web/page", harness.From("web-service"))
		// The other replica may be the one that answers, and have read the Secret a moment later.
		c.GetWhen(t, "https://example.com/other", harness.Status(http.StatusNotFound))
	}
	// Any other name gets another certificate, and a certificate means no redirect.
	c := p.Client(t)
	if shown := c.Get(t, "https://elsewhere.example.com/").Certificate; shown.VerifyHostname("example.com") == nil {
		t.Errorf("elsewhere.example.com is shown the certificate of example.com")
	}
	c.GetWhen(t, "http://example.com/api", harness.From("api-service"))
}

// TestPathTypeIsRequired: the API server refuses the Ingress, names the field, and stores nothing.
func TestPathTypeIsRequired(t *testing.T) {
	t.Parallel()
	ns := harness.Namespace(t)
	_, err := harness.TryApply(harness.Short(t), ns, harness.ReadFile(t, "testdata/path-based-without-pathtype.yaml"))
	if err == nil || !strings.Contains(err.Error(), "spec.rules[0].http.paths[0].pathType: Required value") {
		t.Errorf("refused with: %v", err)
	}
	_, err = harness.TryKubectl("-n", ns, "apply", "-f", "testdata/path-based-without-pathtype.yaml")
	if err == nil || !strings.Contains(err.Error(), "pathType") {
		t.Errorf("kubectl says: %v", err)
	}
	list, err := harness.Kubernetes().NetworkingV1().Ingresses(ns).List(harness.Short(t), metav1.ListOptions{})
	if err != nil || len(list.Items) != 0 {
		t.Errorf("stored: %v, %v", list, err)
	}
}
