package objects

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"portico.test/e2e/harness"
)

// Every example works on a cluster as its kustomization says: the API server takes it, and each Ingress gets the address.
func TestExamples(t *testing.T) {
	p := harness.SharedPortico(t)
	examples := filepath.Join(harness.Root(), "examples")
	topics, err := os.ReadDir(examples)
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range topics {
		if !topic.IsDir() {
			continue
		}
		t.Run(topic.Name(), func(t *testing.T) {
			namespace, own := harness.Namespace(t), p.Address(t)
			folder := filepath.Join(examples, topic.Name())
			harness.Kubectl(t, "-n", namespace, "apply", "-k", folder)
			harness.Eventually(t, 10*time.Second, "an address for each Ingress", func(ctx context.Context) error {
				list, err := harness.Kubernetes().NetworkingV1().Ingresses(namespace).List(ctx, metav1.ListOptions{})
				if err == nil && len(list.Items) == 0 {
					err = fmt.Errorf("there is no Ingress")
				}
				for _, i := range list.Items {
					if s := i.Status.LoadBalancer.Ingress; err == nil && (len(s) != 1 || s[0].IP != own) {
						err = fmt.Errorf("%s shows %v instead of %s", i.Name, s, own)
					}
				}
				return err
			})
			// What has no host would answer for the tests that come after.
			harness.Kubectl(t, "-n", namespace, "delete", "-k", folder, "--wait")
		})
	}
}
