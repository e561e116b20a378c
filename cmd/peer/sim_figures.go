package main

// This file answers: which figures of a run are laid beside those of others?

import (
	"github.com/braidway/braidway/measure"
	"github.com/braidway/braidway/sim"
)

// measured is one figure of a run; of returns nil where it was not measured.
type measured struct {
	name, format string
	of           func(*sim.Result) *float64
}

var (
	continuity = func(s *measure.Summary) *measure.Spread { return s.Continuity }
	deathGap   = func(s *measure.Summary) *measure.Spread { return s.TouchedGapMS }
	longestGap = func(s *measure.Summary) *measure.Spread { return s.MaxGapMS }
	startUp    = func(s *measure.Summary) *measure.Spread { return s.StartupMS }
	redundancy = func(s *measure.Summary) *measure.Spread { return s.Redundancy }

	p50   = func(s *measure.Spread) float64 { return s.P50 }
	p99   = func(s *measure.Spread) float64 { return s.P99 }
	worst = func(s *measure.Spread) float64 { return s.Worst }
)

// quantile reads one figure of one spread.
func quantile(of func(*measure.Summary) *measure.Spread, at func(*measure.Spread) float64) func(*sim.Result) *float64 {
	return func(r *sim.Result) *float64 {
		s := of(&r.Summary)
		if s == nil {
			return nil
		}
		v := at(s)
		return &v
	}
}

// validateFigures are those by which the model is judged (issue 4).
var validateFigures = []measured{
	{"continuity p50", "%.5f", quantile(continuity, p50)},
	{"continuity worst 1 %", "%.5f", quantile(continuity, worst)},
	{"gap after a death p50, ms", "%.0f", quantile(deathGap, p50)},
	{"gap after a death p99, ms", "%.0f", quantile(deathGap, p99)},
	{"longest gap p50, ms", "%.0f", quantile(longestGap, p50)},
	{"longest gap p99, ms", "%.0f", quantile(longestGap, p99)},
	{"start-up p50, ms", "%.0f", quantile(startUp, p50)},
	{"start-up p99, ms", "%.0f", quantile(startUp, p99)},
	{"redundancy p50", "%.4f", quantile(redundancy, p50)},
	{"depth, mean", "%.2f", meanDepth},
}

// tuneFigures are those that a default is chosen by.
var tuneFigures = []measured{
	{"false switches per viewer-hour", "%.2f", falseSwitches},
	{"gap after a death p99, ms", "%.0f", quantile(deathGap, p99)},
	{"redundancy p50", "%.4f", quantile(redundancy, p50)},
	{"continuity worst 1 %", "%.5f", quantile(continuity, worst)},
	{"survivors intact", "%.4f", func(r *sim.Result) *float64 { return r.Summary.SurvivorsIntact }},
	{"failed joins", "%.0f", func(r *sim.Result) *float64 { v := float64(r.FailedJoins); return &v }},
}

func falseSwitches(r *sim.Result) *float64 {
	if r.ViewerHours == 0 {
		return nil
	}
	v := float64(r.FalseSwitches) / r.ViewerHours
	return &v
}

// meanDepth is over all stripes of all viewers at the end.
func meanDepth(r *sim.Result) *float64 {
	if len(r.Depths) == 0 {
		return nil
	}
	sum := 0
	for _, d := range r.Depths {
		sum += d
	}
	v := float64(sum) / float64(len(r.Depths))
	return &v
}
