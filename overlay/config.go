package overlay

// This file answers: what can be set in the core, within which ranges, and
// where does each default come from?

import (
	"fmt"
	"time"

	"github.com/braidway/braidway/failover"
	"github.com/braidway/braidway/stream"
)

// Config of one peer in one stream. The zero value is a relay with four
// stripes and no slots.
type Config struct {
	// Publisher makes the stream: it has no parents.
	Publisher bool
	// Epoch of a publisher, at least 1; of another peer the least that it takes
	// part in, 0: any. What was signed in an earlier term can be sent again by
	// anybody: the stream's record says which one is over.
	Epoch uint64
	// Standby follows the stream but takes no children until EvPublish: they
	// wait, and find all slots free then.
	Standby bool
	// Stripes is k, in [1, stream.MaxStripes]; 0 means 4 (docs/tuning.md: of those
	// whose relays die, 2 and 8 keep 98 and 53 % intact, 4 all; 8 doubles control traffic).
	Stripes int
	// Slots is the room for children in all stripes together, in [0, 65535].
	Slots int
	// MaxChildren bounds the children in any one stripe, in [0, 65535]; 0: only Slots bounds them.
	MaxChildren int
	// Reserve is the share of Slots kept for urgent subscribers, in [0, 0.5];
	// 0 means 0.10 (docs/tuning.md: up to 16 slots it is one, as with 0.05; with
	// 0.2 trees get deeper and lose 3 % of the intact).
	Reserve float64
	// Standbys wanted for each stripe, in [1, 8]; 0 means 3 (docs/tuning.md: at 200
	// peers 1 is too few and more than 2 make no difference; a prototype with half
	// of 10,000 dead had 97.6 % of the survivors intact against 81 % with 1).
	Standbys int
	// Beacon is the silence in a stripe after which a parent says where it
	// stands, in [10ms, 1s]; 0 means 60 ms (docs/tuning.md: 25 ms doubles control
	// traffic and brings 24 false switches an hour in a storm of jitter, with 100 ms
	// one in twenty behind a dead relay misses something).
	Beacon time.Duration
	// Detector bounds the silence after which a parent is suspect.
	Detector failover.DetectorConfig
	// Buffer is the playout buffer of this peer and of those behind it, for
	// repair deadlines, in [100ms, 60s]; 0 means 1 s (the default of `peer play`).
	Buffer time.Duration
	// Neighbours wanted besides parents, standbys and children, in [2, 64];
	// 0 means 6 (guess; HyParView's active view at 10,000 nodes is 5).
	Neighbours int
	// View bounds the known peers, in [8, 1024]; 0 means 96 (guess; HyParView's
	// passive view is 30, and ours also serves for standbys).
	View int
	// HedgeShare is the share of received bytes that hedges and repairs may
	// cost, in [0.001, 1]; 0 means 0.05 (docs/tuning.md: with 0.03 one in a hundred
	// behind a dead relay misses something, 0.1 brings no more).
	HedgeShare float64
	// Window is the number of recent objects that are kept for children and
	// repairs, in [64, 1<<20]; 0 means 2048 (25 s at 80 objects a second).
	Window int
}

func (c Config) withDefaults() Config {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&c.Stripes, 4)
	def(&c.Standbys, 3)
	def(&c.Neighbours, 6)
	def(&c.View, 96)
	def(&c.Window, 2048)
	if c.Reserve == 0 {
		c.Reserve = 0.10
	}
	if c.Beacon == 0 {
		c.Beacon = 60 * time.Millisecond
	}
	if c.Buffer == 0 {
		c.Buffer = time.Second
	}
	if c.HedgeShare == 0 {
		c.HedgeShare = 0.05
	}
	if c.Detector.MaxBound == 0 { // what is left of the buffer must do for the hedge and the switch
		c.Detector.MaxBound = max(c.Detector.MinBound, min(max(c.Buffer*35/100, 200*time.Millisecond), time.Second))
	}
	return c
}

