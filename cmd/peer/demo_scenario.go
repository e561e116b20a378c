package main

// This file answers: which transient failures does the demo play, and what does
// each cost the viewers?

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/braidway/braidway/measure"
)

const (
	// demoFreeze is how long a relay is frozen: longer than any timeout, so that
	// everybody has given it up when it comes back.
	demoFreeze = 6 * time.Second
	// demoLimit bounds the wait for what an event leads to.
	demoLimit = 10 * time.Second
	// demoDrain bounds a drain, as --drain-timeout does by default.
	demoDrain = 5 * time.Second
	// A crowd is as many as there are peers, but at least leastCrowd and at most
	// crowdPerCore for each core: a newcomer's handshakes take 0.3 s of one
	// (measured among 24 peers), which those who watch go without.
	leastCrowd   = 6
	crowdPerCore = 4
	// crowdStay is for how long newcomers have a picture.
	crowdStay = 2500 * time.Millisecond
	// fewSlots is for how many children in a stripe a publisher has room that a
	// crowd finds full.
	fewSlots = 2
)

// demoScenario is a transient failure, which the demo plays again and again.
type demoScenario struct {
	name    string
	what    string // one sentence for the help
	counted string // its events, after their number
	after   string // one of them; where it is no death
	deadly  bool   // an event is a death
	standby bool   // a second publisher stands by
	slots   int    // most children of the publisher in a stripe; 0: its upload decides
	lasts   time.Duration
	// play plays one event, and returns when the next may begin.
	play func(*demo, context.Context)
}

// demoScenarios begins with the default. An event lasts until its cost is known.
var demoScenarios = []*demoScenario{
	{name: "kill", counted: "deaths", deadly: true, lasts: demoWatch, play: (*demo).kill,
		what: "the relay with most children dies without a goodbye (its packets\nstop, as when a cable is cut) and a fresh peer joins"},
	{name: "freeze", counted: "freezes", after: "a freeze", lasts: demoFreeze + demoWatch + time.Second, play: (*demo).freeze,
		what: fmt.Sprintf("the relay with most children stands still for %v, and comes back\nwithout disturbing anyone", demoFreeze)},
	{name: "drain", counted: "drains", after: "a drain", lasts: demoWatch + time.Second, play: (*demo).drain,
		what: "the relay with most children is updated: it hands them over, leaves,\nand a fresh peer joins"},
	{name: "full", counted: "crowds", after: "a crowd", slots: fewSlots, lasts: crowdStay + demoWatch + 2*time.Second, play: (*demo).crowd,
		what: "a crowd comes at once, to a publisher that has no room, stays for a\nfew seconds and leaves"},
	{name: "publisher", counted: "deaths", deadly: true, standby: true, lasts: demoWatch + time.Second, play: (*demo).succeed,
		what: "the publisher dies without a goodbye, its standby goes on, and a\nfresh standby is started"},
}

// reported is the scenario's name in a report.
func (s *demoScenario) reported() string {
	if s == demoScenarios[0] {
		return "demo"
	}
	return "demo-" + s.name
}

func findScenario(name string) *demoScenario {
	i := slices.IndexFunc(demoScenarios, func(s *demoScenario) bool { return s.name == name })
	if i < 0 {
		return nil
	}
	return demoScenarios[i]
}

