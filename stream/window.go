package stream

// This file answers: which recent objects can a peer still hand out?

import (
	"math/bits"
	"time"
)

// Window keeps the recent objects of one epoch, to serve subscribers and
// repairs from: a ring by Seq, bounded in bytes, in age since arrival and to
// [MaxWindowObjects]. What is over a bound is dropped from the lowest Seq up
// and does not come back. It is owned by one goroutine, or guarded by its owner.
type Window struct {
	maxBytes int
	maxAge   time.Duration

	epoch uint64 // 0: any
	ring  []windowSlot
	floor uint64 // below it everything was dropped
	low   uint64 // lowest and highest Seq held, when count > 0
	high  uint64
	count int
	bytes int
}

type windowSlot struct {
	p  Parsed
	at time.Duration // arrival; the slot is empty when p.Wire is nil
}

// NewWindow returns an empty window that keeps at most maxBytes of encoded
// objects, each for at most maxAge. It takes the epoch of the first object.
func NewWindow(maxBytes int, maxAge time.Duration) *Window {
	return &Window{maxBytes: maxBytes, maxAge: maxAge, ring: make([]windowSlot, 64)}
}

// Epoch returns the epoch of the window; 0 when nothing was added yet.
func (w *Window) Epoch() uint64 { return w.epoch }

// Len returns the number of objects held.
func (w *Window) Len() int { return w.count }

// Bytes returns the encoded size of all objects held.
func (w *Window) Bytes() int { return w.bytes }

// Range returns the lowest and the highest Seq held; false when there is none.
func (w *Window) Range() (low, high uint64, ok bool) { return w.low, w.high, w.count > 0 }

// Reset drops everything and takes objects of epoch only.
func (w *Window) Reset(epoch uint64) {
	clear(w.ring)
	w.epoch, w.floor, w.low, w.high, w.count, w.bytes = epoch, 0, 0, 0, 0, 0
}

// Add keeps p, which arrived at now and was verified, and drops what is then
// over a bound. It reports whether p is new and kept: not an object of another
// epoch, a parity object, one that is held already, or older than what was dropped.
func (w *Window) Add(now time.Duration, p Parsed) bool {
	if w.epoch == 0 {
		w.epoch = p.Epoch
	}
	if p.Epoch != w.epoch || p.Flags == FlagParity || p.Seq < w.floor || p.Seq > MaxSeq || len(p.Wire) == 0 {
		return false
	}
	if w.count > 0 && p.Seq < w.low && w.high-p.Seq >= MaxWindowObjects {
		return false
	}
	if w.count > 0 && p.Seq > w.high && p.Seq-w.low >= MaxWindowObjects {
		w.drop(p.Seq - MaxWindowObjects + 1)
	}
	if w.count == 0 {
		w.low, w.high = p.Seq, p.Seq
	}
	w.grow(max(w.high, p.Seq) - min(w.low, p.Seq) + 1)
	s := w.slot(p.Seq)
	if s.p.Wire != nil {
		return false
	}
	*s = windowSlot{p: p, at: now}
	w.low, w.high = min(w.low, p.Seq), max(w.high, p.Seq)
	w.count++
	w.bytes += len(p.Wire)
	w.Expire(now)
	return p.Seq >= w.floor
}

// Expire drops what is over a bound at now. Add does so too; a window to which
// nothing is added needs it to become empty.
func (w *Window) Expire(now time.Duration) {
	for w.count > 0 && (w.bytes > w.maxBytes || now-w.slot(w.low).at > w.maxAge) {
		w.drop(w.low + 1)
	}
}

// Get returns the object seq of epoch, if it is held.
func (w *Window) Get(epoch, seq uint64) (Parsed, bool) {
	if epoch != w.epoch || w.count == 0 || seq < w.low || seq > w.high {
		return Parsed{}, false
	}
	s := w.slot(seq)
	return s.p, s.p.Wire != nil
}

// AppendMissing appends to dst up to limit Seqs between the lowest and the
// highest held that are not there, lowest first.
func (w *Window) AppendMissing(dst []uint64, limit int) []uint64 {
	if w.count == 0 || uint64(w.count) == w.high-w.low+1 {
		return dst
	}
	for seq := w.low; seq < w.high && limit > 0; seq++ {
		if w.slot(seq).p.Wire == nil {
			dst = append(dst, seq)
			limit--
		}
	}
	return dst
}

func (w *Window) slot(seq uint64) *windowSlot { return &w.ring[seq&uint64(len(w.ring)-1)] }

// drop drops everything below upTo, and moves low up to the next object.
func (w *Window) drop(upTo uint64) {
	w.floor = max(w.floor, upTo)
	for w.count > 0 {
		s := w.slot(w.low)
		if s.p.Wire != nil {
			if w.low >= upTo {
				return
			}
			w.count--
			w.bytes -= len(s.p.Wire)
			*s = windowSlot{}
		}
		w.low++
	}
}

// grow makes the ring span n Seqs, at most MaxWindowObjects.
func (w *Window) grow(n uint64) {
	if n <= uint64(len(w.ring)) {
		return
	}
	old := *w
	w.ring = make([]windowSlot, 1<<bits.Len64(n-1))
	for i := range old.ring {
		if s := &old.ring[i]; s.p.Wire != nil {
			*w.slot(s.p.Seq) = *s
		}
	}
}
