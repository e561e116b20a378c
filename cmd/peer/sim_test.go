package main

// What the simulator's commands refuse, and the engine behind them; a runner
// stands in its place in most tests.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/braidway/braidway/internal/testnet"
	"github.com/braidway/braidway/measure"
	"github.com/braidway/braidway/sim"
)

// fakeRuns notes what a fake runner was asked.
type fakeRuns struct {
	mu    sync.Mutex
	asked []string
}

// result is small, and the same for the same question.
func fakeResult(s sim.Scenario, o sim.Options) *sim.Result {
	r := &sim.Result{Scenario: s, Peers: o.Peers, Seed: o.Seed, Events: 1000 * o.Seed, ViewerHours: 2, FalseSwitches: int(o.Seed), Kills: 3,
		Depths: []int{1, 2, 3}, FanOut: []int{2, 1, 0}, Touched: []float64{100, 200 + float64(o.Seed)}, Wall: time.Second, Bytes: 1 << 20}
	if len(s.Faults) > 0 {
		r.Faults = []sim.FaultMark{{At: s.Faults[0].At, What: s.Faults[0].What, Hit: 1}}
	}
	var reports []measure.Report
	for i := range 3 {
		v := float64(i+1) * float64(o.Seed)
		due, cont, switches := uint64(100), 1-v/1000, i
		rep := measure.Report{Continuity: &cont, ObjectsDue: &due, StartupMS: &v, MaxGapMS: &v, Redundancy: &v, Switches: &switches}
		r.Viewers = append(r.Viewers, sim.ViewerResult{Index: i + 1, Region: "here", Access: "fibre", Survivor: true, Report: rep})
		reports = append(reports, rep)
	}
	virtual, wall, intact := 85.0, 1.0, 1-float64(o.Seed)/100
	seed := o.Seed
	r.Summary = measure.Summary{Scenario: s.Name, Peers: o.Peers, Seed: &seed, Kills: &r.Kills, FailedJoins: &r.FailedJoins, FalseSwitches: &r.FalseSwitches,
		VirtualS: &virtual, WallS: &wall, SurvivorsIntact: &intact, TraceHash: fmt.Sprintf("%016x", o.Seed)}
	r.Summary.Add(reports)
	spread := measure.NewSpread(r.Touched, false)
	r.Summary.TouchedGapMS = &spread
	return r
}

func (f *fakeRuns) run(ctx context.Context, s sim.Scenario, o sim.Options) (*sim.Result, error) {
	f.mu.Lock()
	f.asked = append(f.asked, fmt.Sprintf("%s %s %d", s.Name, s.Settings.System, o.Seed))
	f.mu.Unlock()
	if o.Progress != nil {
		o.Progress(sim.Progress{Phase: "run", Now: time.Second, End: 2 * time.Second, Events: 10})
	}
	r := fakeResult(s, o)
	if s.Name == "calm" && o.Seed == 99 { // runs until it is stopped
		<-ctx.Done()
		r.Partial = true
	}
	if o.Seed == 66 {
		return nil, errors.New("out of luck")
	}
	return r, nil
}

// withFake puts a fake in the engine's place.
func withFake(t *testing.T) *fakeRuns {
	f := &fakeRuns{}
	model, stack, processes := runModel, runStack, runLoopback
	runModel, runStack, runLoopback = f.run, f.run, f.run
	t.Cleanup(func() { runModel, runStack, runLoopback = model, stack, processes })
	return f
}

// peer runs the command in this process.
func peerCommand(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	root := newRoot()
	var out, said bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&said)
	root.SetArgs(args)
	err = root.ExecuteContext(ctx)
	return out.String(), said.String(), err
}

func ran(t *testing.T, args ...string) string {
	t.Helper()
	out, said, err := peerCommand(t.Context(), args...)
	if err != nil {
		t.Fatalf("peer %s: %v: %s", strings.Join(args, " "), err, said)
	}
	return out
}

func asMap(t *testing.T, text string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return m
}

