package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
)

const fieldOwner = "e2e"

var mapper = sync.OnceValue(func() *restmapper.DeferredDiscoveryRESTMapper {
	return restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(discovery.NewDiscoveryClientForConfigOrDie(Config())))
})

// Parse splits multi-document YAML into objects; empty documents are left out, a List is taken apart.
func Parse(text string) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	var all []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		if len(object.Object) == 0 {
			continue
		}
		if !object.IsList() {
			all = append(all, object)
			continue
		}
		if err := object.EachListItem(func(item runtime.Object) error {
			all = append(all, item.(*unstructured.Unstructured))
			return nil
		}); err != nil {
			return nil, err
		}
	}
}

// resource is the interface to an object's kind; a namespaced object without a namespace gets the one given.
func resource(o *unstructured.Unstructured, namespace string) (dynamic.ResourceInterface, error) {
	kind := o.GroupVersionKind()
	mapping, err := mapper().RESTMapping(kind.GroupKind(), kind.Version)
	if meta.IsNoMatchError(err) { // perhaps a CustomResourceDefinition younger than our discovery
		mapper().Reset()
		mapping, err = mapper().RESTMapping(kind.GroupKind(), kind.Version)
	}
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return Dynamic().Resource(mapping.Resource), nil
	}
	if o.GetNamespace() == "" {
		o.SetNamespace(namespace)
	}
	return Dynamic().Resource(mapping.Resource).Namespace(o.GetNamespace()), nil
}

// TryApply applies multi-document YAML on the server's side, in order, and stops at the first object refused.
// It returns the objects as the API server has them.
func TryApply(ctx context.Context, namespace, text string) ([]*unstructured.Unstructured, error) {
	objects, err := Parse(text)
	if err != nil {
		return nil, err
	}
	return TryApplyObjects(ctx, namespace, objects)
}

// TryApplyObjects is TryApply for objects that are parsed already.
func TryApplyObjects(ctx context.Context, namespace string, objects []*unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	var stored []*unstructured.Unstructured
	for _, o := range objects {
		client, err := resource(o, namespace)
		if err != nil {
			return stored, fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
		data, err := json.Marshal(o)
		if err != nil {
			return stored, err
		}
		force := true
		result, err := client.Patch(ctx, o.GetName(), types.ApplyPatchType, data,
			metav1.PatchOptions{FieldManager: fieldOwner, Force: &force, FieldValidation: metav1.FieldValidationStrict})
		if err != nil {
			return stored, fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
		stored = append(stored, result)
	}
	return stored, nil
}

// Apply is TryApply that fails the test. Cluster-scoped objects are deleted when the test ends; the others go with
// their namespace.
func Apply(t testing.TB, namespace, text string) []*unstructured.Unstructured {
	t.Helper()
	stored, err := TryApply(Short(t), namespace, text)
	for _, o := range stored {
		if o.GetNamespace() == "" {
			t.Cleanup(func() { _ = TryDelete(context.Background(), o) })
		}
	}
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	return stored
}

// ApplyFile is Apply of a file.
func ApplyFile(t testing.TB, namespace, path string) []*unstructured.Unstructured {
	t.Helper()
	return Apply(t, namespace, ReadFile(t, path))
}

// ReadFile returns a file's text.
func ReadFile(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TryDelete deletes an object without waiting for its end; one that is gone already is fine.
func TryDelete(ctx context.Context, o *unstructured.Unstructured) error {
	client, err := resource(o, o.GetNamespace())
	if err != nil {
		return err
	}
	background := metav1.DeletePropagationBackground
	err = client.Delete(ctx, o.GetName(), metav1.DeleteOptions{PropagationPolicy: &background})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// Delete deletes the objects of multi-document YAML, of which only kind, name and namespace count.
func Delete(t testing.TB, namespace, text string) {
	t.Helper()
	objects, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if o.GetNamespace() == "" {
			o.SetNamespace(namespace)
		}
		if err := TryDelete(Short(t), o); err != nil {
			t.Fatalf("delete %s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
}

// TryKubectl runs kubectl as the cluster's administrator and returns what it printed to stdout; the error holds
// what it said on stderr.
func TryKubectl(args ...string) (string, error) {
	command := exec.Command("kubectl", args...)
	var out, complaint bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaint
	if err := command.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return out.String(), nil
}

// Kubectl is TryKubectl that fails the test.
func Kubectl(t testing.TB, args ...string) string {
	t.Helper()
	out, err := TryKubectl(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Image makes an image of a static binary, its entrypoint, and of files ("SRC:DEST"), in this cluster only. The name
// needs a tag other than latest.
func Image(t testing.TB, name, binary string, files ...string) {
	t.Helper()
	arguments := append([]string{"image", name, binary}, files...)
	command := exec.Command(filepath.Join(Root(), "tests/e2e/cluster/cluster.sh"), arguments...)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("image %s: %v: %s", name, err, out)
	}
}
