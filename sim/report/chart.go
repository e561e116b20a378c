package report

// This file answers: how is a chart with two axes drawn?

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// The size of every chart, in units of its own. Charts scale to the page; the
// size is a phone's, so that text stays readable there.
const (
	chartWidth  = 520.0
	chartHeight = 330.0
	left        = 62.0
	right       = 20.0
	bottom      = 46.0
	colours     = 8 // of the style sheet
)

// shape of a curve.
type shape int

const (
	line  shape = iota
	dots        // a line with its points marked
	steps       // holds a value until the next one
	area        // steps, filled
	block       // only a key: a part of bars
)

// curve is one series of a chart.
type curve struct {
	label  string
	colour int
	dashed bool // the floor of the curve of the same label and colour; has no key of its own
	shape  shape
	x, y   []float64
}

// mark is a vertical line with a name.
type mark struct {
	x           float64
	label, long string
}

// chart has two axes.
type chart struct {
	title, hint    string
	xLabel, yLabel string
	x, y           scale
	curves         []curve
	marks          []mark
	none           string // what to say when there is nothing to draw
}

// num writes a coordinate.
func num(v float64) string {
	if !finite(v) {
		v = 0
	}
	return trim(v, 1)
}

// svg returns the chart; alone: as a file of its own.
func (c *chart) svg(alone bool) string {
	var b strings.Builder
	top := 30.0
	if c.hint != "" {
		top += 17
	}
	var keys string
	if several(c.curves) {
		keys, top = legend(c.curves, top)
	}
	top += 8
	height := max(chartHeight, top+220+bottom)
	w, h := chartWidth-left-right, height-top-bottom
	openSVG(&b, c.title, height, alone, fmt.Sprintf(` data-plot="%s %s %s %s" data-x="%s" data-y="%s"`,
		num(left), num(top), num(w), num(h), c.x.describe(c.xLabel), c.y.describe(c.yLabel)))
	head(&b, c.title, c.hint)
	b.WriteString(keys)
	px := func(v float64) float64 { return left + c.x.at(v)*w }
	py := func(v float64) float64 { return top + (1-c.y.at(v))*h }
	c.frame(&b, top, w, h)
	if len(c.curves) == 0 {
		text(&b, "none", left+w/2, top+h/2, "middle", c.none)
	}
	for i := len(c.curves) - 1; i >= 0; i-- { // the first on top
		c.curves[i].draw(&b, px, py, top+h)
	}
	c.drawMarks(&b, px, top, w, h)
	b.WriteString("</svg>\n")
	return b.String()
}

// describe says to the page's script how to read the scale backwards.
func (s *scale) describe(label string) string {
	return esc(fmt.Sprintf("%s|%g|%g|%s|%s", s.kind, s.lo, s.hi, s.edge, strings.ReplaceAll(label, "|", "/")))
}

// frame draws grid, ticks and names of the axes.
func (c *chart) frame(b *strings.Builder, top, w, h float64) {
	for _, t := range c.y.ticks {
		y := top + (1-t.at)*h
		fmt.Fprintf(b, `<path class="grid" d="M%s %sh%s"/>`, num(left), num(y), num(w))
		text(b, "tick", left-6, y+4, "end", t.label)
	}
	end := -1e9 // of the label before
	for _, t := range c.x.ticks {
		x := left + t.at*w
		fmt.Fprintf(b, `<path class="grid" d="M%s %sv%s"/>`, num(x), num(top), num(h))
		half := width(t.label, 12) / 2
		at := min(x, chartWidth-half-4)
		if at-half > end+4 {
			text(b, "tick", at, top+h+16, "middle", t.label)
			end = at + half
		}
	}
	fmt.Fprintf(b, `<path class="axis" d="M%s %sh%s"/>`, num(left), num(top+h), num(w))
	text(b, "label", left+w/2, top+h+36, "middle", c.xLabel)
	fmt.Fprintf(b, `<text class="label" text-anchor="middle" transform="translate(13 %s) rotate(-90)">%s</text>`, num(top+h/2), esc(c.yLabel))
}

// draw draws one curve; points closer than can be seen are left out.
func (c *curve) draw(b *strings.Builder, px, py func(float64) float64, base float64) {
	n := min(len(c.x), len(c.y))
	var d, points strings.Builder
	var lastX, lastY, firstX float64
	drawn := 0
	for i := range n {
		if !finite(c.x[i]) || !finite(c.y[i]) {
			continue
		}
		x, y := px(c.x[i]), py(c.y[i])
		switch {
		case drawn == 0:
			fmt.Fprintf(&d, "M%s %s", num(x), num(y))
			firstX = x
		case i < n-1 && math.Abs(x-lastX) < 0.4 && math.Abs(y-lastY) < 0.4:
			continue
		case c.shape == steps || c.shape == area:
			fmt.Fprintf(&d, "H%sV%s", num(x), num(y))
		default:
			fmt.Fprintf(&d, "L%s %s", num(x), num(y))
		}
		drawn++
		lastX, lastY = x, y
		if c.shape == dots {
			fmt.Fprintf(&points, `<circle class="p" cx="%s" cy="%s" r="3"/>`, num(x), num(y))
		}
	}
	if drawn == 0 {
		return
	}
	key, name := esc(c.label), c.label
	if c.dashed {
		name += ", floor"
	}
	name = esc(name)
	fmt.Fprintf(b, `<g class="s %s" data-s="%s" data-name="%s">`, class(c.colour), key, name)
	if c.shape == area {
		fmt.Fprintf(b, `<path class="a" d="%sV%sH%sZ"/>`, d.String(), num(base), num(firstX))
	}
	fmt.Fprintf(b, `<path class="l%s" d="%s"><title>%s</title></path>%s</g>`, dashed(c.dashed, c.colour), d.String(), name, points.String())
}

