package node

// This file answers: for how many children is there room?

import (
	"math/rand/v2"
	"time"

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
	// growEvery is how often a full peer without trouble tries one slot more. It
	// doubles with every trouble, up to growRarely: a line's capacity is not asked
	// for again and again at the cost of those who are fed.
	growEvery  = 10 * time.Second
	growRarely = 5 * time.Minute
	// lookEvery is the pace of looks at the queues.
	lookEvery = 500 * time.Millisecond
	// pressed is the delay on the way out, in the own queue and in those of the
	// line, that counts as pressure: more than what loss makes once, and a small
	// part of any buffer (a guess).
	pressed = 250 * time.Millisecond
	// pressedLooks one after the other make pressure trouble: the past that
	// newcomers get is sent by then.
	pressedLooks = 6
	// maxSlots is the wire's limit, and a bound for small streams on big lines.
	maxSlots = 4096
)

// slotKeeper turns the upload limit into slots: limit / (bitrate / k), and
// measures whether the line bears that. Pressure, when most children are behind a
// queue that grows, lets nobody in; when it lasts, slots are given up, and one is
// tried again at a time: additive increase and multiplicative decrease, as TCP
// does (Chiu and Jain 1989). Owned by the session's loop.
type slotKeeper struct {
	limit    int64 // bit/s; 0: none is known
	off      bool
	k        int
	bitrate  float64 // bit/s, moving average
	guess    int     // slots that the line seems to bear
	last     int
	bytes    int64 // received since at
	at       time.Duration
	tryAt    time.Duration               // when a slot more is tried
	grew     bool                        // the last change was a slot more
	pause    time.Duration               // between two tries
	looks    int                         // with pressure, one after the other
	held     bool                        // nobody was let in, for pressure
	troubles int                         // how often slots were given up
	stuck    map[overlay.PeerID]struct{} // children whose queues ran over since the last look
}

func newSlotKeeper(limit int64, off bool, k int, bitrate uint64) slotKeeper {
	s := slotKeeper{limit: limit, off: off, k: k, bitrate: float64(bitrate), guess: firstSlots * k, pause: growEvery, tryAt: growEvery}
	if bitrate == 0 {
		s.bitrate = guessedBitrate
	}
	if limit > 0 {
		s.guess = s.most()
	}
	s.last = s.now()
	return s
}

// most returns the slots that the limit gives, in all stripes together.
func (s *slotKeeper) most() int {
	if s.limit > 0 {
		return int(min(float64(s.limit)*float64(s.k)/s.bitrate, maxSlots))
	}
	return mostSlots * s.k
}

// now returns the slots in all stripes together.
func (s *slotKeeper) now() int {
	switch {
	case s.off:
		return 0
	case s.troubles == 0 && s.limit > 0:
		return s.most()
	}
	return min(s.guess, s.most())
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

// look is what is to be seen of the way out at one time.
type look struct {
	used     int // slots
	children int // peers
	behind   int // of these, behind a delay of more than pressed
}

// tick takes a look and returns the slots, and whether they changed.
func (s *slotKeeper) tick(now time.Duration, l look) (int, bool) {
	if span := now - s.at; span > 4*time.Second {
		if rate := float64(s.bytes*8) / span.Seconds(); s.bytes > 0 {
			s.bitrate += (rate - s.bitrate) / 2
		}
		s.bytes, s.at = 0, now
	}
	most := func(n int) bool { return n > 1 && 2*n > l.children }
	over := most(len(s.stuck))
	clear(s.stuck)
	if over || most(l.behind) {
		s.looks++
	} else {
		s.looks = 0
	}
	n := s.now()
	switch {
	case over || s.looks >= pressedLooks:
		s.guess = max(s.k, min(n, l.used)*9/10)
		if over {
			s.guess = max(s.k, s.guess*8/10)
		}
		s.troubles++
		s.pause, s.grew = min(2*s.pause, growRarely), false
		s.tryAt, s.looks = now+s.pause, 0
		n = s.now()
	case s.looks > 0:
		n = min(n, max(l.used, 1))
	case l.used >= n-1 && now > s.tryAt && n < s.most():
		s.guess = n + 1
		if s.grew { // twice without trouble: it is the line that has changed
			s.pause = max(growEvery, s.pause/2)
		}
		s.grew = true
		s.tryAt = now + s.pause/2 + rand.N(s.pause)
		n = s.now()
	}
	// A bitrate that varies a little changes nothing.
	measured := s.limit == 0 || s.troubles > 0 || s.looks > 0 || s.held
	changed := n != s.last && (measured || n < s.last*9/10 || n > s.last*11/10)
	if changed {
		s.last = n
	}
	s.held = s.looks > 0
	return s.last, changed
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
		s.step(overlay.Event{Kind: overlay.EvSlots, Slots: int32(n)})
	}
}

// news returns the events that lie between before and now.
func (s *slotKeeper) news(before *slotKeeper) (names []string) {
	if s.held && !before.held {
		names = append(names, eventPressed)
	}
	if s.troubles > before.troubles {
		names = append(names, eventShrink)
	}
	if s.last != before.last {
		names = append(names, eventSlots)
	}
	return names
}

// look measures the way out to the children: what waited for its turn, and by how
// much the round trip is longer than its least.
func (s *Session) look() look {
	l := look{used: s.core.Used()}
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
			l.children++
			if wait+p2p.Queueing(n.ctl.Conn()) > pressed {
				l.behind++
			}
		}
	}
	return l
}
