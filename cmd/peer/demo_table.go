package main

// This file answers: what does the demo show while it runs, and at its end?

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/braidway/braidway/measure"
	"github.com/braidway/braidway/overlay"
)

// keptEvents bounds the events that the table tells of.
const keptEvents = 6

// keptHistory bounds the events that the page tells of.
const keptHistory = 40

// demoEvent is what happened, and what it cost once that is known.
type demoEvent struct {
	id    int // 1 and up
	at    time.Time
	fault string // "": nothing but a remark
	peer  string // who was struck
	text  string
	cost  *faultCost // nil: not known yet
	told  bool       // where lines stay
}

// begin counts an event and says what happens.
func (d *demo) begin(fault, peer, format string, args ...any) *demoEvent {
	d.mu.Lock()
	d.count++
	d.mu.Unlock()
	return d.note(fault, peer, format, args...)
}

// note says something without counting it.
func (d *demo) note(fault, peer, format string, args ...any) *demoEvent {
	e := &demoEvent{at: time.Now(), fault: fault, peer: peer, text: fmt.Sprintf(format, args...)}
	d.mu.Lock()
	d.noted++
	e.id = d.noted
	d.events = append(d.events, e)
	d.events = d.events[max(0, len(d.events)-keptEvents):]
	d.history = append(d.history, e)
	d.history = d.history[max(0, len(d.history)-keptHistory):]
	d.mu.Unlock()
	d.tellPage(eventFault, fault, peer)
	return e
}

// amend adds to what was said of an event.
func (d *demo) amend(e *demoEvent, format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e.text += fmt.Sprintf(format, args...)
	e.told = false
	d.tellPage(eventCost, e.fault, e.peer)
}

// tell returns what is to be said of the last event and of those before it;
// where lines stay, of these only what is new.
func (d *demo) tell(stay bool) (last string, before []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, e := range d.events {
		switch {
		case i == len(d.events)-1:
			last = e.text
		case !e.told || !stay:
			before = append(before, e.text)
		}
		e.told = true
	}
	return last, before
}

// show draws the table.
func (d *demo) show() {
	st, err := os.Stdout.Stat()
	terminal := err == nil && st.Mode()&os.ModeCharDevice != 0
	last, before := d.tell(!terminal)
	var missed uint64
	d.mu.Lock()
	viewers, count := slices.Clone(d.viewers), d.count
	for _, v := range viewers {
		if v.aside == "" {
			missed += v.missed()
		}
	}
	d.mu.Unlock()
	head := fmt.Sprintf("%4.0f s  %d viewers  %d %s  %d objects missed  %s\n", time.Since(d.began).Seconds(), len(viewers), count, d.scenario.counted, missed, last)
	history := ""
	for _, line := range before {
		history += "        " + line + "\n"
	}
	if !terminal {
		fmt.Print(history + head)
		return
	}
	fmt.Print("\x1b[H\x1b[2J" + head + d.table(viewers) + history)
}

// table has a row for each viewer.
func (d *demo) table(viewers []*demoViewer) string {
	names := map[overlay.PeerID]string{0: "-"}
	active, standby := d.publishers()
	for _, p := range []*demoPublisher{active, standby} {
		if p != nil {
			names[p.pub.Session().Self()] = p.name
		}
	}
	for _, v := range viewers {
		names[v.session.Self()] = v.name
	}
	name := func(id overlay.PeerID) string {
		if n := names[id]; n != "" {
			return n
		}
		return "dead"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-5s %-24s %-24s %8s %8s %8s %8s\n", "peer", "parents", "first standbys", "children", "start-up", "missed", "last gap")
	for _, v := range viewers {
		snap, ok := v.snapshot()
		if !ok {
			continue
		}
		var parents, standbys []string
		for _, s := range snap.Stripes {
			parents = append(parents, name(s.Parent))
			standbys = append(standbys, name(append(s.Standbys, 0)[0]))
		}
		started := "-"
		if ms := v.player.Report().StartupMS; ms != nil {
			started = fmt.Sprintf("%.0f ms", *ms)
		}
		d.mu.Lock()
		missed, cost := v.missed(), ""
		switch {
		case v.aside != "":
			cost = v.aside
		case v.cost != nil:
			cost = fmt.Sprintf("%.0f ms", *v.cost)
		}
		d.mu.Unlock()
		fmt.Fprintf(&b, "%-5s %-24s %-24s %8d %8s %8d %8s\n", v.name, strings.Join(parents, " "), strings.Join(standbys, " "), snap.Used, started, missed, cost)
	}
	return b.String()
}

// demoSummary is the report of a demo.
type demoSummary struct {
	measure.Summary
	// Events counts what happened; Kills is how many of them were deaths.
	Events int `json:"events"`
	// ReturnGapMS is the gap of the others when a frozen relay came back.
	ReturnGapMS *measure.Spread `json:"return_gap_ms,omitempty"`
	// Newcomers came in crowds, and had their first picture after NewcomerStartupMS.
	Newcomers         *int            `json:"newcomers,omitempty"`
	NewcomerStartupMS *measure.Spread `json:"newcomer_startup_ms,omitempty"`
}

// finish computes and prints the summary.
func (d *demo) finish(report string) error {
	viewers := d.watching()
	var reports []measure.Report
	without, failed, intact, whole := 0, 0, 0, 0
	for _, v := range viewers {
		if snap, ok := v.snapshot(); ok {
			for _, s := range snap.Stripes {
				if s.Lacking {
					without++
				}
			}
		}
		r := v.player.Report()
		reports = append(reports, r)
		if r.StartupMS == nil && time.Since(v.began) > measure.JoinLimit {
			failed++
		}
		if r.Continuity != nil {
			whole++
			if *r.Continuity == 1 {
				intact++
			}
		}
	}
	wall := time.Since(d.began).Seconds()
	d.mu.Lock()
	defer d.mu.Unlock()
	failed += d.failed
	kills := 0
	if d.scenario.deadly {
		kills = d.count
	}
	s := demoSummary{Events: d.count, ReturnGapMS: spread(d.returns), NewcomerStartupMS: spread(d.starts)}
	s.Summary = measure.Summary{Scenario: d.scenario.reported(), Peers: d.peers, Kills: &kills, FailedJoins: &failed, WallS: &wall, WithoutStandby: &without}
	if n := len(d.starts) + d.failed; n > 0 {
		s.Newcomers = &n
	}
	s.Add(reports)
	s.Survivors(intact, whole)
	s.Touch(d.gaps)
	fmt.Print(s.text(d.scenario))
	return writeReport(report, &s)
}

// text is the summary for people: what is no death has its own name.
func (s demoSummary) text(sc *demoScenario) string {
	var b strings.Builder
	row := func(name string, v *measure.Spread) {
		if v != nil {
			fmt.Fprintf(&b, "%-22s %12.0f %12.0f %12.0f %12.0f\n", name, v.P50, v.P99, v.Worst, v.Max)
		}
	}
	if !sc.deadly {
		fmt.Fprintf(&b, "%d %s\n", s.Events, sc.counted)
		row("gap after "+sc.after+", ms", s.TouchedGapMS)
		row("gap at a return, ms", s.ReturnGapMS)
		row("newcomers' wait, ms", s.NewcomerStartupMS)
		s.Kills, s.TouchedGapMS = nil, nil
	}
	return s.Table() + b.String()
}

// spread returns the spread of values in ms; nil: there are none.
func spread(values []float64) *measure.Spread {
	if len(values) == 0 {
		return nil
	}
	s := measure.NewSpread(values, false)
	return &s
}
