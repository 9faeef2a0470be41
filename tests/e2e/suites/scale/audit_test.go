package scale

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"portico.test/e2e/harness"
)

// arguments of the API server, each ended by a zero byte, as the cluster starts it again with.
const arguments = "/run/cluster/daemons/kube-apiserver.argv"

// auditPolicy makes the API server note each request of Portico's ServiceAccount, once, when its response begins or
// ends.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- {level: Metadata, users: ["system:serviceaccount:portico:portico"]}
- {level: None}
`

// auditLog starts the API server again with an audit log of Portico's requests and returns the log's path.
func auditLog(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	log, policy := filepath.Join(dir, "audit.log"), filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(arguments)
	if err != nil {
		t.Fatal(err)
	}
	more := fmt.Appendf(before, "--audit-log-path=%s\x00--audit-policy-file=%s\x00", log, policy)
	harness.APIServer.Kill(t)
	if err := os.WriteFile(arguments, more, 0o644); err != nil {
		t.Fatal(err)
	}
	harness.APIServer.Start(t)
	harness.AwaitAPIServer(t)
	return log
}

// requests counts Portico's requests in the API server's audit log by verb and resource, from `offset` of the file on;
// it returns where it stopped. A watch is counted when it ends.
func requests(t *testing.T, path string, offset int64) (map[string]int, int64) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Seek(offset, 0); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	lines := bufio.NewReaderSize(file, 1<<16)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil { // the end, perhaps within a line that is being written
			return counts, offset
		}
		offset += int64(len(line))
		var event struct {
			Verb           string
			RequestURI     string
			ObjectRef      struct{ Resource, Subresource string }
			ResponseStatus struct{ Code int }
		}
		if err := json.Unmarshal(line, &event); err != nil {
			t.Fatalf("audit log: %v", err)
		}
		resource := event.ObjectRef.Resource
		if event.ObjectRef.Subresource != "" {
			resource += "/" + event.ObjectRef.Subresource
		}
		if event.ResponseStatus.Code >= 400 {
			resource += fmt.Sprintf(" (%d)", event.ResponseStatus.Code)
		}
		counts[event.Verb+" "+resource]++
	}
}

// printRequests prints the counts, most first, and returns their sum.
func printRequests(title string, counts map[string]int) int {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return counts[b] - counts[a] })
	sum := 0
	var parts []string
	for _, name := range names {
		sum += counts[name]
		parts = append(parts, fmt.Sprintf("%d x %s", counts[name], name))
	}
	fmt.Printf("REQUESTS %s: %d (%s)\n", title, sum, strings.Join(parts, ", "))
	return sum
}
