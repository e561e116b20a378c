package report

// This file answers: which plots are there, and what do they show?

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	_ "embed"

	"github.com/braidway/braidway/measure"
	"github.com/braidway/braidway/sim"
)

//go:embed assets/chart.css
var chartCSS string

// drawing is a chart or bars.
type drawing interface{ svg(alone bool) string }

var plots = []struct {
	kind string
	draw func([]Run) drawing
}{
	{"continuity", continuityPlot},
	{"gap", gapPlot},
	{"startup", startupPlot},
	{"latency", latencyPlot},
	{"stalls", stallsPlot},
	{"depth", func(rs []Run) drawing {
		return histogram(rs, "Depth of the trees", "relays between a viewer and the publisher, plus one", "of the stripes",
			func(r *sim.Result) []int { return r.Depths })
	}},
	{"fanout", func(rs []Run) drawing {
		return histogram(rs, "Children of a viewer", "children, over all stripes", "of the viewers",
			func(r *sim.Result) []int { return r.FanOut })
	}},
	{"redundancy", redundancyPlot},
}

// Kinds returns the names of all plots.
func Kinds() []string {
	var names []string
	for _, p := range plots {
		names = append(names, p.kind)
	}
	return names
}

// Plot returns one plot as an SVG file of its own.
func Plot(kind string, runs []Run) (string, error) {
	for _, p := range plots {
		if p.kind == kind {
			return p.draw(runs).svg(true), nil
		}
	}
	return "", fmt.Errorf("report: plot %q is not known; known are %s", kind, strings.Join(Kinds(), ", "))
}

// values collects what a measure says of every viewer that has it.
func values(r *sim.Result, of func(*measure.Report) *float64) []float64 {
	var v []float64
	for i := range r.Viewers {
		if x := of(&r.Viewers[i].Report); x != nil && finite(*x) {
			v = append(v, *x)
		}
	}
	return v
}

// cumulative returns the curve of the share of values that are at most x.
func cumulative(label string, colour int, v []float64) curve {
	v = slices.DeleteFunc(slices.Clone(v), func(x float64) bool { return !finite(x) })
	slices.Sort(v)
	c := curve{label: label, colour: colour, shape: steps}
	if len(v) > 0 {
		c.x, c.y = append(c.x, v[0]), append(c.y, 0)
	}
	for i, x := range v {
		if i+1 < len(v) && v[i+1] == x {
			continue
		}
		c.x, c.y = append(c.x, x), append(c.y, float64(i+1)/float64(len(v)))
	}
	return c
}

// share is the upright axis of all cumulative plots.
func share(most int) scale {
	return newScale(nines, 0, math.Log10(math.Max(float64(most), 100)), percent)
}

// span returns the least value over zero, and the greatest, of all curves.
func span(curves []curve) (lo, hi float64) {
	lo, hi = math.Inf(1), 0
	for _, c := range curves {
		for _, x := range c.x {
			if x > 0 {
				lo = min(lo, x)
			}
			hi = max(hi, x)
		}
	}
	return lo, hi
}

func continuityPlot(runs []Run) drawing {
	c := &chart{title: "Continuity", hint: "Share of viewers that missed at most so much. Higher is better.",
		xLabel: "objects missed, 1 − continuity", yLabel: "viewers", none: "no viewer has played anything"}
	most := 0
	for i, r := range runs {
		v := values(r.Result, func(m *measure.Report) *float64 { return m.Continuity })
		if len(v) == 0 {
			continue
		}
		for k := range v {
			v[k] = min(max(1-v[k], 0), 1)
		}
		most = max(most, len(v))
		c.curves = append(c.curves, cumulative(r.Label, i, v))
	}
	lo, _ := span(c.curves)
	lo = max(min(lo, 0.01)/1.5, 1e-7)
	c.x, c.y = newScale(decades, lo, 1, percent), share(most)
	c.x.setEdge("none")
	// Every curve goes on to the right edge: all viewers missed at most all.
	for i := range c.curves {
		c.curves[i].x, c.curves[i].y = append(c.curves[i].x, 1), append(c.curves[i].y, 1)
	}
	return c
}

