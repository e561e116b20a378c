package testnet

// This file answers: how does a test give a peer a host of its own, whose cable
// it can pull? Each host is a network namespace with one tun device; the devices
// end in this process, which passes packets from one to the other. So a test has
// what the kernel may not have, loss and delay, without touching anything that
// is not its own.

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Fault is what a host's line does to packets, in each direction on its own.
type Fault struct {
	CutIn, CutOut bool
	Delay         time.Duration // added on the way out
	Loss          float64       // share of packets lost, each way
}

// Switch joins hosts.
type Switch struct {
	mu    sync.RWMutex
	hosts map[netip.Addr]*Host
	wg    sync.WaitGroup
}

// Host is a machine of its own: a namespace with one address.
type Host struct {
	Name string
	IP   netip.Addr

	sw  *Switch
	tun *os.File
	way chan delayed

	mu    sync.Mutex
	fault Fault
}

type delayed struct {
	at time.Time
	to *Host
	b  []byte
}

// NewSwitch returns a switch without hosts. Where namespaces cannot be made, the
// test is skipped, and fails with CI=true.
func NewSwitch(t testing.TB) *Switch {
	t.Helper()
	if err := canMakeHosts(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("hosts of their own: %v", err)
		}
		t.Skipf("SKIPPED: hosts of their own: %v", err)
	}
	s := &Switch{hosts: make(map[netip.Addr]*Host)}
	t.Cleanup(func() {
		s.mu.Lock()
		for _, h := range s.hosts {
			_ = h.tun.Close()
			close(h.way)
			_ = ip("netns", "del", h.Name)
		}
		s.mu.Unlock()
		s.wg.Wait()
	})
	return s
}

func canMakeHosts() error {
	switch _, err := exec.LookPath("ip"); {
	case err != nil:
		return errors.New("the command ip is not installed (package iproute2)")
	case os.Geteuid() != 0:
		return errors.New("only root can make network namespaces")
	}
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %v: %w: %s", args, err, out)
	}
	return nil
}

// Host adds a host.
func (s *Switch) Host(t testing.TB) *Host {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.hosts) + 1
	h := &Host{Name: fmt.Sprintf("braidway-%d-%d", os.Getpid(), rand.IntN(1<<30)), IP: netip.AddrFrom4([4]byte{10, 99, byte(n >> 8), byte(n)}),
		sw: s, way: make(chan delayed, 4096)}
	if err := ip("netns", "add", h.Name); err != nil {
		t.Fatal(err)
	}
	err := h.inside(func() (err error) {
		h.tun, err = openTun("wire")
		return err
	})
	for _, args := range [][]string{{"link", "set", "lo", "up"}, {"addr", "add", h.IP.String() + "/16", "dev", "wire"}, {"link", "set", "wire", "up"}} {
		if err == nil {
			err = ip(append([]string{"-n", h.Name}, args...)...)
		}
	}
	if err != nil {
		_ = ip("netns", "del", h.Name)
		t.Fatal(err)
	}
	s.hosts[h.IP] = h
	s.wg.Add(2)
	go h.read()
	go h.deliver()
	return h
}

// Set changes what the host's line does.
func (h *Host) Set(f Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fault = f
}

func (h *Host) get() Fault {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fault
}

// read takes what the host sends.
func (h *Host) read() {
	defer h.sw.wg.Done()
	b := make([]byte, 1<<16)
	for {
		n, err := h.tun.Read(b)
		if err != nil {
			return
		}
		if n < 20 || b[0]>>4 != 4 {
			continue
		}
		h.sw.mu.RLock()
		to := h.sw.hosts[netip.AddrFrom4([4]byte(b[16:20]))]
		if to != nil {
			h.send(to, b[:n])
		}
		h.sw.mu.RUnlock()
	}
}

func (h *Host) send(to *Host, b []byte) {
	from, there := h.get(), to.get()
	if from.CutOut || there.CutIn || rand.Float64() < from.Loss || rand.Float64() < there.Loss {
		return
	}
	if from.Delay == 0 {
		_, _ = to.tun.Write(b)
		return
	}
	select {
	case h.way <- delayed{time.Now().Add(from.Delay), to, append([]byte(nil), b...)}:
	default: // the line is full
	}
}

// deliver writes what was delayed, in order.
func (h *Host) deliver() {
	defer h.sw.wg.Done()
	for d := range h.way {
		time.Sleep(time.Until(d.at))
		_, _ = d.to.tun.Write(d.b)
	}
}

// inside runs fn in the host's namespace, on a thread of its own.
func (h *Host) inside(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and the thread ends with the goroutine
		f, err := os.Open("/run/netns/" + h.Name)
		if err == nil {
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
			_ = f.Close()
		}
		if err == nil {
			err = fn()
		}
		done <- err
	}()
	return <-done
}

// dial connects as a program on the host would.
func (h *Host) dial(ctx context.Context, network, addr string) (c net.Conn, err error) {
	err = h.inside(func() error {
		var d net.Dialer
		c, err = d.DialContext(ctx, network, addr)
		return err
	})
	return c, err
}

func openTun(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("TUNSETIFF: %w", err)
	}
	return os.NewFile(uintptr(fd), "/dev/net/tun"), nil
}
