//go:build !linux

package testnet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

// Fault is what a host's line does to packets.
type Fault struct {
	CutIn, CutOut bool
	Delay         time.Duration
	Loss          float64
}

// Switch joins hosts; there are none but on Linux.
type Switch struct{}

// Host is a machine of its own.
type Host struct {
	Name string
	IP   netip.Addr
}

// NewSwitch skips the test, and fails it with CI=true.
func NewSwitch(t testing.TB) *Switch {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal("hosts of their own need Linux's network namespaces")
	}
	t.Skip("SKIPPED: hosts of their own need Linux's network namespaces")
	return nil
}

// Host is never called.
func (s *Switch) Host(testing.TB) *Host { return nil }

// Set does nothing.
func (h *Host) Set(Fault) {}

func (h *Host) dial(context.Context, string, string) (net.Conn, error) {
	return nil, errors.ErrUnsupported
}
