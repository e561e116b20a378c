package sim

// This file answers: what comes out of a run?

import (
	"time"

	"github.com/braidway/braidway/measure"
)

// Result of one run.
type Result struct {
	Scenario Scenario
	Peers    int
	Seed     uint64
	Partial  bool // stopped before its end
	Viewers  []ViewerResult
	Faults   []FaultMark
	Depths   []int // of every living viewer's stripes at the end
	FanOut   []int // children of every living viewer at the end
	Interior int   // living viewers with children in more than one stripe
	Stalls   []int // viewers that stalled, by second from the beginning of the measures
	// Touched are the gaps after deaths of the viewers whose path ran through
	// the dead, ms; Floor the same viewers' at the same times without deaths.
	Touched, Floor []float64

	FalseSwitches  int
	ViewerHours    float64
	Kills          int
	FailedJoins    int
	WithoutStandby int // stripes at the end
	Collapsed      bool
	Summary        measure.Summary

	Hash   uint64
	Events uint64
	Wall   time.Duration
	Bytes  uint64 // of memory at the end, divided by the peers that ever were
}

// ViewerResult is one viewer of a run.
type ViewerResult struct {
	Index    int
	Region   string
	Access   string
	Slots    int
	Joined   time.Duration // from the beginning of the measures; negative: before
	Left     time.Duration // 0: stayed until the end
	Died     bool          // left without a word
	Survivor bool          // was watching when the measures began or came later, and stayed
	Report   measure.Report
	// Why lists the trace events around the worst gap, of the worst 1 % only.
	Why []string
}

// FaultMark says what happened when, from the beginning of the measures.
type FaultMark struct {
	At   time.Duration
	What string
	Hit  int // peers
}
