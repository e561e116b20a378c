package main

// This file answers: what comes out of simulations: on standard output, and in
// the folder of --out?

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"

	"github.com/spf13/cobra"

	"github.com/braidway/braidway/measure"
	"github.com/braidway/braidway/sim"
	"github.com/braidway/braidway/sim/report"
)

// column is what differs in nothing but the seed.
type column struct {
	report.Run
	seeds []*sim.Result
}

// columns pools the seeds of results; points that were not begun are left out.
func columns(results []*sim.Result) ([]column, error) {
	var there []*sim.Result
	for _, r := range results {
		if r != nil {
			there = append(there, r)
		}
	}
	runs, err := report.Group(there)
	if err != nil {
		return nil, err
	}
	all := make([]column, len(runs))
	for i, run := range runs {
		c := column{Run: run}
		for _, r := range there {
			if r.Peers == run.Result.Peers && reflect.DeepEqual(r.Scenario, run.Result.Scenario) {
				c.seeds = append(c.seeds, r)
			}
		}
		if len(c.seeds) == 1 {
			c.Result, c.Seeds = c.seeds[0], nil
		}
		all[i] = c
	}
	return all, nil
}

func runsOf(cols []column) []report.Run {
	var runs []report.Run
	for i := range cols {
		runs = append(runs, cols[i].Run)
	}
	return runs
}

// simReport is the JSON of one run, or of one scenario's seeds together: the
// fields of CLI.md, and what the run cost.
type simReport struct {
	Label string `json:"label,omitempty"`
	measure.Summary
	System       string            `json:"system"`
	Settings     map[string]string `json:"settings,omitempty"` // that differ from the defaults
	Partial      bool              `json:"partial,omitempty"`
	Collapsed    bool              `json:"collapsed,omitempty"`
	Events       uint64            `json:"events"`
	EventsPerS   float64           `json:"events_per_s,omitempty"`
	BytesPerPeer uint64            `json:"bytes_per_peer,omitempty"`
	// Of several seeds: each, and how far they agree (median, least, most).
	Seeds    []simReport   `json:"seeds,omitempty"`
	Together *report.Seeds `json:"over_seeds,omitempty"`
}

// newSimReport describes r.
func newSimReport(r *sim.Result) simReport {
	s := simReport{Summary: r.Summary, System: r.Scenario.Settings.System, Partial: r.Partial, Collapsed: r.Collapsed, Events: r.Events, BytesPerPeer: r.Bytes}
	if r.Wall > 0 {
		s.EventsPerS = float64(r.Events) / r.Wall.Seconds()
	}
	usual := sim.Default()
	was := usual.Fields()
	for i, f := range r.Scenario.Settings.Fields() {
		if v := f.Get(); v != was[i].Get() {
			if s.Settings == nil {
				s.Settings = map[string]string{}
			}
			s.Settings[f.Name] = v
		}
	}
	return s
}

// report is the JSON of a column.
func (c *column) report() simReport {
	s := newSimReport(c.Result)
	if c.Seeds != nil {
		s.Together = c.Seeds
		for _, r := range c.seeds {
			s.Seeds = append(s.Seeds, newSimReport(r))
		}
	}
	return s
}

// document is the JSON of all columns: of one it is its own, several are runs.
func document(cols []column) any {
	if len(cols) == 1 {
		return cols[0].report()
	}
	d := struct {
		Runs []simReport `json:"runs"`
	}{[]simReport{}}
	for i := range cols {
		s := cols[i].report()
		s.Label = cols[i].Label
		d.Runs = append(d.Runs, s)
	}
	return d
}

func writeJSON(w io.Writer, v any) error {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// show prints v as JSON where that was asked for, else as text does.
func (s *simFlags) show(w io.Writer, v any, text func(io.Writer) error) error {
	if s.asJSON {
		return writeJSON(w, v)
	}
	return text(w)
}

// finish prints the report of results, and keeps it in the folder of --out.
// stopped is what the runs ended with, which goes ahead of other errors.
func (s *simFlags) finish(cmd *cobra.Command, title string, points []point, results []*sim.Result, stopped error, text func([]report.Run) string) error {
	if lost(stopped) {
		return stopped
	}
	cols, err := columns(results)
	if err != nil {
		return errors.Join(stopped, err)
	}
	switch {
	case len(cols) == 0 && len(points) == 0:
		fmt.Fprintf(cmd.ErrOrStderr(), "share %s has nothing to run: there are fewer points than shares\n", s.shard)
		return nil
	case len(cols) == 0:
		return stopped
	case s.asJSON:
		err = writeJSON(cmd.OutOrStdout(), document(cols))
	default:
		_, err = io.WriteString(cmd.OutOrStdout(), text(runsOf(cols)))
	}
	return errors.Join(stopped, err, s.keep(points, results), s.keepReport(title, cols))
}

// keep writes every result where peer sim merge finds it.
func (s *simFlags) keep(points []point, results []*sim.Result) error {
	if s.out == "" {
		return nil
	}
	for i, r := range results {
		dir := s.out
		if len(results) > 1 || s.mine.of > 0 {
			dir = filepath.Join(s.out, fmt.Sprintf("point-%04d", points[i].number))
		}
		if r == nil {
			continue
		}
		if err := report.Save(dir, r); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
	}
	return nil
}

// keepReport writes report.html, its plots and summary.json.
func (s *simFlags) keepReport(title string, cols []column) error {
	if s.out == "" {
		return nil
	}
	runs := runsOf(cols)
	all := []error{s.keepFile("report.html", func(w io.Writer) error { return report.HTML(w, title, runs) }),
		s.keepFile("summary.json", func(w io.Writer) error { return writeJSON(w, document(cols)) })}
	for _, kind := range report.Kinds() {
		all = append(all, s.keepFile(kind+".svg", func(w io.Writer) error {
			plot, err := report.Plot(kind, runs)
			if err == nil {
				_, err = io.WriteString(w, plot)
			}
			return err
		}))
	}
	return errors.Join(all...)
}

// keepFile writes one file in the folder of --out.
func (s *simFlags) keepFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(filepath.Join(s.out, name))
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	if err := errors.Join(write(f), f.Close()); err != nil {
		return fmt.Errorf("--out: %s: %w", f.Name(), err)
	}
	return nil
}
