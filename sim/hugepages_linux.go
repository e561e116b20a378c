package sim

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"syscall"
)

const (
	hugePage = 2 << 20
	// collapse is MADV_COLLAPSE of Linux 6.1.
	collapse = 25
)

// askForHugePages asks for all of the heap. What the system refuses stays slower, and
// nothing else: so there are no errors.
func askForHugePages() {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text()) // from-to, permissions, offset, device, inode, and a file's name
		if len(fields) != 5 || fields[1] != "rw-p" {
			continue
		}
		a, b, _ := strings.Cut(fields[0], "-")
		from, err1 := strconv.ParseUint(a, 16, 64)
		to, err2 := strconv.ParseUint(b, 16, 64)
		if err1 != nil || err2 != nil || to-from < leastHeap {
			continue
		}
		from, to = (from+hugePage-1)/hugePage*hugePage, to/hugePage*hugePage
		for _, advice := range []uintptr{syscall.MADV_HUGEPAGE, collapse} { // what is to come, and what is there
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, uintptr(from), uintptr(to-from), advice)
		}
	}
}
