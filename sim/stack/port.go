package stack

// This file answers: how does a host send and receive? By a line in either
// direction, and a gate at which its packets can be stopped.

import (
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/marcopolo/simnet"
)

// held bounds what waits for a frozen host, bytes: Linux' default socket buffer.
const held = 212_992

type gate int32

const (
	gateOpen   gate = iota
	gateFrozen      // nothing is read or written, what arrives waits as long as there is room
	gateDown        // nothing passes in either direction
)

// port is a host's socket, with a gate. It is below everything that libp2p and
// quic-go do: when it shuts, nobody is told.
type port struct {
	wire  *wire
	index int
	loss  float64 // of a packet, in each direction
	conn  *simnet.SimConn

	up, down bursts
	in       downlink

	state atomic.Int32
	lost  atomic.Uint64 // packets that the gate swallowed

	mu       sync.Mutex
	perByte  float64       // ns on the uplink
	busy     time.Time     // until when the uplink is
	flows    map[int]*flow // by the receiver's index
	moved    chan struct{} // closed when state changes, if anybody waits
	deadline time.Time     // of reads, as the user set it
	waiting  []datagram
	bytes    int
	once     sync.Once
	closed   chan struct{}
}

type datagram struct {
	b    []byte
	from net.Addr
}

var _ net.PacketConn = (*port)(nil)

// set moves the gate. One that is down for good is never moved again.
func (p *port) set(g gate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.Store(int32(g))
	if p.moved != nil {
		close(p.moved)
		p.moved = nil
	}
	if g != gateFrozen && len(p.waiting) > 0 {
		_ = p.conn.SetReadDeadline(time.Now()) // the reader is to look again
	}
}

// bursts is one direction of a line that loses packets as Gilbert's and
// Elliott's model says: all while it is bad, which ends with every second
// packet (POPULATIONS).
type bursts struct {
	mu  sync.Mutex
	bad bool
}

// unlucky says that the line loses a packet.
func (p *port) unlucky(b *bursts) bool {
	if p.loss == 0 {
		return false
	}
	const r = 0.5
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bad {
		b.bad = rand.Float64() >= r
	} else {
		l := min(p.loss*math.Float64frombits(p.wire.storm.Load()), 0.3)
		b.bad = rand.Float64() < r*l/(1-l)
	}
	return b.bad
}

// WriteTo sends one packet; what is lost was sent too.
func (p *port) WriteTo(b []byte, to net.Addr) (int, error) {
	for gate(p.state.Load()) == gateFrozen {
		p.mu.Lock()
		if gate(p.state.Load()) == gateFrozen && p.moved == nil {
			p.moved = make(chan struct{})
		}
		moved := p.moved
		p.mu.Unlock()
		if moved == nil {
			continue
		}
		select {
		case <-moved:
		case <-p.closed:
			return 0, net.ErrClosed
		}
	}
	switch {
	case gate(p.state.Load()) == gateDown:
		p.lost.Add(1)
		return len(b), nil
	case p.unlucky(&p.up) || p.wire.apart(p.index, indexOf(to)) || !p.depart(indexOf(to), len(b)):
		return len(b), nil
	}
	return p.conn.WriteTo(b, to)
}

// ReadFrom reads one packet. It goes on reading when the gate is shut, or the
// router behind would wait for it, and everybody for the router.
func (p *port) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		if n, from := p.kept(b); from != nil {
			return n, from, nil
		}
		n, from, err := p.conn.ReadFrom(b)
		if err != nil {
			p.mu.Lock()
			again := len(p.waiting) > 0 && gate(p.state.Load()) != gateFrozen
			if again {
				_ = p.conn.SetReadDeadline(p.deadline)
			}
			p.mu.Unlock()
			if again {
				continue
			}
			return n, from, err
		}
		switch gate(p.state.Load()) {
		case gateFrozen:
			p.keep(datagram{append([]byte(nil), b[:n]...), from})
		case gateDown:
			p.lost.Add(1)
		default:
			if !p.unlucky(&p.down) {
				return n, from, nil
			}
		}
	}
}

func (p *port) keep(d datagram) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytes+len(d.b) <= held {
		p.waiting, p.bytes = append(p.waiting, d), p.bytes+len(d.b)
	}
}

// kept hands out what waited for a thaw.
func (p *port) kept(b []byte) (int, net.Addr) {
	if gate(p.state.Load()) != gateOpen {
		return 0, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) == 0 {
		return 0, nil
	}
	d := p.waiting[0]
	p.waiting, p.bytes = p.waiting[1:], p.bytes-len(d.b)
	return copy(b, d.b), d.from
}

// LocalAddr implements net.PacketConn.
func (p *port) LocalAddr() net.Addr { return p.conn.LocalAddr() }

// SetReadDeadline implements net.PacketConn.
func (p *port) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = t
	return p.conn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.PacketConn.
func (p *port) SetWriteDeadline(t time.Time) error { return p.conn.SetWriteDeadline(t) }

// SetDeadline implements net.PacketConn.
func (p *port) SetDeadline(t time.Time) error {
	_ = p.SetWriteDeadline(t)
	return p.SetReadDeadline(t)
}

// Close implements net.PacketConn.
func (p *port) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.conn.Close()
}

// depart puts a packet on the uplink's queue; false: there is no room.
func (p *port) depart(to, size int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.busy.Sub(now) > mostQueued {
		return false
	}
	f := p.flows[to]
	if f == nil {
		f = &flow{way: p.wire.way(p.index, to)}
		p.flows[to] = f
	}
	size += around
	p.busy = maxTime(p.busy, now).Add(time.Duration(float64(size) * p.perByte))
	f.queue = append(f.queue, departure{p.busy, size})
	return true
}

// departed returns when the next packet of a flow leaves the uplink.
func (p *port) departed(to int) (*flow, departure) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.flows[to]
	at := f.queue[0]
	f.queue = append(f.queue[:0], f.queue[1:]...)
	return f, at
}

// downlink is the queue before a host. It is full in order of arrival.
type downlink struct {
	perByte float64 // ns

	mu    sync.Mutex
	busy  time.Time
	queue []arrival
}

// arrival is when a packet that waits is through.
type arrival struct {
	at time.Time
	p  *simnet.Packet
}

// RecvPacket implements simnet.PacketReceiver: the router has a packet that arrives now.
func (p *port) RecvPacket(pkt *simnet.Packet) {
	size := p.wire.sizes[pkt]
	delete(p.wire.sizes, pkt)
	d := &p.in
	d.mu.Lock()
	now := time.Now()
	free := len(d.queue) == 0 && !d.busy.After(now)
	if !free && d.busy.Sub(now) > mostQueued {
		d.mu.Unlock()
		return
	}
	at := maxTime(d.busy, now)
	d.busy = at.Add(time.Duration(float64(size) * d.perByte))
	if !free {
		if d.queue = append(d.queue, arrival{at, pkt}); len(d.queue) == 1 {
			time.AfterFunc(at.Sub(now), p.through)
		}
	}
	d.mu.Unlock()
	if free {
		p.conn.RecvPacket(pkt)
	}
}

// through hands over what is through the downlink.
func (p *port) through() {
	d := &p.in
	d.mu.Lock()
	defer d.mu.Unlock()
	for now := time.Now(); len(d.queue) > 0; d.queue = d.queue[1:] {
		if wait := d.queue[0].at.Sub(now); wait > 0 {
			time.AfterFunc(wait, p.through)
			return
		}
		p.conn.RecvPacket(d.queue[0].p)
	}
}
