package sim

// This file answers: how is one core driven in the model?

import (
	"math/rand/v2"
	"time"

	"github.com/braidway/braidway/failover"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/sim/adversary"
)

// core is what is driven: an overlay.Peer, or a baseline's.
type core interface {
	Step(now time.Duration, ev overlay.Event, out []overlay.Action) []overlay.Action
	Deadline() time.Duration
}

// peer is one peer of the model. In a window only its shard touches it; the
// engine does between windows. What every event needs comes first: many peers
// wait for little else than memory.
type peer struct {
	dead, frozen bool
	index        uint32
	counter      uint32
	looking      bool
	core         core
	timer        int64 // when the next timer event comes, 0: none is under way
	cutUntil     int64 // the line is down until then
	downBusy     int64 // when the downlink is free
	perByteDown  float64
	ends         []uint32 // peers of conns
	conns        []conn
	view         *viewer // nil at a publisher
	hash         uint64
	live, all    int64      // when the uplink is free, for what is live and for all
	perByte      float64    // ns
	rng          *rand.Rand // of its network: another than its core's
	shard        *shard
	id           overlay.PeerID

	dials        []pending
	left         int64 // when it stopped watching and began to drain, 0: not
	troubleUntil int64 // a switch away from it until then is no false one
	held         []event
	joined, gone int64
	made         uint64 // objects, at a publisher
	recent       ring
	uplink       failover.Uplink
	door         *failover.Handshakes // of who dials; nil: everybody is let in
	given        int                  // slots that the core was last told
	felt         bool                 // a look at the uplink is planned
	suspected    [][]overlay.PeerID   // by stripe: the path when its parent became suspect
	foe          *adversary.Core      // its core, if it attacks
	tainted      map[uint64]bool      // what it has of objects that do not verify
	profile
}

// next counts what p has sent or planned: with its index, the order of ties.
func (p *peer) next() uint64 {
	p.counter++
	return uint64(p.counter)
}

func (p *peer) order() uint64 { return uint64(p.index)<<32 | p.next() }

// post sends an event of p's to a peer of any shard.
func (s *shard) post(p *peer, ev event) {
	ev.order = p.order()
	if to := int(ev.to) % len(s.away); to != s.number {
		s.away[to] = append(s.away[to], ev)
		return
	}
	s.q.push(ev)
}

// after plans an event of p for itself.
func (s *shard) after(p *peer, d time.Duration, ev event) {
	ev.at, ev.to, ev.order = s.now+int64(d), p.index, p.order()
	s.q.push(ev)
}

// handle is everything that happens to a peer.
func (s *shard) handle(ev *event) {
	p := &s.e.peers[ev.to]
	if p.dead {
		return
	}
	if p.frozen {
		if ev.kind == evTimer {
			p.timer = 0
		} else {
			p.held = append(p.held, *ev)
		}
		return
	}
	switch ev.kind {
	case evTimer:
		if ev.at != p.timer {
			return
		}
		p.timer = 0
		if int64(p.core.Deadline()) <= s.now {
			s.step(p, overlay.Event{Kind: overlay.EvTimeout})
		} else {
			s.arm(p)
		}
	case evPlay:
		s.playTimer(p, ev.at)
	case evMake:
		s.make(p)
	case evObject, evServe, evBeacon, evMessage:
		s.arrived(p, ev)
	case evKnock, evOpen, evHello, evWelcome:
		s.shake(p, ev)
	case evFailed:
		if ev.conn == 0 || p.dialled(ev.from, ev.conn) {
			s.step(p, overlay.Event{Kind: overlay.EvDisconnected, Peer: s.e.peers[ev.from].id})
		}
	case evClosed:
		if c := p.find(ev.from); c != nil && c.gen == ev.conn {
			p.detach(ev.from)
			s.step(p, overlay.Event{Kind: overlay.EvDisconnected, Peer: s.e.peers[ev.from].id})
		}
	case evFound:
		s.found(p, ev)
	case evSlow:
		s.step(p, overlay.Event{Kind: overlay.EvSlow, Peer: s.e.peers[ev.from].id, Stripe: ev.strip})
	case evLook:
		s.look(p)
	}
}

