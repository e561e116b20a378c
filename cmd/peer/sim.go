package main

// This file answers: which commands does the simulator have, and which
// scenarios?

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/braidway/braidway/sim"
)

func simCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "sim", Short: "What happens to the stream when things go wrong, at a size nobody can rent",
		Long: `Runs the core that peers run for hundreds to 100,000 simulated peers in virtual
time, and measures what their viewers experience. Nothing leaves this machine.`,
		Example: "  peer sim list\n  peer sim run relay-kill --peers 500 --seed 1 --out report\n  peer sim compare relay-kill",
		Args:    cobra.ArbitraryArgs, RunE: group,
	}
	cmd.AddCommand(simListCommand(), simShowCommand(), simRunCommand(), simCompareCommand(), simValidateCommand(),
		simReplayCommand(), simMergeCommand(), simTuneCommand(), simScaleCommand())
	return cmd
}

func simListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the scenarios",
		Long:    "Lists the scenarios that come with the simulator, each with its number of peers and the question it asks.",
		Example: "  peer sim list\n  peer sim list --json", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			type row struct {
				Name     string `json:"name"`
				Peers    int    `json:"peers"`
				Question string `json:"question"`
				Good     string `json:"good"`
			}
			var rows []row
			for _, s := range sim.Scenarios() {
				rows = append(rows, row{s.Name, s.Peers, s.Question, s.Good})
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), rows)
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 2, 8, 2, ' ', 0)
			fmt.Fprintln(t, "SCENARIO\tPEERS\tQUESTION")
			for _, r := range rows {
				fmt.Fprintf(t, "%s\t%d\t%s\n", r.Name, r.Peers, r.Question)
			}
			return t.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON, with what a good answer looks like")
	return cmd
}

func simShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show SCENARIO|FILE.toml", Short: "Print a scenario as a file to start from",
		Long: `Prints a scenario in TOML, with all its settings and what they may be. Change it,
and give the file to peer sim run.`,
		Example: "  peer sim show relay-kill > mine.toml\n  peer sim run mine.toml", Args: exactly("SCENARIO"),
		ValidArgsFunction: completeScenario,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := scenarioOf(args[0])
			if err == nil {
				fmt.Fprint(cmd.OutOrStdout(), s.TOML())
			}
			return err
		},
	}
}

func completeScenario(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return sim.Names(), cobra.ShellCompDirectiveDefault
}

// scenarioOf returns the scenario of a name, or of a file.
func scenarioOf(arg string) (sim.Scenario, error) {
	if s, ok := sim.Find(arg); ok {
		return s, nil
	}
	if filepath.Ext(arg) == ".toml" || strings.ContainsRune(arg, filepath.Separator) {
		b, err := os.ReadFile(arg)
		if err != nil {
			return sim.Scenario{}, usagef("scenario: %w; peer sim show relay-kill prints one to start from", err)
		}
		s, err := sim.ParseFile(arg, b)
		if err != nil {
			return s, usageError{err}
		}
		return s, nil
	}
	hint := ""
	if near := sim.Closest(arg, sim.Names()); near != "" {
		hint = fmt.Sprintf("did you mean %s? ", near)
	}
	return sim.Scenario{}, usagef("unknown scenario %q; %sKnown are %s, and files that end in .toml", arg, hint, strings.Join(sim.Names(), ", "))
}
