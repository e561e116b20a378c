package report

// This file answers: which runs belong together, and what tells the others apart?

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/braidway/braidway/sim"
)

// questionOf identifies all that a run was asked but its seed.
func questionOf(r *sim.Result) string {
	// A scenario holds nothing that JSON cannot say.
	b, _ := json.Marshal(r.Scenario)
	return fmt.Sprintf("%d %s", r.Peers, b)
}

// about names a run's question in an error.
func about(r *sim.Result) string {
	s := fmt.Sprintf("%s, %d peers", r.Scenario.Name, r.Peers)
	for _, c := range changed(r) {
		s += ", " + c.name + "=" + c.value
	}
	return s
}

// Merge reads all results in the directories and pools those that differ in
// nothing but the seed. A seed that is there twice is an error: it would count twice.
func Merge(dirs ...string) ([]Run, error) {
	results, err := LoadDirs(dirs...)
	if err != nil {
		return nil, err
	}
	return Group(results)
}

// Group pools what differs in nothing but the seed, in the order of first
// appearance, and labels each by what tells it from the others.
func Group(results []*sim.Result) ([]Run, error) {
	var order []string
	groups := map[string][]*sim.Result{}
	for _, r := range results {
		q := questionOf(r)
		if groups[q] == nil {
			order = append(order, q)
		}
		groups[q] = append(groups[q], r)
	}
	var runs []Run
	for _, q := range order {
		p, seeds, err := Pool(groups[q])
		if err != nil {
			return nil, err
		}
		runs = append(runs, Run{Result: p, Seeds: seeds})
	}
	Label(runs)
	return runs, nil
}

// Label names runs by what tells them apart: scenario, system, peers, settings, seed.
func Label(runs []Run) {
	differ := func(of func(*sim.Result) string) bool {
		for i := range runs {
			if of(runs[i].Result) != of(runs[0].Result) {
				return true
			}
		}
		return false
	}
	parts := make([][]string, len(runs))
	say := func(of, write func(*sim.Result) string) {
		if !differ(of) {
			return
		}
		for i := range runs {
			parts[i] = append(parts[i], write(runs[i].Result))
		}
	}
	name := func(r *sim.Result) string { return r.Scenario.Name }
	say(name, name)
	peers := func(r *sim.Result) string { return count(r.Peers) + " peers" }
	if len(runs) > 0 {
		for n, f := range runs[0].Result.Scenario.Settings.Fields() {
			value := func(r *sim.Result) string { return r.Scenario.Settings.Fields()[n].Get() }
			if f.Name == "system" {
				say(value, value)
			} else if !differ(name) { // other scenarios have other settings
				say(value, func(r *sim.Result) string { return f.Name + "=" + value(r) })
			}
		}
	}
	say(peers, peers)
	seed := func(r *sim.Result) string { return fmt.Sprintf("seed %d", r.Seed) }
	for i := range runs {
		runs[i].Label = strings.Join(parts[i], ", ")
	}
	taken := map[string]int{}
	for i := range runs {
		taken[runs[i].Label]++
	}
	for i := range runs {
		switch l := runs[i].Label; {
		case taken[l] > 1 && l == "":
			runs[i].Label = seed(runs[i].Result)
		case taken[l] > 1:
			runs[i].Label = l + ", " + seed(runs[i].Result)
		case l == "":
			runs[i].Label = runs[i].Result.Scenario.Settings.System
		}
	}
}

// setting is one that differs from the default.
type setting struct{ name, value, usual string }

// changed returns the settings of r that differ from the simulator's defaults.
func changed(r *sim.Result) []setting { return differences(r.Scenario.Settings, sim.Default()) }

func differences(s, usual sim.Settings) []setting {
	var d []setting
	was := usual.Fields()
	for i, f := range s.Fields() {
		if v, u := f.Get(), was[i].Get(); v != u {
			d = append(d, setting{f.Name, plain(v), plain(u)})
		}
	}
	return d
}

// valueOf returns what a setting is.
func valueOf(s sim.Settings, name string) string {
	for _, f := range s.Fields() {
		if f.Name == name {
			return plain(f.Get())
		}
	}
	return absent
}

// plain writes a duration without its zero parts; anything else stays as it is.
func plain(s string) string {
	if _, err := time.ParseDuration(s); err != nil {
		return s
	}
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// command returns what reproduces the run; "": the scenario is from a file.
func command(r *Run) string {
	known, ok := sim.Find(r.Result.Scenario.Name)
	if !ok {
		return ""
	}
	mine := r.Result.Scenario
	mine.Settings, mine.Peers = known.Settings, known.Peers
	a, _ := json.Marshal(mine)
	b, _ := json.Marshal(known)
	if string(a) != string(b) {
		return ""
	}
	c := fmt.Sprintf("peer sim run %s --peers %d", known.Name, r.Result.Peers)
	c += fmt.Sprintf(" --seed %d", r.Result.Seed)
	for _, d := range differences(r.Result.Scenario.Settings, known.Settings) {
		c += fmt.Sprintf(" --set %s=%s", d.name, d.value)
	}
	if r.Seeds != nil && len(r.Seeds.Seeds) > 1 {
		c += fmt.Sprintf("   # the first of %d seeds", len(r.Seeds.Seeds))
	}
	return c
}
