package chaos

// This file answers: where does a stream of few bytes come from?

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// trickle writes 200 kbit/s into a named pipe, ten times a second: packets are what
// costs processor time, and many processes have to share two.
type trickle struct {
	file string
	stop chan struct{}
	done chan struct{}
}

func newTrickle(t testing.TB, file string) *trickle {
	t.Helper()
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Skipf("SKIPPED: no named pipes here: %v", err)
	}
	f := &trickle{file: file, stop: make(chan struct{}), done: make(chan struct{})}
	t.Cleanup(func() { close(f.stop) })
	return f
}

// run opens the pipe, for which somebody must read it, and writes until the end
// of the test.
func (f *trickle) run() {
	w, err := os.OpenFile(f.file, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer func() { _ = w.Close() }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	piece := make([]byte, 2500)
	for n := byte(0); ; n++ {
		piece[0] = n
		if _, err := w.Write(piece); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-f.stop:
			return
		}
	}
}
