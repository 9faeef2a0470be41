package lifecycle

import (
	"fmt"
	"testing"
	"time"

	"portico.test/e2e/harness"
)

// A rolling restart of Portico itself: every connection is asked to move before its replica goes.
func TestPorticoRestarted(t *testing.T) {
	portico := harness.SharedPortico(t)
	s := newSite(t, portico, 3)
	rounds := either(3, 10)
	load := s.load().Start(t)
	var times []time.Duration
	for range rounds {
		begin := time.Now()
		harness.Restart(t, portico.Namespace, "portico")
		portico.AwaitReady(t, 2*time.Minute)
		times = append(times, time.Since(begin))
	}
	// The last replicas that were replaced drain still; the load goes on until they are gone.
	replicasSettled(t, portico, 2)
	flawless(t, fmt.Sprintf("%d rolling restarts of Portico", rounds), load.Stop())
	spread(t, "restart to both replicas ready", times)
}
