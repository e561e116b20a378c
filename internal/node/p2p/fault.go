package p2p

// This file answers: how does a host vanish, or freeze, in the eyes of all
// others, without a goodbye?

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/net/ipv4"
)

// Fault interferes with all UDP sockets of the host that it was given to
// ([HostConfig].Fault), for tests and demonstrations. The zero value lets
// everything through. Its methods may be called at any time from any goroutine.
type Fault struct {
	on    atomic.Bool // state is not faultNone: one load per packet when all is well
	mu    sync.Mutex
	state faultState
	// changed is closed when state changes; nil when nobody waits for that.
	changed chan struct{}
}

type faultState uint8

const (
	faultNone faultState = iota
	faultFrozen
	faultCut
)

// Cut cuts the host off for good, as when its cable is pulled: from now on what
// it writes is swallowed, and what arrives for it is not read. No packet leaves
// any more, not even when the host is closed.
func (f *Fault) Cut() { f.set(faultCut) }

// Freeze stops the host's packets as SIGSTOP would: writes wait, and what
// arrives stays in the kernel's buffer as long as it fits. The rest of the
// program goes on. It does nothing after Cut.
func (f *Fault) Freeze() { f.set(faultFrozen) }

// Thaw ends Freeze: what waited is written and read.
func (f *Fault) Thaw() { f.set(faultNone) }

func (f *Fault) set(s faultState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == faultCut || f.state == s {
		return
	}
	f.state = s
	f.on.Store(s != faultNone)
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// close makes sure that closing the host cannot wait for a thaw.
func (f *Fault) close() {
	f.mu.Lock()
	frozen := f.state == faultFrozen
	f.mu.Unlock()
	if frozen {
		f.set(faultCut)
	}
}

// look returns the state, and a channel that is closed when it changes.
func (f *Fault) look() (faultState, <-chan struct{}) {
	if !f.on.Load() {
		return faultNone, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state != faultNone && f.changed == nil {
		f.changed = make(chan struct{})
	}
	return f.state, f.changed
}

// wrap puts the fault between a socket and its user. A real UDP socket keeps
// batched reads and segmentation offload.
func (f *Fault) wrap(c net.PacketConn) net.PacketConn {
	g := &faultGate{fault: f, poked: make(chan struct{}), closed: make(chan struct{})}
	if u, ok := c.(*net.UDPConn); ok {
		return &faultUDPConn{UDPConn: u, faultGate: g, batch: ipv4.NewPacketConn(u)}
	}
	return &faultPacketConn{PacketConn: c, faultGate: g}
}

// faultGate is the part of a wrapped socket that waits for the fault.
type faultGate struct {
	fault *Fault

	mu     sync.Mutex
	poked  chan struct{} // closed and replaced when a read deadline is set
	once   sync.Once
	closed chan struct{}
}

func (g *faultGate) poke() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.poked)
	g.poked = make(chan struct{})
}

func (g *faultGate) shut() { g.once.Do(func() { close(g.closed) }) }

// maySend waits while the host is frozen. False: pretend that it was sent.
func (g *faultGate) maySend() bool {
	for {
		state, changed := g.fault.look()
		switch state {
		case faultNone:
			return true
		case faultCut:
			return false
		}
		select {
		case <-changed:
		case <-g.closed:
			return false
		}
	}
}

// mayDeliver waits while the host is frozen. False: drop what was read and read
// again, which returns at once when the socket was closed or its deadline moved.
func (g *faultGate) mayDeliver() bool {
	for {
		state, changed := g.fault.look()
		switch state {
		case faultNone:
			return true
		case faultCut:
			return false
		}
		g.mu.Lock()
		poked := g.poked
		g.mu.Unlock()
		select {
		case <-changed:
		case <-poked:
			return false
		case <-g.closed:
			return false
		}
	}
}

// faultUDPConn is what quic-go calls an OOBCapablePacketConn: it reads by
// ReadBatch and writes by WriteMsgUDP.
type faultUDPConn struct {
	*net.UDPConn
	*faultGate
	batch *ipv4.PacketConn
}

var _ quic.OOBCapablePacketConn = (*faultUDPConn)(nil)

// ReadBatch reads several packets in one call.
func (c *faultUDPConn) ReadBatch(ms []ipv4.Message, flags int) (int, error) {
	for {
		n, err := c.batch.ReadBatch(ms, flags)
		if err != nil || c.mayDeliver() {
			return n, err
		}
	}
}

// ReadMsgUDP reads one packet.
func (c *faultUDPConn) ReadMsgUDP(b, oob []byte) (n, oobn, flags int, addr *net.UDPAddr, err error) {
	for {
		n, oobn, flags, addr, err = c.UDPConn.ReadMsgUDP(b, oob)
		if err != nil || c.mayDeliver() {
			return n, oobn, flags, addr, err
		}
	}
}

// ReadFrom reads one packet.
func (c *faultUDPConn) ReadFrom(b []byte) (int, net.Addr, error) {
	return readFrom(c.UDPConn, c.faultGate, b)
}

// WriteMsgUDP writes packets.
func (c *faultUDPConn) WriteMsgUDP(b, oob []byte, addr *net.UDPAddr) (n, oobn int, err error) {
	if !c.maySend() {
		return len(b), len(oob), nil
	}
	return c.UDPConn.WriteMsgUDP(b, oob, addr)
}

// WriteTo writes one packet.
func (c *faultUDPConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	if !c.maySend() {
		return len(b), nil
	}
	return c.UDPConn.WriteTo(b, addr)
}

// SetReadDeadline moves the deadline, also of a read that waits for a thaw.
func (c *faultUDPConn) SetReadDeadline(t time.Time) error {
	err := c.UDPConn.SetReadDeadline(t)
	c.poke()
	return err
}

// SetDeadline moves both deadlines.
func (c *faultUDPConn) SetDeadline(t time.Time) error {
	err := c.UDPConn.SetDeadline(t)
	c.poke()
	return err
}

// Close closes the socket.
func (c *faultUDPConn) Close() error {
	c.shut()
	return c.UDPConn.Close()
}

// faultPacketConn is for sockets that are not the kernel's, as in a simulated network.
type faultPacketConn struct {
	net.PacketConn
	*faultGate
}

// ReadFrom reads one packet.
func (c *faultPacketConn) ReadFrom(b []byte) (int, net.Addr, error) {
	return readFrom(c.PacketConn, c.faultGate, b)
}

// WriteTo writes one packet.
func (c *faultPacketConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	if !c.maySend() {
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, addr)
}

// SetReadDeadline moves the deadline, also of a read that waits for a thaw.
func (c *faultPacketConn) SetReadDeadline(t time.Time) error {
	err := c.PacketConn.SetReadDeadline(t)
	c.poke()
	return err
}

// SetDeadline moves both deadlines.
func (c *faultPacketConn) SetDeadline(t time.Time) error {
	err := c.PacketConn.SetDeadline(t)
	c.poke()
	return err
}

// Close closes the socket.
func (c *faultPacketConn) Close() error {
	c.shut()
	return c.PacketConn.Close()
}

func readFrom(c net.PacketConn, g *faultGate, b []byte) (int, net.Addr, error) {
	for {
		n, addr, err := c.ReadFrom(b)
		if err != nil || g.mayDeliver() {
			return n, addr, err
		}
	}
}
