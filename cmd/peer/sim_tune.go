package main

// This file answers: what does each default cost and bring? A sweep of
// parameters over scenarios and seeds.

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/braidway/braidway/sim"
)

// The sweep of make tune: each default with what lies around it, in a scenario
// where single relays die, one where every switch is false, and one where half
// of all die at once.
var (
	tuneParams = []string{"beacon=25ms,60ms,100ms,200ms", "bound=60ms,80ms,100ms,150ms,250ms", "stripes=2,4,8",
		"standbys=1,2,3,5", "reserve=0,0.05,0.1,0.2", "hedge=0.01,0.03,0.05,0.1"}
	tuneScenarios = []string{"relay-kill", "jitter-storm", "mass-failure"}
)

const tunePeers = 200

// sweep is one parameter with its values.
type sweep struct {
	name   string
	values []string
}

func simTuneCommand() *cobra.Command {
	var s simFlags
	var params, scenarios []string
	cmd := &cobra.Command{
		Use: "tune", Short: "Sweep settings over scenarios and seeds",
		Long: `Runs every scenario once for each value of each parameter, the others staying as
they are, and prints a Markdown table: what a value costs in false switches and
redundancy, and what it brings in gap and continuity. With --out it also writes
tuning.md and tuning.csv.`,
		Example: "  peer sim tune --param beacon=25ms,60ms,100ms --scenario relay-kill\n  peer sim tune --param bound=60ms,100ms --param hedge=0.03,0.1 --seeds 5 --out docs",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			sweeps, err := parseSweeps(params, s.from)
			if err != nil {
				return err
			}
			rows, list, err := s.tuning(sweeps, scenarios)
			if err != nil {
				return err
			}
			if err := s.makeOut(); err != nil {
				return err
			}
			points := s.points(list...)
			results, err := s.batch(points, cmd.ErrOrStderr()).all(cmd.Context())
			if lost(err) {
				return err
			}
			return errors.Join(err, s.tuned(cmd.OutOrStdout(), rows, points, results))
		},
	}
	f := cmd.Flags()
	s.addBasics(f)
	s.addMany(f)
	f.Lookup("peers").Usage = "peers, the publisher among them, 2 to 1000000"
	s.peers, f.Lookup("peers").DefValue = tunePeers, strconv.Itoa(tunePeers)
	f.Lookup("out").Usage = "`DIR` for tuning.md and tuning.csv, or with --shard for results; made when missing"
	f.StringArrayVar(&params, "param", tuneParams, "`KEY=VALUE,VALUE…` of a setting to sweep; repeatable")
	f.StringArrayVar(&scenarios, "scenario", tuneScenarios, "`SCENARIO` or FILE.toml; repeatable")
	s.bind(cmd)
	return cmd
}

// parseSweeps reads key=value,value… A value without a key goes to the one
// before, since lists in the environment are split at their commas.
func parseSweeps(params []string, from origins) ([]sweep, error) {
	var all []sweep
	for _, p := range params {
		key, list, ok := strings.Cut(p, "=")
		key = strings.TrimSpace(key)
		if !ok {
			if len(all) == 0 {
				return nil, usagef("%s %q has no =; write for example --param beacon=25ms,50ms", from.where("param"), p)
			}
			list = p
		}
		values := strings.Split(list, ",")
		for i := range values {
			if values[i] = strings.TrimSpace(values[i]); values[i] == "" {
				return nil, usagef("%s %q has an empty value; write for example --param beacon=25ms,50ms", from.where("param"), p)
			}
		}
		if ok {
			if slices.ContainsFunc(all, func(s sweep) bool { return s.name == key }) {
				return nil, usagef("%s %s is given twice; give all its values in one", from.where("param"), key)
			}
			all = append(all, sweep{name: key})
		}
		last := &all[len(all)-1]
		last.values = append(last.values, values...)
	}
	return all, nil
}

// tuneRow is one line of the table.
type tuneRow struct {
	Scenario  string `json:"scenario"`
	Param     string `json:"param"`
	Value     string `json:"value"`
	IsDefault bool   `json:"is_default,omitempty"`
	Seeds     int    `json:"seeds"`
	Partial   bool   `json:"partial,omitempty"`
	// Figures are those of tuneFigures by their names; absent: not measured.
	Figures map[string]float64 `json:"figures"`
	variant int                // scenarios and values that give the same run are one
}

