package overlay

// This file answers: what did a neighbour do as a parent, and for how long is
// that held against it? What was measured is believed over what is told. Only
// what a neighbour did to this peer counts, never what others say about it.

import (
	"slices"
	"time"
)

const (
	// trustSpan is over how many objects of a stripe a parent is judged (a guess:
	// 1.6 s at 20 a second).
	trustSpan = 32
	// skippedShare of them may be left out though later ones come. One that repairs itself after a death stays below; one that
	// leaves out every other object is above (a guess).
	skippedShare = 0.25
	// doubtTime is for how long a first failure counts; the nth counts n times as
	// much and as long.
	doubtTime = time.Minute
	maxDoubts = 5
	// maxHollow bounds how often it is counted that one was busy though it said
	// that it had room. It had, perhaps, in another stripe: each time makes it
	// half a hop worse, until it lets this peer in.
	maxHollow = 8
	// maxRecords bounds what is kept of those who are gone.
	maxRecords = 256
)

// trust counts what the parent of a stripe brings.
type trust struct {
	from             uint64 // what came before it does not count
	paid             bool   // something from there on came
	brought, skipped int
	said             uint64        // where it stands by its Status
	aheadAt          time.Duration // since when its claims are ahead; 0: they are not
	broken           bool          // it says that it sends what it does not, and is to be left
}

// record is what a neighbour did as a parent.
type record struct {
	id     PeerID
	doubts uint8 // how often it failed
	doubt  time.Duration
	// lag is how far a stripe from it was behind the live edge when it was left,
	// whatever it says itself; until lagUntil.
	lag      time.Duration
	lagUntil time.Duration
}

// owes begins to judge the parent of stripe i by what comes from now on: what it
// brings of what lies before is a gift. It may have said that it begins later, to one
// that has stood still and does not know how far the stream is; but not much later, or
// it would never owe anything.
func (p *Peer) owes(i int) {
	s := &p.stripes[i]
	from := max(s.front, p.edge)
	s.prog.From(from)
	s.trust = trust{from: max(from, min(s.since, from+uint64(p.cfg.Window)))}
}

// measure judges the parent of stripe i by what it brings, in order: what it
// leaves out before a later object it owes, until it comes after all.
func (p *Peer) measure(i int, ev *Event) {
	s := &p.stripes[i]
	if s.parent == 0 || ev.Peer != s.parent || ev.Repair {
		return
	}
	s.fresh = false // only now it has begun: a beacon is a word
	p.follows(i, ev.Seq)
	if ev.Seq >= s.trust.from && !s.trust.paid {
		s.trust.paid = true
		p.withdraw(i)
		if n := p.neighbour(ev.Peer); n != nil {
			p.forgiveNet(n.subnet)
		}
	}
	pos := s.prog.Position()
	switch {
	case ev.Seq >= pos:
		k := uint64(p.cfg.Stripes)
		for q := p.firstOf(i, max(pos, s.trust.from, p.have.Base())); q < ev.Seq && s.trust.skipped < trustSpan; q += k {
			if !p.have.Has(q) {
				s.trust.skipped++
			}
		}
	case ev.Seq >= s.trust.from && s.trust.skipped > 0 && !p.have.Has(ev.Seq):
		s.trust.skipped--
	}
	s.prog.From(ev.Seq + 1)
	s.trust.brought++
	if s.trust.said > 0 {
		p.noticeClaims(i)
	}
	if t := &s.trust; t.brought+t.skipped >= trustSpan {
		if float64(t.skipped) > skippedShare*float64(t.brought+t.skipped) {
			p.withheld(i)
		}
		t.brought, t.skipped = 0, 0
	}
}

// noticeClaims runs at a parent's beacons and objects: does it say that it sent
// what does not come? That shows though nothing comes from any parent, when the
// live edge stands. Or does it have, by its own word, what it passes on much
// later? Then it has taken more children than it can feed. Those behind see
// that theirs passes on all that it has, and stay.
func (p *Peer) noticeClaims(i int) {
	s := &p.stripes[i]
	queued := s.trust.said - min(s.trust.said, s.prog.Position())
	if s.prog.Ahead() <= p.progress().StarveLag && (queued <= p.progress().StarveLag || p.objectTime(int64(queued)) <= p.cfg.Buffer/2) {
		s.trust.aheadAt = 0
		return
	}
	if s.trust.aheadAt == 0 {
		s.trust.aheadAt = p.now
	}
	if p.now-s.trust.aheadAt >= max(starveTime, p.objectTime(int64(2*p.cfg.Stripes))) {
		p.withheld(i)
	}
}

