// External-dns is external-dns's Ingress source, planner and registry around a DNS zone in memory; its own command links every
// DNS provider there is. Whenever the zone changes it is printed as a line of JSON. KUBECONFIG says which cluster.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"os"
	"os/signal"
	"reflect"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/external-dns/endpoint"
	"sigs.k8s.io/external-dns/plan"
	"sigs.k8s.io/external-dns/provider/inmemory"
	"sigs.k8s.io/external-dns/registry"
	"sigs.k8s.io/external-dns/registry/noop"
	"sigs.k8s.io/external-dns/source"
	"sigs.k8s.io/external-dns/source/template"
)

func main() {
	zone := flag.String("zone", "", "the DNS zone to keep")
	class := flag.String("ingress-class", "", "the class of the Ingresses to read")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *zone, *class); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, zone, class string) error {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	names, err := template.NewEngine("", "", "", false)
	if err != nil {
		return err
	}
	ingresses, err := source.NewIngressSource(ctx, client, &source.Config{
		IngressClassNames: []string{class}, LabelFilter: labels.Everything(), TemplateEngine: names,
	})
	if err != nil {
		return err
	}
	records, err := noop.New(nil, inmemory.NewInMemoryProvider(inmemory.InMemoryInitZones([]string{zone})))
	if err != nil {
		return err
	}
	var shown []*endpoint.Endpoint
	for {
		now, err := reconcile(ctx, ingresses, records)
		if err != nil {
			return err
		}
		if !reflect.DeepEqual(now, shown) {
			if err := json.NewEncoder(os.Stdout).Encode(now); err != nil {
				return err
			}
			shown = now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// reconcile brings the zone to what the Ingresses say, as external-dns does every minute, and returns its records.
func reconcile(ctx context.Context, ingresses source.Source, records registry.Registry) ([]*endpoint.Endpoint, error) {
	desired, err := ingresses.Endpoints(ctx)
	if err != nil {
		return nil, err
	}
	current, err := records.Records(ctx)
	if err != nil {
		return nil, err
	}
	wanted := &plan.Plan{Current: current, Desired: desired, Policies: []plan.Policy{&plan.SyncPolicy{}},
		ManagedRecords: []string{endpoint.RecordTypeA, endpoint.RecordTypeAAAA, endpoint.RecordTypeCNAME}}
	if changes := wanted.Calculate().Changes; changes.HasChanges() {
		if err := records.ApplyChanges(ctx, changes); err != nil {
			return nil, err
		}
	}
	return records.Records(ctx)
}