// scenarioNames lists the scenarios for a sentence.
func scenarioNames() string {
	var names []string
	for _, s := range demoScenarios {
		names = append(names, s.name)
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// describeScenarios lists what the scenarios are, for the help.
func describeScenarios() string {
	var b strings.Builder
	for _, s := range demoScenarios {
		fmt.Fprintf(&b, "  %-10s %s\n", s.name, strings.ReplaceAll(s.what, "\n", fmt.Sprintf("\n  %-10s ", "")))
	}
	return b.String()
}

// kill cuts the busiest relay off and lets a fresh peer join.
func (d *demo) kill(ctx context.Context) { d.strike(ctx, d.busiest(), faultKill) }

// freeze stops the busiest relay's packets for a while.
func (d *demo) freeze(ctx context.Context) { d.strike(ctx, d.busiest(), faultFreeze) }

// drain drains the busiest relay, lets it leave and a fresh peer join.
func (d *demo) drain(ctx context.Context) { d.strike(ctx, d.busiest(), faultDrain) }

// crowd lets many come at once, whom the publisher has no room for, and leave again.
func (d *demo) crowd(ctx context.Context) {
	hit := d.hits(d.watching())
	p, _ := d.publishers()
	link := p.pub.Link() // with its addresses: they ask the publisher first
	size := max(leastCrowd, min(d.peers, crowdPerCore*runtime.GOMAXPROCS(0)))
	snap, _ := p.pub.Session().Snapshot()
	e := d.begin(faultCrowd, "", "%d came at once to a publisher with %d of %d places taken", size, snap.Used, fewSlots*len(snap.Stripes))
	var mu sync.Mutex
	var guests []*demoViewer
	atOnce(size, func(int) {
		v, err := d.join(ctx, link, asideGuest)
		if err != nil {
			d.failing(ctx, err)
			return
		}
		mu.Lock()
		guests = append(guests, v)
		mu.Unlock()
		until(ctx, measure.JoinLimit, func() bool { return v.player.Report().StartupMS != nil })
	})
	var first []float64
	for _, v := range guests {
		if ms := v.player.Report().StartupMS; ms != nil {
			first = append(first, *ms)
		}
	}
	if ctx.Err() == nil { // else they were not given their time
		d.mu.Lock()
		d.starts, d.failed = append(d.starts, first...), d.failed+size-len(first)
		d.mu.Unlock()
	}
	if len(first) > 0 {
		s := measure.NewSpread(first, false)
		d.amend(e, ", %d had a picture after %.0f ms (median), the last after %.0f", len(first), s.P50, s.Max)
	}
	pause(ctx, crowdStay)
	atOnce(len(guests), func(i int) {
		guests[i].leave(ctx)
		d.drop(guests[i])
	})
	d.amend(e, ", and left")
	d.reckon(ctx, e, hit, &d.gaps)
}

// succeed cuts the publisher off, waits for the standby to go on, and starts a
// fresh standby.
func (d *demo) succeed(ctx context.Context) {
	if !d.term.TryLock() {
		return // it is going on
	}
	defer d.term.Unlock()
	old, next := d.publishers()
	if next == nil { // the last one did not start
		d.standBy(ctx)
		return
	}
	followed := func() bool {
		st := old.node.State().Streams
		return next.pub.Active() || len(st) == 1 && len(st[0].Heirs) > 0
	}
	if !until(ctx, demoLimit, followed) {
		d.note("", "", "%s does not follow %s yet", next.name, old.name)
		return
	}
	hit := d.hits(d.watching())
	var e *demoEvent
	if next.pub.Active() { // the machine stood still for longer than a lease
		e = d.note(faultTakeover, old.name, "%s was silent for too long", old.name)
	} else {
		old.fault.Cut()
		e = d.begin(faultTakeover, old.name, "%s died", old.name)
	}
	old.stop()
	if !until(ctx, demoLimit, next.pub.Active) {
		d.amend(e, ", and %s does not go on", next.name)
		return
	}
	d.amend(e, ", %s went on after %.0f ms under epoch %d", next.name, millis(time.Since(hit.at)), next.pub.Epoch())
	d.mu.Lock()
	d.active, d.standby = next, nil
	d.bury(old.name, old.id(), rolePublisher)
	d.mu.Unlock()
	d.reckon(ctx, e, hit, &d.gaps)
	go func() { _ = old.node.Close() }()
	d.standBy(ctx)
}

// standBy starts a standby for the active publisher.
func (d *demo) standBy(ctx context.Context) {
	p, err := d.publish(ctx, true)
	if err != nil {
		d.failing(ctx, err)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.standby = p
}

// atOnce does something n times at once.
func atOnce(n int, do func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { do(i) })
	}
	wg.Wait()
}

// watching returns the viewers whose picture counts.
func (d *demo) watching() []*demoViewer {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(d.viewers), func(v *demoViewer) bool { return v.aside != "" })
}

// drop forgets a viewer that is gone.
func (d *demo) drop(v *demoViewer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.viewers = slices.DeleteFunc(d.viewers, func(o *demoViewer) bool { return o == v })
	d.bury(v.name, v.id(), roleViewer)
}

// replace lets a fresh peer join for one that is gone.
func (d *demo) replace(ctx context.Context) {
	if _, err := d.add(ctx); err != nil {
		d.failing(ctx, err)
	}
}

// failing logs that a peer did not start, unless the demo ends.
func (d *demo) failing(ctx context.Context, err error) {
	if ctx.Err() == nil {
		d.log.Error("a fresh peer did not start", "err", err)
	}
}

// pause waits; false: ctx ended first.
func pause(ctx context.Context, wait time.Duration) bool {
	select {
	case <-time.After(wait):
		return true
	case <-ctx.Done():
		return false
	}
}

// until asks until the answer is yes; false: it was not within limit, or before ctx ended.
func until(ctx context.Context, limit time.Duration, ask func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for !ask() {
		if !pause(ctx, 20*time.Millisecond) {
			return false
		}
	}
	return true
}

func millis(t time.Duration) float64 { return float64(t.Microseconds()) / 1000 }
