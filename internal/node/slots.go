package node

// This file answers: for how many children is there room?

import (
	"time"

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
	// growEvery is how often a full peer without trouble tries one slot more.
	growEvery = 10 * time.Second
	// maxSlots is the wire's limit, and a bound for small streams on big lines.
	maxSlots = 4096
)

// slotKeeper turns the upload limit into slots: limit / (bitrate / k). Without
// a limit it feels its way, additive increase and multiplicative decrease, as
// TCP does (Chiu and Jain 1989). Owned by the session's loop.
type slotKeeper struct {
	limit   int64 // bit/s; 0: measured
	off     bool
	k       int
	bitrate float64 // bit/s, moving average
	guess   int
	last    int
	bytes   int64 // received since at
	at      time.Duration
	grewAt  time.Duration
	stuck   map[overlay.PeerID]struct{} // children whose queues ran over since the last look
}

func newSlotKeeper(limit int64, off bool, k int, bitrate uint64) slotKeeper {
	s := slotKeeper{limit: limit, off: off, k: k, bitrate: float64(bitrate), guess: firstSlots * k}
	if bitrate == 0 {
		s.bitrate = guessedBitrate
	}
	s.last = s.now()
	return s
}

// now returns the slots in all stripes together.
func (s *slotKeeper) now() int {
	switch {
	case s.off:
		return 0
	case s.limit > 0:
		return int(min(float64(s.limit)*float64(s.k)/s.bitrate, maxSlots))
	}
	return s.guess
}

func (s *slotKeeper) received(n int) { s.bytes += int64(n) }

// slow: a child's queue ran over. One alone is its own trouble; when it is
// many at once, the uplink is.
func (s *slotKeeper) slow(child overlay.PeerID) {
	if s.stuck == nil {
		s.stuck = make(map[overlay.PeerID]struct{})
	}
	s.stuck[child] = struct{}{}
}

// tick runs about once in two seconds and returns the slots, and whether they changed.
func (s *slotKeeper) tick(now time.Duration, used, children int) (int, bool) {
	if span := now - s.at; span > 4*time.Second {
		if rate := float64(s.bytes*8) / span.Seconds(); s.bytes > 0 {
			s.bitrate += (rate - s.bitrate) / 2
		}
		s.bytes, s.at = 0, now
	}
	trouble := len(s.stuck) > 1 && len(s.stuck)*2 > children
	switch {
	case trouble:
		s.guess = max(s.k, min(s.guess, used)*7/10)
		s.grewAt = now
	case used >= s.guess-1 && now-s.grewAt > growEvery && s.guess < mostSlots*s.k:
		s.guess++
		s.grewAt = now
	}
	clear(s.stuck)
	n := s.now()
	changed := n != s.last && (n < s.last*9/10 || n > s.last*11/10 || s.limit == 0)
	if changed {
		s.last = n
	}
	return s.last, changed
}
