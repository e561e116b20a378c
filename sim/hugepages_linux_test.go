package sim

import (
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// inHugePages returns how much of this process's memory is, in kB.
func inHugePages(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	m := regexp.MustCompile(`AnonHugePages: +(\d+) kB`).FindSubmatch(b)
	if m == nil {
		t.Skip("SKIPPED: the system does not tell of huge pages")
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}

func TestAGrownHeapIsInHugePages(t *testing.T) {
	const modes = "/sys/kernel/mm/transparent_hugepage/enabled"
	if b, err := os.ReadFile(modes); err != nil || strings.Contains(string(b), "[never]") {
		t.Skipf("SKIPPED: this system gives no huge pages: %s %v", b, err)
	}
	pages := newHugePages()
	heap := make([]byte, 256<<20)
	for i := range heap {
		heap[i] = 1
	}
	pages.look()
	if in := inHugePages(t); in < len(heap)>>10/2 {
		t.Errorf("%d MB are in huge pages, of a heap of %d and more", in>>10, len(heap)>>20)
	}
	runtime.KeepAlive(heap)
}
