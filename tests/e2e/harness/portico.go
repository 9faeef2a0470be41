package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Install says how Portico is installed from deploy/manifests; the zero value is what a user gets from
// `kubectl apply -k deploy/manifests/base`.
type Install struct {
	// Overlay is a directory below deploy/manifests: "base" unless set, or "overlays/nodeport" and so on.
	Overlay string
	// Namespace is "portico" unless set; another one makes an instance of its own, whose cluster-wide objects
	// carry the namespace in their names.
	Namespace string
	// Class is the IngressClass's name and --ingress-class: "portico" unless set.
	Class string
	// Controller is the IngressClass's controller and --controller-name: Portico's own for the class "portico",
	// otherwise portico.test/CLASS.
	Controller string
	// Env are flags as variables for the container, such as {"PORTICO_LOG": "debug"}; they win over the manifests.
	Env map[string]string
	// Replicas of the Deployment; as in the manifests (2) when 0.
	Replicas int
	// Edit may change every object before it is applied; returning false leaves the object out.
	Edit func(o *unstructured.Unstructured) bool
	// NoWait returns before the pods are ready.
	NoWait bool
}

// Portico is an installed instance.
type Portico struct {
	Namespace, Class string
	// Workload is "deployment/portico" or "daemonset/portico".
	Workload string
	objects  []*unstructured.Unstructured
}

const (
	ownClass      = "portico"
	ownController = "portico.dev/ingress-controller"
	// PorticoSelector selects Portico's pods.
	PorticoSelector = "app.kubernetes.io/name=portico"
)

// InstallPortico installs an instance, waits until all its pods are ready, and removes it when the test ends.
func InstallPortico(t testing.TB, i Install) *Portico {
	t.Helper()
	p, err := install(i)
	if p != nil {
		t.Cleanup(func() {
			if t.Failed() {
				Dump(t, p.Namespace)
			}
			p.remove()
		})
	}
	if err != nil {
		t.Fatalf("install Portico: %v", err)
	}
	if !i.NoWait {
		p.AwaitReady(t, time.Minute)
	}
	return p
}

var shared = sync.OnceValues(func() (*Portico, error) { return install(Install{}) })

// SharedPortico is the default install, made by the first test that asks and kept until the cluster ends. Tests that
// change Portico itself want InstallPortico instead (one default install at a time).
func SharedPortico(t testing.TB) *Portico {
	t.Helper()
	p, err := shared()
	if err != nil {
		t.Fatalf("install Portico: %v", err)
	}
	p.AwaitReady(t, time.Minute)
	t.Cleanup(func() {
		if t.Failed() {
			Dump(t, p.Namespace)
		}
	})
	return p
}

