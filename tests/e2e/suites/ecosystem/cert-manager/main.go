// Cert-manager is cert-manager's controllers in one process: those that turn annotated Ingresses into Certificates, and
// those that issue them by ACME or by themselves. Its own command is no Go module; this is as much of it as an Ingress
// controller meets. KUBECONFIG says which cluster.
package main

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/cert-manager/cert-manager/pkg/controller"
	_ "github.com/cert-manager/cert-manager/pkg/controller/acmechallenges"
	_ "github.com/cert-manager/cert-manager/pkg/controller/acmeorders"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificate-shim/ingresses"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/acme"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	_ "github.com/cert-manager/cert-manager/pkg/controller/clusterissuers"
	_ "github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/acme"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/klog/v2"
)

func main() {
	image := flag.String("solver-image", "", "image of the pods that answer HTTP-01 challenges")
	nameserver := flag.String("nameserver", "", "ADDRESS:PORT of the DNS that names are looked up in before a challenge is accepted")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, options(*image, *nameserver)); err != nil {
		klog.Fatal(err)
	}
}

func options(image, nameserver string) controller.ContextOptions {
	none := resource.MustParse("0")
	o := controller.ContextOptions{Kubeconfig: os.Getenv("KUBECONFIG"), KubernetesAPIQPS: 100, KubernetesAPIBurst: 200}
	o.ClusterResourceNamespace = "default"
	o.DefaultIssuerKind, o.DefaultIssuerGroup = "Issuer", "cert-manager.io"
	o.DefaultAutoCertificateAnnotations = []string{"kubernetes.io/tls-acme"}
	o.CertificateRequestMinimumBackoffDuration, o.CertificateRequestMaximumBackoffDuration = time.Hour, 32*time.Hour
	o.MaxConcurrentChallenges = 10
	o.HTTP01SolverImage = image // as root: images of the tests name no user
	o.HTTP01SolverResourceRequestCPU, o.HTTP01SolverResourceRequestMemory = none, none
	o.HTTP01SolverResourceLimitsCPU, o.HTTP01SolverResourceLimitsMemory = resource.MustParse("100m"), resource.MustParse("64Mi")
	if nameserver != "" {
		o.HTTP01SolverNameservers = []string{nameserver}
	}
	return o
}

// run runs every controller that is linked in until the context ends.
func run(ctx context.Context, o controller.ContextOptions) error {
	factory, err := controller.NewContextFactory(ctx, o)
	if err != nil {
		return err
	}
	shared, err := factory.Build()
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	for name, construct := range controller.Known() {
		c, err := construct(factory)
		if err != nil {
			return err
		}
		running.Go(func() {
			if err := c.Run(2, ctx); err != nil {
				klog.Fatalf("%s: %v", name, err)
			}
		})
	}
	shared.SharedInformerFactory.Start(ctx.Done())
	shared.KubeSharedInformerFactory.Start(ctx.Done())
	shared.HTTP01ResourceMetadataInformersFactory.Start(ctx.Done())
	running.Wait()
	return nil
}