// look has the live runtime's rule decide how many slots the uplink bears. It is
// looked at from the first pressure on, until there is nothing new to see.
func (s *shard) look(p *peer) {
	used := s.e.children(p)
	l := failover.Look{Used: used, Children: used}
	if p.live-s.now > int64(failover.UplinkPressed) {
		l.Behind = used
	}
	before := p.uplink.Pressed()
	n := p.uplink.Look(time.Duration(s.now), s.e.set.Stripes, p.slots, l, p.rng)
	if pressed := p.uplink.Pressed(); n != p.given || pressed != before {
		p.given = n
		s.step(p, overlay.Event{Kind: overlay.EvSlots, Slots: int32(n), Pressed: pressed})
	}
	if p.felt = !p.uplink.Calm(p.slots); p.felt {
		s.after(p, failover.UplinkLook, event{kind: evLook})
	}
}

// arrived handles what came on a connection.
func (s *shard) arrived(p *peer, ev *event) {
	c := p.find(ev.from)
	if c == nil || c.gen != ev.conn || !s.receive(p, ev) {
		return
	}
	e := s.e
	from := c.other
	switch ev.kind {
	case evMessage:
		p.view.control(int(ev.size))
		s.step(p, overlay.Event{Kind: overlay.EvMessage, Peer: from, Msg: ev.msg})
	case evBeacon:
		p.view.control(beaconSize)
		s.step(p, overlay.Event{Kind: overlay.EvBeacon, Peer: from, Stripe: ev.strip, Epoch: e.epochs[ev.epoch].number, Seq: ev.seq})
	default:
		p.view.object(e.set.ObjectSize)
		if s.refused(p, ev, from) {
			return
		}
		s.badNow = ev.bad
		s.step(p, e.objectEvent(from, ev.epoch, ev.seq, ev.kind == evServe))
		s.badNow = false
	}
}

// make cuts the objects of one flush, at the publisher, and then of the next.
func (s *shard) make(p *peer) {
	e := s.e
	if e.epochs[len(e.epochs)-1].publisher == p.index {
		s.cut(p)
		s.after(p, e.flush, event{kind: evMake})
	}
}

func (s *shard) cut(p *peer) {
	e := s.e
	for range e.perFlush {
		s.step(p, e.objectEvent(p.id, uint8(len(e.epochs)-1), p.made, false))
		p.made++
	}
}

// arm plans the core's deadline, unless an earlier timer is under way: it
// looks again then.
func (s *shard) arm(p *peer) {
	d := p.core.Deadline()
	if d == never {
		return
	}
	at := max(int64(d), s.now)
	if p.timer != 0 && p.timer <= at {
		return
	}
	p.timer = at
	s.after(p, time.Duration(at-s.now), event{kind: evTimer})
}

const never = time.Duration(1<<63 - 1)

// step hands one event to the core and does what it asks for.
func (s *shard) step(p *peer, ev overlay.Event) {
	s.events++
	base := len(s.out)
	s.out = p.core.Step(time.Duration(s.now), ev, s.out)
	for n := base; n < len(s.out); n++ {
		s.act(p, s.out[n])
	}
	s.out = s.out[:base]
	s.arm(p)
}

