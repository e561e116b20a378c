package main

import (
	"context"
	"testing"
	"time"

	"github.com/braidway/braidway/sim"
	"github.com/braidway/braidway/sim/loopback"
)

// small is a scenario that a few processes run in seconds.
func small(t *testing.T) sim.Scenario {
	t.Helper()
	sc, ok := sim.Find("relay-kill")
	if !ok {
		t.Fatal("relay-kill is gone")
	}
	set := &sc.Settings
	set.Join, set.Settle, set.Duration, set.FreeRiders = time.Second, 3*time.Second, 5*time.Second, 0
	sc.Peers = 6
	sc.Faults = []sim.Fault{
		{What: sim.Kill, Who: sim.Busiest, Replace: true},
		{What: sim.Freeze, Who: sim.Anyone, At: 2 * time.Second, For: 300 * time.Millisecond},
	}
	return sc
}

func TestAScenarioRunsAsProcesses(t *testing.T) {
	file := binary.File(t)
	looks := 0
	r, err := loopback.Run(t.Context(), small(t), loopback.Options{Program: file, Seed: 3, Progress: func(sim.Progress) { looks++ }})
	if err != nil {
		t.Fatal(err)
	}
	if r.Partial || r.Kills != 1 || len(r.Faults) != 2 || r.Faults[1].Hit != 1 || looks < 5 {
		t.Errorf("partial %v, kills %d, faults %+v, looked %d times", r.Partial, r.Kills, r.Faults, looks)
	}
	if len(r.Viewers) != 5 { // one of five was killed, one came for it
		t.Errorf("%d viewers", len(r.Viewers))
	}
	if s := &r.Summary; s.Continuity == nil || s.Continuity.P50 != 1 || s.StartupMS == nil || s.MaxGapMS == nil || s.SurvivorsIntact == nil {
		t.Errorf("%+v", s)
	}
	if len(r.Depths) == 0 || len(r.FanOut) != 5 {
		t.Errorf("depths %v, children %v", r.Depths, r.FanOut)
	}
}

func TestAStoppedRunOfProcessesIsPartial(t *testing.T) {
	file := binary.File(t)
	sc := small(t)
	sc.Settings.Duration = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := loopback.Run(ctx, sc, loopback.Options{Program: file, Seed: 3, Progress: func(p sim.Progress) {
		if p.Now > 3*time.Second {
			cancel()
		}
	}})
	if err != nil || !r.Partial || len(r.Viewers) != 5 {
		t.Errorf("%v, %+v", err, r)
	}
}
