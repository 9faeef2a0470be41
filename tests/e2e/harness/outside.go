package harness

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

const outsideNetwork = "/run/netns/outside"

// Dialer opens a connection to a numeric address from some place in the network.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// DialNode dials from the node itself: everything in the cluster can be reached. Whatever the externalTrafficPolicy,
// kube-proxy masquerades what the node itself sends to a load balancer address.
func DialNode(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, network, address)
}

// DialOutside dials from the machine outside the cluster (OutsideAddress), which reaches the node and the load
// balancer addresses and nothing else, as a user's machine does.
func DialOutside(ctx context.Context, network, address string) (net.Conn, error) {
	return dialIn(ctx, outsideNetwork, network, address)
}

// DialFrom dials from inside a pod, with the pod's address.
func DialFrom(t testing.TB, pod corev1.Pod) Dialer {
	t.Helper()
	pids := Processes(t, pod)
	if len(pids) == 0 {
		t.Fatalf("pod %s/%s has no processes to dial from", pod.Namespace, pod.Name)
	}
	place := fmt.Sprintf("/proc/%d/ns/net", pids[0])
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		return dialIn(ctx, place, network, address)
	}
}

// dialIn dials in another network namespace. A socket belongs to the namespace of the thread that makes it, so the
// thread goes there for that long.
func dialIn(ctx context.Context, place, network, address string) (net.Conn, error) {
	there, err := os.Open(place)
	if err != nil {
		return nil, fmt.Errorf("network to dial from: %w", err)
	}
	defer there.Close()
	runtime.LockOSThread()
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	defer here.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("enter the network to dial from: %w", err)
	}
	// No second address family beside the first: it would dial on a thread of its own, which is elsewhere.
	connection, dialErr := (&net.Dialer{Timeout: 10 * time.Second, FallbackDelay: -1}).DialContext(ctx, network, address)
	if err := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); err != nil {
		// The thread stays locked, so that it ends with its goroutine and serves nobody else.
		return nil, fmt.Errorf("come back from the network dialled from: %w", err)
	}
	runtime.UnlockOSThread()
	return connection, dialErr
}