func (s *shard) act(p *peer, a overlay.Action) {
	e := s.e
	p.hash = mix(p.hash^uint64(s.now)) ^ uint64(a.Kind)<<56 ^ uint64(a.Trace)<<48 ^ uint64(a.Peer)
	p.hash = mix(p.hash^a.Seq) ^ uint64(a.Stripe)
	switch a.Kind {
	case overlay.ActSend:
		if c := p.find(indexOf(a.Peer)); c != nil {
			s.send(p, c, e.laneControl(), false, event{kind: evMessage, msg: a.Msg, size: uint32(s.sizeOf(a.Msg) + frameSize)})
		}
	case overlay.ActForward:
		s.forward(p, &a)
	case overlay.ActServe:
		if c := p.find(indexOf(a.Peer)); c != nil {
			s.send(p, c, e.laneRepair(), true, event{kind: evServe, strip: a.Stripe, seq: a.Seq, epoch: e.epochOf(a.Epoch), size: uint32(e.set.ObjectSize), bad: s.spoils(p, a.Seq)})
		}
	case overlay.ActBeacon:
		if c := p.find(indexOf(a.Peer)); c != nil {
			s.send(p, c, int(a.Stripe), false, event{kind: evBeacon, strip: a.Stripe, seq: a.Seq, epoch: e.epochOf(a.Epoch), size: beaconSize})
		}
	case overlay.ActDeliver:
		s.soil(p, a.Seq)
		s.delivered(p, e.epochOf(a.Epoch), a.Seq)
	case overlay.ActStart, overlay.ActEpoch:
		s.started(p, &a)
	case overlay.ActConnect:
		i := indexOf(a.Peer)
		if int(i) < len(e.peers) && i != p.index && p.find(i) == nil {
			s.dial(p, i)
		} else {
			s.after(p, time.Millisecond, event{kind: evFailed, from: min(i, uint32(len(e.peers)-1))})
		}
	case overlay.ActDisconnect, overlay.ActBan:
		if a.Kind == overlay.ActBan {
			s.banned(p, a.Peer)
		}
		s.hangUp(p, indexOf(a.Peer))
	case overlay.ActFind:
		s.search(p)
	case overlay.ActDrained:
		s.drained = append(s.drained, p.index)
	case overlay.ActTrace:
		s.traced(p, &a)
	}
}

// forward sends a live object or backfill to a child. One that waits longer
// than the live runtime's queue bears is given up with the rest of its group.
func (s *shard) forward(p *peer, a *overlay.Action) {
	e := s.e
	c := p.find(indexOf(a.Peer))
	if c == nil || a.Seq < c.skip[a.Stripe] {
		return
	}
	busy := p.live
	if a.Backfill {
		busy = p.all
	}
	if !p.felt && p.slots > 0 && p.live-s.now > int64(failover.UplinkPressed) && e.set.System == Systems()[0] {
		p.felt, p.given = true, p.uplink.Slots(p.slots)
		s.after(p, failover.UplinkLook/2, event{kind: evLook})
	}
	if busy-s.now > int64(queueAge) {
		if !a.Backfill {
			c.skip[a.Stripe] = a.Seq - a.Seq%e.group + e.group
			s.after(p, 0, event{kind: evSlow, from: c.peer, strip: a.Stripe})
		}
		return
	}
	lane := int(a.Stripe)
	if a.Backfill {
		lane = e.laneRepair() // the sender's queue lets live objects pass
	}
	s.send(p, c, lane, a.Backfill, event{kind: evObject, strip: a.Stripe, seq: a.Seq, epoch: e.epochOf(a.Epoch), size: uint32(e.set.ObjectSize), bad: s.spoils(p, a.Seq)})
}

// hangUp closes a connection; the other side hears of it.
func (s *shard) hangUp(p *peer, i uint32) {
	if c := p.find(i); c != nil {
		s.send(p, c, s.e.laneControl(), false, event{kind: evClosed, size: 32})
		p.detach(i)
	}
}

// sizer is a message that knows its size on the wire: a baseline's.
type sizer interface{ Size() int }

func (s *shard) sizeOf(m overlay.Message) int {
	if z, ok := m.(sizer); ok {
		return z.Size()
	}
	s.scratch = overlay.AppendMessage(s.scratch[:0], m)
	return len(s.scratch)
}

// indexOf returns the index that newID put into id.
func indexOf(id overlay.PeerID) uint32 { return uint32(id) - 1 }

// newID makes the id of peer index: its high half, which says its home
// stripe, is random, its low half is the index, so that no map is needed.
func newID(rng *rand.Rand, index uint32) overlay.PeerID {
	return overlay.PeerID(uint64(rng.Uint32())<<32 | uint64(index+1))
}
