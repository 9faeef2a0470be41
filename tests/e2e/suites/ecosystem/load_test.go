package ecosystem

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"portico.test/e2e/harness"
)

var completed = regexp.MustCompile(`(\d+) requests in`)

// wrk from outside the cluster, as the README shows it, for three seconds. It prints a line about errors only when there
// were some.
func TestWrk(t *testing.T) {
	p := harness.SharedPortico(t)
	host := "shop.wrk.test"
	site(t, p, host, harness.Echo{Replicas: 3})
	for _, scheme := range []string{"http", "https"} {
		out := said(t, "nsenter", "--net=/run/netns/outside", "wrk", "-t2", "-c50", "-d3s", "--latency", "-H", "Host: "+host, scheme+"://"+p.Address(t)+"/")
		found := completed.FindStringSubmatch(out)
		if found == nil || strings.Contains(out, "Socket errors") || strings.Contains(out, "Non-2xx") {
			t.Fatalf("wrk over %s:\n%s", scheme, out)
		}
		if n, err := strconv.Atoi(found[1]); err != nil || n < 100 {
			t.Fatalf("only %s requests over %s:\n%s", found[1], scheme, out)
		}
		fmt.Printf("FIGURE %s over %s: %s\n", t.Name(), scheme, strings.Join(strings.Fields(out), " "))
	}
}

// oha from outside the cluster, as the README shows it. Over HTTP/2 its --host would be a Host field beside another
// :authority, which is refused; there the name is that of the URL, and the address is given beside it.
func TestOha(t *testing.T) {
	p := harness.SharedPortico(t)
	host := "shop.oha.test"
	site(t, p, host, harness.Echo{Replicas: 3})
	for name, how := range map[string][]string{
		"HTTP":   {"--host", host, "http://" + p.Address(t) + "/"},
		"HTTPS":  {"--host", host, "https://" + p.Address(t) + "/"},
		"HTTP/2": {"--http2", "-p", "10", "--connect-to", host + ":443:" + p.Address(t) + ":443", "https://" + host + "/"},
	} {
		arguments := append([]string{"--net=/run/netns/outside", program("oha"), "--no-tui", "--output-format", "json", "--insecure",
			"-z", "3s", "-w", "-c", "20"}, how...)
		var report struct {
			Summary     struct{ SuccessRate, RequestsPerSec float64 }
			Percentiles struct{ P50, P99 float64 } `json:"latencyPercentiles"`
			Statuses    map[string]int             `json:"statusCodeDistribution"`
			Errors      map[string]int             `json:"errorDistribution"`
		}
		out := said(t, "nsenter", arguments...)
		if err := json.Unmarshal([]byte(out), &report); err != nil {
			t.Fatalf("oha over %s: %v\n%s", name, err, out)
		}
		if len(report.Errors) > 0 || len(report.Statuses) != 1 || report.Statuses["200"] < 100 {
			t.Fatalf("oha over %s: statuses %v, errors %v", name, report.Statuses, report.Errors)
		}
		seconds := func(s float64) time.Duration {
			return time.Duration(s * float64(time.Second)).Round(10 * time.Microsecond)
		}
		fmt.Printf("FIGURE %s over %s: %d answered, %.0f/s, p50 %v, p99 %v\n", t.Name(), name, report.Statuses["200"],
			report.Summary.RequestsPerSec, seconds(report.Percentiles.P50), seconds(report.Percentiles.P99))
	}
}