func install(i Install) (*Portico, error) {
	if i.Overlay == "" {
		i.Overlay = "base"
	}
	if i.Namespace == "" {
		i.Namespace = ownClass
	}
	if i.Class == "" {
		i.Class = ownClass
	}
	if i.Controller == "" {
		i.Controller = ownController
		if i.Class != ownClass {
			i.Controller = "portico.test/" + i.Class
		}
	}
	text, err := TryKubectl("kustomize", filepath.Join(Root(), "deploy/manifests", i.Overlay))
	if err != nil {
		return nil, err
	}
	objects, err := Parse(text)
	if err != nil {
		return nil, err
	}
	p := &Portico{Namespace: i.Namespace, Class: i.Class}
	for _, o := range objects {
		if err := i.adapt(o); err != nil {
			return nil, fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
		if i.Edit != nil && !i.Edit(o) {
			continue
		}
		if kind := o.GetKind(); kind == "Deployment" || kind == "DaemonSet" {
			p.Workload = strings.ToLower(kind) + "/" + o.GetName()
		}
		p.objects = append(p.objects, o)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// An install of the same name may be on its way out still.
	err = Poll(45*time.Second, func(ctx context.Context) error {
		n, err := Kubernetes().CoreV1().Namespaces().Get(ctx, i.Namespace, metav1.GetOptions{})
		if err == nil && n.DeletionTimestamp != nil {
			return fmt.Errorf("namespace %s is still being deleted", i.Namespace)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	_, err = TryApplyObjects(ctx, i.Namespace, p.objects)
	return p, err
}

// adapt makes one object of the manifests fit the instance.
func (i *Install) adapt(o *unstructured.Unstructured) error {
	own := i.Namespace == ownClass
	switch kind := o.GetKind(); kind {
	case "Namespace":
		o.SetName(i.Namespace)
	case "IngressClass":
		o.SetName(i.Class)
		return unstructured.SetNestedField(o.Object, i.Controller, "spec", "controller")
	case "ClusterRole", "ClusterRoleBinding":
		if !own {
			o.SetName(o.GetName() + "-" + i.Namespace)
		}
		if kind == "ClusterRole" || own {
			return nil
		}
		role, _, _ := unstructured.NestedString(o.Object, "roleRef", "name")
		if err := unstructured.SetNestedField(o.Object, role+"-"+i.Namespace, "roleRef", "name"); err != nil {
			return err
		}
		return i.moveSubjects(o)
	case "RoleBinding":
		i.move(o)
		return i.moveSubjects(o)
	case "Deployment", "DaemonSet":
		i.move(o)
		return i.adaptWorkload(o)
	default:
		i.move(o)
	}
	return nil
}

// move takes an object out of the manifests' namespace into the instance's.
func (i *Install) move(o *unstructured.Unstructured) {
	if o.GetNamespace() == ownClass {
		o.SetNamespace(i.Namespace)
	}
}

func (i *Install) moveSubjects(o *unstructured.Unstructured) error {
	subjects, _, err := unstructured.NestedSlice(o.Object, "subjects")
	for _, s := range subjects {
		if s := s.(map[string]any); s["namespace"] == ownClass {
			s["namespace"] = i.Namespace
		}
	}
	if err != nil {
		return err
	}
	return unstructured.SetNestedSlice(o.Object, subjects, "subjects")
}

func (i *Install) adaptWorkload(o *unstructured.Unstructured) error {
	if i.Replicas > 0 && o.GetKind() == "Deployment" {
		if err := unstructured.SetNestedField(o.Object, int64(i.Replicas), "spec", "replicas"); err != nil {
			return err
		}
	}
	env := map[string]string{}
	if i.Class != ownClass {
		env["PORTICO_INGRESS_CLASS"] = i.Class
	}
	if i.Controller != ownController {
		env["PORTICO_CONTROLLER_NAME"] = i.Controller
	}
	if i.Namespace != ownClass {
		env["PORTICO_PUBLISH_SERVICE"] = i.Namespace + "/portico"
	}
	for name, value := range i.Env {
		env[name] = value
	}
	containers, _, err := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	if err != nil || len(containers) == 0 {
		return fmt.Errorf("no containers: %w", err)
	}
	setEnv(containers[0].(map[string]any), env)
	return unstructured.SetNestedSlice(o.Object, containers, "spec", "template", "spec", "containers")
}

// setEnv lets variables win over the container's own and over arguments that set the same flags.
func setEnv(container map[string]any, env map[string]string) {
	variables, _ := container["env"].([]any)
	var kept []any
	for _, v := range variables {
		if name, _ := v.(map[string]any)["name"].(string); env[name] == "" {
			kept = append(kept, v)
		}
	}
	arguments, _ := container["args"].([]any)
	var left []any
	for _, a := range arguments {
		flag, _, _ := strings.Cut(strings.TrimPrefix(fmt.Sprint(a), "--"), "=")
		if env["PORTICO_"+strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))] == "" {
			left = append(left, a)
		}
	}
	for name, value := range env {
		kept = append(kept, map[string]any{"name": name, "value": value})
	}
	if len(kept) > 0 {
		container["env"] = kept
	}
	if len(arguments) > 0 {
		container["args"] = left
	}
}

func (p *Portico) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for n := len(p.objects) - 1; n >= 0; n-- {
		if err := TryDelete(ctx, p.objects[n]); err != nil {
			fmt.Fprintf(os.Stderr, "remove %s %s: %v\n", p.objects[n].GetKind(), p.objects[n].GetName(), err)
		}
	}
}

// AwaitReady waits until every pod of the instance's workload is ready.
func (p *Portico) AwaitReady(t testing.TB, within time.Duration) {
	t.Helper()
	name := p.Workload[strings.Index(p.Workload, "/")+1:]
	if strings.HasPrefix(p.Workload, "deployment/") {
		Rollout(t, p.Namespace, name, within)
		return
	}
	Eventually(t, within, p.Workload, func(ctx context.Context) error {
		d, err := Kubernetes().AppsV1().DaemonSets(p.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if s := d.Status; s.ObservedGeneration < d.Generation || s.NumberReady == 0 || s.NumberReady != s.DesiredNumberScheduled || s.UpdatedNumberScheduled != s.DesiredNumberScheduled {
			return fmt.Errorf("%d of %d ready", s.NumberReady, s.DesiredNumberScheduled)
		}
		return nil
	})
}

// Address is the load balancer's address of the instance's Service.
func (p *Portico) Address(t testing.TB) string {
	t.Helper()
	return BalancerAddress(t, p.Namespace, "portico")
}

// Client dials the instance's load balancer address from outside the cluster.
func (p *Portico) Client(t testing.TB) *Client {
	t.Helper()
	return &Client{Address: p.Address(t)}
}

// Pods are the instance's running pods.
func (p *Portico) Pods(t testing.TB) []corev1.Pod {
	t.Helper()
	return Pods(t, p.Namespace, PorticoSelector)
}

// Leader is the pod that holds the instance's Lease, as the Lease's holder names it.
func (p *Portico) Leader(t testing.TB) corev1.Pod {
	t.Helper()
	var leader corev1.Pod
	Eventually(t, 30*time.Second, "leader of "+p.Namespace, func(ctx context.Context) error {
		lease, err := Kubernetes().CoordinationV1().Leases(p.Namespace).Get(ctx, "portico-"+p.Class, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if lease.Spec.HolderIdentity == nil {
			return fmt.Errorf("the Lease has no holder")
		}
		for _, pod := range p.Pods(t) {
			if strings.HasPrefix(*lease.Spec.HolderIdentity, pod.Name) {
				leader = pod
				return nil
			}
		}
		return fmt.Errorf("the Lease's holder %q is no running pod", *lease.Spec.HolderIdentity)
	})
	return leader
}

// Ask gets a path such as /readyz or /metrics from a pod's status port.
func Ask(t testing.TB, pod corev1.Pod, path string) *Reply {
	t.Helper()
	c := &Client{Address: pod.Status.PodIP, Dial: DialNode}
	return c.Get(t, "http://status:9090"+path)
}

// Explain runs `portico explain URL` in a pod and returns what it prints.
func (p *Portico) Explain(t testing.TB, url string) string {
	t.Helper()
	return Kubectl(t, "-n", p.Namespace, "exec", p.Pods(t)[0].Name, "--", "/portico", "explain", url)
}
