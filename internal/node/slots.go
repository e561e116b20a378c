package node

// This file answers: for how many children is there room?

import (
	"math/rand/v2"
	"time"

	"github.com/braidway/braidway/failover"
	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/stream"
)

const (
	// guessedBitrate of a stream that does not say and was not measured yet, bit/s.
	guessedBitrate = 4_000_000
	// briefly is how much of a stream, by its publisher's clock, tells more of its
	// bitrate than a guess; a picture that starts a group makes it too high at most.
	briefly = 400 * time.Millisecond
	// firstSlots, per stripe, without a limit: a guess, corrected by what the
	// queues to the children say.
	firstSlots = 6
	// mostSlots bounds what is reached without a limit, per stripe (guess).
	mostSlots = 32
	// maxSlots is the wire's limit, and a bound for small streams on big lines.
	maxSlots = 4096
)

// slotKeeper turns the upload limit into slots, limit / (bitrate / k) with what is
// around the stream counted, and has failover.Uplink measure whether the line bears
// that. Owned by the session's loop.
type slotKeeper struct {
	limit   int64 // bit/s; 0: none is known
	off     bool
	k       int
	bitrate float64 // bit/s, moving average
	guessed bool    // bitrate is, or measured briefly
	line    failover.Uplink
	last    int
	came    tally // since at
	at      time.Duration
	stuck   map[overlay.PeerID]struct{} // children whose queues ran over since the last look
	rng     *rand.Rand
}

func newSlotKeeper(limit int64, off bool, k int, bitrate uint64) slotKeeper {
	s := slotKeeper{limit: limit, off: off, k: k, bitrate: float64(bitrate), rng: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}
	if bitrate == 0 {
		s.bitrate, s.guessed = guessedBitrate, true
	}
	if limit == 0 {
		s.line.Guess = firstSlots * k
	}
	s.last = s.now()
	return s
}

// most returns the slots that the limit gives, in all stripes together.
func (s *slotKeeper) most() int {
	switch {
	case s.off:
		return 0
	case s.limit > 0:
		return int(min(float64(s.limit)*float64(s.k)/(s.bitrate*failover.StreamOverhead), maxSlots))
	}
	return mostSlots * s.k
}

// now returns the slots in all stripes together.
func (s *slotKeeper) now() int { return s.line.Slots(s.most()) }

func (s *slotKeeper) received(o *stream.Parsed) { s.came.add(&o.Header, len(o.Wire)) }

// slow: a child's queue ran over.
func (s *slotKeeper) slow(child overlay.PeerID) {
	if s.stuck == nil {
		s.stuck = make(map[overlay.PeerID]struct{})
	}
	s.stuck[child] = struct{}{}
}

// tick takes a look and returns the slots, and whether they changed.
func (s *slotKeeper) tick(now time.Duration, l failover.Look) (int, bool) {
	switch span := now - s.at; {
	case s.came.objects == 0:
		s.at = now
	case s.guessed:
		long := span > 2*time.Second
		if shown := s.came.shown(); shown >= briefly {
			s.bitrate = s.came.pace(s.came.seen(), shown)
		} else if long {
			s.bitrate = s.came.pace(s.came.seen(), span)
		}
		if long {
			s.came, s.at, s.guessed = s.came.next(), now, false
		}
	case span > 4*time.Second:
		s.bitrate += (s.came.pace(s.came.ahead, span) - s.bitrate) / 2
		s.came, s.at = s.came.next(), now
	}
	if s.off {
		return 0, false
	}
	l.Ran = len(s.stuck)
	held := s.line.Pressed() // nobody was let in
	clear(s.stuck)
	n := s.line.Look(now, s.k, s.most(), l, s.rng)
	// A bitrate that varies a little changes nothing.
	measured := s.limit == 0 || s.line.Troubles > 0 || s.line.Pressed() || held
	changed := n != s.last && (measured || n < s.last*9/10 || n > s.last*11/10) || held != s.line.Pressed()
	if changed {
		s.last = n
	}
	return s.last, changed
}

// tally is what came of a stream.
type tally struct {
	bytes, objects uint64
	ahead          uint64        // by how many objects the stream went on
	low, top       stream.Header // the first and the last of its objects that came
}

func (t *tally) add(h *stream.Header, size int) {
	t.bytes += uint64(size)
	t.objects++
	switch {
	case h.Epoch > t.top.Epoch: // its numbers are others
		t.low, t.top = *h, *h
		t.ahead++
	case h.Epoch < t.top.Epoch:
	case h.Seq > t.top.Seq:
		t.ahead += h.Seq - t.top.Seq
		t.top = *h
	case h.Seq < t.low.Seq:
		t.low = *h
	}
}

// next is the tally that goes on from t.
func (t *tally) next() tally { return tally{low: t.top, top: t.top} }

// seen is how many objects the stream has from the first to the last, and shown how
// much time lies between them on its publisher's clock: the past comes at once.
func (t *tally) seen() uint64         { return t.top.Seq + 1 - t.low.Seq }
func (t *tally) shown() time.Duration { return time.Duration(t.top.Time-t.low.Time) * time.Microsecond }

// pace returns the bitrate, bit/s, of a stream that has so many objects within span:
// not all of them come here at all times.
func (t *tally) pace(objects uint64, span time.Duration) float64 {
	return float64(t.bytes*8) / float64(t.objects) * float64(objects) / span.Seconds()
}

// fitSlots takes a look, and tells the core and operators what has changed.
func (s *Session) fitSlots() {
	before := s.slots
	n, changed := s.slots.tick(s.Now(), s.look())
	for _, name := range s.slots.news(&before) {
		s.log.Debug(name, "slots", n)
		s.emit(TraceEvent{Event: name, Seq: uint64(n)})
	}
	if changed {
		s.step(overlay.Event{Kind: overlay.EvSlots, Slots: int32(n), Pressed: s.slots.line.Pressed()})
	}
}

// news returns the events that lie between before and now.
func (s *slotKeeper) news(before *slotKeeper) (names []string) {
	if s.line.Pressed() && !before.line.Pressed() {
		names = append(names, eventPressed)
	}
	if s.line.Troubles > before.line.Troubles {
		names = append(names, eventShrink)
	}
	if s.last != before.last {
		names = append(names, eventSlots)
	}
	return names
}

// look measures the way out to the children: what waited for its turn, and by how
// much the round trip is longer than its least.
func (s *Session) look() failover.Look {
	l := failover.Look{Used: s.core.Used()}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, n := range s.links {
		child, wait := false, time.Duration(0)
		for _, q := range n.data {
			if q != nil {
				child = true
				wait = max(wait, q.waited(now))
			}
		}
		if child {
			l.Children++
			if wait+p2p.Queueing(n.ctl.Conn()) > failover.UplinkPressed {
				l.Behind++
			}
		}
	}
	return l
}
