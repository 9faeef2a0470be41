package lifecycle

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"portico.test/e2e/harness"
)

const backendImage = "portico.test/backend:1"

// importBackend makes the backend's image; its program is built with the suite.
var importBackend = sync.OnceValue(func() error {
	script := filepath.Join(harness.Root(), "tests/e2e/cluster/cluster.sh")
	said, err := exec.Command(script, "image", backendImage, filepath.Join(os.Getenv("CLUSTER_BIN"), "backend")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("import the backend: %w: %s", err, said)
	}
	return nil
})

// site is an application behind Portico: Deployment, Service and Ingress of one name in a namespace of the test's own.
type site struct {
	portico   *harness.Portico
	namespace string
	name      string
	client    *harness.Client
}

const siteYAML = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: SITE}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: SITE}}
  template:
    metadata: {labels: {app: SITE}}
    spec:
      terminationGracePeriodSeconds: 20
      automountServiceAccountToken: false
      containers:
      - name: backend
        image: portico.test/backend:1
        ports: [{name: http, containerPort: 3000}]
        env: [{name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
        readinessProbe: {httpGet: {path: /ready, port: http}, periodSeconds: 1, failureThreshold: 1}
        lifecycle: {preStop: {sleep: {seconds: 3}}}
        resources: {requests: {cpu: 5m}, limits: {memory: 64Mi}}
---
apiVersion: v1
kind: Service
metadata: {name: SITE}
spec:
  selector: {app: SITE}
  ports: [{name: http, port: 80, targetPort: http}]
---
`

// ingressYAML leads a host to a Service.
func ingressYAML(name, host, class, service string) string {
	return fmt.Sprintf(`
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %s}
spec:
  ingressClassName: %s
  rules:
  - host: %s
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: %s, port: {name: http}}}}]}
---
`, name, class, host, service)
}

// newSite makes the application and waits until Portico serves it.
func newSite(t *testing.T, portico *harness.Portico, replicas int) *site {
	t.Helper()
	if err := importBackend(); err != nil {
		t.Fatal(err)
	}
	s := &site{portico: portico, namespace: harness.Namespace(t), name: "shop", client: portico.Client(t)}
	yaml := strings.NewReplacer("SITE", s.name, "REPLICAS", fmt.Sprint(replicas)).Replace(siteYAML)
	harness.Apply(t, s.namespace, yaml+ingressYAML(s.name, s.host(), portico.Class, s.name))
	harness.Rollout(t, s.namespace, s.name, harness.PodsTime)
	s.client.GetWhen(t, s.url("/"), harness.Status(200))
	return s
}

func (s *site) host() string           { return s.named("shop") }
func (s *site) named(n string) string  { return n + "." + s.namespace + ".test" }
func (s *site) url(path string) string { return "http://" + s.host() + path }
func (s *site) pods(t *testing.T) []corev1.Pod {
	t.Helper()
	return harness.Pods(t, s.namespace, "app="+s.name)
}

// load is the traffic that most tests run under: 1,000 requests a second over the load balancer's address.
func (s *site) load() harness.Load { return harness.Load{Client: s.client, URL: s.url("/")} }

// settled waits until exactly so many pods are there, those that are ending included.
func (s *site) settled(t *testing.T, count int) {
	t.Helper()
	harness.Eventually(t, time.Minute, "end of old pods", func(ctx context.Context) error {
		list, err := harness.Kubernetes().CoreV1().Pods(s.namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=" + s.name})
		if err == nil && len(list.Items) != count {
			err = fmt.Errorf("%d pods instead of %d", len(list.Items), count)
		}
		return err
	})
}

// direct is a client of one of Portico's pods.
func direct(pod corev1.Pod) *harness.Client {
	return &harness.Client{Address: pod.Status.PodIP, Dial: harness.DialNode, Timeout: 5 * time.Second}
}

// url8080 is what a direct client asks for: the port is that of Portico's pod.
func url8080(host, path string) string { return "http://" + host + ":8080" + path }

// answers is nil when a pod of Portico answers with the status for the host.
func answers(ctx context.Context, pod corev1.Pod, host string, status int) error {
	reply, err := direct(pod).Try(ctx, url8080(host, "/"))
	if err != nil {
		return err
	}
	return harness.Status(status)(reply)
}

// both waits until all pods of Portico answer with the status for the host and returns how long that took.
func both(t *testing.T, pods []corev1.Pod, limit time.Duration, host string, status int) time.Duration {
	t.Helper()
	return harness.Eventually(t, limit, fmt.Sprintf("%s with status %d", host, status), func(ctx context.Context) error {
		for _, pod := range pods {
			if err := answers(ctx, pod, host, status); err != nil {
				return fmt.Errorf("%s: %w", pod.Name, err)
			}
		}
		return nil
	})
}