func gapPlot(runs []Run) drawing {
	c := &chart{title: "Gap after a death", hint: "Dotted, its floor: the same viewers and times, without deaths.",
		xLabel: "longest time without progress", yLabel: "viewers touched", none: "no death has touched a viewer"}
	most := 0
	for i, r := range runs {
		if len(r.Result.Touched) > 0 {
			c.curves = append(c.curves, cumulative(r.Label, i, r.Result.Touched))
			most = max(most, len(r.Result.Touched))
		}
		if len(r.Result.Floor) > 0 {
			floor := cumulative(r.Label, i, r.Result.Floor)
			floor.dashed = true
			c.curves = append(c.curves, floor)
		}
	}
	c.timeAxis(most)
	if c.x.lo < 40 {
		c.x.setEdge("<40 ms") // shorter ones are not kept
	}
	return c
}

func startupPlot(runs []Run) drawing {
	return timesPlot(runs, "Start-up", "Share of viewers that had their first picture within that time.", "time from the request to the first picture",
		func(m *measure.Report) *float64 { return m.StartupMS })
}

func latencyPlot(runs []Run) drawing {
	return timesPlot(runs, "Latency", "Share of viewers of whose objects 99 % were no older when playable.", "age of an object, 99th percentile of a viewer",
		func(m *measure.Report) *float64 {
			if m.LatencyMS == nil {
				return nil
			}
			return &m.LatencyMS.P99
		})
}

// timesPlot shows how a time is spread over viewers.
func timesPlot(runs []Run, title, hint, xLabel string, of func(*measure.Report) *float64) drawing {
	c := &chart{title: title, hint: hint, xLabel: xLabel, yLabel: "viewers", none: "no viewer has started"}
	most := 0
	for i, r := range runs {
		if v := values(r.Result, of); len(v) > 0 {
			c.curves = append(c.curves, cumulative(r.Label, i, v))
			most = max(most, len(v))
		}
	}
	c.timeAxis(most)
	return c
}

// timeAxis gives a cumulative plot its axes.
func (c *chart) timeAxis(most int) {
	lo, hi := span(c.curves)
	if len(c.curves) == 0 {
		lo, hi = 40, 1000
	}
	c.x, c.y = newScale(decades, max(min(lo, hi/3), 1)/1.1, hi*1.1, milliseconds), share(most)
}

func stallsPlot(runs []Run) drawing {
	c := &chart{title: "Stalls over time", hint: "Viewers that stalled, and what went wrong when.",
		xLabel: "seconds from the beginning of the measures", yLabel: "viewers", none: "nothing was measured"}
	long, most := 0, 0
	for _, r := range runs {
		long = max(long, len(r.Result.Stalls))
	}
	every := max(1, (long+239)/240)
	for i, r := range runs {
		if len(r.Result.Stalls) == 0 {
			continue
		}
		k := curve{label: r.Label, colour: i, shape: filled(runs)}
		for at := 0; at < len(r.Result.Stalls); at += every {
			n := 0
			for _, s := range r.Result.Stalls[at:min(at+every, len(r.Result.Stalls))] {
				n += s
			}
			most = max(most, n)
			// A step holds from its second on until the next one.
			k.x, k.y = append(k.x, float64(at), float64(at)), append(k.y, last(k.y), float64(n))
		}
		k.x, k.y = append(k.x, float64(len(r.Result.Stalls))), append(k.y, last(k.y))
		c.curves = append(c.curves, k)
	}
	if every > 1 {
		c.yLabel = fmt.Sprintf("viewers in %d s", every)
	}
	end := float64(max(long, 1))
	for _, r := range runs {
		if c.marks = faultMarks(r.Result.Faults, end); c.marks != nil {
			break
		}
	}
	c.x, c.y = newScale(linear, 0, end, short), newScale(linear, 0, float64(max(most, 4))*1.1, short)
	return c
}

// filled is the shape of steps from zero: surfaces of many runs would hide each other.
func filled(runs []Run) shape {
	if len(runs) > 2 {
		return steps
	}
	return area
}

func last(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	return v[len(v)-1]
}

