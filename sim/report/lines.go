package report

// This file answers: how is anything against anything plotted, as cost
// against the number of peers, or one setting against what it brings?

import "math"

// Series is one curve of Lines: Y at X, in the order in which the points are joined.
type Series struct {
	Label string
	X, Y  []float64
}

// Lines returns a line chart as an SVG file of its own. Points that are not
// finite, or not above zero on a logarithmic axis, are left out.
func Lines(title, xLabel, yLabel string, logX, logY bool, series []Series) string {
	c := &chart{title: title, xLabel: xLabel, yLabel: yLabel, none: "no points"}
	loX, hiX, loY, hiY := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for i, s := range series {
		k := curve{label: s.Label, colour: i, shape: dots}
		for n := range min(len(s.X), len(s.Y)) {
			x, y := s.X[n], s.Y[n]
			if !finite(x) || !finite(y) || logX && x <= 0 || logY && y <= 0 {
				continue
			}
			k.x, k.y = append(k.x, x), append(k.y, y)
			loX, hiX, loY, hiY = min(loX, x), max(hiX, x), min(loY, y), max(hiY, y)
		}
		if len(k.x) > 0 {
			c.curves = append(c.curves, k)
		}
	}
	c.x, c.y = around(logX, loX, hiX), around(logY, loY, hiY)
	return c.svg(true)
}

// around returns a scale with some room on both sides, and with zero where it is near.
func around(log bool, lo, hi float64) scale {
	if log {
		return newScale(decades, lo/1.15, hi*1.15, short)
	}
	room := (hi - lo) * 0.05
	if lo >= 0 && lo < hi/2 {
		return newScale(linear, 0, hi+room, short)
	}
	return newScale(linear, lo-room, hi+room, short)
}
