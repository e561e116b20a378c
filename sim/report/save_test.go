package report

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/braidway/braidway/measure"
	"github.com/braidway/braidway/sim"
)

func TestAKeptResultComesBackWhole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	for _, r := range []*sim.Result{fake(7, 500, 0.3), {}} {
		if err := Save(dir, r); err != nil {
			t.Fatal(err)
		}
		got, err := Load(filepath.Join(dir, File))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, r) {
			t.Error("what came back differs")
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%d files are left", len(left))
	}
}

func TestAResultThatCannotBeKeptLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	r := fake(1, 3, 0)
	r.ViewerHours = math.NaN()
	if err := Save(dir, r); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("NaN: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}

func zipped(s string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(s))
	_ = z.Close()
	return b.Bytes()
}

func TestABadFileIsRefusedByName(t *testing.T) {
	var whole bytes.Buffer
	if err := write(&whole, fake(1, 40, 0)); err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole.Bytes())
	flipped[len(flipped)-6] ^= 1 // of the checksum
	const head = `{"format":"braidway-sim-result","version":1,"viewers":%s,"result":%s}`
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":         {nil, "not gzip"},
		"text":          {[]byte("hello, world"), "not gzip"},
		"cut off":       {whole.Bytes()[:whole.Len()/2], "cut off"},
		"checksum":      {flipped, "checksum"},
		"other format":  {zipped(`{"format":"mp4"}`), `format is "mp4"`},
		"no format":     {zipped(`{}`), `format is ""`},
		"newer":         {zipped(`{"format":"braidway-sim-result","version":2}`), "version is 2"},
		"no result":     {zipped(fmt.Sprintf(head, "0", "null")), "no result"},
		"other field":   {zipped(fmt.Sprintf(head, "0", `{"Colour":1}`)), "Colour"},
		"negative":      {zipped(fmt.Sprintf(head, "0", `{"Depths":[-1]}`)), "negative"},
		"viewers":       {zipped(fmt.Sprintf(head, "-1", "{}")), "viewers is -1"},
		"many viewers":  {zipped(fmt.Sprintf(head, "999999999", "{}")), "viewers is 999999999"},
		"too few":       {zipped(fmt.Sprintf(head, "2", "{}") + `{"Index":1}`), "viewer 2 of 2: it is cut off"},
		"too many":      {zipped(fmt.Sprintf(head, "0", "{}") + `{"Index":1}`), "more follows"},
		"hidden viewer": {zipped(fmt.Sprintf(head, "0", `{"Viewers":[{}]}`)), "head has viewers"},
		"bomb":          {zipped(fmt.Sprintf(head, "1", "{}") + `{"Region":"` + strings.Repeat("a", 20<<20)), "unfolds to more"},
	} {
		path := filepath.Join(t.TempDir(), File)
		if err := os.WriteFile(path, c.file, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a file") {
		t.Errorf("a directory: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"format":"braidway-sim-result","version":1,"viewers":1,"result":{"Depths":[3],"Stalls":[1]}}{"Index":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		b := zipped(string(text))
		r, err := read(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		runs := []Run{{Label: "a", Result: r}}
		for _, k := range Kinds() {
			svg, _ := Plot(k, runs)
			checkNumbers(t, k, svg)
		}
		_ = Text(runs)
		rendered(t, "a", runs)
	})
}

func TestDirectoriesAreReadOnceAndInOrder(t *testing.T) {
	dir := t.TempDir()
	for seed := range uint64(3) {
		if err := Save(filepath.Join(dir, fmt.Sprintf("seed-%d", seed)), fake(seed, 5, 0)); err != nil {
			t.Fatal(err)
		}
	}
	rs, err := LoadDirs(dir, filepath.Join(dir, "seed-1"))
	if err != nil || len(rs) != 3 || rs[2].Seed != 2 {
		t.Errorf("%d results, %v", len(rs), err)
	}
	if _, err := LoadDirs(dir, t.TempDir()); err == nil || !strings.Contains(err.Error(), "no "+File) {
		t.Errorf("an empty directory: %v", err)
	}
	if _, err := LoadDirs(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("a directory that is not there")
	}
}

func TestAPoolHasThePercentilesOfAllViewersTogether(t *testing.T) {
	rs := []*sim.Result{fake(3, 311, 0), fake(1, 500, 0.4), fake(2, 97, 0.1)}
	for _, r := range rs {
		r.Peers = 500
	}
	p, seeds, err := Pool(rs)
	if err != nil {
		t.Fatal(err)
	}
	var want measure.Summary
	var reports []measure.Report
	stalls, intact, survivors := 0, 0.0, 0.0
	for _, r := range rs {
		for _, v := range r.Viewers {
			reports = append(reports, v.Report)
			if v.Survivor {
				survivors++
				if *v.Report.Continuity == 1 {
					intact++
				}
			}
		}
		stalls += r.Stalls[50]
	}
	want.Add(reports)
	got := p.Summary
	if len(p.Viewers) != 908 || got.Viewers != 908 || got.Peers != 500 {
		t.Errorf("%d viewers, %d in the summary, %d peers", len(p.Viewers), got.Viewers, got.Peers)
	}
	near := func(a, b *measure.Spread) bool {
		return a.P50 == b.P50 && a.P99 == b.P99 && a.Max == b.Max && math.Abs(a.Worst-b.Worst) < 1e-9*math.Abs(b.Worst)
	}
	if !near(got.Continuity, want.Continuity) || !near(got.StartupMS, want.StartupMS) || !near(got.Redundancy, want.Redundancy) || !near(got.MaxGapMS, want.MaxGapMS) {
		t.Error("a spread is not that of the concatenation")
	}
	if *got.Kills != 150 || p.Stalls[50] != stalls || p.Faults[0].Hit != 3 || len(p.Faults) != 51 || p.Events != 3*91_234_567 {
		t.Errorf("counts: %d deaths, %d stalls, %d hit, %d faults", *got.Kills, p.Stalls[50], p.Faults[0].Hit, len(p.Faults))
	}
	if math.Abs(*got.SurvivorsIntact-intact/survivors) > 1e-12 {
		t.Errorf("survivors intact %v, want %v", *got.SurvivorsIntact, intact/survivors)
	}
	x := seeds.SurvivorsIntact
	if *x != (Range{*rs[2].Summary.SurvivorsIntact, *rs[1].Summary.SurvivorsIntact, *rs[0].Summary.SurvivorsIntact}) {
		t.Errorf("over seeds: %+v", *x)
	}
	again, _, _ := Pool([]*sim.Result{rs[1], rs[2], rs[0]})
	if !reflect.DeepEqual(p, again) || !reflect.DeepEqual(seeds.Seeds, []uint64{1, 2, 3}) {
		t.Error("the pool depends on the order of its seeds")
	}
}

func TestOnlySeedsOfOneQuestionArePooled(t *testing.T) {
	other := fake(2, 10, 0)
	other.Scenario.Settings.Standbys = 5
	if _, _, err := Pool([]*sim.Result{fake(1, 10, 0), other}); err == nil || !strings.Contains(err.Error(), "standbys=5") {
		t.Errorf("other settings: %v", err)
	}
	if _, _, err := Pool([]*sim.Result{fake(1, 10, 0), fake(1, 10, 0)}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("a seed twice: %v", err)
	}
	if _, _, err := Pool(nil); err == nil {
		t.Error("nothing can be pooled")
	}
}

func TestMergeTellsRunsApart(t *testing.T) {
	dir := t.TempDir()
	for i, standbys := range []int{2, 5, 2, 5} {
		r := fake(uint64(i/2), 10, 0)
		r.Scenario.Settings.Standbys = standbys
		if err := Save(filepath.Join(dir, fmt.Sprint(i)), r); err != nil {
			t.Fatal(err)
		}
	}
	runs, err := Merge(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(runs) != 2 || runs[0].Label != "standbys=2" || runs[1].Label != "standbys=5" || len(runs[0].Seeds.Seeds) != 2 {
		t.Errorf("%d runs: %+v", len(runs), runs)
	}
	seeds := []Run{{Result: fake(1, 1, 0)}, {Result: fake(2, 1, 0)}}
	if Label(seeds); seeds[1].Label != "seed 2" {
		t.Errorf("two seeds are %q and %q", seeds[0].Label, seeds[1].Label)
	}
	if Label(runs[:1]); runs[0].Label != "braidway" {
		t.Errorf("one run is %q", runs[0].Label)
	}
}

// TestPoolKnowsEveryField fails when sim.Result gets a field: say in pool.go
// how it is pooled, then count it here.
func TestPoolKnowsEveryField(t *testing.T) {
	if n := reflect.TypeFor[sim.Result]().NumField(); n != 23 {
		t.Errorf("sim.Result has %d fields; does pool.go add up the new one?", n)
	}
}

func BenchmarkSaveAndLoad100000Viewers(b *testing.B) {
	r, dir := fake(1, 100_000, 0.05), b.TempDir()
	b.ReportAllocs()
	for b.Loop() {
		if err := Save(dir, r); err != nil {
			b.Fatal(err)
		}
		if _, err := Load(filepath.Join(dir, File)); err != nil {
			b.Fatal(err)
		}
	}
	info, _ := os.Stat(filepath.Join(dir, File))
	b.ReportMetric(float64(info.Size())/1e6, "MB")
}
