package testnet

// This file answers: how does a test step the clock of a process?
//
// Go reads the time from the kernel without a system call that could be caught,
// and the kernel's clock is everybody's. So the peer command is built with two files
// of the standard library replaced: its time.Now adds to the wall clock, and not
// to the monotonic one, what a page says that it shares with the test.

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// clockFile is the environment variable that names the page.
const clockFile = "TESTNET_CLOCK"

// readsClock is what time.Now begins with.
const readsClock = "sec, nsec, mono := runtimeNow()\n\tif mono == 0 {"

// steppedClock is the file that package time gets on top.
const steppedClock = `package time

import (
	"syscall"
	"unsafe"
)

var clockPage []byte

func init() {
	name, ok := syscall.Getenv("` + clockFile + `")
	if !ok {
		return
	}
	f, err := syscall.Open(name, syscall.O_RDONLY, 0)
	if err == nil {
		clockPage, err = syscall.Mmap(f, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	}
	if err != nil {
		panic(err)
	}
}

func clockStep() int64 {
	if clockPage == nil {
		return 0
	}
	return *(*int64)(unsafe.Pointer(&clockPage[0]))
}
`

// BuildStepping is [Build] of a command whose processes take their wall clock from
// [Place.Clock]. All that it depends on is compiled anew once, for minutes.
func BuildStepping(dir string) *Program {
	return &Program{dir: dir, flags: func(tmp string) ([]string, error) {
		list, err := steppingTime(tmp)
		return []string{"-overlay", list}, err
	}}
}

// steppingTime writes the files that are replaced into tmp, and the list of them for go build.
func steppingTime(tmp string) (string, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	original, err := os.ReadFile(filepath.Join(folder, "time.go")) //nolint:gosec // of Go itself
	if err != nil {
		return "", err
	}
	if strings.Count(string(original), readsClock) != 1 {
		return "", fmt.Errorf("time.Now of %s does not begin with %q", folder, readsClock)
	}
	changed := strings.Replace(string(original), readsClock, strings.Replace(readsClock, "\n", "\n\tsec += clockStep()\n", 1), 1)
	overlay := map[string]map[string]string{"Replace": {}}
	for name, text := range map[string]string{"time.go": changed, "clock_step.go": steppedClock} {
		file := filepath.Join(tmp, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return "", err
		}
		overlay["Replace"][filepath.Join(folder, name)] = file
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	file := filepath.Join(tmp, "overlay.json")
	return file, os.WriteFile(file, list, 0o600)
}

// Clock is the wall clock of a process, as far as it differs from this machine's.
type Clock struct{ file string }

// NewClock returns a clock that goes right.
func NewClock(t testing.TB) *Clock {
	t.Helper()
	c := &Clock{filepath.Join(t.TempDir(), "clock")}
	c.Step(t, 0)
	return c
}

// Step sets the clock d ahead of this machine's, in whole seconds.
func (c *Clock) Step(t testing.TB, d time.Duration) {
	t.Helper()
	f, err := os.OpenFile(c.file, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(int64(d/time.Second))), 0) //nolint:gosec // two's complement
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}
