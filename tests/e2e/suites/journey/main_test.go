// Package journey walks through what the first pages about Ingress show, on a real cluster: every manifest applied as
// printed, every kind of Service, and the whole way of a request from a machine outside to a pod and back.
package journey

import (
	"testing"

	"portico.test/e2e/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// portico serves Ingresses that name no class, as those manifests do.
var portico = harness.Shared(harness.Install{Components: []string{"default-class"}})
