package report

// This file answers: what is on the page?

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/braidway/braidway/measure"
)

//go:embed assets/page.html assets/page.css assets/page.js
var assets embed.FS

var pageTemplate = template.Must(template.ParseFS(assets, "assets/page.html"))

// page is what the template shows.
type page struct {
	Title     string
	CSS       template.CSS
	JS        template.JS
	Questions []question
	Chips     []fact
	Settings  []setting // that all runs share
	Partial   []string  // labels of runs that were stopped
	Many      bool
	Tiles     []tile
	Labels    []string
	Compared  []comparison
	Plots     []template.HTML
	Runs      []section
}

func (s setting) Name() string  { return s.name }
func (s setting) Value() string { return s.value }
func (s setting) Usual() string { return s.usual }
func (f fact) Name() string     { return f.name }
func (f fact) Value() string    { return f.value }

type question struct{ Scenario, Asks, Good string }

// tile is one figure in large type.
type tile struct{ Name, Value, Note string }

type comparison struct {
	Name  string
	Cells []string
}

// section is one run in detail.
type section struct {
	Label, Class, Command string
	Partial               bool
	Settings              []setting
	Facts                 []fact
	Measures              []comparison
	Worst                 []worstViewer
	WorstOf, WorstAll     string
}

// HTML writes one file with everything in it: it asks for nothing from anywhere.
func HTML(w io.Writer, title string, runs []Run) error {
	p := page{Title: title, Many: len(runs) > 1}
	for name, at := range map[string]func(string){
		"assets/page.css": func(s string) { p.CSS = template.CSS(chartCSS + s) }, // our own file
		"assets/page.js":  func(s string) { p.JS = template.JS(s) },              // our own file
	} {
		b, err := assets.ReadFile(name)
		if err != nil {
			return err
		}
		at(string(b))
	}
	p.Questions, p.Chips, p.Settings = asked(runs), chips(runs), shared(runs)
	for i := range runs {
		r := &runs[i]
		p.Labels = append(p.Labels, r.Label)
		if r.Result.Partial {
			p.Partial = append(p.Partial, r.Label)
		}
		p.Runs = append(p.Runs, detail(r, i, p.Settings))
	}
	for _, r := range rows {
		c := comparison{Name: r.name}
		for i := range runs {
			c.Cells = append(c.Cells, r.cell(&runs[i]))
		}
		p.Compared = append(p.Compared, c)
	}
	if len(runs) == 1 {
		p.Tiles = tiles(&runs[0])
	}
	for _, k := range plots {
		p.Plots = append(p.Plots, template.HTML(k.draw(runs).svg(false))) // svg escapes
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, &p); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// asked lists the scenarios of the runs, each once.
func asked(runs []Run) []question {
	var qs []question
	for _, r := range runs {
		s := r.Result.Scenario
		if q := (question{s.Name, s.Question, s.Good}); !slices.Contains(qs, q) {
			qs = append(qs, q)
		}
	}
	return qs
}

// chips say what all runs have in common, or from what to what.
func chips(runs []Run) []fact {
	var fs []fact
	add := func(name string, of func(*Run) string) {
		var all []string
		for i := range runs {
			if v := of(&runs[i]); !slices.Contains(all, v) {
				all = append(all, v)
			}
		}
		if len(all) > 0 {
			fs = append(fs, fact{name, strings.Join(all, " / ")})
		}
	}
	add("peers", peersOf)
	add("seed", seedsOf)
	// What always matters, if it is not said as changed anyway.
	common := shared(runs)
	for _, name := range []string{"duration", "buffer", "population"} {
		if !slices.ContainsFunc(common, func(s setting) bool { return s.name == name }) {
			add(name, func(r *Run) string { return valueOf(r.Result.Scenario.Settings, name) })
		}
	}
	return fs
}

// shared returns the changed settings that are the same in all runs.
func shared(runs []Run) []setting {
	if len(runs) == 0 {
		return nil
	}
	all := changed(runs[0].Result)
	for _, r := range runs[1:] {
		mine := changed(r.Result)
		all = slices.DeleteFunc(all, func(s setting) bool { return !slices.Contains(mine, s) })
	}
	return all
}

// tiles are the figures that a scenario is judged by.
func tiles(r *Run) []tile {
	rs := r.Result
	ts := []tile{{"continuity, worst 1 %", of(continuity, worst, share5)(r), "median " + of(continuity, p50, share5)(r)}}
	if rs.Summary.SurvivorsIntact != nil {
		t := tile{"survivors that missed nothing", percent2(*rs.Summary.SurvivorsIntact), count(rs.Kills) + " deaths"}
		if r.Seeds != nil && len(r.Seeds.Seeds) > 1 && r.Seeds.SurvivorsIntact != nil {
			x := r.Seeds.SurvivorsIntact
			t.Name += ", median seed"
			t.Value = percent2(x.Median)
			t.Note = fmt.Sprintf("least %s, most %s of %d seeds", percent2(x.Least), percent2(x.Most), len(r.Seeds.Seeds))
		}
		ts = append(ts, t)
	}
	if s := spreadOf(rs.Touched); s != nil {
		t := tile{"gap after a death, p99", whole(s.P99) + " ms", count(len(rs.Touched)) + " touched"}
		if f := spreadOf(rs.Floor); f != nil {
			t.Note = "floor " + whole(f.P99) + " ms, " + t.Note
		}
		ts = append(ts, t)
	}
	stalled, played := withStall(rs)
	share := ratio(float64(stalled), float64(played), percent2)
	return append(ts,
		tile{"start-up, p99", of(startup, p99, milliseconds)(r), "median " + of(startup, p50, milliseconds)(r)},
		tile{"redundancy, p99", of(redundancy, p99, percent2)(r), "median " + of(redundancy, p50, percent2)(r)},
		tile{"false switches per viewer-hour", ratio(float64(rs.FalseSwitches), rs.ViewerHours, func(v float64) string { return trim(v, 2) }),
			count(rs.FalseSwitches) + " in " + trim(rs.ViewerHours, 1) + " h"},
		tile{"viewers with a stall", share, count(totalStalls(rs)) + " stalls"},
		tile{"failed joins", count(rs.FailedJoins), "no picture within 10 s"})
}

// detail returns everything about one run; common settings are not said again.
func detail(r *Run, i int, common []setting) section {
	s := section{Label: r.Label, Class: class(i), Command: command(r), Partial: r.Result.Partial, Facts: facts(r)}
	for _, c := range changed(r.Result) {
		if !slices.Contains(common, c) {
			s.Settings = append(s.Settings, c)
		}
	}
	s.Measures = measures(r)
	s.Worst, s.WorstAll = worstViewers(r.Result)
	s.WorstOf = count(len(s.Worst))
	return s
}

// measures lists median, p99, worst 1 % and max of each measure that was taken.
func measures(r *Run) []comparison {
	sum := &r.Result.Summary
	var out []comparison
	add := func(name string, s *measure.Spread, format func(float64) string) {
		if s != nil {
			out = append(out, comparison{name, []string{format(s.P50), format(s.P99), format(s.Worst), format(s.Max)}})
		}
	}
	one := func(v float64) string { return trim(v, 1) }
	kilobytes := func(v float64) string { return trim(v/1000, 1) }
	add("continuity", sum.Continuity, share5)
	add("stalls", sum.Stalls, whole)
	add("time stalled, ms", sum.StallMS, whole)
	add("gap after a death, ms", spreadOf(r.Result.Touched), whole)
	add("… its floor, ms", spreadOf(r.Result.Floor), whole)
	add("longest gap, ms", sum.MaxGapMS, whole)
	add("start-up, ms", sum.StartupMS, whole)
	add("latency p50, ms", sum.LatencyP50MS, one)
	add("latency p99, ms", sum.LatencyP99MS, one)
	add("redundancy", sum.Redundancy, percent2)
	add("stream received, kB", sum.BytesUnique, kilobytes)
	add("all received, kB", sum.BytesReceived, kilobytes)
	add("control, kB", sum.BytesControl, kilobytes)
	add("signatures, kB", sum.BytesAuth, kilobytes)
	add("parity, kB", sum.BytesParity, kilobytes)
	add("switches", sum.Switches, whole)
	add("hedges", sum.Hedges, whole)
	add("repairs", sum.Repairs, whole)
	add("rejected objects", sum.Rejected, whole)
	return out
}
