package scale

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	authentication "k8s.io/api/authentication/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"portico.test/e2e/harness"
)

// installRights applies deploy/'s base but for the Deployment, which the fake node would run as an echo server, and what
// belongs to it.
func installRights(t *testing.T) {
	t.Helper()
	harness.InstallPortico(t, harness.Install{NoWait: true, Edit: func(o *unstructured.Unstructured) bool {
		switch o.GetKind() {
		case "Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget":
			return false
		}
		return true
	}})
	harness.BalancerAddress(t, "portico", "portico")
}

// kubeconfig writes one with a token of Portico's ServiceAccount.
func kubeconfig(t *testing.T) string {
	t.Helper()
	token, err := client().CoreV1().ServiceAccounts("portico").CreateToken(t.Context(), "portico",
		&authentication.TokenRequest{}, meta.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	admin := harness.Config()
	config := clientcmdapi.NewConfig()
	config.Clusters["cluster"] = &clientcmdapi.Cluster{Server: admin.Host, CertificateAuthority: admin.CAFile}
	config.AuthInfos["portico"] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	config.Contexts["cluster"] = &clientcmdapi.Context{Cluster: "cluster", AuthInfo: "portico"}
	config.CurrentContext = "cluster"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// binary is the Portico under test: PORTICO_BINARY, or the one built for the image.
func binary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("PORTICO_BINARY"); path != "" {
		return path
	}
	return filepath.Join(harness.Root(), "target/x86_64-unknown-linux-gnu/release/portico")
}

// portico is a Portico process; its log goes to the artifacts.
type portico struct {
	command *exec.Cmd
	ended   chan error
}

// start runs Portico against the cluster; it does not wait for it to be ready.
func start(t *testing.T, kubeconfig string) *portico {
	t.Helper()
	log, err := os.CreateTemp(harness.Artifacts(t, "portico"), "log-*")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	command := exec.Command(binary(t), "serve", "--kubeconfig", kubeconfig, "--publish-service", "portico/portico",
		"--pod-namespace", "portico", "--pod-name", "portico-on-the-node", "--node-name", "node-1",
		"--http", trafficAddress, "--https", "127.0.0.1:18443", "--status", statusAddress, "--admin", adminAddress,
		"--drain-delay", "0s", "--drain-timeout", "1s")
	command.Stderr = log
	if err := command.Start(); err != nil {
		t.Fatalf("%v; the image's script builds it", err)
	}
	p := &portico{command: command, ended: make(chan error, 1)}
	go func() { p.ended <- command.Wait() }()
	t.Cleanup(func() { _ = command.Process.Kill() })
	return p
}

// stop ends Portico as a rollout would.
func (p *portico) stop(t *testing.T) {
	t.Helper()
	_ = p.command.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-p.ended:
		if err != nil {
			t.Errorf("Portico ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Portico did not end within 20 s of SIGTERM")
	}
}

// memory is resident memory now and at its highest, in MB.
func (p *portico) memory(t *testing.T) (now, highest float64) {
	t.Helper()
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	read := func(line string) float64 {
		kilobytes, err := strconv.ParseFloat(strings.Fields(line)[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		return kilobytes * 1024 / 1e6
	}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "VmRSS:"):
			now = read(line)
		case strings.HasPrefix(line, "VmHWM:"):
			highest = read(line)
		}
	}
	return now, highest
}
