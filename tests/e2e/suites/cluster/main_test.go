// Package cluster shows that the cluster and the harness do what the other suites take for granted, without Portico: when
// it fails, look here first.
package cluster

import (
	"testing"

	"portico.test/e2e/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
