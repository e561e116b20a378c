package main

// This file answers: how do several runs go on side by side, and what is left
// of them when they are stopped?

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/pbnjay/memory"

	"github.com/braidway/braidway/sim"
)

// runModel runs the model; tests put another in its place.
var runModel = sim.Run

// point is one run.
type point struct {
	number   int // among all points of all shares
	scenario sim.Scenario
	seed     uint64
}

// String names the point in messages.
func (p *point) String() string {
	name := p.scenario.Name
	if s := p.scenario.Settings.System; s != sim.Systems()[0] {
		name += ", " + s
	}
	return fmt.Sprintf("%s, seed %d", name, p.seed)
}

// batch is points with how they run.
type batch struct {
	points   []point
	parallel int
	options  sim.Options // without seed
	run      func(context.Context, sim.Scenario, sim.Options) (*sim.Result, error)
	screen   io.Writer // takes the progress
}

// peerBytes is what a peer takes in the model at most (measured: about 80 KB).
const peerBytes = 100_000

// batch returns how points run under these flags.
func (s *simFlags) batch(points []point, screen io.Writer) *batch {
	b := &batch{points: points, parallel: s.parallel, options: sim.Options{Shards: s.threads, NoFloor: s.noFloor}, run: runModel, screen: screen}
	if b.parallel == 0 {
		b.parallel = runtime.GOMAXPROCS(0)
		// A negative limit is left as it is: GOMEMLIMIT, or none.
		room := min(memory.TotalMemory(), uint64(debug.SetMemoryLimit(-1))) / 2
		for i := range points {
			sc := &points[i].scenario
			need := uint64(sc.Peers+sc.Settings.Crowd) * peerBytes
			b.parallel = min(b.parallel, int(room/need))
		}
	}
	b.parallel = max(1, min(b.parallel, len(points)))
	if b.options.Shards == 0 && b.parallel > 1 {
		b.options.Shards = max(1, runtime.GOMAXPROCS(0)/b.parallel)
	}
	return b
}

// stoppedError says that a signal ended the runs before their time.
type stoppedError struct{ at string }

func (e stoppedError) Error() string { return "stopped " + e.at + "; the report is partial" }

// lost says that runs ended with an error that leaves no results, not with a signal.
func lost(err error) bool {
	var early stoppedError
	return err != nil && !errors.As(err, &early)
}

// all runs all points and returns the results in their order; points that were
// not begun are nil. When ctx ends, it returns what there is and a stoppedError.
func (b *batch) all(ctx context.Context) ([]*sim.Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	m := newMeter(b.screen, b.points, b.options.NoFloor)
	defer m.stop()
	results := make([]*sim.Result, len(b.points))
	next := make(chan int)
	var wg sync.WaitGroup
	for range b.parallel {
		wg.Go(func() {
			for i := range next {
				p := &b.points[i]
				o := b.options
				o.Peers, o.Seed, o.Progress = p.scenario.Peers, p.seed, func(now sim.Progress) { m.note(i, now) }
				r, err := b.run(ctx, p.scenario, o)
				if err != nil && ctx.Err() == nil {
					cancel(fmt.Errorf("%v: %w", p, err))
				}
				results[i] = r
				m.done(i)
			}
		})
	}
feed:
	for i := range b.points {
		select {
		case next <- i:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	wg.Wait()
	if ctx.Err() == nil {
		return results, nil
	}
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return results, err
	}
	return results, b.stopped(results)
}

// stopped tells how far the runs came; nil: all were whole before the signal.
func (b *batch) stopped(results []*sim.Result) error {
	whole := 0
	var last *sim.Result
	for _, r := range results {
		if r != nil && !r.Partial {
			whole++
		} else {
			last = cmp.Or(r, last)
		}
	}
	switch {
	case whole == len(results):
		return nil
	case len(results) > 1:
		return stoppedError{fmt.Sprintf("with %d of %d runs whole", whole, len(results))}
	case last == nil || last.Summary.VirtualS == nil:
		return stoppedError{"before anything was measured"}
	}
	set := last.Scenario.Settings
	at := time.Duration(*last.Summary.VirtualS * float64(time.Second)).Round(time.Millisecond)
	return stoppedError{fmt.Sprintf("at %v of %v", at, set.Join+set.Settle+set.Duration)}
}
