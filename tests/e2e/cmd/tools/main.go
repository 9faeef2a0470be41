// The cluster's own parts: tools cloud | fake-kubelet | pack.
package main

import (
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	tools := map[string]func([]string) error{"cloud": cloud, "fake-kubelet": fakeKubelet, "pack": pack}
	if len(os.Args) < 2 || tools[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: tools cloud|fake-kubelet|pack ARG...")
		os.Exit(2)
	}
	if err := tools[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func newClient() (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 500, 1000 // the default of 5 a second makes 200 pods take a minute
	return kubernetes.NewForConfig(config)
}

// watch calls changed for every core/v1 object seen, new or updated, and gone for a deleted one; it never returns.
func watch[T runtime.Object](client *kubernetes.Clientset, resource string, object T, changed, gone func(T)) error {
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.NewListWatchFromClient(client.CoreV1().RESTClient(), resource, "", fields.Everything()),
		ObjectType:    object,
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { changed(o.(T)) },
			UpdateFunc: func(_, o any) { changed(o.(T)) },
			DeleteFunc: func(o any) {
				if t, ok := o.(cache.DeletedFinalStateUnknown); ok {
					o = t.Obj
				}
				gone(o.(T))
			},
		},
	})
	informer.Run(nil)
	return nil
}
