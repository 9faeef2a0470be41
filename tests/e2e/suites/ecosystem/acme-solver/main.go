// Acme-solver answers ACME HTTP-01 challenges in the pods that cert-manager starts for them; the image it goes into is
// what cert-manager's own would be.
package main

import (
	"flag"

	"github.com/cert-manager/cert-manager/pkg/issuer/acme/http/solver"
	"k8s.io/klog/v2"
)

func main() {
	s := &solver.HTTP01Solver{}
	flag.IntVar(&s.ListenPort, "listen-port", 8089, "where to listen")
	flag.StringVar(&s.Domain, "domain", "", "the host that is asked for")
	flag.StringVar(&s.Token, "token", "", "the challenge's token")
	flag.StringVar(&s.Key, "key", "", "the answer")
	flag.Parse()
	klog.Fatal(s.Listen(klog.Background()))
}