// tuning returns the table's lines, and the scenarios that they need, each once.
func (s *simFlags) tuning(sweeps []sweep, names []string) (rows []tuneRow, list []sim.Scenario, err error) {
	for _, sw := range sweeps {
		for _, name := range names {
			base, err := s.prepare(name)
			if err != nil {
				return nil, nil, err
			}
			for _, v := range sw.values {
				one := base
				if err := s.apply(&one, s.from.where("param"), []string{sw.name + "=" + v}); err != nil {
					return nil, nil, err
				}
				at := slices.IndexFunc(list, func(x sim.Scenario) bool { return reflect.DeepEqual(x, one) })
				if at < 0 {
					at, list = len(list), append(list, one)
				}
				rows = append(rows, tuneRow{Scenario: one.Name, Param: sw.name, Value: v, IsDefault: one.Settings == base.Settings, variant: at})
			}
		}
	}
	return rows, list, nil
}

// tuned fills in the figures, prints and keeps them.
func (s *simFlags) tuned(w io.Writer, rows []tuneRow, points []point, results []*sim.Result) error {
	seeds := max(1, s.seeds)
	byVariant := map[int][]*sim.Result{}
	for i, r := range results {
		if n := points[i].number / seeds; r != nil {
			byVariant[n] = append(byVariant[n], r)
		}
	}
	pooled := map[int]column{}
	for n, rs := range byVariant {
		cols, err := columns(rs)
		if err != nil {
			return err
		}
		pooled[n] = cols[0]
	}
	whole := slices.DeleteFunc(rows, func(r tuneRow) bool { return pooled[r.variant].Result == nil })
	for i := range whole {
		row := &whole[i]
		row.Figures, row.Seeds, row.Partial = map[string]float64{}, len(byVariant[row.variant]), pooled[row.variant].Result.Partial
		for _, f := range tuneFigures {
			if v := f.of(pooled[row.variant].Result); v != nil {
				row.Figures[f.name] = *v
			}
		}
	}
	err := s.show(w, whole, func(w io.Writer) error { return tuneMarkdown(w, whole) })
	if s.out == "" {
		return err
	}
	if s.mine.of > 0 {
		err = errors.Join(err, s.keep(points, results))
	}
	return errors.Join(err, s.keepFile("tuning.md", func(w io.Writer) error { return tuneMarkdown(w, whole) }),
		s.keepFile("tuning.csv", func(w io.Writer) error { return tuneCSV(w, whole) }))
}

// tuneMarkdown writes one table for each parameter.
func tuneMarkdown(w io.Writer, rows []tuneRow) error {
	var b strings.Builder
	for i := range rows {
		r := &rows[i]
		if i == 0 || rows[i-1].Param != r.Param {
			fmt.Fprintf(&b, "\n### %s\n\n| scenario | %s | seeds |", r.Param, r.Param)
			for _, f := range tuneFigures {
				b.WriteString(" " + f.name + " |")
			}
			b.WriteString("\n|---|---|---:|" + strings.Repeat("---:|", len(tuneFigures)) + "\n")
		}
		value := r.Value
		if r.IsDefault {
			value = "**" + value + "** (default)"
		}
		if r.Partial {
			value += " (partial)"
		}
		fmt.Fprintf(&b, "| %s | %s | %d |", r.Scenario, value, r.Seeds)
		for _, f := range tuneFigures {
			text := "–"
			if v, ok := r.Figures[f.name]; ok {
				text = fmt.Sprintf(f.format, v)
			}
			b.WriteString(" " + text + " |")
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, strings.TrimPrefix(b.String(), "\n"))
	return err
}

func tuneCSV(w io.Writer, rows []tuneRow) error {
	out := csv.NewWriter(w)
	head := []string{"scenario", "param", "value", "default", "seeds"}
	for _, f := range tuneFigures {
		head = append(head, f.name)
	}
	_ = out.Write(head) // Error tells below
	for i := range rows {
		r := &rows[i]
		line := []string{r.Scenario, r.Param, r.Value, strconv.FormatBool(r.IsDefault), strconv.Itoa(r.Seeds)}
		for _, f := range tuneFigures {
			text := ""
			if v, ok := r.Figures[f.name]; ok {
				text = strconv.FormatFloat(v, 'g', -1, 64)
			}
			line = append(line, text)
		}
		_ = out.Write(line)
	}
	out.Flush()
	return out.Error()
}
