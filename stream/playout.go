package stream

// This file answers: what is played when? In order, from a group's start; a
// hole is waited for until the object behind it is due, and no longer.

import (
	"fmt"
	"time"
)

// PlayoutConfig of a Playout.
type PlayoutConfig struct {
	// Buffer is the time between the fastest arrival and playing; an object
	// that is missing may come within it. 0 means 1 s.
	Buffer time.Duration
	// Eager gives objects out as soon as all before them were: for files and
	// pipes, whose readers have clocks of their own. Holes are waited for as
	// without it.
	Eager bool
}

// PlayoutStats are totals of a Playout, in objects unless said otherwise.
type PlayoutStats struct {
	Due       uint64 // given out or missed
	OnTime    uint64 // given out, or there to be, by their deadline
	Missed    uint64 // skipped: not there when the object behind was due
	Late      uint64 // came after they were missed
	Stalls    uint64 // times that nothing was there to play
	StallTime time.Duration
}

// Playout is the playout clock. Its deadline for an object is the publisher's
// time of it, mapped to the local clock by the fastest arrival seen, plus the
// buffer. After a stall, and when the publisher's clock steps, it maps anew.
// It is owned by one goroutine, or guarded by its owner.
type Playout struct {
	cfg   PlayoutConfig
	cur   term
	then  term // a higher epoch that waits for the end of cur
	stats PlayoutStats
	ended bool
}

// term is the playout of one epoch.
type term struct {
	epoch   uint64
	next    uint64
	objects map[uint64]entry
	bytes   int
	playing bool // something was given out
	fresh   bool // the next object is the first, or follows a skipped hole
	offset  time.Duration
	mapped  bool
}

type entry struct {
	Parsed
	arrived time.Duration
}

// NewPlayout returns a playout that waits for Start. The error names a buffer
// outside 0 to MaxLag.
func NewPlayout(cfg PlayoutConfig) (*Playout, error) {
	if cfg.Buffer < 0 || cfg.Buffer > MaxLag {
		return nil, fmt.Errorf("stream: playout buffer is %v, allowed is 0 to %v", cfg.Buffer, MaxLag)
	}
	if cfg.Buffer == 0 {
		cfg.Buffer = time.Second
	}
	return &Playout{cfg: cfg}, nil
}

// Start says that the stream is taken from Seq first of epoch on. A higher
// first in the same epoch gives up what lies before it; a higher epoch is
// played once everything contiguous of the lower one is; a lower one is ignored.
func (p *Playout) Start(epoch, first uint64) {
	switch {
	case epoch == p.cur.epoch:
		p.cur.raise(first)
	case epoch == p.then.epoch:
		p.then.raise(first)
	case epoch > max(p.cur.epoch, p.then.epoch):
		t := term{epoch: epoch, next: first, objects: make(map[uint64]entry), fresh: true}
		if p.cur.epoch == 0 {
			p.cur = t
		} else {
			p.then = t
		}
		p.ended = false
	}
}

// raise moves the start up, while nothing was given out.
func (t *term) raise(first uint64) {
	if t.playing || first <= t.next {
		return
	}
	for seq, e := range t.objects {
		if seq < first {
			t.bytes -= len(e.Payload)
			delete(t.objects, seq)
		}
	}
	t.next = first
}

// Add takes a verified object that arrived at now, in any order.
func (p *Playout) Add(now time.Duration, o Parsed) {
	t := &p.cur
	if o.Epoch != t.epoch {
		t = &p.then
	}
	if o.Epoch != t.epoch || o.Epoch == 0 {
		return
	}
	if o.Seq < t.next {
		p.stats.Late++
		return
	}
	if _, twice := t.objects[o.Seq]; twice || o.Seq-t.next > MaxPlayoutObjects*2 {
		return
	}
	if off := now - at(o); !t.mapped || off < t.offset {
		t.offset, t.mapped = off, true
	}
	t.objects[o.Seq] = entry{o, now}
	t.bytes += len(o.Payload)
}

func at(o Parsed) time.Duration { return time.Duration(o.Time) * time.Microsecond }

func (p *Playout) deadline(t *term, o Parsed) time.Duration { return at(o) + t.offset + p.cfg.Buffer }

// lowest returns the lowest Seq that is there; false: there is none.
func (t *term) lowest() (uint64, bool) {
	if _, ok := t.objects[t.next]; ok {
		return t.next, true
	}
	low, ok := uint64(0), false
	for seq := range t.objects {
		if !ok || seq < low {
			low, ok = seq, true
		}
	}
	return low, ok
}

// full says that holes must not be waited for any longer.
func (t *term) full() bool {
	return len(t.objects) > MaxPlayoutObjects || t.bytes > MaxPlayoutBytes
}

// Next returns the next object to play at now; false: nothing yet, see
// Deadline. Tables of a group (FlagPreamble) come only where playback starts
// or goes on behind a hole; the end (FlagEnd) is given out like data.
func (p *Playout) Next(now time.Duration) (Parsed, bool) {
	for {
		t := &p.cur
		seq, ok := t.lowest()
		if !ok {
			if p.then.epoch == 0 || len(p.then.objects) == 0 {
				return Parsed{}, false
			}
			p.cur, p.then = p.then, term{}
			continue
		}
		e := t.objects[seq]
		due := p.deadline(t, e.Parsed)
		if now-due > MaxLag { // the publisher's clock stepped back, or nobody called for long
			t.offset = e.arrived - at(e.Parsed)
			due = p.deadline(t, e.Parsed)
		}
		if seq > t.next {
			// Behind an epoch that is over nothing comes any more.
			if now < due && !t.full() && p.then.epoch == 0 {
				return Parsed{}, false
			}
			if t.playing {
				p.stats.Missed += seq - t.next
				p.stats.Due += seq - t.next
			}
			t.next, t.fresh = seq, true
		}
		if !t.playing && !e.GroupStart() && e.Flags != FlagEnd {
			t.drop(seq, e) // before the first group
			continue
		}
		if !p.cfg.Eager && now < due && t.playing {
			return Parsed{}, false
		}
		t.drop(seq, e)
		p.stats.Due++
		p.account(t, e, due)
		skip := e.Flags == FlagPreamble && !t.fresh
		t.playing, t.fresh = true, false
		if e.Flags == FlagEnd {
			p.ended = true
		}
		if !skip {
			return e.Parsed, true
		}
	}
}

func (t *term) drop(seq uint64, e entry) {
	delete(t.objects, seq)
	t.bytes -= len(e.Payload)
	t.next = seq + 1
}

// account counts an object as on time, or as the end of a stall that moves the clock.
func (p *Playout) account(t *term, e entry, due time.Duration) {
	late := e.arrived - due
	if late <= 0 || !t.playing {
		p.stats.OnTime++
		return
	}
	p.stats.Stalls++
	p.stats.StallTime += late
	t.offset += min(late, MaxLag)
}

// Deadline returns when Next may have something that it does not have now,
// without another Add; false: never.
func (p *Playout) Deadline() (time.Duration, bool) {
	seq, ok := p.cur.lowest()
	if !ok {
		return 0, len(p.then.objects) > 0
	}
	return p.deadline(&p.cur, p.cur.objects[seq].Parsed), true
}

// Ended reports whether the stream's end was given out.
func (p *Playout) Ended() bool { return p.ended }

// Position returns epoch and Seq of what is played next.
func (p *Playout) Position() (epoch, seq uint64) { return p.cur.epoch, p.cur.next }

// Stats returns the totals so far.
func (p *Playout) Stats() PlayoutStats { return p.stats }
