package main

// What the simulator's commands print and keep, with a runner in place of the
// engine.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/braidway/braidway/measure"
	"github.com/braidway/braidway/sim"
)

func TestSimListsAndShowsScenarios(t *testing.T) {
	out := ran(t, "sim", "list")
	for _, s := range sim.Scenarios() {
		if !strings.Contains(out, s.Question) {
			t.Errorf("%s is missing: %s", s.Name, out)
		}
		back, err := sim.ParseFile("x.toml", []byte(ran(t, "sim", "show", s.Name)))
		if err != nil || !reflect.DeepEqual(back, s) {
			t.Errorf("%s is shown as %+v: %v", s.Name, back, err)
		}
	}
	var rows []map[string]any
	if err := json.Unmarshal([]byte(ran(t, "sim", "list", "--json")), &rows); err != nil || len(rows) != len(sim.Scenarios()) || rows[0]["name"] != "calm" {
		t.Errorf("%v: %v", err, rows)
	}
}

func TestSimRunReportsOneSeed(t *testing.T) {
	withFake(t)
	m := asMap(t, ran(t, "sim", "run", "relay-kill", "--peers", "40", "--seed", "7", "--set", "beacon=25ms", "--json"))
	for _, k := range []string{"viewers", "failed_joins", "kills", "virtual_s", "wall_s", "false_switches", "survivors_intact", "continuity", "startup_ms", "events", "bytes_per_peer"} {
		if m[k] == nil {
			t.Errorf("%s is missing", k)
		}
	}
	if m["bytes_per_peer"] != 1048576.0 {
		t.Errorf("%v bytes a peer, want the run's 2^20", m["bytes_per_peer"])
	}
	if m["scenario"] != "relay-kill" || m["peers"] != 40.0 || m["seed"] != 7.0 || m["trace_hash"] != "0000000000000007" || m["seeds"] != nil {
		t.Errorf("%v", m)
	}
	if s := m["settings"].(map[string]any); s["beacon"] != "25ms" || s["stripes"] != nil {
		t.Errorf("settings %v", s)
	}
	if out := ran(t, "sim", "run", "calm"); !strings.Contains(out, "500 peers") {
		t.Errorf("%s", out)
	}
}

func TestSimRunPoolsSeedsInTheirOrder(t *testing.T) {
	fake := withFake(t)
	text := ran(t, "sim", "run", "calm", "--seed", "5", "--seeds", "3", "--parallel", "3", "--json")
	m := asMap(t, text)
	if again := ran(t, "sim", "run", "calm", "--seed", "5", "--seeds", "3", "--parallel", "1", "--json"); again != text {
		t.Errorf("--parallel changes the report:\n%s\n%s", text, again)
	}
	seeds := m["seeds"].([]any)
	if len(fake.asked) != 6 || len(seeds) != 3 || seeds[2].(map[string]any)["seed"] != 7.0 || m["seed"] != nil || m["viewers"] != 9.0 || m["false_switches"] != 18.0 {
		t.Errorf("%s", text)
	}
	intact := m["over_seeds"].(map[string]any)["survivors_intact"].(map[string]any)
	if intact["median"] != 0.94 || intact["least"].(float64) > 0.9301 || intact["most"] != 0.95 {
		t.Errorf("%v", intact)
	}
}

func TestSimKeepsResultsAndSharesMergeToTheWhole(t *testing.T) {
	withFake(t)
	dir := t.TempDir()
	one := filepath.Join(dir, "a", "b")
	ran(t, "sim", "run", "calm", "--out", one)
	for _, f := range []string{"report.html", "summary.json", "result.json.gz"} {
		if st, err := os.Stat(filepath.Join(one, f)); err != nil || st.Size() == 0 {
			t.Errorf("%s: %v", f, err)
		}
	}
	whole := ran(t, "sim", "run", "calm", "--seeds", "5", "--json")
	shares := filepath.Join(dir, "shares")
	for i := range 3 {
		ran(t, "sim", "run", "calm", "--seeds", "5", "--shard", fmt.Sprintf("%d/3", i), "--out", shares)
	}
	if merged := ran(t, "sim", "merge", shares, "--json", "--out", filepath.Join(dir, "m")); !reflect.DeepEqual(asMap(t, merged), asMap(t, whole)) && !sameSeeds(t, merged, whole) {
		t.Errorf("merged:\n%s\nwhole:\n%s", merged, whole)
	}
	if _, err := os.Stat(filepath.Join(dir, "m", "report.html")); err != nil {
		t.Error(err)
	}
	if out := ran(t, "sim", "run", "calm", "--seeds", "2", "--shard", "2/3", "--out", shares); out != "" {
		t.Errorf("an empty share says %s", out)
	}
	_, _, err := peerCommand(t.Context(), "sim", "merge", shares, shares+"/shard-0-of-3", one)
	if err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("seed 1 twice: %v", err)
	}
	if _, _, err = peerCommand(t.Context(), "sim", "merge", filepath.Join(dir, "none")); !errors.As(err, new(notFoundError)) {
		t.Errorf("no such folder: %v", err)
	}
	file := write(t, dir, "file", "x", 0o600)
	if _, _, err = peerCommand(t.Context(), "sim", "run", "calm", "--out", filepath.Join(file, "x")); err == nil || !strings.Contains(err.Error(), "--out") {
		t.Errorf("--out below a file: %v", err)
	}
}

