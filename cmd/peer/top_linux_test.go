package main

// This file answers: how does the binary behave on a terminal?

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/braidway/braidway/internal/testnet"
)

// terminal is a pseudo-terminal that a process runs on. Nobody answers its questions.
type terminal struct {
	master *os.File
	cmd    *exec.Cmd
	done   chan error

	mu   sync.Mutex
	text strings.Builder
}

func onTerminal(t *testing.T, env string, args ...string) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("SKIPPED: no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 100})
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := binary.File(t)
	p := &terminal{master: master, cmd: exec.Command(file, args...), done: make(chan error, 1)}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = slave, slave, slave
	p.cmd.Env = append(os.Environ(), "TERM=xterm-256color", "CI=", "NO_COLOR="+env)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = slave.Close()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	read := make(chan struct{})
	go func() {
		defer close(read)
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			p.mu.Lock()
			p.text.Write(b[:n])
			p.mu.Unlock()
			if err != nil { // the process has ended
				return
			}
		}
	}()
	go func() { err := p.cmd.Wait(); <-read; p.done <- err }()
	return p
}

func (p *terminal) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

func (p *terminal) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-p.done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatalf("it does not end; it said %q", p.said())
		return nil
	}
}

func TestACommandAsksTheTerminalNothing(t *testing.T) {
	p := onTerminal(t, "", "version")
	began := time.Now()
	if err := p.end(t); err != nil {
		t.Fatal(err)
	}
	if text := p.said(); strings.Contains(text, "\x1b") || !strings.Contains(text, "braidway") || time.Since(began) > 4*time.Second {
		t.Errorf("within %v it said %q", time.Since(began), text)
	}
}

func TestTheLiveScreenIsDrawnAndQuit(t *testing.T) {
	pub := start(t, "publisher", "publish", "test:")
	pub.Line(t)
	for _, noColour := range []string{"", "1"} {
		p := onTerminal(t, noColour, "top", "--admin", pub.Admin(), "--interval", "200ms")
		testnet.WaitFor(t, "a frame", 15*time.Second, func() bool { return strings.Contains(p.said(), "STRIPE") && strings.Contains(p.said(), "out ") })
		if coloured := strings.Contains(p.said(), "\x1b[33m") || strings.Contains(p.said(), "\x1b[2m") || strings.Contains(p.said(), "\x1b[1m"); coloured != (noColour == "") {
			t.Errorf("NO_COLOR=%q: %q", noColour, p.said())
		}
		_, _ = p.master.WriteString("?")
		testnet.WaitFor(t, "the help", 10*time.Second, func() bool { return strings.Contains(p.said(), "one line up, down") })
		_, _ = p.master.WriteString("q")
		if err := p.end(t); err != nil {
			t.Error(err)
		}
	}
}
