// Package harness is what the suites stand on: the cluster around them, objects applied and deleted, echo backends,
// Portico installed from deploy/, clients outside the cluster, load, certificates, and the daemons to stop and start.
//
// Everything here talks to the real cluster that `cluster.sh run` brings up around the test binary. Functions that take a
// testing.TB fail the test themselves and say what they saw last; those that return an error leave that to the caller.
package harness

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// NodeAddress is the address of the only node, node-1: API server, NodePorts, hostNetwork.
const NodeAddress = "172.18.0.2"

// OutsideAddress is the address of the machine outside the cluster, from which Client dials unless told otherwise.
const OutsideAddress = "172.18.100.1"

// Main runs a suite's tests; every suite's TestMain calls it and nothing else. Outside a cluster it fails at once.
func Main(m *testing.M) {
	if err := inCluster(); err != nil {
		fmt.Fprintf(os.Stderr, "FAIL: no cluster around this test (%v); run: tests/e2e/run SUITE\n", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func inCluster() error {
	if os.Getenv("CLUSTER_NODE") == "" {
		return fmt.Errorf("CLUSTER_NODE is not set")
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Nodes().List(ctx, metav1.ListOptions{Limit: 1})
	return err
}

// Config is the cluster administrator's; a fresh copy, 500 requests a second.
func Config() *rest.Config {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		panic(fmt.Sprintf("KUBECONFIG was good when the suite started: %v", err))
	}
	config.QPS, config.Burst = 500, 1000
	return config
}

// Kubernetes is the administrator's typed client.
var Kubernetes = sync.OnceValue(func() kubernetes.Interface { return kubernetes.NewForConfigOrDie(Config()) })

// Dynamic is the administrator's client for objects of any kind.
var Dynamic = sync.OnceValue(func() dynamic.Interface { return dynamic.NewForConfigOrDie(Config()) })

// Short is a context for one API request.
func Short(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
