package harness

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const outsideNamespace = "/run/netns/outside"

// Dialer opens connections to one address, whatever host the URL names.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// DialNode dials from the node itself: everything in the cluster can be reached. With externalTrafficPolicy Local or
// Cluster alike, kube-proxy masquerades what the node itself sends to a load balancer address.
func DialNode(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, network, address)
}

// DialOutside dials from the machine outside the cluster (OutsideAddress), which reaches the node and the load
// balancer addresses and nothing else, as a user's machine does. The address must be numeric.
//
// A socket belongs to the network namespace of the thread that made it, so the thread goes there for that long.
func DialOutside(ctx context.Context, network, address string) (net.Conn, error) {
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	defer own.Close()
	outside, err := os.Open(outsideNamespace)
	if err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("the outside machine: %w", err)
	}
	defer outside.Close()
	if err := unix.Setns(int(outside.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("enter the outside machine: %w", err)
	}
	connection, dialErr := (&net.Dialer{Timeout: 10 * time.Second, FallbackDelay: -1}).DialContext(ctx, network, address)
	if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
		// The thread stays locked, so that it ends with its goroutine and serves nobody else.
		return nil, fmt.Errorf("come back from the outside machine: %w", err)
	}
	runtime.UnlockOSThread()
	return connection, dialErr
}