// sameSeeds compares two reports whose seeds stand in another order.
func sameSeeds(t *testing.T, a, b string) bool {
	m, n := asMap(t, a), asMap(t, b)
	if len(m["seeds"].([]any)) != len(n["seeds"].([]any)) {
		return false
	}
	delete(m, "seeds")
	delete(n, "seeds")
	return reflect.DeepEqual(m, n)
}

func TestSimStopsWithAPartialReport(t *testing.T) {
	withFake(t)
	for _, c := range []struct{ seed, seeds, says string }{{"99", "1", "stopped at 1m25s of 1m25s"}, {"98", "3", "stopped with 1 of 3 runs whole"}} {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		out, _, err := peerCommand(ctx, "sim", "run", "calm", "--seed", c.seed, "--seeds", c.seeds, "--parallel", "1", "--json")
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "partial") || errors.As(err, new(usageError)) {
			t.Errorf("%v, want %s", err, c.says)
		}
		if m := asMap(t, out); m["partial"] != true {
			t.Errorf("not marked: %s", out)
		}
	}
	out, _, err := peerCommand(t.Context(), "sim", "run", "calm", "--seed", "64", "--seeds", "9", "--parallel", "2")
	if err == nil || !strings.Contains(err.Error(), "calm, seed 66: out of luck") || out != "" {
		t.Errorf("a run that fails: %v: %s", err, out)
	}
}

func TestSimCompares(t *testing.T) {
	fake := withFake(t)
	m := asMap(t, ran(t, "sim", "compare", "calm", "--peers", "40", "--parallel", "1", "--json"))
	var labels []string
	for _, r := range m["runs"].([]any) {
		labels = append(labels, r.(map[string]any)["label"].(string))
	}
	if !reflect.DeepEqual(labels, sim.Systems()) || len(fake.asked) != len(sim.Systems()) || fake.asked[1] != "calm single-tree 1" {
		t.Errorf("%v, %v", labels, fake.asked)
	}
	out := ran(t, "sim", "compare", "calm", "--with", "beacon=25ms", "--seeds", "2", "--markdown")
	if !strings.HasPrefix(out, "|  | beacon=60ms | beacon=25ms |\n") {
		t.Errorf("%s", out)
	}
	if out := ran(t, "sim", "compare", "calm", "--systems", "gossip, braidway"); strings.Index(out, "gossip") > strings.Index(out, "braidway") {
		t.Errorf("%s", out)
	}
}

