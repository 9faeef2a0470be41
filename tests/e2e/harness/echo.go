package harness

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"text/template"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// EchoImage holds echo-basic; it is in every cluster.
const EchoImage = "cluster.test/echo:1"

// Echo is a Deployment of echo-basic and, unless NoService, a Service of the same name; the pods carry the label
// app=NAME. Zero values are good.
type Echo struct {
	Name      string
	Replicas  int               // 1 unless set
	Image     string            // EchoImage unless set
	Port      int               // where the container listens and targetPort; 3000 unless set; named "http"
	H2C       bool              // the Service's port leads to the container's h2c listener (3001)
	Service   int               // the Service's port; 80 unless set; named "http"
	Type      string            // ClusterIP unless set
	NoService bool              // for Services of the test's own
	Labels    map[string]string // of the pods, beside app
	PreStop   int               // seconds a stopped pod goes on serving; 0: it ends at once
	Grace     int               // terminationGracePeriodSeconds; PreStop + 3 unless set
	Env       map[string]string
}

var echoTemplate = template.Must(template.New("echo").Parse(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{.Name}}}
spec:
  replicas: {{.Replicas}}
  selector: {matchLabels: {app: {{.Name}}}}
  template:
    metadata: {labels: {app: {{.Name}}{{range $k, $v := .Labels}}, {{$k}}: "{{$v}}"{{end}}}}
    spec:
      terminationGracePeriodSeconds: {{.Grace}}
      automountServiceAccountToken: false
      containers:
      - name: echo
        image: {{.Image}}
        ports: [{name: http, containerPort: {{.Port}}}, {name: h2c, containerPort: 3001}]
        env:
        - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - {name: NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
        - {name: SERVICE_NAME, value: {{.Name}}}
        - {name: HTTP_PORT, value: "{{.Port}}"}
{{- range $k, $v := .Env}}
        - {name: {{$k}}, value: "{{$v}}"}
{{- end}}
        readinessProbe: {httpGet: {path: /health, port: http}, periodSeconds: 1}
{{- if .PreStop}}
        lifecycle: {preStop: {sleep: {seconds: {{.PreStop}}}}}
{{- end}}
        resources: {requests: {cpu: 5m}}
{{- if not .NoService}}
---
apiVersion: v1
kind: Service
metadata: {name: {{.Name}}}
spec:
  type: {{.Type}}
  selector: {app: {{.Name}}}
  ports: [{name: http, port: {{.Service}}, targetPort: {{if .H2C}}h2c{{else}}http{{end}}}]
{{- end}}
`))

// YAML is the manifest Deploy applies.
func (e Echo) YAML() string {
	if e.Replicas == 0 {
		e.Replicas = 1
	}
	if e.Image == "" {
		e.Image = EchoImage
	}
	if e.Port == 0 {
		e.Port = 3000
	}
	if e.Service == 0 {
		e.Service = 80
	}
	if e.Type == "" {
		e.Type = "ClusterIP"
	}
	if e.Grace == 0 {
		e.Grace = e.PreStop + 3
	}
	var text bytes.Buffer
	if err := echoTemplate.Execute(&text, e); err != nil {
		panic(err) // the template fits the struct
	}
	return text.String()
}

// Deploy applies the echoes and waits until all their pods are ready.
func Deploy(t testing.TB, namespace string, echoes ...Echo) {
	t.Helper()
	for _, e := range echoes {
		Apply(t, namespace, e.YAML())
	}
	for _, e := range echoes {
		Rollout(t, namespace, e.Name, PodsTime)
	}
}

// Rollout waits until a Deployment's pods are all of its last template and ready, older ones no longer count, and the
// endpoints of every Service that selects them are the same.
func Rollout(t testing.TB, namespace, name string, within time.Duration) time.Duration {
	t.Helper()
	return Eventually(t, within, "rollout of "+namespace+"/"+name, func(ctx context.Context) error {
		if err := rolledOut(ctx, namespace, name); err != nil {
			return err
		}
		return endpointsFollow(ctx, namespace, name)
	})
}

func rolledOut(ctx context.Context, namespace, name string) error {
	d, err := Kubernetes().AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	want, s := *d.Spec.Replicas, d.Status
	if s.ObservedGeneration < d.Generation || s.UpdatedReplicas != want || s.AvailableReplicas != want || s.Replicas != want {
		return fmt.Errorf("%d of %d pods updated, %d available, %d in all", s.UpdatedReplicas, want, s.AvailableReplicas, s.Replicas)
	}
	return nil
}

// Scale sets a Deployment's number of pods and does not wait.
func Scale(t testing.TB, namespace, name string, replicas int) {
	t.Helper()
	Kubectl(t, "-n", namespace, "scale", "deployment", name, fmt.Sprintf("--replicas=%d", replicas))
}

// Restart starts a rolling restart of a Deployment and does not wait.
func Restart(t testing.TB, namespace, name string) {
	t.Helper()
	Kubectl(t, "-n", namespace, "rollout", "restart", "deployment", name)
}

// Pods lists the running, not terminating pods with the label selector, such as "app=shop".
func Pods(t testing.TB, namespace, selector string) []corev1.Pod {
	t.Helper()
	list, err := Kubernetes().CoreV1().Pods(namespace).List(Short(t), metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		t.Fatalf("pods of %s: %v", namespace, err)
	}
	var pods []corev1.Pod
	for _, pod := range list.Items {
		if pod.DeletionTimestamp == nil && pod.Status.Phase == corev1.PodRunning {
			pods = append(pods, pod)
		}
	}
	return pods
}

// BalancerAddress waits for the load balancer's address of a Service.
func BalancerAddress(t testing.TB, namespace, service string) string {
	t.Helper()
	var address string
	Eventually(t, 20*time.Second, "load balancer address of "+namespace+"/"+service, func(ctx context.Context) error {
		s, err := Kubernetes().CoreV1().Services(namespace).Get(ctx, service, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if len(s.Status.LoadBalancer.Ingress) == 0 {
			return fmt.Errorf("none in its status")
		}
		address = s.Status.LoadBalancer.Ingress[0].IP
		return nil
	})
	return address
}