// drawMarks draws vertical lines, and the names that find room in three rows.
func (c *chart) drawMarks(b *strings.Builder, px func(float64) float64, top, w, h float64) {
	const rows = 3
	var ends [rows]float64
	kind := "mark"
	if len(c.marks) > 12 {
		kind = "mark many"
	}
	for _, m := range c.marks {
		m.label = cut(m.label, 40)
		x := px(m.x)
		fmt.Fprintf(b, `<path class="%s" d="M%s %sv%s"><title>%s</title></path>`, kind, num(x), num(top), num(h), esc(m.long))
		if m.label == "" {
			continue
		}
		wide := width(m.label, 11)
		for r := range rows {
			at, anchor, from := x+4, "start", x
			if x+wide+6 > left+w {
				at, anchor, from = x-4, "end", x-wide-6
			}
			if from < ends[r] {
				continue
			}
			ends[r] = from + wide + 8
			text(b, "name", at, top+12+14*float64(r), anchor, m.label)
			break
		}
	}
}

// several says whether there is more than one label to tell apart.
func several(curves []curve) bool {
	return slices.ContainsFunc(curves, func(c curve) bool { return c.label != curves[0].label || c.colour != curves[0].colour })
}

// legend returns the keys of the curves in as many rows as they need, from top on, and where they end.
func legend(curves []curve, top float64) (string, float64) {
	var b strings.Builder
	x := 14.0
	for _, c := range curves {
		if c.dashed {
			continue
		}
		label := cut(c.label, 56)
		wide := width(label, 12.5) + 34
		if x > 14 && x+wide > chartWidth {
			x, top = 14, top+19
		}
		fmt.Fprintf(&b, `<g class="key %s" data-s="%s">`, class(c.colour), esc(c.label))
		if c.shape == block {
			fmt.Fprintf(&b, `<rect class="b" x="%s" y="%s" width="18" height="11" rx="2"/>`, num(x), num(top))
		} else {
			fmt.Fprintf(&b, `<path class="l%s" d="M%s %sh20"/>`, dashed(c.dashed, c.colour), num(x), num(top+5))
		}
		text(&b, "keyname", x+26, top+9.5, "start", label)
		b.WriteString("</g>")
		x += wide + 8
	}
	return b.String(), top + 19
}

// openSVG begins a drawing.
func openSVG(b *strings.Builder, title string, height float64, alone bool, data string) {
	name := esc(title)
	if !alone {
		fmt.Fprintf(b, `<svg class="chart" role="img" aria-label="%s" viewBox="0 0 %s %s"%s>`, name, num(chartWidth), num(height), data)
		return
	}
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" aria-label="%s" width="%s" height="%s" viewBox="0 0 %s %s"><style>%s</style><rect class="ground" width="100%%" height="100%%" rx="8"/>`,
		name, num(chartWidth*1.5), num(height*1.5), num(chartWidth), num(height), chartCSS)
}

// head writes a drawing's title and how to read it.
func head(b *strings.Builder, title, hint string) {
	text(b, "title", 14, 22, "start", title)
	if hint != "" {
		text(b, "hint", 14, 40, "start", hint)
	}
}

func text(b *strings.Builder, class string, x, y float64, anchor, s string) {
	fmt.Fprintf(b, `<text class="%s" x="%s" y="%s" text-anchor="%s">%s</text>`, class, num(x), num(y), anchor, esc(s))
}

// class returns the class that carries a colour; there are more than enough
// for what an eye can tell apart, then they come again, dashed.
func class(colour int) string { return fmt.Sprintf("c%d", colour%colours) }

// esc makes s part of a drawing: escaped, without what XML does not allow.
func esc(s string) string {
	return html.EscapeString(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0xfffe || r == 0xffff {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?")))
}

// cut shortens a label to n characters.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

func dashed(is bool, colour int) string {
	switch {
	case is:
		return " floor"
	case colour >= colours:
		return " again"
	}
	return ""
}

// width estimates how wide s is in a proportional font of that size.
func width(s string, size float64) float64 {
	return float64(len([]rune(s))) * size * 0.55
}