func TestSimTuneSweepsOneParameterAtATime(t *testing.T) {
	fake := withFake(t)
	dir := t.TempDir()
	out := ran(t, "sim", "tune", "--param", "beacon=25ms,60ms", "--param", "stripes=2,4", "--scenario", "relay-kill", "--scenario", "jitter-storm", "--seeds", "2", "--out", dir)
	// The default is one run of both sweeps: 3 variants, 2 scenarios, 2 seeds.
	if len(fake.asked) != 12 {
		t.Errorf("%d runs: %v", len(fake.asked), fake.asked)
	}
	for _, s := range []string{"### beacon", "| relay-kill | 25ms | 2 | 0.75 | 202 | 2.0000 |", "| jitter-storm | **4** (default) | 2 |"} {
		if !strings.Contains(out, s) {
			t.Errorf("%q is missing: %s", s, out)
		}
	}
	md, err := os.ReadFile(filepath.Join(dir, "tuning.md"))
	if err != nil || string(md) != out {
		t.Errorf("%v: %s", err, md)
	}
	table, err := os.ReadFile(filepath.Join(dir, "tuning.csv"))
	if err != nil || strings.Count(string(table), "\n") != 9 || !strings.Contains(string(table), "relay-kill,beacon,25ms,false,2,0.75,202,") {
		t.Errorf("%v: %s", err, table)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	if out, _, err := peerCommand(ctx, "sim", "tune", "--param", "beacon=25ms", "--scenario", "calm", "--seed", "99"); err == nil || !strings.Contains(out, "25ms (partial)") {
		t.Errorf("stopped: %v: %s", err, out)
	}
	t.Setenv("BRAIDWAY_PARAM", "beacon=25ms,60ms,stripes=2")
	var rows []map[string]any
	if err := json.Unmarshal([]byte(ran(t, "sim", "tune", "--scenario", "calm", "--json")), &rows); err != nil || len(rows) != 3 || rows[1]["is_default"] != true {
		t.Errorf("%v: %v", err, rows)
	}
}

func TestSimScaleMeasuresOneSizeAfterAnother(t *testing.T) {
	fake := withFake(t)
	dir := t.TempDir()
	var all []cost
	if err := json.Unmarshal([]byte(ran(t, "sim", "scale", "calm", "--sizes", "40, 80", "--json", "--out", dir)), &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].Peers != 40 || all[1].Peers != 80 || all[0].Events == 0 || all[0].WallS <= 0 || len(fake.asked) != 2 {
		t.Errorf("%+v, %v", all, fake.asked)
	}
	for _, name := range []string{"scale.json", "scale-time.svg", "scale-memory.svg"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || len(b) < 100 {
			t.Errorf("%s: %v: %s", name, err, b)
		}
	}
	if out := ran(t, "sim", "scale", "calm", "--sizes", "40"); !strings.Contains(out, "KB a peer") || !strings.Contains(out, "     40") {
		t.Errorf("%s", out)
	}
}

func TestTheDefaultSweepIsValidAndCoversTheDefaults(t *testing.T) {
	fake := withFake(t)
	out := ran(t, "sim", "tune", "--no-floor")
	for _, s := range []string{"beacon", "bound", "stripes", "standbys", "reserve", "hedge"} {
		if _, after, ok := strings.Cut(out, "### "+s+"\n"); !ok || strings.Count(strings.Split(after, "###")[0], "(default)") != len(tuneScenarios) {
			t.Errorf("%s: the sweep is missing, or does not have the default", s)
		}
	}
	t.Logf("%d runs", len(fake.asked))
}

func TestSimValidateMarksWhatIsBeyondTheGoal(t *testing.T) {
	fake := withFake(t)
	runStack = func(ctx context.Context, s sim.Scenario, o sim.Options) (*sim.Result, error) {
		r, err := fake.run(ctx, s, o)
		far, near := measure.Spread{P50: 3, P99: 3}, measure.Spread{P50: 145, P99: 205}
		r.Summary.StartupMS, r.Summary.TouchedGapMS, r.Summary.Redundancy = &far, &near, nil
		return r, err
	}
	out := ran(t, "sim", "validate", "calm", "--seed", "5")
	marks := map[string]bool{}
	for line := range strings.Lines(out) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), "  ")
		marks[name] = strings.Contains(line, "!")
	}
	if !marks["start-up p50, ms"] || marks["continuity p50"] || marks["gap after a death p99, ms"] || !marks["redundancy p50"] || marks["depth, mean"] {
		t.Errorf("%v: %s", marks, out)
	}
	m := asMap(t, ran(t, "sim", "validate", "calm", "--json", "--out", t.TempDir()))
	if len(m["figures"].([]any)) != len(validateFigures) || m["peers"] != 60.0 || len(m["runtimes"].([]any)) != 3 {
		t.Errorf("%v", m)
	}
	// Processes have no jitter to grow, and can be left out where they fit.
	for _, args := range [][]string{{"jitter-storm"}, {"calm", "--no-processes"}} {
		m := asMap(t, ran(t, append([]string{"sim", "validate", "--json"}, args...)...))
		if got := m["runtimes"].([]any); len(got) != 2 {
			t.Errorf("%v: %v", args, got)
		}
	}
}

func TestAStoppedSimValidateShowsWhatThereIs(t *testing.T) {
	fake := withFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	runStack = func(_ context.Context, s sim.Scenario, o sim.Options) (*sim.Result, error) {
		cancel()
		r, err := fake.run(context.Background(), s, o)
		r.Partial = true
		return r, err
	}
	var s simFlags
	s.peers, s.seeds, s.asJSON = 60, 1, true
	sc, _ := sim.Find("calm")
	var out, screen bytes.Buffer
	err := s.validate(ctx, sc, runtimes(sc, true), &out, &screen)
	var stopped stoppedError
	if !errors.As(err, &stopped) {
		t.Errorf("error %v", err)
	}
	if m := asMap(t, out.String()); len(m["runtimes"].([]any)) != 2 {
		t.Errorf("%v", m["runtimes"])
	}
}

