package main

// This file answers: how does one scenario run, with one seed or many?

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/braidway/braidway/sim"
	"github.com/braidway/braidway/sim/report"
)

func simRunCommand() *cobra.Command {
	var s simFlags
	var trace string
	var stack bool
	cmd := &cobra.Command{
		Use: "run SCENARIO|FILE.toml", Short: "Run a scenario",
		Long: `Runs a scenario that peer sim list shows, or one of your own from a TOML file, and
prints what the viewers experienced. The same version, scenario, peers and seed
give the same trace_hash on every machine. Ctrl-C prints what there is until
then, marked as partial, and exits with status 1; a second one ends at once.
With --stack the live peers themselves run, on a virtual network and clock: there
runs of one seed are alike, but not the same, and have no trace_hash.`,
		Example: `  peer sim run relay-kill --peers 500 --seed 1
  peer sim run mass-failure --peers 10000 --seeds 12 --out report
  peer sim run mine.toml --set beacon=25ms --set population=metro --json
  peer sim run relay-kill --peers 100 --trace t.jsonl && peer sim replay t.jsonl --peer 17 --until 12.5s
  peer sim run calm --peers 60 --stack`,
		Args: exactly("SCENARIO"), ValidArgsFunction: completeScenario,
		RunE: func(cmd *cobra.Command, args []string) error {
			sc, err := s.prepare(args[0])
			if err != nil {
				return err
			}
			points := s.points(sc)
			if trace != "" && (s.seeds > 1 || stack) {
				return usagef("%s is %s with --seeds %d or --stack, allowed is a trace of one seed of the model", s.from.where("trace"), trace, s.seeds)
			}
			b := s.batch(points, cmd.ErrOrStderr())
			if stack {
				if err := s.forStack(b, sc); err != nil {
					return err
				}
			}
			if err := s.makeOut(); err != nil {
				return err
			}
			results, err := b.traced(cmd.Context(), trace)
			return s.finish(cmd, sc.Name, points, results, err, report.Text)
		},
	}
	f := cmd.Flags()
	s.addBasics(f)
	s.addMany(f)
	f.StringVar(&trace, "trace", "", "`FILE` for what every peer did and what happened to it (JSON lines; peer sim replay reads them)")
	f.BoolVar(&stack, "stack", false, "run the live peers themselves on a virtual network, up to 200, instead of the model (or, with --set system=gossip, gossipsub)")
	s.bind(cmd)
	return cmd
}

// traced runs all points, the trace of which goes into file.
func (b *batch) traced(ctx context.Context, file string) ([]*sim.Result, error) {
	if file == "" {
		return b.all(ctx)
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, fmt.Errorf("--trace: %w; name a file that can be written", err)
	}
	b.options.Trace = f
	results, err := b.all(ctx)
	return results, errors.Join(err, f.Close())
}
