package stack

// This file answers: what lies between the hosts? A simulated packet network
// with everybody's lines, and the gates at which packets are lost.

import (
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/marcopolo/simnet"
)

// bootIndex is the host that everybody enters the DHT through. It is where the
// publisher is, on a line that is never full.
const bootIndex = 1<<16 - 1

// wire is the network between the hosts of a run, by their indices.
type wire struct {
	net   *simnet.Simnet
	lines Network

	mu    sync.Mutex
	ports map[int]*port

	// Owned by the world, read by every packet.
	storm atomic.Uint64 // float64 bits: factor on jitter and loss
	split atomic.Pointer[map[int]bool]

	// Owned by the router's goroutine.
	jitter float64 // 99th percentile, ns
	rng    *rand.Rand
}

// flow is what one host sends another: packets keep their order, as they do on
// nearly all real paths, and those sent together are late together.
type flow struct {
	queue []time.Time // when the packets under way to the router leave the uplink; the port's mu

	// Owned by the router's goroutine.
	way        time.Duration
	sent, last time.Time // the last packet's departure and arrival
	late       time.Duration
}

const (
	// together is the time in which packets share one draw of jitter.
	together = time.Millisecond
	// uplinkQueue bounds what waits for an uplink; more is dropped. A choice:
	// home routers have tens to hundreds of ms.
	uplinkQueue = 300 * time.Millisecond
	// around is the size of the headers around a UDP payload.
	around = 28
	// unlimited is the rate of simnet's own uplinks, bit/s.
	unlimited = 1 << 50
)

func newWire(lines Network, jitter time.Duration, seed uint64) *wire {
	w := &wire{lines: lines, ports: make(map[int]*port), jitter: float64(jitter), rng: rand.New(rand.NewPCG(seed, 11))}
	w.storm.Store(math.Float64bits(1))
	w.net = &simnet.Simnet{LatencyFunc: w.latency, Logger: slog.New(slog.DiscardHandler)}
	w.net.Start()
	return w
}

// addrOf returns the public address of host i. Every host has a /16 of its
// own, as far as there are any, so that nothing takes them for one network.
func addrOf(i int) net.IP { return net.IPv4(45, byte(i), byte(i>>8), 1) }

func indexOf(a net.Addr) int {
	ip := a.(*net.UDPAddr).IP.To4()
	return int(ip[1]) | int(ip[2])<<8
}

// latency is called by simnet's router for one packet after the other.
func (w *wire) latency(p *simnet.Packet) time.Duration {
	f, left := w.port(indexOf(p.From)).departed(indexOf(p.To))
	if left.Sub(f.sent) > together {
		f.late = drawJitter(w.rng, w.jitter*math.Float64frombits(w.storm.Load()))
	}
	f.sent = left
	f.last = maxTime(f.last, left.Add(f.way+f.late))
	return time.Until(f.last)
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// depart puts a packet on the uplink's queue; false: there is no room.
func (p *port) depart(to, size int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.busy.Sub(now) > uplinkQueue {
		p.drops++
		return false
	}
	f := p.flows[to]
	if f == nil {
		f = &flow{way: p.wire.way(p.index, to)}
		p.flows[to] = f
	}
	p.busy = maxTime(p.busy, now).Add(time.Duration(float64(size+around) * p.perByte))
	f.queue = append(f.queue, p.busy)
	return true
}

// departed returns when the next packet of a flow leaves the uplink.
func (p *port) departed(to int) (*flow, time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.flows[to]
	at := f.queue[0]
	f.queue = append(f.queue[:0], f.queue[1:]...)
	return f, at
}

// drawJitter is the model's: lognormal with a median of a tenth of its 99th
// percentile, bounded at four times that.
func drawJitter(rng *rand.Rand, p99 float64) time.Duration {
	if p99 == 0 {
		return 0
	}
	const sigma = 2.302585 / 2.326348 // ln 10 / z(0.99)
	return time.Duration(min(p99/10*math.Exp(sigma*rng.NormFloat64()), 4*p99))
}

// open gives host i its socket.
func (w *wire) open(i int, laddr *net.UDPAddr) *port {
	line := w.line(i)
	w.mu.Lock()
	defer w.mu.Unlock()
	p := &port{wire: w, index: i, loss: line.Loss, perByte: 8e9 / line.Up, flows: make(map[int]*flow), closed: make(chan struct{}),
		conn: w.net.NewEndpoint(laddr, simnet.NodeBiDiLinkSettings{
			Uplink:   simnet.LinkSettings{BitsPerSecond: unlimited},
			Downlink: simnet.LinkSettings{BitsPerSecond: int(line.Down)},
		})}
	w.ports[i] = p
	return p
}

func (w *wire) line(i int) Line {
	if i == bootIndex {
		return Line{Up: 1e9, Down: 1e9}
	}
	return w.lines.Line(i)
}

func (w *wire) way(a, b int) time.Duration {
	if a == bootIndex {
		a = 0
	}
	if b == bootIndex {
		b = 0
	}
	return w.lines.Way(a, b)
}

func (w *wire) port(i int) *port {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ports[i]
}

// apart reports whether a partition lies between two hosts.
func (w *wire) apart(a, b int) bool {
	s := w.split.Load()
	return s != nil && (*s)[a] != (*s)[b]
}

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

	state atomic.Int32
	lost  atomic.Uint64 // packets that the gate swallowed

	mu       sync.Mutex
	perByte  float64       // ns on the uplink
	drops    int           // packets for which the uplink had no room
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
