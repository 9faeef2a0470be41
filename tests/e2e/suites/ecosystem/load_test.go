package ecosystem

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

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
