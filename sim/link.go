package sim

// This file answers: what lies between two peers? Connections, the queues of
// their lines, jitter, and loss as the delay that retransmission makes of it.

import (
	"math"
	"time"

	"github.com/braidway/braidway/overlay"
)

const (
	// lookahead is the least time that any message takes, so that shards may
	// run that long side by side.
	lookahead = 2 * time.Millisecond
	// packet is how many bytes one QUIC packet carries.
	packet = 1200
	// around is what lies around a packet's content on an uplink, bytes: headers of
	// IP, UDP, QUIC and its frames, QUIC's tag (28, 11, 10, 16), and half of another
	// packet's acknowledgement.
	around = 65 + 35
	// ackDelay is QUIC's, which a recovery waits for beside one round trip.
	ackDelay = 25 * time.Millisecond
	// deafTime is for how long a line still carries what is sent to the dead:
	// QUIC stops when its congestion window is full, at first 32 packets, which
	// a stripe of 40 kB/s fills in about a second.
	deafTime = time.Second
	// queueAge is the live runtime's bound on what waits for a child; more, and
	// whole groups are given up.
	queueAge = 2 * time.Second
	// beaconSize and frameSize are the bytes of a beacon and around a message.
	beaconSize, frameSize = 12, 2
)

// conn is one end of a connection. Streams on it keep their order.
type conn struct {
	peer  uint32
	gen   uint32        // both ends have the same; what comes on another is void
	way   time.Duration // undisturbed, one way
	loss  float64       // of a packet, on both lines together
	last  []int64       // arrival of the last message, by stream: stripes, repairs, control
	skip  []uint64      // by stripe: objects below it are given up, the child is too slow
	other overlay.PeerID
}

// Lanes of a connection beside those of the stripes.
func (e *engine) laneControl() int { return e.set.Stripes + 1 }
func (e *engine) laneRepair() int  { return e.set.Stripes }

// find returns p's end of the connection with peer i; nil: there is none.
func (p *peer) find(i uint32) *conn {
	for n, id := range p.ends {
		if id == i {
			return &p.conns[n]
		}
	}
	return nil
}

func (p *peer) attach(e *engine, i, gen uint32) *conn {
	p.detach(i)
	q := &e.peers[i]
	c := conn{peer: i, gen: gen, way: base(&p.profile, &q.profile), loss: p.loss + q.loss, other: q.id,
		last: make([]int64, e.set.Stripes+2), skip: make([]uint64, e.set.Stripes)}
	p.ends, p.conns = append(p.ends, i), append(p.conns, c)
	return &p.conns[len(p.conns)-1]
}

func (p *peer) detach(i uint32) bool {
	for n, id := range p.ends {
		if id == i {
			last := len(p.ends) - 1
			p.ends[n], p.conns[n] = p.ends[last], p.conns[last]
			p.ends, p.conns = p.ends[:last], p.conns[:last]
			return true
		}
	}
	return false
}

// onWire returns the bytes that a frame of this size takes on an uplink.
func onWire(size int) int { return size + around*(1+size/packet) }

// transmit puts size bytes on p's uplink and returns when the last one has
// left. Backfill waits for what is live; live never waits for backfill.
func (p *peer) transmit(now int64, size int, backfill bool) int64 {
	tx := int64(float64(onWire(size)) * p.perByte)
	if !backfill {
		p.live = max(p.live, now) + tx
		p.all = max(p.all, now) + tx
		return p.live
	}
	p.all = max(p.all, now) + tx
	return p.all
}

// send puts an event on the connection c of p. Its time is when the receiver's
// line has it; the rest of the way is the receiver's (receive).
func (s *shard) send(p *peer, c *conn, lane int, backfill bool, ev event) {
	e := s.e
	if s.now > e.deafAt[c.peer] {
		return // the congestion window is full of what is never acknowledged
	}
	left := p.transmit(s.now, int(ev.size), backfill)
	left = max(left, p.cutUntil)
	at := left + int64(c.way) + int64(jitter(p.rng, e.jitterOf(p)))
	if e.split != nil {
		at = max(at, e.healAt(p.index, c.peer, left)+int64(c.way))
	}
	if c.loss > 0 && p.rng.Float64() < 1-math.Pow(1-min(c.loss*e.storm, 0.5), float64(1+int(ev.size)/packet)) {
		at += 2*int64(c.way) + int64(ackDelay)
	}
	at = max(at, c.last[lane]+1)
	c.last[lane] = at
	ev.at, ev.to, ev.from, ev.conn = at, c.peer, p.index, c.gen
	s.post(p, ev)
}

// receive is the receiver's part of the way: its downlink is a queue too, and
// what comes while the line is down waits for the retransmission. It returns
// false when the event is to come later.
func (s *shard) receive(p *peer, ev *event) bool {
	if p.cutUntil > s.now {
		ev.at = p.cutUntil + 2*int64(lookahead)
		s.q.push(*ev)
		return false
	}
	if ev.done {
		return true
	}
	tx := int64(float64(ev.size) * p.perByteDown)
	wait := p.downBusy - s.now
	if wait <= 0 {
		p.downBusy = s.now + tx
		return true
	}
	p.downBusy += tx
	if wait < int64(time.Millisecond) {
		return true
	}
	ev.at, ev.done = s.now+wait, true
	s.q.push(*ev)
	return false
}

// mix is SplitMix64's finaliser (Steele, Lea, Flood 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
