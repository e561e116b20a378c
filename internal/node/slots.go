package node

// This file answers: for how many children is there room?

import (
	"math/rand/v2"
	"time"

	"github.com/braidway/braidway/failover"
	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/overlay"
)

const (
	// guessedBitrate of a stream that does not say and was not measured yet, bit/s.
	guessedBitrate = 4_000_000
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
	guessed bool    // bitrate is
	line    failover.Uplink
	last    int
	bytes   int64 // received since at
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

func (s *slotKeeper) received(n int) { s.bytes += int64(n) }

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
	case s.bytes == 0:
		s.at = now
	case s.guessed && span > 2*time.Second: // too high at most: the past came with it
		s.bitrate, s.guessed = s.pace(span), false
		s.bytes, s.at = 0, now
	case span > 4*time.Second:
		s.bitrate += (s.pace(span) - s.bitrate) / 2
		s.bytes, s.at = 0, now
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

// pace returns the bitrate of what was received within span.
func (s *slotKeeper) pace(span time.Duration) float64 { return float64(s.bytes*8) / span.Seconds() }

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
