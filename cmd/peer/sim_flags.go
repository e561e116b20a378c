package main

// This file answers: what can be said to a simulation on the command line, and
// is it in range? All is checked before anything starts.

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/braidway/braidway/sim"
)

// simFlags are the flags of everything that runs simulations.
type simFlags struct {
	peers    int
	seed     uint64
	seeds    int
	parallel int
	threads  int
	set      []string
	noFloor  bool
	asJSON   bool
	out      string
	shard    string

	from origins
	mine share
}

// share is what one of several machines runs: points whose number, modulo of, is index.
type share struct{ index, of int }

// has reports whether point n is of this share.
func (s share) has(n int) bool { return s.of == 0 || n%s.of == s.index }

// dir is the share's own folder in out.
func (s share) dir(out string) string {
	if s.of == 0 || out == "" {
		return out
	}
	return fmt.Sprintf("%s/shard-%d-of-%d", out, s.index, s.of)
}

// addBasics adds the flags of what runs once.
func (s *simFlags) addBasics(f *pflag.FlagSet) {
	f.IntVar(&s.peers, "peers", 0, "peers, the publisher among them, 2 to 1000000 (default: the scenario's)")
	f.Uint64Var(&s.seed, "seed", 1, "of all randomness: the same seed gives the same run")
	f.StringArrayVar(&s.set, "set", nil, "`KEY=VALUE` of a setting; repeatable (peer sim show lists them)")
	f.BoolVar(&s.asJSON, "json", false, "the report as JSON")
	f.StringVar(&s.out, "out", "", "`DIR` for report.html, its plots as SVG, summary.json and result.json.gz; made when missing")
	f.String("config", "", "`FILE` with settings (TOML; keys are the flags' names)")
}

// addMany adds the flags of what runs several seeds.
func (s *simFlags) addMany(f *pflag.FlagSet) {
	f.IntVar(&s.seeds, "seeds", 1, "run so many seeds, from --seed on, 1 to 100000")
	f.IntVar(&s.parallel, "parallel", 0, "runs side by side, 0 to 1024; 0: as processors and memory allow")
	s.addThreads(f)
	f.BoolVar(&s.noFloor, "no-floor", false, "leave out the second run without deaths that gaps are laid beside")
	f.StringVar(&s.shard, "shard", "", "`I/N`: run only the Ith share of N, from 0 on (peer sim merge joins them)")
}

// addThreads adds the flag of what runs the model.
func (s *simFlags) addThreads(f *pflag.FlagSet) {
	f.IntVar(&s.threads, "threads", 0, "goroutines that share one run, 0 to 1024; 0: as processors allow. Results do not depend on it")
}

// bind loads and checks the flags before cmd runs.
func (s *simFlags) bind(cmd *cobra.Command) {
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) (err error) {
		if s.from, err = loadFlags(cmd); err != nil {
			return err
		}
		return s.check(cmd.Flags())
	}
}

func (s *simFlags) check(f *pflag.FlagSet) error {
	many := f.Lookup("seeds") != nil
	switch {
	case (s.peers != 0 || f.Changed("peers")) && (s.peers < 2 || s.peers > 1_000_000):
		return s.from.outside("peers", s.peers, "2 to 1000000")
	case many && (s.seeds < 1 || s.seeds > 100_000):
		return s.from.outside("seeds", s.seeds, "1 to 100000")
	case s.parallel < 0 || s.parallel > 1024:
		return s.from.outside("parallel", s.parallel, "0 to 1024")
	case s.threads < 0 || s.threads > 1024:
		return s.from.outside("threads", s.threads, "0 to 1024")
	case many && s.seed+uint64(s.seeds-1) < s.seed:
		return s.from.outside("seed", s.seed, fmt.Sprintf("so much that %d seeds from it on are below 2⁶⁴", s.seeds))
	}
	var err error
	s.mine, err = s.parseShard()
	return err
}

// mostShards is more than a cluster would start for one question.
const mostShards = 100_000

func (s *simFlags) parseShard() (share, error) {
	if s.shard == "" {
		return share{}, nil
	}
	i, n, _ := strings.Cut(s.shard, "/")
	index, err1 := strconv.Atoi(i)
	of, err2 := strconv.Atoi(n)
	if err1 != nil || err2 != nil || of < 1 || of > mostShards || index < 0 || index >= of {
		return share{}, s.from.outside("shard", strconv.Quote(s.shard), fmt.Sprintf("I/N with N of 1 to %d and I of 0 to N-1, as 0/4", mostShards))
	}
	return share{index, of}, nil
}

// prepare returns the scenario called name with the settings of the flags.
func (s *simFlags) prepare(name string) (sim.Scenario, error) {
	sc, err := scenarioOf(name)
	if err != nil {
		return sc, err
	}
	return sc, s.apply(&sc, s.from.where("set"), s.set)
}

// apply changes settings as key=value says, and checks the whole.
func (s *simFlags) apply(sc *sim.Scenario, where string, set []string) error {
	if s.peers != 0 {
		sc.Peers = s.peers
	}
	for _, kv := range set {
		key, value, ok := strings.Cut(kv, "=")
		if !ok {
			return usagef("%s %q has no =; write for example %s beacon=25ms", where, kv, where)
		}
		if err := sc.Settings.Set(strings.TrimSpace(key), strings.TrimSpace(value)); err != nil {
			return usagef("%s %s: %w", where, kv, err)
		}
	}
	if err := sc.Validate(sc.Peers); err != nil {
		return usagef("%s: %w", sc.Name, err)
	}
	return nil
}

// points returns this machine's share of the runs of all scenarios with all
// seeds. A point's number is the same on every machine.
func (s *simFlags) points(scenarios ...sim.Scenario) []point {
	var all []point
	n := 0
	for _, sc := range scenarios {
		for i := range max(1, s.seeds) {
			if s.mine.has(n) {
				all = append(all, point{number: n, scenario: sc, seed: s.seed + uint64(i)})
			}
			n++
		}
	}
	return all
}

// makeOut makes the folder of --out while nothing has been lost yet.
func (s *simFlags) makeOut() error {
	if s.out == "" {
		return nil
	}
	s.out = s.mine.dir(s.out)
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return fmt.Errorf("--out %s: %w; name a folder that can be made or written to", s.out, err)
	}
	return nil
}
