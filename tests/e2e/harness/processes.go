package harness

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// Processes are the ids of a pod's processes, without the one that holds its namespaces. The cluster's containers are
// processes of the namespace the test runs in, found by their control groups.
func Processes(t testing.TB, pod corev1.Pod) []int {
	t.Helper()
	uid := string(pod.UID)
	files, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, file := range files {
		groups, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(groups, []byte(uid)) && !bytes.Contains(groups, []byte(strings.ReplaceAll(uid, "-", "_"))) {
			continue // ended meanwhile, or another's
		}
		directory := filepath.Dir(file)
		if line, err := os.ReadFile(filepath.Join(directory, "cmdline")); err != nil || bytes.HasPrefix(line, []byte("/pause")) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(directory))
		if err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// SignalPod sends a signal to all processes of a pod; SIGKILL is a crash that the kubelet learns of afterwards.
func SignalPod(t testing.TB, pod corev1.Pod, signal syscall.Signal) {
	t.Helper()
	pids := Processes(t, pod)
	if len(pids) == 0 {
		t.Fatalf("pod %s/%s has no processes", pod.Namespace, pod.Name)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, signal); err != nil {
			t.Fatalf("%v to process %d of %s: %v", signal, pid, pod.Name, err)
		}
	}
}

// RSS is the resident memory of a pod's processes in bytes.
func RSS(t testing.TB, pod corev1.Pod) int64 {
	t.Helper()
	var sum int64
	for _, pid := range Processes(t, pod) {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			continue // ended meanwhile
		}
		fields := strings.Fields(string(data))
		if len(fields) < 2 {
			continue
		}
		pages, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += pages * int64(os.Getpagesize())
	}
	return sum
}
