package stream

// This file answers: which object is played next, and when?

import "time"

// DefaultBuffer is the buffer of a Playout for which none is set: with 1 s,
// no viewer behind a dead relay missed anything (measured).
const DefaultBuffer = time.Second

// Never is the deadline of nothing.
const Never = time.Duration(1<<63 - 1)

// PlayoutConfig says how a stream is played.
type PlayoutConfig struct {
	// Buffer is how long an object is held after it could have arrived at the
	// earliest; 0 means DefaultBuffer, less than 0 none. At most MaxLag.
	Buffer time.Duration
	// Eager plays an object as soon as all before it were played, for files.
	// Holes are waited for as long as without it.
	Eager bool
}

// PlayoutStats counts since NewPlayout. Due is Played + Missed. An object
// before the first one played is never due.
type PlayoutStats struct {
	Due     uint64 // objects that should have been played
	Played  uint64 // objects played, and preambles that were not needed
	Missed  uint64 // objects in holes that were skipped
	Holes   uint64 // runs of missed objects
	Late    uint64 // missed objects that came afterwards
	Refused uint64 // objects for which there was no room
	// Stalls counts when playback had nothing to play though the publisher had
	// made something: the object that ends it came after its deadline, or
	// those that should have filled the time never came.
	Stalls    uint64
	StallTime time.Duration
	Epoch     uint64 // of the object played next
	Position  uint64 // Seq up to which (not including) nothing is missing, of what is still to be played
}

// Playout puts the objects of a stream in order and says when each is to be
// played. It is pure: time is passed in, as time since any start, and nothing
// else is read. It is owned by one goroutine.
//
// An object's deadline is its Time on the local clock, plus Buffer, plus lag.
// Times are mapped by the smallest (arrival − Time) of the last 15 to 30 s, so
// that playout follows a publisher's clock that drifts; a clock that steps
// does not hold it up. The lag is 0 unless playback started at a group that is
// older than the buffer, or stalled: it then goes on from there, later. A lag
// over [MaxLag] is given up by playing all that is overdue at once.
//
//   - Playback starts at the first object of a group.
//   - A [FlagPreamble] object is played only when it is the first object after
//     the start or after a hole.
//   - A hole is skipped when the deadline of the next object that is there passes,
//     but not within Buffer of the start: however old the group is, the stripes
//     do not come at the same moment. Nor is it a stall what comes late within it.
//   - When objects of a higher epoch come, what is contiguous of the current
//     one is played, then the new one from its first group.
//   - A publisher that makes nothing is not a stall.
//
// It holds at most [MaxPlayoutObjects] and [MaxPlayoutBytes] of the current
// epoch and as much of one that follows it.
type Playout struct {
	buffer time.Duration
	eager  bool

	cur  *playoutTrack // nil before Start and the first object
	then *playoutTrack // a higher epoch that waits for cur to end

	lag     time.Duration
	rush    bool          // what is overdue is played at once, because the lag was given up
	stalled bool          // this stall is counted; until the next object is played
	hold    time.Duration // the hole that ended a stall is not skipped before
	resume  bool          // the next object is the first after the start or a hole
	ended   bool
	stats   PlayoutStats
}

// NewPlayout returns a playout without objects. The next call is Start, or
// Add, which then starts at the object's group.
func NewPlayout(cfg PlayoutConfig) *Playout {
	if cfg.Buffer == 0 {
		cfg.Buffer = DefaultBuffer
	}
	return &Playout{buffer: max(0, min(cfg.Buffer, MaxLag)), eager: cfg.Eager, hold: -Never}
}

// Start sets where playback starts: at first, the first Seq of a group. If
// the object is not the first of its group, or does not come, playback starts
// at the next group that can be played. Once an epoch plays, Start moves
// nothing in it; a higher epoch then follows it, and a lower one is ignored.
func (p *Playout) Start(epoch, first uint64) {
	first = min(first, MaxSeq)
	switch {
	case epoch == 0:
	case p.cur == nil || p.cur.empty() && p.then == nil && epoch > p.cur.epoch:
		p.replace(epoch, first)
	case epoch == p.cur.epoch && !p.cur.started:
		p.cur.rebase(first)
	case p.then != nil && epoch == p.then.epoch:
		p.then.rebase(first)
	case epoch > p.cur.epoch && (p.then == nil || epoch > p.then.epoch):
		p.then = newPlayoutTrack(epoch, first)
	}
}

// Raise moves the start up to first, when nothing was played yet: a parent of
// another stripe may start at a later group.
func (p *Playout) Raise(first uint64) {
	if p.cur != nil && !p.cur.started && first > p.cur.next {
		p.cur.rebase(min(first, MaxSeq))
	}
}

