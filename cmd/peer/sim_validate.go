package main

// This file answers: how far can the model be believed? The same scenario runs
// in the model, in the full stack and as real processes, and their figures
// stand side by side.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/braidway/braidway/sim"
	"github.com/braidway/braidway/sim/loopback"
)

// goal is how far the model may be off (issue 4).
const goal = 0.10

// runtimes are what runs a scenario, the one to be judged first, then that by
// which it is judged. Processes, where they can run it, have a network of their own.
func runtimes(sc sim.Scenario, processes bool) []validated {
	all := []validated{{name: "model", run: runModel}, {name: "stack", run: runStack}}
	few := fewer(sc, loopback.Room())
	if processes && loopback.Fits(few, few.Peers) == nil {
		all = append(all, validated{name: fmt.Sprintf("%d processes", few.Peers+few.Settings.Crowd),
			run: func(ctx context.Context, _ sim.Scenario, o sim.Options) (*sim.Result, error) {
				o.Peers = few.Peers
				return runLoopback(ctx, few, o)
			}})
	}
	return all
}

// fewer returns the scenario with no more peers than room, a crowd among them.
func fewer(sc sim.Scenario, room int) sim.Scenario {
	if all := sc.Peers + sc.Settings.Crowd; all > room {
		sc.Settings.Crowd = sc.Settings.Crowd * room / all
		sc.Peers = room - sc.Settings.Crowd
	}
	return sc
}

// validated is a runtime and what it measured.
type validated struct {
	name   string
	run    func(context.Context, sim.Scenario, sim.Options) (*sim.Result, error)
	result *sim.Result
}

// figure is one measure of all runtimes; nil: not measured there.
type figure struct {
	Name   string     `json:"name"`
	Values []*float64 `json:"values"`
	// Off is how far the model is from the stack, as a share of that.
	Off    *float64 `json:"off,omitempty"`
	Beyond bool     `json:"beyond,omitempty"` // the goal
}

func simValidateCommand() *cobra.Command {
	var s simFlags
	var alone bool
	cmd := &cobra.Command{
		Use: "validate SCENARIO|FILE.toml", Short: "Lay the model beside the full stack and real processes",
		Long: `Runs the same scenario with the same seed in the model and in the full stack, and
prints their figures with their differences. Those beyond 10 % are marked with !.
Ctrl-C prints what there is until then, and exits with status 1.
Where nothing but kills and freezes happens it also runs as real processes on
127.0.0.1, in real time, as many as this machine carries: there round trips are
next to nothing, and what is measured is a viewer's whole time.`,
		Example: "  peer sim validate calm --peers 60\n  peer sim validate flash-crowd --peers 20 --set crowd=40 --json",
		Args:    exactly("SCENARIO"), ValidArgsFunction: completeScenario,
		RunE: func(cmd *cobra.Command, args []string) error {
			sc, err := s.prepare(args[0])
			if err != nil {
				return err
			}
			if err := s.fitsStack(sc); err != nil {
				return err
			}
			if err := s.makeOut(); err != nil {
				return err
			}
			return s.validate(cmd.Context(), sc, runtimes(sc, !alone), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	s.addBasics(f)
	s.peers = 60
	f.Lookup("peers").DefValue = "60"
	f.Lookup("peers").Usage = "peers, the publisher among them, 2 to 200"
	f.BoolVar(&alone, "no-processes", false, "leave out the real processes")
	s.bind(cmd)
	return cmd
}

func (s *simFlags) validate(ctx context.Context, sc sim.Scenario, all []validated, out, screen io.Writer) error {
	points := s.points(sc)
	var results []*sim.Result
	var early error // a signal: what is there is shown
	for i := range all {
		fmt.Fprintf(screen, "%s: %s\n", all[i].name, &points[0])
		b := s.batch(points, screen)
		b.run, b.options.NoFloor = all[i].run, true
		rs, err := b.all(ctx)
		if lost(err) {
			return fmt.Errorf("%s: %w", all[i].name, err)
		}
		if rs[0] != nil {
			all[i].result = rs[0]
			results = append(results, rs[0])
		}
		if err != nil {
			early = fmt.Errorf("%s: %w", all[i].name, err)
			break
		}
	}
	if len(results) == 0 {
		return early
	}
	all = all[:len(results)]
	figures := compareFigures(results)
	doc := struct {
		Scenario string   `json:"scenario"`
		Peers    int      `json:"peers"`
		Seed     uint64   `json:"seed"`
		Runtimes []string `json:"runtimes"`
		Figures  []figure `json:"figures"`
	}{sc.Name, sc.Peers, s.seed, nil, figures}
	cols := make([]column, len(all))
	for i := range all {
		doc.Runtimes = append(doc.Runtimes, all[i].name)
		cols[i].Label, cols[i].Result = all[i].name, all[i].result
	}
	err := s.show(out, doc, func(w io.Writer) error { return printFigures(w, doc.Runtimes, figures) })
	return errors.Join(early, err, s.keepReport(sc.Name+": "+strings.Join(doc.Runtimes, " and "), cols))
}

// compareFigures lays the results side by side.
func compareFigures(results []*sim.Result) []figure {
	var all []figure
	for _, row := range validateFigures {
		f := figure{Name: row.name}
		for _, r := range results {
			f.Values = append(f.Values, row.of(r))
		}
		f.judge()
		all = append(all, f)
	}
	return all
}

// judge computes how far the first value is from the second.
func (f *figure) judge() {
	if len(f.Values) < 2 { // it was stopped before
		return
	}
	model, real := f.Values[0], f.Values[1]
	if model == nil || real == nil || *real == 0 && *model != 0 {
		f.Beyond = (model == nil) != (real == nil) || model != nil
		return
	}
	off := 0.0
	if *real != 0 {
		off = (*model - *real) / math.Abs(*real)
	}
	f.Off, f.Beyond = &off, math.Abs(off) > goal
}

func printFigures(w io.Writer, names []string, figures []figure) error {
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\t%s\tmodel to stack\t\t\n", strings.Join(names, "\t"))
	for i, f := range figures {
		fmt.Fprint(t, f.Name)
		for _, v := range f.Values {
			text := "–"
			if v != nil {
				text = fmt.Sprintf(validateFigures[i].format, *v)
			}
			fmt.Fprint(t, "\t"+text)
		}
		off, mark := "–", ""
		if f.Off != nil {
			off = fmt.Sprintf("%+.1f %%", 100**f.Off)
		}
		if f.Beyond {
			mark = "!"
		}
		fmt.Fprintf(t, "\t%s\t%s\t\n", off, mark)
	}
	return t.Flush()
}
