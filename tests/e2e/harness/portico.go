package harness

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Install says how Portico is installed from deploy/manifests; the zero value is what a user gets from
// `kubectl apply -k deploy/manifests/base`.
type Install struct {
	// Overlay is a directory below deploy/manifests: "base" unless set, or "overlays/nodeport" and so on.
	Overlay string
	// Components are directories below deploy/manifests/components put on top, such as "default-class".
	Components []string
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
	// Replicas of the Deployment, and no autoscaler that would see to at least 2; as in the manifests (2) when 0.
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
		p.AwaitReady(t, PodsTime)
	}
	return p
}

// SharedPortico is the default install, shared by the tests of a suite: see Shared.
var SharedPortico = Shared(Install{})

// Shared is an instance that many tests use, for a package variable: the first test that calls it installs it and waits
// until it is ready, once for all, and it stays until the cluster ends. Tests that change Portico itself want
// InstallPortico instead.
func Shared(i Install) func(t testing.TB) *Portico {
	once := sync.OnceValues(func() (*Portico, error) {
		p, err := install(i)
		if err == nil && !i.NoWait {
			err = Poll(PodsTime, p.ready)
		}
		return p, err
	})
	return func(t testing.TB) *Portico {
		t.Helper()
		p, err := once()
		if p != nil {
			t.Cleanup(func() {
				if t.Failed() {
					Dump(t, p.Namespace)
				}
			})
		}
		if err != nil {
			t.Fatalf("install Portico: %v", err)
		}
		return p
	}
}

func install(i Install) (*Portico, error) {
	i.defaults()
	directory, done, err := i.kustomization()
	if err != nil {
		return nil, err
	}
	defer done()
	objects, plain, err := i.render(directory)
	if err != nil {
		return nil, err
	}
	p := &Portico{Namespace: i.Namespace, Class: i.Class, objects: objects}
	for _, o := range objects {
		if kind := o.GetKind(); kind == "Deployment" || kind == "DaemonSet" {
			p.Workload = strings.ToLower(kind) + "/" + o.GetName()
		}
	}
	// An install of the same name may be on its way out still.
	err = Poll(PodsTime, func(ctx context.Context) error {
		n, err := Kubernetes().CoreV1().Namespaces().Get(ctx, i.Namespace, metav1.GetOptions{})
		if err == nil && n.DeletionTimestamp != nil {
			return fmt.Errorf("namespace %s is still being deleted", i.Namespace)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if plain {
		_, err = TryKubectl("apply", "-k", directory)
		return p, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), PodsTime)
	defer cancel()
	_, err = TryApplyObjects(ctx, i.Namespace, objects)
	return p, err
}

func (i *Install) defaults() {
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
}

// render is what the manifests make of this install; plain when that is what they say themselves, so that a user's own
// command does.
func (i *Install) render(directory string) (objects []*unstructured.Unstructured, plain bool, err error) {
	text, err := TryKubectl("kustomize", directory)
	if err != nil {
		return nil, false, err
	}
	rendered, err := Parse(text)
	if err != nil {
		return nil, false, err
	}
	plain = i.Namespace == ownClass && i.Class == ownClass && i.Controller == ownController && len(i.Env) == 0 && i.Replicas == 0 && i.Edit == nil
	if !slices.ContainsFunc(rendered, func(o *unstructured.Unstructured) bool { return o.GetKind() == "Namespace" }) {
		// Who installs into one namespace has it already.
		plain = false
		space := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace"}}
		space.SetName(i.Namespace)
		rendered = slices.Insert(rendered, 0, space)
	}
	for _, o := range rendered {
		if err := i.adapt(o); err != nil {
			return nil, false, fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
		if i.Replicas > 0 && o.GetKind() == "HorizontalPodAutoscaler" || i.Edit != nil && !i.Edit(o) {
			continue
		}
		objects = append(objects, o)
	}
	return objects, plain, nil
}

// kustomization is the directory to apply: one of the manifests', or with components one as a user would write it, which
// done removes.
func (i *Install) kustomization() (directory string, done func(), err error) {
	manifests := filepath.Join(Root(), "deploy/manifests")
	if len(i.Components) == 0 {
		return filepath.Join(manifests, i.Overlay), func() {}, nil
	}
	if directory, err = os.MkdirTemp("", "kustomize"); err != nil {
		return "", nil, err
	}
	done = func() { _ = os.RemoveAll(directory) }
	if manifests, err = filepath.Rel(directory, manifests); err != nil { // kustomize takes no absolute paths
		done()
		return "", nil, err
	}
	text := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n- " + filepath.Join(manifests, i.Overlay) + "\ncomponents:\n"
	for _, component := range i.Components {
		text += "- " + filepath.Join(manifests, "components", component) + "\n"
	}
	if err = os.WriteFile(filepath.Join(directory, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		done()
		return "", nil, err
	}
	return directory, done, nil
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
	maps.Copy(env, i.Env)
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
	for _, name := range slices.Sorted(maps.Keys(env)) {
		kept = append(kept, map[string]any{"name": name, "value": env[name]})
	}
	if len(kept) > 0 {
		container["env"] = kept
	}
	if len(arguments) > 0 {
		container["args"] = left
	}
}

func (p *Portico) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), PodsTime)
	defer cancel()
	for n := len(p.objects) - 1; n >= 0; n-- {
		if err := TryDelete(ctx, p.objects[n]); err != nil {
			fmt.Fprintf(os.Stderr, "remove %s %s: %v\n", p.objects[n].GetKind(), p.objects[n].GetName(), err)
		}
	}
}