func TestSimRefusesWrongUsageBeforeAnythingStarts(t *testing.T) {
	fake := withFake(t)
	dir := t.TempDir()
	bad := write(t, dir, "bad.toml", "peers = 100\n[settings]\nbeacon = '5s'\n", 0o600)
	for name, c := range map[string]struct {
		args []string
		env  string
		says []string
	}{
		"an unknown command":             {args: []string{"rnu"}, says: []string{"rnu", "list, merge"}},
		"no scenario":                    {args: []string{"run"}, says: []string{"SCENARIO is missing"}},
		"an unknown scenario":            {args: []string{"run", "relay-kil"}, says: []string{"relay-kil", "did you mean relay-kill", "mass-failure"}},
		"an unknown scenario elsewhere":  {args: []string{"validate", "clam"}, says: []string{"did you mean calm"}},
		"a file that is not there":       {args: []string{"run", filepath.Join(dir, "no.toml")}, says: []string{"no.toml", "peer sim show"}},
		"a bad file":                     {args: []string{"run", bad}, says: []string{bad, "line 3", "beacon", "10ms to 1s"}},
		"one peer":                       {args: []string{"run", "calm", "--peers", "1"}, says: []string{"--peers is 1", "2 to 1000000"}},
		"no peers":                       {args: []string{"run", "calm", "--peers", "0"}, says: []string{"--peers is 0", "2 to 1000000"}},
		"peers in the environment":       {args: []string{"run", "calm"}, env: "BRAIDWAY_PEERS=2000000", says: []string{"BRAIDWAY_PEERS is 2000000", "2 to 1000000"}},
		"no seeds":                       {args: []string{"run", "calm", "--seeds", "0"}, says: []string{"--seeds is 0", "1 to"}},
		"a seed that is none":            {args: []string{"run", "calm", "--seed", "-1"}, says: []string{"--seed", "-1"}},
		"seeds beyond the last":          {args: []string{"run", "calm", "--seed", "18446744073709551615", "--seeds", "2"}, says: []string{"--seed", "2⁶⁴"}},
		"runs side by side":              {args: []string{"run", "calm", "--parallel", "-1"}, says: []string{"--parallel is -1", "0 to 1024"}},
		"threads":                        {args: []string{"run", "calm", "--threads", "9999"}, says: []string{"--threads is 9999", "0 to 1024"}},
		"a set without a value":          {args: []string{"run", "calm", "--set", "beacon"}, says: []string{"--set", `"beacon"`, "beacon=25ms"}},
		"an unknown setting":             {args: []string{"run", "calm", "--set", "beakon=1s"}, says: []string{"--set beakon=1s", "beakon", "beacon"}},
		"a setting out of range":         {args: []string{"run", "calm", "--set", "stripes=99"}, says: []string{"--set stripes=99", "1 to 16"}},
		"a fault after the end":          {args: []string{"run", "region-outage", "--set", "duration=5s"}, says: []string{"region-outage", "fault 1", "at is 10s"}},
		"a share that is none":           {args: []string{"run", "calm", "--shard", "4/4"}, says: []string{"--shard", "4/4", "0 to N-1"}},
		"a share without a number":       {args: []string{"run", "calm", "--shard", "1"}, says: []string{"--shard", "I/N"}},
		"a trace of many seeds":          {args: []string{"run", "calm", "--seeds", "2", "--trace", filepath.Join(dir, "t")}, says: []string{"--trace", "one seed"}},
		"too many for the stack":         {args: []string{"run", "calm", "--stack"}, says: []string{"--peers: stack: peers is 500", "2 to 200", "--peers 60"}},
		"a crowd for the stack":          {args: []string{"validate", "flash-crowd"}, says: []string{"1900", "2 to 200", "--set crowd=60"}},
		"a fault that the stack has not": {args: []string{"run", "publisher-failover", "--stack", "--peers", "60"}, says: []string{"publisher", "kill"}},
		"a baseline on the stack":        {args: []string{"validate", "calm", "--set", "system=mesh-pull"}, says: []string{"mesh-pull", "braidway and gossip"}},
		"an unknown system":              {args: []string{"compare", "calm", "--systems", "braidway,pigeons"}, says: []string{"--systems", "pigeons", "single-tree"}},
		"a system given twice":           {args: []string{"compare", "calm", "--systems", "gossip,gossip"}, says: []string{"--systems", "once"}},
		"a second column like the first": {args: []string{"compare", "calm", "--with", "beacon=60ms"},
			says: []string{"--with", "beacon=60ms", "first column"}},
		"with out of range":         {args: []string{"compare", "calm", "--with", "beacon=1h"}, says: []string{"--with beacon=1h", "10ms to 1s"}},
		"a param without values":    {args: []string{"tune", "--param", "beacon"}, says: []string{"--param", "beacon=25ms,50ms"}},
		"a param with an empty one": {args: []string{"tune", "--param", "beacon=25ms,,50ms"}, says: []string{"--param", "empty"}},
		"a param given twice":       {args: []string{"tune", "--param", "beacon=25ms", "--param", "beacon=50ms"}, says: []string{"--param", "twice"}},
		"a param out of range":      {args: []string{"tune", "--param", "stripes=4,40"}, says: []string{"--param stripes=40", "1 to 16"}},
		"an unknown param":          {args: []string{"tune", "--param", "speed=4"}, says: []string{"speed", "stripes"}},
		"a size that is none":       {args: []string{"scale", "calm", "--sizes", "10,many"}, says: []string{"--sizes", "many", "2 to 1000000"}},
		"a size given twice":        {args: []string{"scale", "calm", "--sizes", "10,10"}, says: []string{"--sizes", "once"}},
		"peers beside sizes":        {args: []string{"scale", "calm", "--peers", "10"}, says: []string{"--peers", "--sizes"}},
		"nothing to merge":          {args: []string{"merge"}, says: []string{"DIR is missing"}},
		"a peer that is none":       {args: []string{"replay", "x", "--peer", "me"}, says: []string{"--peer", `"me"`, "16 hexadecimal"}},
		"a moment that is none":     {args: []string{"replay", "x", "--until", "12"}, says: []string{"--until", "12"}},
		"a list of something":       {args: []string{"list", "calm"}, says: []string{"calm"}},
	} {
		t.Run(name, func(t *testing.T) {
			if k, v, ok := strings.Cut(c.env, "="); ok {
				t.Setenv(k, v)
			}
			out, _, err := peerCommand(t.Context(), append([]string{"sim"}, c.args...)...)
			var usage usageError
			if !errors.As(err, &usage) {
				t.Fatalf("%v is no usage error", err)
			}
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("the error does not name %q: %v", s, err)
				}
			}
			if out != "" {
				t.Errorf("standard output: %s", out)
			}
		})
	}
	if len(fake.asked) > 0 {
		t.Errorf("runs were started: %v", fake.asked)
	}
}