// withheld leaves the parent of stripe i, which does not send what it says that
// it sends: it is doubted at once, and what is missing is pulled elsewhere.
func (p *Peer) withheld(i int) {
	s := &p.stripes[i]
	n := p.neighbour(s.parent)
	if n == nil || s.try.to != 0 || s.episode.on {
		return
	}
	if s.old != 0 {
		if s.fresh && p.neighbour(s.old) != nil { // it never began, and the one before still sends
			p.blame(n)
			p.blame(n)
			n.busy[i] = p.now + doubtTime
			p.trace(TraceWithheld, n.id, i, s.prog.Position(), 0)
			p.send(n.id, Unsubscribe{Stripe: uint8(i)})
			p.backToOld(i)
		}
		return
	}
	if !s.trust.broken {
		s.trust.broken = true
		p.blame(n) // twice: it was not only unlucky, it said otherwise
		p.blame(n)
		s.siblings, s.uncles = nil, nil // whom it named is no help against it
		p.noteHollow(n.subnet)
		p.beWary()
		p.trace(TraceWithheld, n.id, i, s.prog.Position(), 0)
	}
	p.repairAt = min(p.repairAt, p.now)
	n.busy[i] = p.now + doubtTime
	if o, _ := p.best(i, s.parent, true); o != nil && o.breaker.Allow(p.now) {
		p.ask(o, i, whyMove)
	} else {
		p.widen()
	}
}

// blame notes that n failed as a parent.
func (p *Peer) blame(n *neighbour) {
	r := &n.record
	r.doubts = uint8(min(p.doubts(n)+1, maxDoubts))
	r.doubt = p.now
}

// doubts returns how often n failed as a parent lately.
func (p *Peer) doubts(n *neighbour) int {
	if r := &n.record; r.doubts > 0 && p.now-r.doubt < time.Duration(r.doubts)*doubtTime {
		return int(r.doubts)
	}
	return 0
}

// remember keeps the record of one who goes: to come back does not clear it.
func (p *Peer) remember(n *neighbour) {
	if p.doubts(n) == 0 && p.now >= n.record.lagUntil {
		return
	}
	if len(p.records) == maxRecords {
		p.records = slices.Delete(p.records, 0, 1)
	}
	n.record.id = n.id
	p.records = append(p.records, n.record)
}

// recall returns the record of one who comes, if there is one.
func (p *Peer) recall(id PeerID) record {
	if at := slices.IndexFunc(p.records, func(r record) bool { return r.id == id }); at >= 0 {
		r := p.records[at]
		p.records = slices.Delete(p.records, at, at+1)
		return r
	}
	return record{}
}

// noteLag remembers how late stripe i came from n, which is left.
func (p *Peer) noteLag(n *neighbour, i int) {
	s := &p.stripes[i]
	if lag := max(s.lag-n.rtt/2, p.age(s.prog.Position())) + p.late; lag > lateLimit/4 {
		n.record.lag, n.record.lagUntil = lag, p.now+doubtTime
	}
}

const (
	// lateLimit is how far behind most of its neighbours a peer has to be, with
	// all its stripes, before it counts (a guess: more than any one death costs).
	lateLimit = 400 * time.Millisecond
	// lateVoices is of how many neighbours at least.
	lateVoices = 4
)

// measureLate compares the live edge with what most neighbours say that they
// have. With all stripes late alike there is nothing else to see it by; one
// liar, or a few, change nothing.
func (p *Peer) measureLate() {
	p.late = 0
	var ahead []int64
	for _, n := range p.nbrs {
		if n.ready && n.hi.Epoch == p.epoch && p.now-n.heard < 2*statusEvery && !p.isChild(n.id) {
			ahead = append(ahead, n.ahead)
		}
	}
	if p.cfg.Publisher || !p.started || len(ahead) < lateVoices {
		return
	}
	slices.Sort(ahead)
	if late := p.objectTime(ahead[len(ahead)/2]); late > lateLimit {
		p.late = late
	}
}

// aheadBy is by how much n is ahead of this peer, by its word.
func (p *Peer) aheadBy(n *neighbour) time.Duration { return p.objectTime(max(n.ahead, 0)) }

// objectTime is the time in which so many objects are made.
func (p *Peer) objectTime(n int64) time.Duration {
	if p.spare.stream <= 0 {
		return 0
	}
	return time.Duration(float64(n) / p.spare.stream * float64(time.Second))
}

func (p *Peer) isChild(id PeerID) bool {
	for i := range p.stripes {
		if p.childAt(i, id) >= 0 {
			return true
		}
	}
	return false
}
