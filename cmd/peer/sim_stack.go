package main

// This file answers: what can run a scenario besides the model? The full
// stack: the live peers themselves on a virtual network.

import (
	"context"
	"errors"
	"fmt"

	"github.com/braidway/braidway/sim"
)

// mostStack is how many live peers fit a machine (issue 4).
const mostStack = 200

// runStack runs the full stack; tests put another in its place.
var runStack = func(context.Context, sim.Scenario, sim.Options) (*sim.Result, error) {
	return nil, errors.New("the full stack is not part of this build")
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

func (s *simFlags) fitsStack(sc sim.Scenario) error {
	if n := sc.Peers + sc.Settings.Crowd; n > mostStack {
		return usagef("%s is %d and the crowd %d; the full stack allows at most %d together; give for example --peers 60%s",
			s.from.where("peers"), sc.Peers, sc.Settings.Crowd, mostStack, crowdHint(sc))
	}
	if sc.Settings.System != sim.Systems()[0] {
		return usagef("system is %q; the full stack allows %s", sc.Settings.System, sim.Systems()[0])
	}
	return nil
}

func crowdHint(sc sim.Scenario) string {
	if sc.Settings.Crowd == 0 {
		return ""
	}
	return fmt.Sprintf(" --set crowd=%d", min(sc.Settings.Crowd, 60))
}
