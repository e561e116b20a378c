package sim

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// mayBeHuge says whether this process has asked for huge pages at addr, by the flags of
// the mapping: whether there are any at the moment is the system's affair.
func mayBeHuge(t *testing.T, addr uintptr) bool {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	defer func() { _ = f.Close() }()
	here := false
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var from, to uintptr
		if n, _ := fmt.Sscanf(sc.Text(), "%x-%x ", &from, &to); n == 2 {
			here = from <= addr && addr < to
		} else if flags, ok := strings.CutPrefix(sc.Text(), "VmFlags:"); ok && here {
			return slices.Contains(strings.Fields(flags), "hg")
		}
	}
	t.Fatalf("no mapping has %x", addr)
	return false
}

func TestAGrownHeapMayBeInHugePages(t *testing.T) {
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err != nil {
		t.Skipf("SKIPPED: this system has no huge pages: %v", err)
	}
	pages := newHugePages()
	heap := make([]byte, 256<<20)
	at := uintptr(unsafe.Pointer(&heap[len(heap)/2]))
	pages.look()
	if !mayBeHuge(t, at) {
		t.Error("the heap has grown by 256 MB, and nobody asked for huge pages")
	}
	runtime.KeepAlive(heap)
}