func (c Config) validate() error {
	bad := func(name string, value any, allowed string) error {
		return fmt.Errorf("overlay: %s is %v, allowed is %s", name, value, allowed)
	}
	switch {
	case c.Stripes < 1 || c.Stripes > stream.MaxStripes:
		return bad("Stripes", c.Stripes, fmt.Sprintf("1 to %d", stream.MaxStripes))
	case c.Slots < 0 || c.Slots > 65535:
		return bad("Slots", c.Slots, "0 to 65535")
	case c.MaxChildren < 0 || c.MaxChildren > 65535:
		return bad("MaxChildren", c.MaxChildren, "0 to 65535")
	case c.Reserve < 0 || c.Reserve > 0.5:
		return bad("Reserve", c.Reserve, "0 to 0.5")
	case c.Standbys < 1 || c.Standbys > 8:
		return bad("Standbys", c.Standbys, "1 to 8")
	case c.Beacon < 10*time.Millisecond || c.Beacon > time.Second:
		return bad("Beacon", c.Beacon, "10ms to 1s")
	case c.Buffer < 100*time.Millisecond || c.Buffer > time.Minute:
		return bad("Buffer", c.Buffer, "100ms to 1m")
	case c.Neighbours < 2 || c.Neighbours > 64:
		return bad("Neighbours", c.Neighbours, "2 to 64")
	case c.View < 8 || c.View > 1024:
		return bad("View", c.View, "8 to 1024")
	case c.HedgeShare < 0.001 || c.HedgeShare > 1:
		return bad("HedgeShare", c.HedgeShare, "0.001 to 1")
	case c.Window < 64 || c.Window > 1<<20:
		return bad("Window", c.Window, "64 to 1048576")
	case c.Publisher && c.Standby:
		return bad("Standby", c.Standby, "false for a publisher")
	case c.Publisher && c.Epoch == 0:
		return bad("Epoch", c.Epoch, "at least 1 for a publisher")
	}
	return nil
}

// Times of the core that nobody needs to set.
const (
	// confirmTime is how long a suspect parent stays silent before its standby
	// is subscribed: hedges bring meanwhile what it would. With 40 ms (one beacon)
	// metro viewers switched 2 to 6 times an hour for nothing.
	confirmTime = 80 * time.Millisecond
	// answerTime bounds the wait for Accept or Refuse beyond a round trip and a quarter.
	answerTime = 120 * time.Millisecond
	// joinAnswerTime is the same for a stripe that has nothing to lose yet.
	joinAnswerTime = 600 * time.Millisecond
	// statusEvery is the pace of Status to neighbours; three missed ones end
	// the neighbourhood. Guess: 1 % of control traffic at 12 neighbours.
	statusEvery = 2 * time.Second
	// silentLimit ends the neighbourhood with a peer that says nothing at all.
	silentLimit = 3*statusEvery + statusEvery/2
	// braidAfter is when a newcomer first looks for better parents.
	braidAfter = 700 * time.Millisecond
	// braidEvery is the pace of that look afterwards, jittered by half.
	braidEvery = 3 * time.Second
	// shuffleEvery is the pace of membership shuffles, jittered by half.
	shuffleEvery = 10 * time.Second
	// scarceEvery is that pace while neighbours in reserve are too few: a peer
	// behind a NAT of the worst kind reaches one in ten (a guess: two dials' time).
	scarceEvery = 2 * time.Second
	// standbyEvery is the pace at which standbys are looked over.
	standbyEvery = time.Second
	// kinEvery bounds how often Kin is renewed.
	kinEvery = 500 * time.Millisecond
	// pullAgain is when an unanswered pull may go to another peer.
	pullAgain = 150 * time.Millisecond
	// overTime is for how long a parent bears more children than it has room for.
	overTime = silentLimit + time.Second
	// lifeTime bounds the wait for a sign of life beyond a round trip and a
	// quarter: a queue on the way, and a retransmission.
	lifeTime = 200 * time.Millisecond
	// maxSlow bounds how late an answer counts when others are waited for (a guess).
	maxSlow = time.Second
	// missingTime of silence makes a child's death believable: a suspicion takes longer.
	missingTime = 100 * time.Millisecond
	// moveTime bounds a gentle move before it is given up.
	moveTime = 3 * time.Second
	// goAwayTime is what a child gets to move after a push-down.
	goAwayTime = 5 * time.Second
	// pushPause is the least time between two push-downs for a worthier child,
	// and what a child has before it can be pushed down itself (a guess).
	pushPause = 500 * time.Millisecond
	// climbWait is for how long a full parent is left alone after it did not
	// make room for a worthier child (a guess).
	climbWait = 10 * time.Second
	// stallLimit is how late a timeout may come before the peer concludes that
	// it was itself stopped, and that its parents' silence says nothing.
	stallLimit = 80 * time.Millisecond
	// starveTime and starvedMove: a parent that stands still this much behind
	// is helped by pulls, then left.
	starveTime  = 250 * time.Millisecond
	starvedMove = 1500 * time.Millisecond
)
