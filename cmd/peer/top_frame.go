package main

// This file answers: what does one frame of top say?

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"

	"github.com/braidway/braidway/internal/node"
)

const (
	topEvents   = 200 // that can be scrolled to
	plainEvents = 8   // in a frame without a screen
)

// quietEvents happen all the time in a peer that is well.
var quietEvents = map[string]bool{"repair": true, "hedge": true, "budget": true, "slots": true, "refuse": true, "refused": true, "accept": true, "join": true}

// topSample is one answer of the peer, or why there is none.
type topSample struct {
	at    time.Time
	state node.State
	err   error
}

// topRates is what one stream takes and gives, in bit/s.
type topRates struct{ in, unique, out float64 }

// topData is what top knows.
type topData struct {
	began  time.Time // when events were first listened for
	last   topSample // the last that is an answer
	rates  map[string]topRates
	events []node.TraceEvent // newest last
	lost   error             // why there is no answer at present
}

// take takes an answer; rates are over the time since the one before.
func (d *topData) take(s topSample) {
	if s.err != nil {
		d.lost = s.err
		return
	}
	rates := map[string]topRates{}
	span := s.at.Sub(d.last.at).Seconds()
	for _, now := range s.state.Streams {
		for _, was := range d.last.state.Streams {
			// After a restart of the peer the counts begin anew.
			if was.ID == now.ID && d.lost == nil && s.state.Peer == d.last.state.Peer && span > 0 && now.Received >= was.Received && now.Sent >= was.Sent {
				per := func(now, was int64) float64 { return float64(max(now-was, 0)) * 8 / span }
				rates[now.ID] = topRates{per(now.Received, was.Received), per(now.Unique, was.Unique), per(now.Sent, was.Sent)}
			}
		}
	}
	d.last, d.rates, d.lost = s, rates, nil
}

// event takes an event; those of a peer that is well are left out.
func (d *topData) event(e node.TraceEvent) {
	if quietEvents[e.Event] {
		return
	}
	if d.events = append(d.events, e); len(d.events) > topEvents {
		d.events = append(d.events[:0], d.events[1:]...)
	}
}

// topStyle has the colours.
type topStyle struct{ head, good, wary, bad, dim lipgloss.Style }

func newTopStyle(r *lipgloss.Renderer) topStyle {
	// The terminal's own green, yellow and red: they suit its background.
	colour := func(n string) lipgloss.Style { return r.NewStyle().Foreground(lipgloss.Color(n)) }
	return topStyle{head: r.NewStyle().Bold(true), good: colour("2"), wary: colour("3"), bad: colour("1"), dim: r.NewStyle().Faint(true)}
}

func (s *topStyle) state(word string) string {
	switch word {
	case "fed":
		return s.good.Render(word)
	case "none":
		return s.bad.Render(word)
	}
	return s.wary.Render(word)
}

// lines returns the frame, cut at width columns (0: not cut), with so many events at most.
func (d *topData) lines(style topStyle, width, events int) []string {
	st := d.last.state
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	leaving := ""
	if st.Draining {
		leaving = style.wary.Render(", draining")
	}
	add("%s %s, %s, up %v, %s", style.head.Render("peer"), plainText(st.Peer), plainText(st.Version), time.Duration(st.UptimeS)*time.Second, d.last.at.Format(time.TimeOnly))
	add("%d connections, %d DHT nodes, reachability %s%s", st.Peers, st.DHT, plainText(st.Reach.Reachability), leaving)
	if d.lost != nil {
		add("%s", style.bad.Render("no answer since "+d.last.at.Format(time.TimeOnly)+": "+plainText(d.lost.Error())))
	}
	if len(st.Streams) == 0 {
		add("")
		add("no streams")
	}
	for _, s := range st.Streams {
		add("")
		out = append(out, d.stream(style, s)...)
	}
	add("")
	add("%s", style.head.Render("LAST EVENTS"))
	shown := d.events[max(0, len(d.events)-events):]
	if len(shown) == 0 {
		add("%s", style.dim.Render("none since "+d.began.Format(time.TimeOnly)))
	}
	for i := len(shown) - 1; i >= 0; i-- {
		add("%s", eventLine(style, shown[i]))
	}
	if width > 0 {
		for i, l := range out {
			out[i] = ansi.Truncate(l, width, "…")
		}
	}
	return out
}

