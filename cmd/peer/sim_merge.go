package main

// This file answers: how do the results of many machines become one report?

import (
	"errors"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/braidway/braidway/sim/report"
)

func simMergeCommand() *cobra.Command {
	var s simFlags
	var markdown bool
	cmd := &cobra.Command{
		Use: "merge DIR...", Short: "Join the results of several runs or machines",
		Long: `Joins all result.json.gz in the folders and below: seeds of one scenario with the
same settings are pooled, over all their viewers, so that no percentile is lost;
different scenarios and settings stand side by side.`,
		Example: "  peer sim run mass-failure --seeds 100 --shard 0/2 --out results\n  peer sim run mass-failure --seeds 100 --shard 1/2 --out results\n  peer sim merge results --out report",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("DIR is missing: the folders of --out")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			results, err := report.LoadDirs(args...)
			if errors.Is(err, fs.ErrNotExist) {
				return notFoundError{err}
			}
			if err != nil {
				return err
			}
			cols, err := columns(results)
			if err != nil {
				return err
			}
			if err := s.makeOut(); err != nil {
				return err
			}
			switch {
			case s.asJSON:
				err = writeJSON(cmd.OutOrStdout(), document(cols))
			case markdown:
				_, err = cmd.OutOrStdout().Write([]byte(report.Markdown(runsOf(cols))))
			default:
				_, err = cmd.OutOrStdout().Write([]byte(report.Text(runsOf(cols))))
			}
			return errors.Join(err, s.keepReport("Merged results", cols))
		},
	}
	f := cmd.Flags()
	f.BoolVar(&s.asJSON, "json", false, "the report as JSON")
	f.BoolVar(&markdown, "markdown", false, "the table as Markdown")
	f.StringVar(&s.out, "out", "", "`DIR` for report.html and summary.json; made when missing")
	f.String("config", "", "`FILE` with settings (TOML; keys are the flags' names)")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) (err error) {
		s.from, err = loadFlags(cmd)
		return err
	}
	return cmd
}
