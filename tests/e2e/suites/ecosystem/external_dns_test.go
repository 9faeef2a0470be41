package ecosystem

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"portico.test/e2e/harness"
)

// record is one of external-dns's, as its JSON has it.
type record struct {
	Name    string   `json:"dnsName"`
	Type    string   `json:"recordType"`
	Targets []string `json:"targets"`
}

// external-dns makes an A record from the address that Portico publishes, and removes it with the Ingress.
func TestExternalDNS(t *testing.T) {
	p := harness.SharedPortico(t)
	host := "shop.dns.test"
	start(t, nil, "external-dns", "--zone=dns.test", "--ingress-class="+p.Class)
	namespace := site(t, p, host, harness.Echo{})
	awaitRecords(t, func(all []record) error {
		for _, r := range all {
			if r.Name == host && r.Type == "A" && len(r.Targets) == 1 && r.Targets[0] == p.Address(t) {
				return nil
			}
		}
		return fmt.Errorf("no A record of %s with %s: %v", host, p.Address(t), all)
	})
	harness.Kubectl(t, "-n", namespace, "delete", "ingress", "shop")
	awaitRecords(t, func(all []record) error {
		if len(all) > 0 {
			return fmt.Errorf("there are still %v", all)
		}
		return nil
	})
}

// awaitRecords waits until the zone that external-dns printed last pleases.
func awaitRecords(t *testing.T, pleases func([]record) error) {
	t.Helper()
	log := filepath.Join(harness.Artifacts(t, "programs"), "external-dns.log")
	harness.Eventually(t, 20*time.Second, "records", func(context.Context) error {
		data, err := os.ReadFile(log)
		if err != nil {
			return err
		}
		var last []record
		for line := range bytes.Lines(data) {
			if bytes.HasPrefix(line, []byte("[")) || bytes.HasPrefix(line, []byte("null")) {
				last = nil
				if err := json.Unmarshal(line, &last); err != nil {
					return err
				}
			}
		}
		return pleases(last)
	})
}
