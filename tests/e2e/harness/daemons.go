package harness

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	daemonsDirectory = "/run/cluster/daemons"
	etcdDirectory    = "/run/cluster/etcd"
	etcdAddress      = "http://127.0.0.1:2379"
)

// Daemon is one of the processes that make up the cluster: etcd, kube-apiserver, kube-controller-manager,
// kube-scheduler, kubelet, kube-proxy, containerd, coredns, cloud.
type Daemon string

// The daemons that tests stop and start.
const (
	Etcd      Daemon = "etcd"
	APIServer Daemon = "kube-apiserver"
	Scheduler Daemon = "kube-scheduler"
	Kubelet   Daemon = "kubelet"
	KubeProxy Daemon = "kube-proxy"
	CoreDNS   Daemon = "coredns"
)

func (d Daemon) file(suffix string) string { return filepath.Join(daemonsDirectory, string(d)+suffix) }

// PID is the daemon's process id, running or not.
func (d Daemon) PID(t testing.TB) int {
	t.Helper()
	data, err := os.ReadFile(d.file(".pid"))
	if err != nil {
		t.Fatalf("%s: %v", d, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatalf("%s: %v", d, err)
	}
	return pid
}

// Signal sends a signal: SIGSTOP makes a daemon hang with its connections open, SIGCONT lets it go on.
func (d Daemon) Signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(d.PID(t), signal); err != nil {
		t.Fatalf("%s: %v: %v", d, signal, err)
	}
}

// Kill ends the daemon at once and waits until it is gone: its connections are reset, its port refuses.
// It is started again when the test ends, if the test has not done so.
func (d Daemon) Kill(t testing.TB) {
	t.Helper()
	pid := d.PID(t)
	d.Signal(t, syscall.SIGKILL)
	Eventually(t, 10*time.Second, fmt.Sprintf("end of %s", d), func(context.Context) error {
		if running(pid) {
			return fmt.Errorf("process %d is there", pid)
		}
		return nil
	})
	t.Cleanup(func() {
		if d.PID(t) == pid {
			d.Start(t)
		}
	})
}

// Start starts a daemon that was killed, with the arguments it had; its log goes on in the same file. It does not wait
// until the daemon is ready: see AwaitAPIServer.
func (d Daemon) Start(t testing.TB) {
	t.Helper()
	if pid := d.PID(t); running(pid) {
		t.Fatalf("%s runs already as %d", d, pid)
	}
	data, err := os.ReadFile(d.file(".argv"))
	if err != nil {
		t.Fatalf("%s: %v", d, err)
	}
	arguments := strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
	log, err := os.OpenFile(filepath.Join(os.Getenv("CLUSTER_LOGS"), string(d)+".log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatalf("%s: %v", d, err)
	}
	defer log.Close()
	command := exec.Command(arguments[0], arguments[1:]...)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		t.Fatalf("%s: %v", d, err)
	}
	go func() { _ = command.Wait() }() // leaves no zombie; how it ended is in its log
	if err := os.WriteFile(d.file(".pid"), []byte(strconv.Itoa(command.Process.Pid)), 0o644); err != nil {
		t.Fatalf("%s: %v", d, err)
	}
}

// running says whether a process is there and no zombie.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return len(rest) > 0 && rest[0] != 'Z'
}

// AwaitAPIServer waits until the API server answers, lists from its cache included, and returns how long that took. One
// that is ready has not yet filled the cache of everything.
func AwaitAPIServer(t testing.TB) time.Duration {
	t.Helper()
	return Eventually(t, time.Minute, "API server", func(ctx context.Context) error {
		// A client of its own: the shared one's connections may hang in a server that is gone.
		config := Config()
		config.Timeout = 2 * time.Second
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return err
		}
		if _, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx); err != nil {
			return err
		}
		cached := metav1.ListOptions{ResourceVersion: "0", Limit: 1}
		if _, err := client.NetworkingV1().Ingresses("").List(ctx, cached); err != nil {
			return err
		}
		if _, err := client.CoreV1().Services("").List(ctx, cached); err != nil {
			return err
		}
		_, err = client.DiscoveryV1().EndpointSlices("").List(ctx, cached)
		return err
	})
}

// Snapshot is etcd's state at one moment.
type Snapshot struct{ directory string }

// SnapshotEtcd copies etcd's data directory, with etcd halted for as long as the copy takes (some 100 ms).
func SnapshotEtcd(t testing.TB) Snapshot {
	t.Helper()
	s := Snapshot{filepath.Join(t.TempDir(), "etcd")}
	Etcd.Signal(t, syscall.SIGSTOP)
	defer Etcd.Signal(t, syscall.SIGCONT)
	if err := os.CopyFS(s.directory, os.DirFS(etcdDirectory)); err != nil {
		t.Fatalf("etcd snapshot: %v", err)
	}
	return s
}

// Restore puts etcd back to the snapshot, as an operator does it: API server and etcd end, the data are replaced, both
// start again. Revisions go back; watches and caches of clients do not know.
func (s Snapshot) Restore(t testing.TB) {
	t.Helper()
	APIServer.Kill(t)
	Etcd.Kill(t)
	if err := os.RemoveAll(etcdDirectory); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(etcdDirectory, os.DirFS(s.directory)); err != nil {
		t.Fatalf("etcd restore: %v", err)
	}
	if err := os.Chmod(etcdDirectory, 0o700); err != nil {
		t.Fatal(err)
	}
	Etcd.Start(t)
	APIServer.Start(t)
	AwaitAPIServer(t)
}

// CompactEtcd forgets every revision before the present one, so that a watch from an older one gets 410 Gone once it
// is not answered from the API server's cache any more (which starts empty after a restart).
func CompactEtcd(t testing.TB) {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{etcdAddress}, DialTimeout: 5 * time.Second})
	if err != nil {
		t.Fatalf("etcd: %v", err)
	}
	defer client.Close()
	ctx := Short(t)
	now, err := client.Get(ctx, "health")
	if err != nil {
		t.Fatalf("etcd: %v", err)
	}
	if _, err := client.Compact(ctx, now.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatalf("etcd compact: %v", err)
	}
}

// APIServerRequests sums the API server's count of requests by verb and resource, "LIST ingresses", as its metric
// apiserver_request_total has them; for a user agent there is no such metric.
func APIServerRequests(t testing.TB) map[string]float64 {
	t.Helper()
	raw, err := Kubernetes().Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(Short(t))
	if err != nil {
		t.Fatalf("API server's metrics: %v", err)
	}
	metrics, err := ParseMetrics(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("API server's metrics: %v", err)
	}
	sums := map[string]float64{}
	for _, m := range metrics.All("apiserver_request_total") {
		sums[m.Labels["verb"]+" "+m.Labels["resource"]] += m.Value
	}
	return sums
}
