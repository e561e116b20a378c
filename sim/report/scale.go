package report

// This file answers: where on an axis does a value lie, and which values are
// written beside it?

import (
	"math"
	"strconv"
)

// kind of a scale.
type kind string

const (
	linear  kind = "linear"
	decades kind = "log"
	// nines spreads shares towards 1: 90 %, 99 % and 99.9 % are equally far
	// apart, because the viewers who are worst off are the ones asked about.
	nines kind = "nines"
)

// tick is one value written at an axis.
type tick struct {
	at    float64 // 0 to 1
	label string
}

// scale maps values to 0..1. Values outside of it lie on its edges.
type scale struct {
	kind   kind
	lo, hi float64 // of nines: hi is the number of nines at the edge
	format func(float64) string
	edge   string // what the low edge of a log scale says, for all below
	ticks  []tick
}

// newScale returns a scale over lo..hi with round ticks. It mends what cannot be drawn.
func newScale(k kind, lo, hi float64, format func(float64) string) scale {
	if !finite(lo) || !finite(hi) {
		lo, hi = 0, 1
	}
	lo, hi = max(lo, -1e15), min(hi, 1e15)
	if k == decades {
		if hi <= 0 {
			hi = 1
		}
		if lo <= 0 {
			lo = hi / 1000
		}
		lo = max(lo, hi/1e15)
		if hi < lo*1.5 {
			lo, hi = lo/2, lo*2
		}
	} else if k == nines {
		lo, hi = 0, min(max(hi, 1), 6)
	} else if hi-lo < 1e-9*math.Max(math.Abs(lo), 1e-6) {
		hi = lo + math.Max(1, math.Abs(lo))
	}
	s := scale{kind: k, lo: lo, hi: hi, format: format}
	s.addTicks()
	return s
}

// at returns where v lies, 0 to 1.
func (s *scale) at(v float64) float64 {
	var p float64
	switch s.kind {
	case decades:
		p = (math.Log(math.Max(v, s.lo)) - math.Log(s.lo)) / (math.Log(s.hi) - math.Log(s.lo))
	case nines:
		p = -math.Log10(math.Max(1-v, math.Pow(10, -s.hi))) / s.hi
	default:
		p = (v - s.lo) / (s.hi - s.lo)
	}
	if math.IsNaN(p) {
		return 0
	}
	return math.Min(math.Max(p, 0), 1)
}

func (s *scale) addTicks() {
	add := func(v float64) { s.ticks = append(s.ticks, tick{s.at(v), s.format(v)}) }
	switch s.kind {
	case nines:
		for _, v := range []float64{0, .5, .9, .99, .999, .9999, .99999} {
			if s.at(v) <= 0.93 {
				add(v)
			}
		}
		add(1)
	case decades:
		steps := []float64{1}
		if d := math.Log10(s.hi / s.lo); d < 1.5 {
			steps = []float64{1, 2, 3, 5, 7}
		} else if d < 3.2 {
			steps = []float64{1, 2, 5}
		}
		for e := math.Floor(math.Log10(s.lo)); e <= math.Ceil(math.Log10(s.hi)); e++ {
			for _, m := range steps {
				if v := m * math.Pow(10, e); v >= s.lo*.9999 && v <= s.hi*1.0001 {
					add(v)
				}
			}
		}
		s.thin(8)
	default:
		step := roundStep((s.hi - s.lo) / 5)
		for i := math.Ceil(s.lo/step - 1e-9); i*step <= s.hi+step*1e-9 && len(s.ticks) < 20; i++ {
			add(i * step)
		}
	}
}

// setEdge names the low edge of a scale, and makes room for the name.
func (s *scale) setEdge(label string) {
	keep := []tick{{0, label}}
	for _, t := range s.ticks {
		if t.at > 0.09 {
			keep = append(keep, t)
		}
	}
	s.edge, s.ticks = label, keep
}

// thin leaves at most n ticks, evenly.
func (s *scale) thin(n int) {
	every := (len(s.ticks) + n - 1) / n
	if every < 2 {
		return
	}
	var keep []tick
	for i := 0; i < len(s.ticks); i += every {
		keep = append(keep, s.ticks[i])
	}
	s.ticks = keep
}

// roundStep returns the next 1, 2 or 5 times a power of ten.
func roundStep(v float64) float64 {
	if !(v > 0) {
		return 1
	}
	e := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if v <= m*e*1.0001 {
			return m * e
		}
	}
	return 10 * e
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// short writes v with at most three significant digits.
func short(v float64) string {
	switch a := math.Abs(v); {
	case a >= 999.5e6:
		return trim(v/1e9, 2) + "G"
	case a >= 999.5e3:
		return trim(v/1e6, 2) + "M"
	case a >= 10e3:
		return trim(v/1e3, 1) + "k"
	case a >= 100:
		return trim(v, 0)
	case a >= 10:
		return trim(v, 1)
	case a >= 1 || a == 0:
		return trim(v, 2)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// trim writes v with at most so many decimals, without trailing zeros.
func trim(v float64, decimals int) string {
	if !finite(v) {
		return "–"
	}
	p := math.Pow(10, float64(decimals))
	return strconv.FormatFloat(math.Round(v*p)/p+0, 'f', -1, 64) // +0: there is no -0
}

// percent writes a share.
func percent(v float64) string {
	if math.Abs(v) < 0.001 && v != 0 {
		return strconv.FormatFloat(math.Round(v*1e8)/1e6, 'g', 2, 64) + " %"
	}
	return trim(v*100, 3) + " %"
}

// milliseconds writes a time in ms, in s from 1 s on.
func milliseconds(v float64) string {
	switch {
	case v >= 999.5:
		return trim(v/1000, 2) + " s"
	case v >= 100:
		return trim(v, 0) + " ms"
	}
	return trim(v, 1) + " ms"
}
