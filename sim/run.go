package sim

// This file answers: how is a simulation started, followed and stopped?

import (
	"context"
	"errors"
	"io"
	"time"
)

// Options of a run that do not change what happens in it.
type Options struct {
	Peers  int // 0: the scenario's
	Seed   uint64
	Shards int // goroutines that share the work; 0: GOMAXPROCS. The result is the same with any number.
	// NoFloor leaves out the second run, without the faults, that the gaps
	// after deaths are laid beside.
	NoFloor bool
	// Trace takes the typed events as JSON lines, in order; nil: none.
	Trace io.Writer
	// Progress is called about four times a second, if set.
	Progress func(Progress)
}

// Progress of a run.
type Progress struct {
	Phase  string // "floor" or "run"
	Now    time.Duration
	End    time.Duration
	Events uint64
	Wall   time.Duration
	Peers  int
}

// Systems returns the names of the cores that can be driven: Braidway's, then the baselines'.
func Systems() []string {
	return []string{"braidway", "single-tree", "dual-path", "mesh-pull", "gossip"}
}

// Run runs the scenario. When ctx ends it returns what there is until then,
// marked as Partial. Settings out of range are an error that names them.
func Run(ctx context.Context, s Scenario, o Options) (*Result, error) {
	return nil, errors.New("sim: not there yet")
}
