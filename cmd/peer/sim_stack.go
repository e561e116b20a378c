package main

// This file answers: what can run a scenario besides the model? The full
// stack, the live peers themselves on a virtual network; and, on this machine's
// loopback, the program itself in many processes.

import (
	"context"
	"fmt"

	"github.com/braidway/braidway/sim"
	"github.com/braidway/braidway/sim/loopback"
	"github.com/braidway/braidway/sim/stack"
)

// runStack runs the full stack; tests put another in its place.
var runStack = func(ctx context.Context, sc sim.Scenario, o sim.Options) (*sim.Result, error) {
	return stack.Run(ctx, sc, stack.Options{Peers: o.Peers, Seed: o.Seed, Progress: o.Progress})
}

// runLoopback runs real processes; tests put another in its place.
var runLoopback = func(ctx context.Context, sc sim.Scenario, o sim.Options) (*sim.Result, error) {
	return loopback.Run(ctx, sc, loopback.Options{Peers: o.Peers, Seed: o.Seed, Progress: o.Progress})
}

// forStack makes b run the full stack, one run at a time unless told otherwise.
func (s *simFlags) forStack(b *batch, sc sim.Scenario) error {
	if err := s.fitsStack(sc); err != nil {
		return err
	}
	b.run, b.options.NoFloor = runStack, true
	if s.parallel == 0 {
		b.parallel = 1
	}
	return nil
}

// fitsStack refuses what the full stack cannot run.
func (s *simFlags) fitsStack(sc sim.Scenario) error {
	err := stack.Fits(sc, sc.Peers)
	if err == nil {
		return nil
	}
	// When only the size is wrong, say what would fit.
	const fit = 60
	smaller := sc
	smaller.Settings.Crowd = min(sc.Settings.Crowd, fit)
	if stack.Fits(smaller, min(sc.Peers, fit)) != nil {
		return usageError{err}
	}
	hint := fmt.Sprintf("--peers %d", min(sc.Peers, fit))
	if c := smaller.Settings.Crowd; c > 0 {
		hint += fmt.Sprintf(" --set crowd=%d", c)
	}
	return usagef("%s: %w; give for example %s", s.from.where("peers"), err, hint)
}
