package main

// This file answers: what is better, Braidway or a baseline, one setting or another?

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/braidway/braidway/sim"
	"github.com/braidway/braidway/sim/report"
)

func simCompareCommand() *cobra.Command {
	var s simFlags
	var systems string
	var with []string
	var markdown bool
	cmd := &cobra.Command{
		Use: "compare SCENARIO|FILE.toml", Short: "Set Braidway and the baselines, or two settings, side by side",
		Long: `Runs a scenario with Braidway and the baselines, in the same network and on the
same seeds, and prints one table. With --with it compares the scenario as it is
and with the settings given, for Braidway unless --systems says otherwise.`,
		Example: `  peer sim compare relay-kill --peers 300 --out report
  peer sim compare churn --systems braidway,gossip --seeds 3 --markdown
  peer sim compare relay-kill --with beacon=25ms --with bound=60ms`,
		Args: exactly("SCENARIO"), ValidArgsFunction: completeScenario,
		RunE: func(cmd *cobra.Command, args []string) error {
			base, err := s.prepare(args[0])
			if err != nil {
				return err
			}
			if systems == "" && len(with) == 0 {
				systems = strings.Join(sim.Systems(), ",")
			}
			scenarios, err := s.variants(base, systems, with)
			if err != nil {
				return err
			}
			if err := s.makeOut(); err != nil {
				return err
			}
			text := report.Text
			if markdown {
				text = report.Markdown
			}
			points := s.points(scenarios...)
			results, err := s.batch(points, cmd.ErrOrStderr()).all(cmd.Context())
			return s.finish(cmd, base.Name+", compared", points, results, err, text)
		},
	}
	f := cmd.Flags()
	s.addBasics(f)
	s.addMany(f)
	f.StringVar(&systems, "systems", "", "`NAMES`, with commas between, of "+strings.Join(sim.Systems(), ", ")+" (default: all)")
	f.StringArrayVar(&with, "with", nil, "`KEY=VALUE` of a setting that the second column has; repeatable")
	f.BoolVar(&markdown, "markdown", false, "the table as Markdown")
	s.bind(cmd)
	return cmd
}

// variants returns base for each of the systems, as it is and with settings.
func (s *simFlags) variants(base sim.Scenario, systems string, with []string) ([]sim.Scenario, error) {
	var names []string
	for _, name := range strings.Split(systems, ",") {
		if name = strings.TrimSpace(name); slices.Contains(names, name) {
			return nil, s.from.outside("systems", systems, "each name once")
		} else if name == "" && systems == "" {
			name = base.Settings.System
		}
		names = append(names, name)
	}
	var all []sim.Scenario
	for _, name := range names {
		one := base
		if err := s.apply(&one, s.from.where("systems"), []string{"system=" + name}); err != nil {
			return nil, err
		}
		all = append(all, one)
		if len(with) > 0 {
			if err := s.apply(&one, s.from.where("with"), with); err != nil {
				return nil, err
			}
			if one.Settings == all[len(all)-1].Settings {
				return nil, s.from.outside("with", strings.Join(with, " "), "settings that the first column does not have already")
			}
			all = append(all, one)
		}
	}
	return all, nil
}