func (p *Playout) replace(epoch, first uint64) {
	p.cur, p.then = newPlayoutTrack(epoch, first), nil
	p.lag, p.rush, p.stalled, p.resume, p.ended = 0, false, false, true, false
}

// Add hands over an object that arrived at now and was verified. It reports
// whether the object is new and will be played or waited for; not so are
// parity objects, those of lower epochs, and those that came too late.
func (p *Playout) Add(now time.Duration, o Parsed) bool {
	if len(o.Wire) == 0 || o.Flags == FlagParity || o.Seq > MaxSeq || o.Epoch == 0 {
		return false
	}
	if p.cur == nil || p.cur.empty() && p.then == nil && o.Epoch > p.cur.epoch {
		first := o.GroupFirst
		if p.cur != nil {
			first = 0
		}
		p.replace(o.Epoch, first)
	}
	t := p.cur
	if o.Epoch != t.epoch {
		if o.Epoch < t.epoch || p.then != nil && o.Epoch < p.then.epoch {
			return false
		}
		if p.then == nil || o.Epoch > p.then.epoch {
			p.then = newPlayoutTrack(o.Epoch, 0)
		}
		t = p.then
		p.cur.fenceOff()
		if !t.clock.seen {
			t.follows = t.clock.follow(&p.cur.clock, now, o.Seq, o.Time, max(p.buffer, time.Second))
		}
	}
	if o.Seq < t.next {
		if t.started && o.Seq >= t.first && t.have.Add(o.Seq) {
			p.stats.Late++
		}
		return false
	}
	if o.Seq >= t.fence || t.have.Has(o.Seq) {
		return false
	}
	if t.ring.span(o.Seq) > MaxPlayoutObjects || t.ring.bytes+len(o.Wire) > MaxPlayoutBytes {
		p.stats.Refused++
		return false
	}
	if t.empty() && !t.follows { // the stripes of an old group come at once, but not at the same moment
		t.grace = now + p.buffer
	}
	if rise := t.put(now, o); t == p.cur {
		p.lag = max(p.lag-rise, 0)
	}
	return true
}

// Ended reports whether the stream's [FlagEnd] object was played, and no
// higher epoch follows.
func (p *Playout) Ended() bool { return p.ended && p.then == nil }

// Stats returns the counts so far.
func (p *Playout) Stats() PlayoutStats {
	s := p.stats
	if p.cur != nil {
		s.Epoch, s.Position = p.cur.epoch, p.cur.contiguous()
	}
	return s
}

// Next returns the next object to be played at now; false when there is none
// yet. The owner calls it until it returns false, then again at Deadline or
// after Add.
func (p *Playout) Next(now time.Duration) (Parsed, bool) {
	for p.cur != nil {
		t := p.cur
		s := t.ring.get(t.next)
		switch {
		case s == nil:
			if !p.pass(now) {
				return Parsed{}, false
			}
		case !t.started && !s.p.GroupStart():
			t.pop()
		case s.p.Flags == FlagPreamble && !p.resume:
			p.stats.Due++
			p.stats.Played++
			t.pop()
		default:
			if t.started || t.follows {
				p.settle(s, false)
			}
			if !p.eager && now < p.playAt(t, s) {
				return Parsed{}, false
			}
			return p.play(now, s), true
		}
	}
	return Parsed{}, false
}

// Deadline returns when Next could return something new; [Never] when it
// takes an Add first. It may lie in the past.
func (p *Playout) Deadline() time.Duration {
	t := p.cur
	if t == nil {
		return Never
	}
	if s := t.ring.get(t.next); s != nil {
		if p.eager || !t.started && !s.p.GroupStart() || s.p.Flags == FlagPreamble && !p.resume {
			return s.at
		}
		at := p.playAt(t, s)
		if t.started || t.follows {
			at += p.overdue(s)
		}
		return at
	}
	if n := p.then; n != nil && n.ring.count > 0 {
		if p.ended {
			return n.ring.lowest().at
		}
		return p.playAt(n, n.ring.lowest())
	}
	if t.ring.count == 0 {
		return Never
	}
	q := t.ring.lowest()
	if t.started && p.overdue(q) > 0 {
		return max(q.at+p.buffer/4, t.grace)
	}
	return max(p.playAt(t, q), p.hold, t.grace)
}

// playAt returns the deadline of s. However wrong the publisher's clock is,
// it is at most Buffer and the lag after the arrival.
func (p *Playout) playAt(t *playoutTrack, s *ringSlot) time.Duration {
	at := min(s.clock+t.clock.offset(), s.at) + p.buffer
	if t == p.cur || t.follows {
		at += p.lag
	}
	return at
}

// overdue returns how long after its deadline s arrived, if that is to be
// answered by a greater lag.
func (p *Playout) overdue(s *ringSlot) time.Duration {
	if p.rush {
		return 0
	}
	return max(s.late-p.buffer-p.lag, 0)
}
