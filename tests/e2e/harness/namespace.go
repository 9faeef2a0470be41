package harness

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// Namespace makes a namespace for this test, named after it. When the test ends, its objects, events and pod logs go
// to the artifacts if it failed, and the namespace is deleted (its end is not awaited).
func Namespace(t testing.TB) string {
	t.Helper()
	prefix := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(strings.TrimPrefix(t.Name(), "Test")), "-"), "-")
	if len(prefix) > 40 {
		prefix = strings.Trim(prefix[:40], "-")
	}
	made, err := Kubernetes().CoreV1().Namespaces().Create(Short(t),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix + "-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("namespace: %v", err)
	}
	t.Cleanup(func() { endNamespace(t, made.Name) })
	return made.Name
}

func endNamespace(t testing.TB, name string) {
	if t.Failed() {
		Dump(t, name)
	}
	if err := Kubernetes().CoreV1().Namespaces().Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
		t.Logf("namespace %s stays: %v", name, err)
	}
}

// Dump writes a namespace's objects, events and logs below the artifacts and says where.
func Dump(t testing.TB, namespace string) {
	dir := Artifacts(t, namespace)
	command := exec.Command(filepath.Join(Root(), "tests/e2e/cluster/dump.sh"), dir, namespace)
	if out, err := command.CombinedOutput(); err != nil {
		t.Logf("dump of %s: %v: %s", namespace, err, out)
	}
	t.Logf("namespace %s as it was: %s", namespace, dir)
}

// Artifacts makes a directory below the artifacts for the test; E2E_ARTIFACTS says where they are.
func Artifacts(t testing.TB, name string) string {
	base := os.Getenv("E2E_ARTIFACTS")
	if base == "" {
		base = filepath.Join(Root(), "tests/e2e/artifacts/alone")
	}
	dir := filepath.Join(base, strings.ReplaceAll(t.Name(), "/", "_"), name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Logf("artifacts: %v", err)
	}
	return dir
}

// Root is the top of the checkout: PORTICO_CHECKOUT, or the nearest directory above that has deploy/ and tests/.
func Root() string {
	if root := os.Getenv("PORTICO_CHECKOUT"); root != "" {
		return root
	}
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	for d := dir; d != "/"; d = filepath.Dir(d) {
		if isDir(filepath.Join(d, "deploy")) && isDir(filepath.Join(d, "tests/e2e")) {
			return d
		}
	}
	panic("no checkout above " + dir + "; set PORTICO_CHECKOUT to its top")
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