// faultMarks names the first of each kind; the others say what they are when pointed at.
func faultMarks(faults []sim.FaultMark, end float64) []mark {
	count := map[string]int{}
	for _, f := range faults {
		count[f.What]++
	}
	var marks []mark
	named, drawn := map[string]bool{}, map[int]bool{}
	for _, f := range faults {
		at := f.At.Seconds()
		// More than one in three pixels would be a wall.
		if slot := int(at / max(end, 1) * 150); at < 0 || at > end || drawn[slot] && named[f.What] {
			continue
		} else {
			drawn[slot] = true
		}
		m := mark{x: at, long: fmt.Sprintf("%s at %v, %d peers", f.What, f.At.Round(100*time.Millisecond), f.Hit)}
		if !named[f.What] {
			named[f.What], m.label = true, f.What
			if n := count[f.What]; n > 1 {
				m.label = fmt.Sprintf("%s, %d times", f.What, n)
			}
		}
		marks = append(marks, m)
	}
	return marks
}

// histogram shows how often each whole number is there.
func histogram(runs []Run, title, xLabel, of string, get func(*sim.Result) []int) drawing {
	c := &chart{title: title, hint: "Share " + of + " at the end.", xLabel: xLabel, yLabel: "share", none: "nobody was there at the end"}
	most, high := 0, 0.0
	clamp := func(v int) int { return min(max(v, 0), 1_000_000) }
	for _, r := range runs {
		for _, v := range get(r.Result) {
			most = max(most, clamp(v))
		}
	}
	wide := max(1, (most+40)/40) // of one bin
	for i, r := range runs {
		v := get(r.Result)
		if len(v) == 0 {
			continue
		}
		bins := make([]float64, most/wide+1)
		for _, x := range v {
			bins[clamp(x)/wide] += 1 / float64(len(v))
		}
		k := curve{label: r.Label, colour: i, shape: filled(runs)}
		for n, s := range bins {
			// A bin stands around its number, edge to edge with the next.
			at := float64(n*wide) - 0.5
			k.x, k.y = append(k.x, at, at), append(k.y, last(k.y), s)
			high = max(high, s)
		}
		at := float64(len(bins)*wide) - 0.5
		k.x, k.y = append(k.x, at, at), append(k.y, last(k.y), 0)
		c.curves = append(c.curves, k)
	}
	c.x = newScale(linear, -0.5, float64((most/wide+1)*wide)-0.5, short)
	c.x.ticks = slices.DeleteFunc(c.x.ticks, func(t tick) bool { return strings.Contains(t.label, ".") })
	c.y = newScale(linear, 0, math.Max(high*1.08, 0.05), percent)
	return c
}

// redundancyPlot shows what was received besides the stream itself.
func redundancyPlot(runs []Run) drawing {
	c := &bars{title: "Bytes beside the stream", hint: "All viewers. Signatures and parity are not redundancy, but cost too.",
		xLabel: "share of the stream's own bytes", kinds: []string{"control", "duplicates, repairs", "signatures", "parity"},
		format: percent2, none: "nothing was received"}
	for _, r := range runs {
		if parts := byKind(r.Result); parts != nil {
			c.rows = append(c.rows, bar{r.Label, parts})
		}
	}
	return c
}

// byKind returns the shares of control, of duplicates and repairs, of
// signatures and of parity in the stream's bytes; nil: nothing was received.
func byKind(r *sim.Result) []float64 {
	sum := func(of func(*measure.Report) *int64) (s float64) {
		for i := range r.Viewers {
			if x := of(&r.Viewers[i].Report); x != nil {
				s += float64(*x)
			}
		}
		return s
	}
	unique := sum(func(m *measure.Report) *int64 { return m.BytesUnique })
	if unique <= 0 {
		return nil
	}
	control := sum(func(m *measure.Report) *int64 { return m.BytesControl })
	received := sum(func(m *measure.Report) *int64 { return m.BytesReceived })
	return []float64{control / unique, max(0, received-unique-control) / unique,
		sum(func(m *measure.Report) *int64 { return m.BytesAuth }) / unique,
		sum(func(m *measure.Report) *int64 { return m.BytesParity }) / unique}
}
