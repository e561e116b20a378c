package sim

// This file answers: what does it take until two peers are connected? Four
// flights: the dialler knocks, the door opens or not, and after the handshake
// both say who they are.

import (
	"time"

	"github.com/braidway/braidway/failover"
	"github.com/braidway/braidway/overlay"
)

const (
	// Bytes of the flights, with headers (measured on loopback, libp2p v0.51.0). The
	// first two and half of the third are QUIC's handshake, padded and with a key
	// that stands up to quantum computers; the others identify, the session's hello
	// and a card. What the dialled side sends is failover.HandshakeBytes together.
	knockBytes   = 2700
	openBytes    = 3000
	helloBytes   = 5300
	welcomeBytes = failover.HandshakeBytes - openBytes
	// lazyTrips is what negotiating costs beside the flights, in round trips: a
	// stream to a new peer has its first byte after 46 ms at 20 ms (FACTS).
	lazyTrips = 0.3
	// punchTime is what coordinating a hole punch adds (a guess: two more
	// round trips over a relay).
	punchTime = 150 * time.Millisecond
	// dialTimeout is the live runtime's.
	dialTimeout = 5 * time.Second
)

// pending is a dial without an answer yet.
type pending struct {
	peer, gen uint32
	open      bool // the other side's door, so that the handshake goes on
}

// dial tries to connect p with peer i.
func (s *shard) dial(p *peer, i uint32) {
	q := &s.e.peers[i]
	gen := p.next()
	chance := direct(p.nat, q.nat)
	if chance < 1 && pairDraw(s.e.seed, p.index, i) >= chance {
		s.after(p, dialTimeout, event{kind: evFailed, from: i})
		return
	}
	extra := time.Duration(0)
	if q.nat != natOpen && p.nat != natOpen {
		extra = punchTime
	}
	// Should nobody answer, the dial ends by its time-out: an answer makes it void.
	s.after(p, dialTimeout, event{kind: evFailed, from: i, conn: uint32(gen)})
	p.dials = append(p.dials, pending{peer: i, gen: uint32(gen)})
	s.flight(p, i, event{kind: evKnock, conn: uint32(gen), size: knockBytes}, extra)
}

// flight sends what belongs to a dial, for which there is no connection yet.
func (s *shard) flight(p *peer, to uint32, ev event, extra time.Duration) {
	e := s.e
	left := max(p.transmit(s.now, int(ev.size), false), p.cutUntil)
	if e.split != nil {
		left = e.healAt(p.index, to, left)
	}
	ev.at = left + int64(base(&p.profile, &e.peers[to].profile)+jitter(p.rng, e.jitterOf(p))+extra)
	ev.to, ev.from = to, p.index
	s.post(p, ev)
}

// shake is a flight's arrival. When both dial at once, the one whose door opens
// first counts; the lower index's, when both do. One too many is turned away at the
// door, as by the live host.
func (s *shard) shake(p *peer, ev *event) {
	q := &s.e.peers[ev.from]
	switch ev.kind {
	case evKnock:
		if p.door != nil && !p.door.Allow(time.Duration(s.now)) {
			s.reject(p, ev, evFailed)
			return
		}
		s.flight(p, ev.from, event{kind: evOpen, conn: ev.conn, size: openBytes}, 0)
	case evOpen:
		if d := p.dialling(ev.from); d != nil && d.gen == ev.conn {
			d.open = true
			way := base(&p.profile, &q.profile)
			s.flight(p, ev.from, event{kind: evHello, conn: ev.conn, size: helloBytes}, time.Duration(2*lazyTrips*float64(way)))
		}
	case evHello:
		if d := p.dialling(ev.from); d != nil {
			if d.open && p.index < ev.from {
				return
			}
			p.dialled(ev.from, d.gen)
		}
		c := p.attach(s.e, ev.from, ev.conn)
		rtt := 2 * c.way
		s.send(p, c, s.e.laneControl(), false, event{kind: evWelcome, size: welcomeBytes, seq: uint64(rtt)})
		s.step(p, overlay.Event{Kind: overlay.EvConnected, Peer: q.id, RTT: rtt, Subnet: s.e.subnetOf(q)})
	case evWelcome:
		if !p.dialled(ev.from, ev.conn) { // too late: the dial was given up
			s.reject(p, ev, evClosed)
			return
		}
		p.attach(s.e, ev.from, ev.conn)
		s.step(p, overlay.Event{Kind: overlay.EvConnected, Peer: q.id, RTT: time.Duration(ev.seq), Subnet: s.e.subnetOf(q)})
	}
}

// reject tells the sender of a flight, for less than is worth counting, that nothing
// comes of it.
func (s *shard) reject(p *peer, ev *event, how eventKind) {
	way := base(&p.profile, &s.e.peers[ev.from].profile)
	s.post(p, event{at: s.now + int64(way), to: ev.from, from: p.index, conn: ev.conn, kind: how})
}

// dialling returns p's dial to peer i that waits for an answer; nil: there is none.
func (p *peer) dialling(i uint32) *pending {
	for n := range p.dials {
		if p.dials[n].peer == i {
			return &p.dials[n]
		}
	}
	return nil
}

// dialled ends p's dial to peer i of that generation, and reports whether there
// was one.
func (p *peer) dialled(i, gen uint32) bool {
	for n, d := range p.dials {
		if d.peer == i && d.gen == gen {
			p.dials = append(p.dials[:n], p.dials[n+1:]...)
			return true
		}
	}
	return false
}

// pairDraw is a number in [0,1) that belongs to the pair of networks, not to
// the try: a NAT is hard, or it is not.
func pairDraw(seed uint64, a, b uint32) float64 {
	if a > b {
		a, b = b, a
	}
	x := mix(seed ^ uint64(a)<<32 ^ uint64(b) ^ 0x9e3779b97f4a7c15)
	return float64(x>>11) / (1 << 53)
}
