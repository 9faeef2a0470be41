package scale

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// figure prints one measured value beside its target, and fails the test beyond `slack` times the target: two where
// a busy machine may be the cause, one where it may not.
func figure(t *testing.T, name string, value, target float64, unit string, slack float64) {
	t.Helper()
	verdict := "met"
	if value > target {
		verdict = "MISSED"
	}
	fmt.Printf("FIGURE %-44s %10.1f %-4s target %8.1f  %s\n", name, value, unit, target, verdict)
	if value > slack*target {
		t.Errorf("%s: %.1f %s is beyond %.1f", name, value, unit, slack*target)
	}
}

// note prints a value that has no target.
func note(name string, value float64, unit string) {
	fmt.Printf("FIGURE %-44s %10.1f %-4s\n", name, value, unit)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// latencies prints median, 99th percentile and maximum; the target is for the 99th.
func latencies(t *testing.T, name string, all []time.Duration, target time.Duration) {
	t.Helper()
	slices.Sort(all)
	at := func(quantile float64) float64 {
		return milliseconds(all[min(len(all)-1, int(quantile*float64(len(all))))])
	}
	note(name+" p50", at(0.50), "ms")
	figure(t, name+" p99", at(0.99), milliseconds(target), "ms", 2)
	note(name+" max", at(1), "ms")
}