func TestTheEngineBehindTheCommands(t *testing.T) {
	dir := t.TempDir()
	small := []string{"--peers", "24", "--set", "duration=6s", "--set", "join=2s", "--set", "settle=4s"}
	run := func(args ...string) map[string]any {
		return asMap(t, ran(t, append(append([]string{"sim", "run"}, args...), append(small, "--json")...)...))
	}
	trace := filepath.Join(dir, "t.jsonl")
	one := run("relay-kill", "--threads", "1", "--trace", trace)
	two := run("relay-kill", "--threads", "2", "--no-floor")
	if one["trace_hash"] == nil || one["trace_hash"] != two["trace_hash"] || one["kills"] != 1.0 || one["continuity"] == nil {
		t.Errorf("%v, with two threads %v: %v", one["trace_hash"], two["trace_hash"], one)
	}
	if world := ran(t, "sim", "replay", trace); strings.Count(world, "join") < 24 || !strings.Contains(world, "kill") {
		t.Errorf("%s", world)
	}
	if peer := ran(t, "sim", "replay", trace, "--peer", "5"); !strings.Contains(peer, "STRIPE") {
		t.Errorf("%s", peer)
	}
	many := run("relay-kill", "--seeds", "2", "--out", dir)
	seeds := many["seeds"].([]any)
	if first := seeds[0].(map[string]any); first["trace_hash"] != one["trace_hash"] {
		t.Errorf("seed 1 among others has %v, alone %v", first["trace_hash"], one["trace_hash"])
	}
	if merged := asMap(t, ran(t, "sim", "merge", dir, "--json")); merged["trace_hash"] != many["trace_hash"] {
		t.Errorf("merged %v, at once %v", merged["trace_hash"], many["trace_hash"])
	}
}

func TestTheFullStackBehindTheCommands(t *testing.T) {
	t.Setenv("BRAIDWAY_STACK_CHILD", "") // no setting, but no stranger either
	small := []string{"calm", "--peers", "8", "--set", "duration=2s", "--set", "join=1s", "--set", "settle=2s"}
	one := asMap(t, ran(t, append([]string{"sim", "run", "--stack", "--json"}, small...)...))
	if one["continuity"] == nil || one["peers"] != 8.0 || one["trace_hash"] != nil {
		t.Errorf("%v", one)
	}
	both := asMap(t, ran(t, append([]string{"sim", "validate", "--no-processes", "--json", "--out", t.TempDir()}, small...)...))
	for _, f := range both["figures"].([]any) {
		f := f.(map[string]any)
		if v := f["values"].([]any); f["name"] == "continuity p50" && (len(v) != 2 || v[0] == nil || v[1] == nil) {
			t.Errorf("%v", f)
		}
	}
}

func TestASignalEndsASimulationWithAPartialReport(t *testing.T) {
	file := binary.File(t)
	trace := filepath.Join(t.TempDir(), "t.jsonl")
	cmd := exec.Command(file, "sim", "run", "calm", "--peers", "300", "--set", "duration=24h", "--trace", trace, "--json")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	testnet.WaitFor(t, "the run", 10*time.Second, func() bool { st, err := os.Stat(trace); return err == nil && st.Size() > 0 })
	_ = cmd.Process.Signal(syscall.SIGINT)
	_ = cmd.Wait()
	if m := asMap(t, out.String()); cmd.ProcessState.ExitCode() != exitFailed || m["partial"] != true || !strings.Contains(said.String(), "stopped at") {
		t.Errorf("%v: %s: %s", cmd.ProcessState, said.String(), out.String())
	}
}
