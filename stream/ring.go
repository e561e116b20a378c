package stream

// This file answers: how are objects kept by Seq, for the window and for playout?

import (
	"math/bits"
	"time"
)

// objectRing holds objects of one epoch by Seq. It grows to the span between
// the lowest and the highest, which its owner bounds.
type objectRing struct {
	slots []ringSlot
	low   uint64 // lowest and highest Seq held, when count > 0
	high  uint64
	count int
	bytes int // of the encoded objects
}

const (
	leastRing = 32
	// roomyRing slots are kept when the ring is empty: objects that overtake each other need less.
	roomyRing = 64
)

type ringSlot struct {
	p  Parsed
	at time.Duration // arrival; the slot is empty when p.Wire is nil

	// Used by Playout only.
	clock time.Duration // the object's Time, without the steps of the publisher's clock
	late  time.Duration // how much longer it took than the fastest object of the last while
}

// span returns how many Seqs the ring would span with seq in it.
func (r *objectRing) span(seq uint64) uint64 {
	if r.count == 0 {
		return 1
	}
	return max(r.high, seq) - min(r.low, seq) + 1
}

// get returns the slot of seq; nil when it is not held.
func (r *objectRing) get(seq uint64) *ringSlot {
	if r.count == 0 || seq < r.low || seq > r.high {
		return nil
	}
	if s := r.slot(seq); s.p.Wire != nil {
		return s
	}
	return nil
}

// put adds an object that is not held yet, of at least one byte.
func (r *objectRing) put(s ringSlot) {
	seq := s.p.Seq
	if n := r.span(seq); n > uint64(len(r.slots)) {
		r.grow(n)
	}
	if r.count == 0 {
		r.low, r.high = seq, seq
	}
	*r.slot(seq) = s
	r.low, r.high = min(r.low, seq), max(r.high, seq)
	r.count++
	r.bytes += len(s.p.Wire)
}

// drop drops everything below upTo, and moves low up to the next object.
func (r *objectRing) drop(upTo uint64) {
	for r.count > 0 {
		s := r.slot(r.low)
		if s.p.Wire != nil {
			if r.low >= upTo {
				return
			}
			r.count--
			r.bytes -= len(s.p.Wire)
			*s = ringSlot{}
		}
		r.low++
	}
	if len(r.slots) > roomyRing {
		r.slots = nil // what grew at a hole or a start goes when all is played
	}
}

// clear drops everything and keeps the memory of the ring.
func (r *objectRing) clear() {
	clear(r.slots)
	r.low, r.high, r.count, r.bytes = 0, 0, 0, 0
}

func (r *objectRing) slot(seq uint64) *ringSlot { return &r.slots[seq&uint64(len(r.slots)-1)] }

func (r *objectRing) grow(n uint64) {
	old := r.slots
	r.slots = make([]ringSlot, max(leastRing, 1<<bits.Len64(n-1)))
	for i := range old {
		if s := &old[i]; s.p.Wire != nil {
			*r.slot(s.p.Seq) = *s
		}
	}
}
