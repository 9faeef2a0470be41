package scale

import (
	"fmt"

	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"portico.test/e2e/harness"
)

// What the suite makes: 10,000 Ingresses over 2,000 Services with 25 endpoints each, in ten namespaces.
const (
	ingresses  = 10_000
	services   = 2_000
	endpoints  = 25 // of a Service
	namespaces = 10
	hosts      = 100 // of the Ingresses: hosts with a certificate of their own
	backends   = 7000
	class      = "portico"
)

// proxied keeps kube-proxy away from what only Portico shall follow: 50,000 endpoints of rules in the kernel are
// no part of this measurement.
var proxied = map[string]string{"service.kubernetes.io/service-proxy-name": "none"}

func namespace(i int) string { return fmt.Sprintf("scale-%d", i%namespaces) }
func host(i int) string      { return fmt.Sprintf("host-%05d.scale.test", i) }

// address is one of the 50,000 endpoints. The whole range is local on the fake node.
func address(i int) string {
	i += 1 << 12 // the first addresses are the fake node's for pods
	return fmt.Sprintf("10.244.%d.%d", i>>8, i&0xff)
}

func labels(more map[string]string) map[string]string {
	all := map[string]string{}
	for _, from := range []map[string]string{proxied, more} {
		for key, value := range from {
			all[key] = value
		}
	}
	return all
}

func newService(namespace, name string) *core.Service {
	return &core.Service{
		ObjectMeta: meta.ObjectMeta{Namespace: namespace, Name: name, Labels: labels(nil)},
		Spec:       core.ServiceSpec{Ports: []core.ServicePort{{Name: "http", Port: 80}}},
	}
}

func newSlice(namespace, service string, addresses ...string) *discovery.EndpointSlice {
	name, port, tcp, yes := "http", int32(backends), core.ProtocolTCP, true
	slice := &discovery.EndpointSlice{
		ObjectMeta: meta.ObjectMeta{Namespace: namespace, Name: service + "-1",
			Labels: labels(map[string]string{discovery.LabelServiceName: service})},
		AddressType: discovery.AddressTypeIPv4,
		Ports:       []discovery.EndpointPort{{Name: &name, Port: &port, Protocol: &tcp}},
	}
	for _, address := range addresses {
		slice.Endpoints = append(slice.Endpoints,
			discovery.Endpoint{Addresses: []string{address}, Conditions: discovery.EndpointConditions{Ready: &yes}})
	}
	return slice
}

// newIngress has one host with two paths, as most have.
func newIngress(namespace, name, host, service string) *networking.Ingress {
	class, prefix := class, networking.PathTypePrefix
	path := func(at string) networking.HTTPIngressPath {
		return networking.HTTPIngressPath{Path: at, PathType: &prefix, Backend: networking.IngressBackend{
			Service: &networking.IngressServiceBackend{Name: service, Port: networking.ServiceBackendPort{Name: "http"}}}}
	}
	return &networking.Ingress{
		ObjectMeta: meta.ObjectMeta{Namespace: namespace, Name: name},
		Spec: networking.IngressSpec{IngressClassName: &class, Rules: []networking.IngressRule{{Host: host,
			IngressRuleValue: networking.IngressRuleValue{HTTP: &networking.HTTPIngressRuleValue{
				Paths: []networking.HTTPIngressPath{path("/"), path("/api")}}}}}},
	}
}

func newSecret(namespace, name string, pair harness.Pair) *core.Secret {
	return &core.Secret{
		ObjectMeta: meta.ObjectMeta{Namespace: namespace, Name: name}, Type: core.SecretTypeTLS,
		Data: map[string][]byte{core.TLSCertKey: pair.Certificate, core.TLSPrivateKeyKey: pair.Key},
	}
}
