package scale

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"portico.test/e2e/harness"
)

// statuses follows the addresses that the Ingresses show.
type statuses struct {
	mu      sync.Mutex
	address map[types.UID]string
	writes  int // changes of an address seen
}

func followStatuses(t *testing.T) *statuses {
	t.Helper()
	s := &statuses{address: map[types.UID]string{}}
	factory := informers.NewSharedInformerFactory(client(), 0)
	informer := factory.Networking().V1().Ingresses().Informer()
	seen := func(object any) {
		ingress, ok := object.(*networking.Ingress)
		if !ok {
			return
		}
		address := ""
		for _, entry := range ingress.Status.LoadBalancer.Ingress {
			address += entry.IP + entry.Hostname
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if before, known := s.address[ingress.UID]; known && before != address {
			s.writes++
		}
		s.address[ingress.UID] = address
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: seen, UpdateFunc: func(_, object any) { seen(object) },
		DeleteFunc: func(object any) {
			if ingress, ok := object.(*networking.Ingress); ok {
				s.mu.Lock()
				defer s.mu.Unlock()
				delete(s.address, ingress.UID)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	factory.Start(stop)
	factory.WaitForCacheSync(stop)
	return s
}

// await is how long it takes until all Ingresses show the address.
func (s *statuses) await(t *testing.T, address string, within time.Duration) time.Duration {
	t.Helper()
	return harness.Eventually(t, within, "status of all Ingresses", func(context.Context) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		missing := 0
		for _, has := range s.address {
			if has != address {
				missing++
			}
		}
		if missing > 0 {
			return fmt.Errorf("%d of %d Ingresses do not show %s", missing, len(s.address), address)
		}
		return nil
	})
}

// publish gives Portico's Service another address.
func publish(t *testing.T, address string) {
	t.Helper()
	patch := fmt.Sprintf(`{"status":{"loadBalancer":{"ingress":[{"ip":%q,"ipMode":"VIP"}]}}}`, address)
	_, err := client().CoreV1().Services("portico").Patch(t.Context(), "portico", types.MergePatchType, []byte(patch),
		meta.PatchOptions{}, "status")
	if err != nil {
		t.Fatal(err)
	}
}
