package main

// This file answers: what does a simulation cost, and how does that grow with
// the number of peers?

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/braidway/braidway/sim"
	"github.com/braidway/braidway/sim/report"
)

const scaleSizes = "1000,3000,10000"

// cost is what the run of one size took.
type cost struct {
	Peers        int     `json:"peers"`
	VirtualS     float64 `json:"virtual_s"`
	WallS        float64 `json:"wall_s"`
	Events       uint64  `json:"events"`
	EventsPerS   float64 `json:"events_per_s"`
	BytesPerPeer uint64  `json:"bytes_per_peer"`
	Continuity   float64 `json:"continuity_p99"`
	TraceHash    string  `json:"trace_hash"`
	Partial      bool    `json:"partial,omitempty"`
}

// slowness is how many seconds one second of the stream takes.
func (c *cost) slowness() float64 { return c.WallS / c.VirtualS }

func simScaleCommand() *cobra.Command {
	var s simFlags
	var sizes string
	cmd := &cobra.Command{
		Use: "scale SCENARIO|FILE.toml", Short: "Measure what a simulation costs at several sizes",
		Long: `Runs a scenario at several numbers of peers, one run after another, and prints
what each took: time, events and memory. With --out it also writes scale.json and
the plots scale-time.svg and scale-memory.svg.`,
		Example: "  peer sim scale calm --sizes 1000,10000,100000 --set objects=10 --set object-size=16000 --out docs",
		Args:    exactly("SCENARIO"), ValidArgsFunction: completeScenario,
		RunE: func(cmd *cobra.Command, args []string) error {
			base, err := s.prepare(args[0])
			if err != nil {
				return err
			}
			all, err := s.sized(base, sizes)
			if err != nil {
				return err
			}
			if err := s.makeOut(); err != nil {
				return err
			}
			b := s.batch(s.points(all...), cmd.ErrOrStderr())
			b.parallel, b.options.Shards, b.options.NoFloor = 1, s.threads, true
			results, err := b.all(cmd.Context())
			if lost(err) {
				return err
			}
			return errors.Join(err, s.scaled(cmd.OutOrStdout(), base.Name, costs(results)))
		},
	}
	f := cmd.Flags()
	s.addBasics(f)
	f.Lookup("out").Usage = "`DIR` for scale.json and the plots; made when missing"
	f.StringVar(&sizes, "sizes", scaleSizes, "`NUMBERS` of peers with commas between, each 2 to 1000000")
	s.addThreads(f)
	s.bind(cmd)
	return cmd
}

// sized returns base for each number of peers.
func (s *simFlags) sized(base sim.Scenario, sizes string) ([]sim.Scenario, error) {
	if s.peers != 0 {
		return nil, usagef("%s is %d; name the numbers of peers in --sizes", s.from.where("peers"), s.peers)
	}
	var all []sim.Scenario
	for _, text := range strings.Split(sizes, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 2 || n > 1_000_000 {
			return nil, s.from.outside("sizes", strconv.Quote(text), "numbers of 2 to 1000000 with commas between")
		}
		if slices.ContainsFunc(all, func(o sim.Scenario) bool { return o.Peers == n }) {
			return nil, s.from.outside("sizes", sizes, "each number once")
		}
		one := base
		one.Peers = n
		if err := s.apply(&one, s.from.where("sizes"), nil); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// costs leaves out what was not begun.
func costs(results []*sim.Result) []cost {
	var all []cost
	for _, r := range results {
		if r == nil || r.Wall <= 0 || r.Summary.VirtualS == nil {
			continue
		}
		c := cost{Peers: r.Peers, VirtualS: *r.Summary.VirtualS, WallS: r.Wall.Seconds(), Events: r.Events,
			EventsPerS: newSimReport(r).EventsPerS, BytesPerPeer: r.Bytes, TraceHash: fmt.Sprintf("%016x", r.Hash), Partial: r.Partial}
		if k := r.Summary.Continuity; k != nil {
			c.Continuity = k.P99
		}
		all = append(all, c)
	}
	return all
}

// scaled prints and keeps the costs.
func (s *simFlags) scaled(w io.Writer, name string, all []cost) error {
	err := s.show(w, all, func(w io.Writer) error { return printCosts(w, all) })
	if s.out == "" {
		return err
	}
	plot := func(label string, of func(*cost) float64) func(io.Writer) error {
		line := report.Series{Label: name}
		for i := range all {
			line.X, line.Y = append(line.X, float64(all[i].Peers)), append(line.Y, of(&all[i]))
		}
		return func(w io.Writer) error {
			_, err := io.WriteString(w, report.Lines(label, "peers", label, true, true, []report.Series{line}))
			return err
		}
	}
	return errors.Join(err, s.keepFile("scale.json", func(w io.Writer) error { return writeJSON(w, all) }),
		s.keepFile("scale-time.svg", plot("seconds for one second of the stream", (*cost).slowness)),
		s.keepFile("scale-memory.svg", plot("KB a peer", func(c *cost) float64 { return float64(c.BytesPerPeer) / 1000 })))
}

func printCosts(w io.Writer, all []cost) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "peers\tstream, s\ttook, s\ts per s\tevents\tevents/s\tKB a peer\tcontinuity p99\t")
	for i := range all {
		c := &all[i]
		partial := ""
		if c.Partial {
			partial = "partial"
		}
		fmt.Fprintf(t, "%d\t%.0f\t%.1f\t%.2f\t%d\t%.0f\t%.0f\t%.5f\t%s\n", c.Peers, c.VirtualS, c.WallS, c.slowness(), c.Events, c.EventsPerS,
			float64(c.BytesPerPeer)/1000, c.Continuity, partial)
	}
	return t.Flush()
}
