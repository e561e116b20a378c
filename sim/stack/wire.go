package stack

// This file answers: what lies between the hosts? Simnet's router, with ways
// that have jitter.

import (
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
	router simnet.VariableLatencyRouter
	stop   chan struct{}
	done   sync.WaitGroup
	lines  Network

	mu    sync.Mutex
	ports map[int]*port

	// Owned by the world, read by every packet.
	storm atomic.Uint64 // float64 bits: factor on jitter and loss
	split atomic.Pointer[map[int]bool]

	// Owned by the router's goroutine.
	jitter float64 // 99th percentile, ns
	rng    *rand.Rand
	sizes  map[*simnet.Packet]int // of those under way
}

// flow is what one host sends another: packets keep their order, as they do on
// nearly all real paths, and those sent together are late together.
type flow struct {
	queue []departure // of the packets under way to the router; the port's mu

	// Owned by the router's goroutine.
	way        time.Duration
	sent, last time.Time // the last packet's departure and arrival
	late       time.Duration
}

// departure is when a packet leaves the uplink.
type departure struct {
	at   time.Time
	size int // with headers
}

const (
	// together is the time in which packets share one draw of jitter.
	together = time.Millisecond
	// mostQueued bounds what waits for a line; more is dropped. A choice: home
	// routers have tens to hundreds of ms.
	mostQueued = 300 * time.Millisecond
	// around is the size of the headers around a UDP payload.
	around = 28
)

func newWire(lines Network, jitter time.Duration, seed uint64) *wire {
	w := &wire{lines: lines, ports: make(map[int]*port), jitter: float64(jitter), rng: rand.New(rand.NewPCG(seed, 11)),
		stop: make(chan struct{}), sizes: make(map[*simnet.Packet]int)}
	w.storm.Store(math.Float64bits(1))
	w.router.LatencyFunc, w.router.CloseSignal = w.latency, w.stop
	w.router.Start(&w.done)
	return w
}

// close ends the network, after its hosts.
func (w *wire) close() {
	close(w.stop)
	w.done.Wait()
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
	f, d := w.port(indexOf(p.From)).departed(indexOf(p.To))
	w.sizes[p] = d.size
	left := d.at
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
		in: downlink{perByte: 8e9 / line.Down}, conn: simnet.NewBlockingSimConn(laddr)}
	p.conn.SetUpPacketReceiver(&w.router)
	w.router.AddNode(laddr, p)
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
