package stream

// This file answers: which recent objects can a peer still hand out?

import "time"

// Window keeps the recent objects of one epoch, to serve subscribers and
// repairs from: a ring by Seq, bounded in bytes, in age since arrival and to
// [MaxWindowObjects]. What is over a bound is dropped from the lowest Seq up
// and does not come back. It is owned by one goroutine, or guarded by its owner.
type Window struct {
	maxBytes int
	maxAge   time.Duration

	epoch uint64 // 0: any
	ring  objectRing
	floor uint64 // below it everything was dropped
}

// NewWindow returns an empty window that keeps at most maxBytes of encoded
// objects, each for at most maxAge. It takes the epoch of the first object.
func NewWindow(maxBytes int, maxAge time.Duration) *Window {
	return &Window{maxBytes: maxBytes, maxAge: maxAge}
}

// Epoch returns the epoch of the window; 0 when nothing was added yet.
func (w *Window) Epoch() uint64 { return w.epoch }

// Len returns the number of objects held.
func (w *Window) Len() int { return w.ring.count }

// Bytes returns the encoded size of all objects held.
func (w *Window) Bytes() int { return w.ring.bytes }

// Range returns the lowest and the highest Seq held; false when there is none.
func (w *Window) Range() (low, high uint64, ok bool) {
	return w.ring.low, w.ring.high, w.ring.count > 0
}

// Reset drops everything and takes objects of epoch only; of any when it is 0.
func (w *Window) Reset(epoch uint64) {
	w.ring.clear()
	w.epoch, w.floor = epoch, 0
}

// Add keeps p, which arrived at now and was verified, and drops what is then
// over a bound. It reports whether p is new and kept: not an object of another
// epoch, a parity object, one that is held already, or older than what was dropped.
func (w *Window) Add(now time.Duration, p Parsed) bool {
	if len(p.Wire) == 0 || p.Flags == FlagParity || p.Seq > MaxSeq {
		return false
	}
	if w.epoch == 0 {
		w.epoch = p.Epoch
	}
	if p.Epoch != w.epoch || p.Seq < w.floor || w.ring.get(p.Seq) != nil {
		return false
	}
	if w.ring.span(p.Seq) > MaxWindowObjects {
		if p.Seq < w.ring.low {
			return false
		}
		w.drop(p.Seq - MaxWindowObjects + 1)
	}
	w.ring.put(ringSlot{p: p, at: now})
	w.Expire(now)
	return p.Seq >= w.floor
}

// Expire drops what is over a bound at now. Add does so too; a window to which
// nothing is added needs it to become empty.
func (w *Window) Expire(now time.Duration) {
	r := &w.ring
	for r.count > 0 && (r.bytes > w.maxBytes || now-r.slot(r.low).at > w.maxAge) {
		w.drop(r.low + 1)
	}
}

func (w *Window) drop(upTo uint64) {
	w.floor = max(w.floor, upTo)
	w.ring.drop(upTo)
}

// Get returns the object seq of epoch, if it is held.
func (w *Window) Get(epoch, seq uint64) (Parsed, bool) {
	if epoch == w.epoch {
		if s := w.ring.get(seq); s != nil {
			return s.p, true
		}
	}
	return Parsed{}, false
}

// AppendMissing appends to dst up to limit Seqs between the lowest and the
// highest held that are not there, lowest first.
func (w *Window) AppendMissing(dst []uint64, limit int) []uint64 {
	r := &w.ring
	if r.count == 0 || uint64(r.count) == r.high-r.low+1 {
		return dst
	}
	for seq := r.low; seq < r.high && limit > 0; seq++ {
		if r.slot(seq).p.Wire == nil {
			dst = append(dst, seq)
			limit--
		}
	}
	return dst
}