const someTrace = `{"t":-2.5,"peer":17,"id":"00000000000000ab","ev":"join"}
{"ev":"join","id":"00000000000000ab","other":3,"peer":17,"stripe":0,"t":-2}
{"t":-2,"peer":17,"id":"00000000000000ab","ev":"state","stripes":[{"stripe":0,"parent":3,"path":[0,3,17],"standbys":[4,5],"position":9}]}
{"t":1,"peer":3,"id":"00000000000000cd","ev":"fault","what":"kill"}
{"t":1.25,"peer":17,"id":"00000000000000ab","ev":"switch","other":4,"stripe":0,"seq":12,"wait_ms":120.5}
{"t":1.25,"peer":17,"id":"00000000000000ab","ev":"state","stripes":[{"stripe":0,"parent":4,"standbys":[5],"children":[9],"position":12}]}
{"ev":"fault","t":2,"what":"jitter"}
{"t":3,"peer":8,"id":"00000000000000ef","ev":"leave"}
`

func TestSimReplayShowsOnePeerUpToAMoment(t *testing.T) {
	file := write(t, t.TempDir(), "t.jsonl", someTrace, 0o600)
	early := ran(t, "sim", "replay", file, "--peer", "17", "--until", "1s")
	if !strings.Contains(early, "stood at -2.000000 s") || strings.Contains(early, "switch") || !strings.Contains(early, "0 3 17") {
		t.Errorf("%s", early)
	}
	late := ran(t, "sim", "replay", file, "--peer", "00000000000000AB")
	for _, s := range []string{"peer 17 (00000000000000ab)", "switch", "stripe 0, peer 4, seq 12, after 120.5 ms", "stood at 1.250000 s"} {
		if !strings.Contains(late, s) {
			t.Errorf("%q is missing: %s", s, late)
		}
	}
	world := ran(t, "sim", "replay", file)
	if strings.Count(world, "\n") != 4 || !strings.Contains(world, "–") || strings.Contains(world, "peer 0") || !strings.Contains(world, "kill") || strings.Contains(world, "switch") {
		t.Errorf("%s", world)
	}
	m := asMap(t, ran(t, "sim", "replay", file, "--peer", "17", "--json", "--until", "2s"))
	if len(m["events"].([]any)) != 3 || m["until_s"] != 2.0 || m["state"] == nil {
		t.Errorf("%v", m)
	}
	for name, args := range map[string][]string{"an unknown peer": {file, "--peer", "4"}, "no file": {file + ".no"}} {
		if _, _, err := peerCommand(t.Context(), append([]string{"sim", "replay"}, args...)...); !errors.As(err, new(notFoundError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := write(t, t.TempDir(), "bad.jsonl", someTrace+"{\"t\":4", 0o600)
	if _, _, err := peerCommand(t.Context(), "sim", "replay", bad); err == nil || !strings.Contains(err.Error(), "line 9") {
		t.Errorf("a trace that was cut off: %v", err)
	}
}

func TestTheMeterTellsHowFarRunsAre(t *testing.T) {
	kill, _ := sim.Find("relay-kill")
	calm, _ := sim.Find("calm")
	m := newMeter(&bytes.Buffer{}, []point{{scenario: kill}, {scenario: calm}}, false)
	defer m.stop()
	for _, c := range []struct {
		i      int
		phase  string
		now    time.Duration
		events uint64
		share  float64
		total  uint64
	}{{0, "run", time.Second, 10, .125, 10}, {1, "run", time.Second, 5, .375, 15}, {0, "floor", time.Second, 7, .625, 22}} {
		m.note(c.i, sim.Progress{Phase: c.phase, Now: c.now, End: 2 * time.Second, Events: c.events})
		if share, events := m.share(); share != c.share || events != c.total {
			t.Errorf("share %v, %d events; want %v, %d", share, events, c.share, c.total)
		}
	}
	m.done(0)
	m.done(1)
	if share, _ := m.share(); share != 1 {
		t.Errorf("share %v at the end", share)
	}
	if got := progressText(.25, 0, 2*time.Second); got != " 25 %, 6s left" { // of the full stack
		t.Errorf("%q", got)
	}
	if got := progressText(.25, 3_000_000, 2*time.Second); got != " 25 %, 1.5M events/s, 6s left" {
		t.Errorf("%q", got)
	}
}
