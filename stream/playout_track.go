package stream

// This file answers: what happens to playback at a late object, a hole, a
// start and a new epoch?

import "time"

const (
	// fenceGrace is how many objects of an epoch are still taken after a
	// higher one was seen: those that were on their way, 0.8 s at 80 a second.
	fenceGrace = 64
	// maxInterval bounds what counts as the time from one object to the next:
	// more is a pause of the publisher.
	maxInterval = 250 * time.Millisecond
)

// playoutTrack is the part of the playout that belongs to one epoch.
type playoutTrack struct {
	epoch   uint64
	ring    objectRing
	have    *SeqSet // all that came, also after it was skipped
	clock   publisherClock
	follows bool // the clock goes on from the epoch before

	next    uint64        // Seq of the object to be played next
	fence   uint64        // from here on nothing is taken
	upto    uint64        // contiguous has looked up to here
	started bool          // an object was played
	first   uint64        // Seq of the first one played
	grace   time.Duration // no hole is skipped before, a buffer after the first one came

	last     time.Duration // place of the object played last
	lastSeq  uint64
	deadline time.Duration // of the object played last
	interval time.Duration // mean time from one object to the next
}

func newPlayoutTrack(epoch, first uint64) *playoutTrack {
	t := &playoutTrack{
		epoch: epoch, next: first, upto: first, fence: MaxSeq + 1,
		have: NewSeqSet(2 * MaxPlayoutObjects), grace: -Never,
	}
	t.have.Reset(first)
	return t
}

// empty reports whether nothing was played and nothing waits.
func (t *playoutTrack) empty() bool { return !t.started && t.ring.count == 0 }

// lowest returns the slot of the lowest Seq; the ring is not empty.
func (r *objectRing) lowest() *ringSlot { return r.slot(r.low) }

// rebase moves the start, before anything was played.
func (t *playoutTrack) rebase(first uint64) {
	t.ring.drop(first)
	t.next, t.upto = first, first
	t.have.Reset(first)
	if t.ring.count == 0 {
		return
	}
	for seq := t.ring.low; seq <= t.ring.high; seq++ {
		if t.ring.get(seq) != nil {
			t.have.Add(seq)
		}
	}
}

// put takes a new object and returns by how much the clock's offset grew.
func (t *playoutTrack) put(now time.Duration, o Parsed) (rise time.Duration) {
	floor := -Never
	if t.started {
		floor = t.last
	}
	s := ringSlot{p: o, at: now}
	s.clock, s.late, rise = t.clock.observe(now, o.Seq, o.Time, floor)
	t.have.Add(o.Seq)
	t.ring.put(s)
	if o.Flags == FlagEnd {
		t.fence = min(t.fence, o.Seq+1)
	}
	return rise
}

// pop drops the object that is next.
func (t *playoutTrack) pop() {
	t.next++
	t.ring.drop(t.next)
}

func (t *playoutTrack) contiguous() uint64 {
	t.upto = max(t.upto, t.next)
	for t.ring.get(t.upto) != nil {
		t.upto++
	}
	return t.upto
}

// fenceOff makes the track end soon, whatever its publisher still sends.
func (t *playoutTrack) fenceOff() {
	if t.fence > MaxSeq {
		end := t.next
		if t.ring.count > 0 {
			end = max(end, t.ring.high+1)
		}
		t.fence = min(end+fenceGrace, MaxSeq)
	}
}

// settle looks whether s, for which playback has to wait, came after its
// deadline. Playback then goes on as much later, and unless it is only starting
// that was a stall. If s is behind a hole, the hole gets a little time: when all
// parents were replaced, one stripe's objects come before another's.
func (p *Playout) settle(s *ringSlot, hole bool) {
	if s.late <= p.buffer+p.lag {
		p.rush = false
		return
	}
	over := p.overdue(s)
	if over == 0 {
		return
	}
	if s.at >= p.cur.grace {
		p.stall(over)
	}
	p.lag += over
	if p.lag > MaxLag {
		p.lag, p.rush = 0, true
	} else if hole {
		p.hold = s.at + p.buffer/4
	}
}

func (p *Playout) stall(d time.Duration) {
	if !p.stalled {
		p.stalled = true
		p.stats.Stalls++
	}
	p.stats.StallTime += d
}

// pass gets playback over the hole that it is at, to the next object or epoch.
// It returns false when it is not yet time.
func (p *Playout) pass(now time.Duration) bool {
	t := p.cur
	if n := p.then; n != nil && n.ring.count > 0 {
		if !p.ended && now < p.playAt(n, n.ring.lowest()) {
			return false
		}
		p.switchEpoch()
		return true
	}
	if t.ring.count == 0 {
		return false
	}
	q := t.ring.lowest()
	if t.started {
		p.settle(q, true)
	}
	due := p.playAt(t, q)
	at := max(due, p.hold, t.grace)
	if now < at {
		return false
	}
	if t.started {
		p.miss(t.ring.low - t.next)
		p.dry(q, due, t.ring.low-t.next)
		if at > due {
			p.stall(at - due)
		}
	}
	t.next = t.ring.low
	p.resume = true
	return true
}

func (p *Playout) miss(n uint64) {
	p.stats.Missed += n
	p.stats.Due += n
	p.stats.Holes++
}

// dry counts a stall when n missing objects before q left playback without
// anything: q came when they should have been playing already, and they would
// have filled most of a buffer. Fewer are a hole, beside which the publisher
// may have paused.
func (p *Playout) dry(q *ringSlot, due time.Duration, n uint64) {
	t := p.cur
	span := time.Duration(min(n, 1<<20)) * t.interval
	if !p.stalled && q.at > t.deadline+t.interval && span > 0 && span >= p.buffer/2 {
		p.stall(max(min(due-t.deadline, span), 0))
	}
}

// switchEpoch goes on with the epoch that follows. What is left of the
// current one lies behind a hole.
func (p *Playout) switchEpoch() {
	t := p.cur
	if t.started && t.ring.count > 0 {
		p.miss(t.ring.high + 1 - t.next)
	}
	p.cur, p.then = p.then, nil
	if !p.cur.follows {
		p.lag = 0
	}
	p.rush, p.stalled, p.hold, p.resume, p.ended = false, false, -Never, true, false
}

// play takes s, which is next, out of the track.
func (p *Playout) play(now time.Duration, s *ringSlot) Parsed {
	t, o := p.cur, s.p
	if !t.started {
		// A start at an old group: playback goes on from here.
		if behind := now - p.playAt(t, s); behind > 0 {
			p.lag += behind
			if p.lag > MaxLag {
				p.lag, p.rush = 0, true
			}
		}
		t.started, t.first, t.last = true, o.Seq, s.clock
		t.grace = s.at + p.buffer
	} else if o.Seq == t.lastSeq+1 {
		step := max(min(s.clock-t.last, maxInterval), 0)
		if t.interval == 0 {
			t.interval = step
		}
		t.interval += (step - t.interval) / 16
	}
	t.deadline = p.playAt(t, s)
	t.last, t.lastSeq = max(s.clock, t.last), o.Seq
	p.stats.Due++
	p.stats.Played++
	p.resume, p.stalled, p.hold = false, false, -Never
	t.pop()
	if o.Flags == FlagEnd {
		p.ended = true
		t.ring.clear()
		t.fence = t.next
	}
	return o
}
