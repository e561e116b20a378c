package measure

// This file answers: what did one viewer experience?

import (
	"math/bits"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"

	"github.com/braidway/braidway/stream"
)

const (
	// pauseLimit: a longer time between two objects at the publisher is a
	// pause of production, and no gap of the network.
	pauseLimit = 100 * time.Millisecond
	// keptGaps bounds the gaps that GapBetween looks through.
	keptGaps = 1024
	// maxLatency bounds what is recorded.
	maxLatency = time.Hour
	// leanLatency is the same of a lean viewer.
	leanLatency = time.Minute
	// smallGap: shorter ones are not kept.
	smallGap = 40 * time.Millisecond
	// viewerWindow is the span of Seqs in which order does not matter;
	// leanWindow that of a lean viewer, 25 s of 80 objects a second.
	viewerWindow = 1 << 14
	leanWindow   = 1 << 11
	// firstTimes is for how many objects out of order there is room at first.
	firstTimes = 1 << 6
)

// gap is a time without progress that ended at end.
type gap struct{ end, length time.Duration }

// Viewer follows one viewer of one stream. Times are of any one clock that
// does not go back. Handling an object allocates nothing.
type Viewer struct {
	request time.Duration
	have    *stream.SeqSet
	times   []int64 // publisher's time of the objects from have.Next() on, µs, a ring that grows
	unit    int64   // of the latencies, µs
	epoch   uint64
	running bool
	first   time.Duration // first playable object
	advance time.Duration // last progress of the contiguous position
	made    int64         // publisher's time of the last contiguous object, µs
	gaps    []gap
	gapAt   int
	maxGap  time.Duration
	latency *hdr.Histogram
	Counts
}

// Counts are what the runtime counts itself.
type Counts struct {
	Switches, Hedges, Repairs, Rejected      int
	BytesReceived, BytesUnique, BytesControl int64
	BytesAuth, BytesParity                   int64
}

// NewViewer returns a viewer who asked for the stream at request.
func NewViewer(request time.Duration) *Viewer {
	return &Viewer{request: request, have: stream.NewSeqSet(viewerWindow), times: make([]int64, firstTimes),
		unit: 1, latency: hdr.New(1, int64(maxLatency/time.Microsecond), 3)}
}

// NewLeanViewer is NewViewer for simulations with very many viewers: it
// remembers a shorter time, and latencies to a millisecond and one percent.
func NewLeanViewer(request time.Duration) *Viewer {
	return &Viewer{request: request, have: stream.NewSeqSet(leanWindow), times: make([]int64, firstTimes),
		unit: 1000, latency: hdr.New(1, int64(leanLatency/time.Millisecond), 2)}
}

// Restart forgets what was measured until now: a warm-up does not count.
// Start-up stays what it was.
func (v *Viewer) Restart(now time.Duration) {
	v.gaps, v.gapAt, v.maxGap, v.Counts = v.gaps[:0], 0, 0, Counts{}
	v.latency.Reset()
	if v.running {
		v.advance = max(v.advance, now)
	}
}

// MaxGap returns the longest time without progress so far.
func (v *Viewer) MaxGap() time.Duration { return v.maxGap }

// GaveUpIn is GaveUp for a Seq of an epoch, if that is the one being measured.
func (v *Viewer) GaveUpIn(epoch, seq uint64) {
	if epoch == v.epoch {
		v.GaveUp(seq)
	}
}

// Start says that the stream is taken from Seq first of epoch on. A new epoch
// begins at now: the time until its first object is a gap as any other.
func (v *Viewer) Start(now time.Duration, epoch, first uint64) {
	switch {
	case epoch > v.epoch:
		v.epoch, v.made = epoch, 0
		v.have.Reset(first)
	case epoch == v.epoch && first > v.have.Next():
		v.have.GiveUp(first)
	}
	if !v.running {
		v.advance = now
	}
}

// Object says that a new verified object is there. made is the publisher's
// time, µs since the Unix epoch, and age how old it is now by that clock.
func (v *Viewer) Object(now time.Duration, epoch, seq uint64, made int64, age time.Duration) {
	if epoch != v.epoch {
		return
	}
	before := v.have.Next()
	if !v.have.Add(seq) {
		return
	}
	from := max(before, v.have.Base())
	v.remember(from, seq, made)
	// Became playable with it: everything from before up to the new position.
	next := v.have.Next()
	if next == before {
		return
	}
	if !v.running {
		v.running, v.first, v.advance = true, now, now
	} else {
		v.progress(now, from)
	}
	for q := from; q < next; q++ {
		t := v.times[q%uint64(len(v.times))]
		old := age + time.Duration(made-t)*time.Microsecond
		_ = v.latency.RecordValue(min(max(1, old.Microseconds())/v.unit, v.latency.HighestTrackableValue()))
		v.made = t
	}
	v.advance = now
}

// remember keeps the time of object seq, which lies in the window from next on.
func (v *Viewer) remember(next, seq uint64, made int64) {
	if seq < next {
		return
	}
	if n := uint64(len(v.times)); seq-next >= n {
		old := v.times
		v.times = make([]int64, 1<<bits.Len64(seq-next))
		for q := next; q < next+n; q++ {
			v.times[q%uint64(len(v.times))] = old[q%n]
		}
	}
	v.times[seq%uint64(len(v.times))] = made
}

// progress records the time without progress that ends at now with Seq seq.
func (v *Viewer) progress(now time.Duration, seq uint64) {
	g := now - v.advance
	if v.made != 0 {
		if pause := time.Duration(v.times[seq%uint64(len(v.times))]-v.made) * time.Microsecond; pause > pauseLimit {
			g -= pause
		}
	}
	if g <= 0 {
		return
	}
	v.maxGap = max(v.maxGap, g)
	if g < smallGap {
		return
	}
	if len(v.gaps) < keptGaps {
		v.gaps = append(v.gaps, gap{now, g})
		return
	}
	v.gaps[v.gapAt] = gap{now, g}
	v.gapAt = (v.gapAt + 1) % keptGaps
}

// GaveUp says that everything below seq is over: missed, or played before.
func (v *Viewer) GaveUp(seq uint64) {
	if seq > v.have.Next() {
		v.have.GiveUp(seq)
	}
}

// GapBetween returns the longest time without progress that began or ended in
// [from, to]; 0: shorter than 40 ms. running includes one that has not ended at to.
func (v *Viewer) GapBetween(from, to time.Duration, running bool) time.Duration {
	var most time.Duration
	for _, g := range v.gaps {
		if g.end >= from && g.end-g.length <= to {
			most = max(most, g.length)
		}
	}
	if running && v.running {
		most = max(most, to-v.advance)
	}
	return most
}

// FirstPicture returns when the first object became playable; false: never.
func (v *Viewer) FirstPicture() (time.Duration, bool) { return v.first, v.running }
