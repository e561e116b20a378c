package failover

// This file answers: how does a parent stand in one stripe, from what it sends?

import (
	"fmt"
	"math"
	"time"
)

// Level is how a parent stands.
type Level uint8

// Levels of a parent.
const (
	Healthy Level = iota // objects or beacons come, and its position advances with the stream
	Suspect              // silent for longer than the bound
	Gone                 // suspect and confirmed, or its connection closed
	Starved              // beacons come, but its position stands while other stripes advance
	Wary                 // was suspect or gone lately and came back
)

// String returns the level's name.
func (l Level) String() string {
	if l > Wary {
		return fmt.Sprintf("level(%d)", uint8(l))
	}
	return [...]string{"healthy", "suspect", "gone", "starved", "wary"}[l]
}

// ProgressConfig says what a Progress may expect.
type ProgressConfig struct {
	Detector DetectorConfig
	// Confirm is the further silence after which suspect becomes gone; 0 means 40 ms.
	Confirm time.Duration
	// StarveLag is how far, in Seqs, the live edge may be ahead of the parent's position.
	StarveLag uint64
	// StarveTime is for how long it may be so.
	StarveTime time.Duration
}

// waryHalfLife is the half-life of the penalty of a parent that came back (guess).
const waryHalfLife = 30 * time.Second

// Progress follows one parent in one stripe: stream progress is the heartbeat.
type Progress struct {
	det     Detector
	pos     uint64        // one past the last object that it brought
	claim   uint64        // up to where it says that it sent
	moved   time.Duration // when pos last advanced
	abreast time.Duration // when Level last saw it near the edge
	lost    bool
	wary    bool
	waryAt  time.Duration
}

// Start begins at now with a parent that promises a sign of life every expected.
// What is known of an earlier fault stays.
func (p *Progress) Start(now, expected time.Duration) {
	p.det.Start(now, expected)
	p.pos, p.claim, p.moved, p.abreast, p.lost = 0, 0, now, now, false
}

// From says that the parent is to bring what comes from pos on: it does not
// stand behind what was there before it was a parent.
func (p *Progress) From(pos uint64) { p.pos = max(p.pos, pos) }

// Object records the arrival of object pos-1: the parent stands at pos.
func (p *Progress) Object(now time.Duration, pos uint64) { p.Beacon(now, pos) }

// Beacon records that the parent is alive and stands at pos.
func (p *Progress) Beacon(now time.Duration, pos uint64) {
	p.det.Observe(now)
	if pos > p.pos {
		p.pos, p.moved = pos, now
	}
	if p.lost {
		p.lost, p.wary, p.waryAt = false, true, now
	}
}

// Claim records that the parent is alive and says that it sent everything below
// pos. It counts as a sign of life only: a parent stands where its objects end.
func (p *Progress) Claim(now time.Duration, pos uint64) {
	p.Beacon(now, 0)
	p.claim = max(p.claim, pos)
}

// Ahead returns by how many Seqs the parent's claims run ahead of what it brought.
func (p *Progress) Ahead() uint64 { return p.claim - min(p.claim, p.pos) }

// Position returns how far the parent is, one past its last Seq.
func (p *Progress) Position() uint64 { return p.pos }

// Lost records that the connection closed: the parent is gone at once.
func (p *Progress) Lost(time.Duration) { p.lost = true }

// Doubt records a fault for Wariness: the parent was suspect at now.
func (p *Progress) Doubt(now time.Duration) { p.wary, p.waryAt = true, now }

// Excuse makes silence count from now on only.
func (p *Progress) Excuse(now time.Duration) {
	p.det.Excuse(now)
	p.moved = max(p.moved, now)
}

// SuspectAt returns when the parent becomes suspect if it stays silent.
func (p *Progress) SuspectAt(c ProgressConfig) time.Duration {
	if p.lost {
		return p.det.Last()
	}
	return p.det.SuspectAt(c.Detector)
}

// Unrest is the detector's: how unevenly signs of life come.
func (p *Progress) Unrest() time.Duration { return p.det.Unrest() }

// Last returns the last sign of life.
func (p *Progress) Last() time.Duration { return p.det.Last() }

// Level returns how the parent stands at now, where edge is the live edge known
// from all stripes: it does not move when the whole stream is paused, so a
// pause starves nobody.
func (p *Progress) Level(now time.Duration, edge uint64, c ProgressConfig) Level {
	if p.lost {
		return Gone
	}
	if c.Confirm == 0 {
		c.Confirm = 40 * time.Millisecond
	}
	if at := p.SuspectAt(c); now >= at {
		if now >= at+c.Confirm {
			return Gone
		}
		return Suspect
	}
	switch {
	case edge <= p.pos || edge-p.pos <= c.StarveLag:
		p.abreast = now
	case now-max(p.abreast, p.moved) > c.StarveTime:
		return Starved
	}
	if p.Wariness(now) > 0.1 {
		return Wary
	}
	return Healthy
}

// Wariness returns the penalty of an earlier fault, 1 at once, halved every 30 s.
func (p *Progress) Wariness(now time.Duration) float64 {
	if !p.wary {
		return 0
	}
	return math.Exp2(-(now - p.waryAt).Seconds() / waryHalfLife.Seconds())
}