func (d *topData) stream(style topStyle, s node.StreamState) []string {
	out := []string{fmt.Sprintf("%s %s: %s, epoch %d, position %d of %d", style.head.Render("stream"), plainText(s.ID), plainText(s.Role), s.Epoch, s.Position, s.Edge)}
	flow := "rates come with the next look"
	if r, ok := d.rates[s.ID]; ok {
		flow = fmt.Sprintf("in %s, out %s", mbps(r.in), mbps(r.out))
		if r.unique > 0 {
			flow += fmt.Sprintf(", redundancy %.1f %%", 100*(r.in-r.unique)/r.unique)
		}
	}
	flow = fmt.Sprintf("  %s, stream %s, %d of %d slots used, %d neighbours", flow, mbps(s.Bitrate), s.Used, s.Slots, s.Neighbour)
	if s.AgeMS != nil {
		flow += fmt.Sprintf(", objects %.0f ms old", *s.AgeMS)
	}
	out = append(out, flow)
	for _, r := range remarks(s) {
		out = append(out, "  "+style.wary.Render(plainText(r)))
	}
	rows := [][]string{{"STRIPE", "PARENT", "STATE", "DEPTH", "STANDBYS", "CHILDREN"}}
	for _, v := range s.Stripes {
		state, standbys := style.state(plainText(v.State)), plainText(shorts(v.Standbys))
		if v.Silence > 0 {
			state = style.wary.Render(fmt.Sprintf("%s %.0f ms", plainText(v.State), v.Silence))
		}
		if s.Role == node.RolePublisher.String() {
			state = style.dim.Render("origin")
		}
		if v.Lacking {
			standbys = style.wary.Render("lacking")
		}
		rows = append(rows, []string{fmt.Sprint(v.Stripe), plainText(short(v.Parent)), state, fmt.Sprint(len(v.Path)), standbys, plainText(shorts(v.Children))})
	}
	return append(out, aligned(rows)...)
}

// aligned aligns the cells of rows; colours take no room.
func aligned(rows [][]string) (lines []string) {
	wide := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, c := range r {
			wide[i] = max(wide[i], ansi.StringWidth(c))
		}
	}
	for _, r := range rows {
		var b strings.Builder
		for i, c := range r {
			b.WriteString("  " + c)
			if i < len(r)-1 {
				b.WriteString(strings.Repeat(" ", wide[i]-ansi.StringWidth(c)))
			}
		}
		lines = append(lines, strings.TrimRight(b.String(), " "))
	}
	return lines
}

// badEvents are those that a viewer might feel.
var badEvents = map[string]bool{"orphan": true, "stall": true, "fenced": true, "shrink": true, "locked": true}

func eventLine(style topStyle, e node.TraceEvent) string {
	name := fmt.Sprintf("%-9s", plainText(e.Event))
	switch {
	case badEvents[e.Event]:
		name = style.bad.Render(name)
	case e.Event == "cancel" || e.Event == "move":
		name = style.good.Render(name)
	default:
		name = style.wary.Render(name)
	}
	line := fmt.Sprintf("%s  %s %.8s stripe %d", e.Time.Local().Format("15:04:05.000"), name, plainText(e.Stream), e.Stripe)
	if e.Peer != "" {
		line += " peer " + plainText(short(e.Peer))
	}
	if e.WaitMS > 0 {
		line += fmt.Sprintf(" %.0f ms", e.WaitMS)
	}
	if e.Code != "" {
		line += " " + plainText(e.Code)
	}
	return line
}

func mbps(bits float64) string { return fmt.Sprintf("%.2f Mbps", bits/1e6) }

// plainText is text without what a terminal would obey.
func plainText(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || !unicode.IsPrint(c) {
			return -1
		}
		return c
	}, s)
}
