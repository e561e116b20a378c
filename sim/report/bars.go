package report

// This file answers: how are stacked bars drawn, one for each run?

import (
	"fmt"
	"strings"
)

// bar is one row of stacked parts.
type bar struct {
	label string
	parts []float64
}

// bars draws rows of parts that add up; each row says its sum at its end.
type bars struct {
	title, hint, xLabel string
	kinds               []string // names of the parts
	rows                []bar
	format              func(float64) string // of a figure
	none                string
}

func (c *bars) svg(alone bool) string {
	const rowHeight, barHeight = 46.0, 18.0
	var keys []curve
	for i, k := range c.kinds {
		keys = append(keys, curve{label: k, colour: i, shape: block})
	}
	top := 30.0
	if c.hint != "" {
		top += 17
	}
	legend, top := legend(keys, top)
	top += 4
	most := 0.0
	for _, r := range c.rows {
		most = max(most, r.sum())
	}
	if most == 0 {
		most = 0.01
	}
	x := newScale(linear, 0, most, percent)
	const from, room = 16.0, 76.0 // room for the sum
	w := chartWidth - from - room
	h := rowHeight * float64(max(len(c.rows), 1))
	height := top + h + bottom
	var b strings.Builder
	openSVG(&b, c.title, height, alone, "")
	head(&b, c.title, c.hint)
	b.WriteString(legend)
	for _, t := range x.ticks {
		fmt.Fprintf(&b, `<path class="grid" d="M%s %sv%s"/>`, num(from+t.at*w), num(top), num(h))
		text(&b, "tick", from+t.at*w, top+h+16, "middle", t.label)
	}
	text(&b, "label", from+w/2, top+h+36, "middle", c.xLabel)
	if len(c.rows) == 0 {
		text(&b, "none", from+w/2, top+h/2+8, "middle", c.none)
	}
	for i, r := range c.rows {
		y := top + float64(i)*rowHeight
		fmt.Fprintf(&b, `<g class="s" data-s="%s">`, esc(r.label))
		text(&b, "label", from, y+16, "start", cut(r.label, 60))
		at := 0.0
		for k, v := range r.parts {
			if !(v > 0) {
				continue
			}
			x0, x1 := x.at(at), x.at(at+v)
			fmt.Fprintf(&b, `<rect class="b %s" x="%s" y="%s" width="%s" height="%s"><title>%s</title></rect>`, class(k),
				num(from+x0*w), num(y+22), num((x1-x0)*w), num(barHeight), esc(c.kinds[k]+": "+c.format(v)))
			at += v
		}
		text(&b, "value", from+x.at(at)*w+6, y+36, "start", c.format(at))
		b.WriteString("</g>")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (r *bar) sum() (s float64) {
	for _, v := range r.parts {
		if v > 0 {
			s += v
		}
	}
	return s
}
