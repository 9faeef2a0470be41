package lifecycle

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

const cutTable = "cut"

// cutOff takes the way to the API server from some pods; the rest of the cluster keeps it. Refused, every attempt ends
// at once (the way back is open for resets alone); dropped, nothing comes back, as when a cable is cut. The returned function mends it; the test's end does too.
func cutOff(t *testing.T, verdict string, pods ...corev1.Pod) (mend func()) {
	t.Helper()
	var addresses []string
	for _, pod := range pods {
		addresses = append(addresses, pod.Status.PodIP)
	}
	from := strings.Join(addresses, ", ")
	packetFilter(t, fmt.Sprintf(`table inet %s {
	chain to { type filter hook input priority -10; ip saddr { %s } tcp dport 6443 %s; }
	chain from {
		type filter hook output priority -10
		ip daddr { %s } tcp sport 6443 tcp flags & rst == 0 drop
	}
}`, cutTable, from, verdict, from))
	mended := false
	mend = func() {
		if !mended {
			mended = true
			packetFilter(t, "delete table inet "+cutTable)
		}
	}
	t.Cleanup(mend)
	return mend
}

const (
	refused = "reject with tcp reset"
	dropped = "drop"
)

func packetFilter(t *testing.T, rules string) {
	t.Helper()
	command := exec.Command("nft", "-f", "-")
	command.Stdin = strings.NewReader(rules)
	var said bytes.Buffer
	command.Stderr = &said
	if err := command.Run(); err != nil {
		t.Fatalf("nft: %v: %s\n%s", err, &said, rules)
	}
}
