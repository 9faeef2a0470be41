// Package lifecycle holds Portico to its first promise: whatever starts, stops, moves, dies or goes missing around it, the
// requests of clients are served. Each test prints a line of figures; with PORTICO_E2E_LONG set they run at full length.
//
// The backends are well made: they serve for three seconds after they begin to end, so that Portico can notice first.
package lifecycle

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"portico.test/e2e/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// long says whether the full length is wanted rather than one that fits a check of every change.
var long = os.Getenv("PORTICO_E2E_LONG") != ""

func either[T any](short, full T) T {
	if long {
		return full
	}
	return short
}

// figure prints one line of what a test measured.
func figure(t *testing.T, format string, values ...any) {
	t.Helper()
	fmt.Printf("FIGURE %s: %s\n", t.Name(), fmt.Sprintf(format, values...))
}

// flawless prints what a load met and fails the test when a request failed.
func flawless(t *testing.T, what string, report *harness.Report) {
	t.Helper()
	figure(t, "%s: %v", what, report)
	if report.Failures() > 0 {
		t.Errorf("%s: %d of %d requests failed", what, report.Failures(), report.Sent)
	}
	if report.OK == 0 {
		t.Errorf("%s: no request was served", what)
	}
}

// spread prints times and returns their 99th percentile and their maximum.
func spread(t *testing.T, what string, times []time.Duration) (p99, slowest time.Duration) {
	t.Helper()
	slices.Sort(times)
	round := func(quantile float64) time.Duration {
		return times[min(len(times)-1, int(quantile*float64(len(times))))].Round(time.Millisecond)
	}
	p99, slowest = round(0.99), round(1)
	figure(t, "%s: %d times, p50 %v, p99 %v, slowest %v", what, len(times), round(0.5), p99, slowest)
	return p99, slowest
}

// within fails the test when something took longer than it may.
func within(t *testing.T, what string, took, target time.Duration) {
	t.Helper()
	if took > target {
		t.Errorf("%s: %v, more than %v", what, took.Round(time.Millisecond), target)
	}
}
