package main

// This file answers: how does a fault strike one peer of the demo, and what did
// it cost the others?

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/braidway/braidway/overlay"
)

// Faults, as the page's buttons and its log call them.
const (
	faultKill     = "kill"
	faultFreeze   = "freeze"
	faultDrain    = "drain"
	faultReturn   = "return"   // a frozen peer came back
	faultCrowd    = "crowd"    // many came at once
	faultTakeover = "takeover" // the publisher died, its standby goes on
)

// asides say why a peer that was struck is not counted.
var asides = map[string]string{faultKill: "dead", faultFreeze: "frozen", faultDrain: "drains"}

// verbs begin the sentence about an event.
var verbs = map[string]string{faultKill: "died", faultFreeze: "froze", faultDrain: "drains"}

// Why a fault cannot strike a peer.
var (
	errWatched = errors.New("plays for this page: without it there is nothing to see; choose another")
	errStruck  = errors.New("has been struck already")
)

// hit is who may feel a fault, and how they were before it.
type hit struct {
	viewers []*demoViewer
	before  []tally
	at      time.Time
}

// tally are counts of one viewer.
type tally struct {
	switches, moves int
	missed          uint64
}

func (v *demoViewer) tally() tally {
	snap, _ := v.snapshot()
	return tally{snap.Counters.Switches, snap.Counters.Moves, v.player.Stats().Missed}
}

// hits remembers how viewers are at this moment.
func (d *demo) hits(viewers []*demoViewer) hit {
	h := hit{viewers: viewers, at: time.Now()}
	for _, v := range viewers {
		h.before = append(h.before, v.tally())
	}
	return h
}

// strike plays a fault on victim, nil: on nobody, until the next may begin.
func (d *demo) strike(ctx context.Context, victim *demoViewer, fault string) {
	if victim != nil && d.aim(victim, fault) == nil {
		d.hurt(ctx, victim, fault)
	}
}

// aim puts the victim aside, unless it must not be struck.
func (d *demo) aim(victim *demoViewer, fault string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case victim == d.watched:
		return fmt.Errorf("%s %w", victim.name, errWatched)
	case victim.aside != "" && victim.aside != asideGuest:
		return fmt.Errorf("%s %w: %s", victim.name, errStruck, victim.aside)
	}
	victim.aside = asides[fault]
	return nil
}

// hurt plays a fault on a victim that is aside.
func (d *demo) hurt(ctx context.Context, victim *demoViewer, fault string) {
	hit, children := d.behind(victim)
	told := func() *demoEvent {
		return d.begin(fault, victim.name, "%s %s with %d children, %d viewers behind it", victim.name, verbs[fault], children, len(hit.viewers))
	}
	switch fault {
	case faultKill:
		hit.at = time.Now()
		victim.fault.Cut()
		d.drop(victim)
		d.reckon(ctx, told(), hit, &d.gaps)
		d.replace(ctx)
		go victim.close()
	case faultFreeze:
		hit.at = time.Now()
		victim.freeze()
		d.reckon(ctx, told(), hit, &d.gaps)
		d.thaw(ctx, victim, hit.at)
	case faultDrain:
		e := told()
		victim.leave(ctx)
		d.drop(victim)
		d.amend(e, ", and has left after %.0f ms", millis(time.Since(hit.at)))
		d.reckon(ctx, e, hit, &d.gaps)
		d.replace(ctx)
	}
}

// standstill is a viewer that is frozen.
type standstill struct {
	last overlay.Snapshot // what was seen of it
	ok   bool
	over chan struct{}
}

// freeze stops the viewer as SIGSTOP would: its packets, and whatever decides about
// them. With its packets alone stopped it would look for other parents all the time,
// and be at odds with all of them when it comes back.
func (v *demoViewer) freeze() {
	s := &standstill{over: make(chan struct{})}
	s.last, s.ok = v.session.Snapshot()
	v.frozen.Store(s)
	v.fault.Freeze()
	go v.session.Do(func() { <-s.over })
}

func (v *demoViewer) thaw() {
	v.fault.Thaw()
	if s := v.frozen.Swap(nil); s != nil {
		close(s.over)
	}
}

// snapshot is the state of the viewer, of a frozen one the last; false: it is gone.
func (v *demoViewer) snapshot() (overlay.Snapshot, bool) {
	if s := v.frozen.Load(); s != nil {
		return s.last, s.ok
	}
	return v.session.Snapshot()
}

// thaw ends a freeze that began at a time, and waits until the peer is back.
func (d *demo) thaw(ctx context.Context, victim *demoViewer, froze time.Time) {
	pause(ctx, demoFreeze)
	others := d.hits(slices.DeleteFunc(d.watching(), func(v *demoViewer) bool { return v == victim }))
	victim.thaw()
	stood := others.at.Sub(froze).Round(100 * time.Millisecond)
	if !d.catchUp(ctx, victim) {
		d.note(faultReturn, victim.name, "%s is not back after it stood still for %v", victim.name, stood)
		return
	}
	d.reckon(ctx, d.note(faultReturn, victim.name, "%s is back %.0f ms after it stood still for %v", victim.name, millis(time.Since(others.at)), stood), others, &d.returns)
}

// catchUp waits until a viewer that was frozen is where the others are, with nothing
// missing but what is on its way, and counts its picture again from there on.
func (d *demo) catchUp(ctx context.Context, v *demoViewer) bool {
	p, _ := d.publishers()
	edge, ok := p.pub.Session().Snapshot()
	if !ok || !until(ctx, demoLimit, func() bool {
		snap, ok := v.snapshot()
		whole := snap.Edge <= snap.Position+2*uint64(len(snap.Stripes))
		return ok && whole && v.player.Stats().Position >= edge.Edge && !slices.ContainsFunc(snap.Stripes, func(s overlay.StripeSnapshot) bool { return !s.Fed })
	}) {
		return false
	}
	v.player.Restart()
	d.mu.Lock()
	defer d.mu.Unlock()
	v.aside, v.forgiven = "", v.player.Stats().Missed
	return true
}

// leave hands the viewer's children over, then closes it.
func (v *demoViewer) leave(ctx context.Context) {
	drain, cancel := context.WithTimeout(ctx, demoDrain)
	defer cancel()
	v.node.Drain(drain, demoDrain)
	v.close()
}

// behind returns those whose picture counts and who have victim on a path, and
// how many children it has.
func (d *demo) behind(victim *demoViewer) (h hit, children int) {
	if snap, ok := victim.snapshot(); ok {
		children = snap.Used
	}
	id := victim.session.Self()
	var touched []*demoViewer
	for _, v := range d.watching() {
		if snap, ok := v.snapshot(); ok && v != victim &&
			slices.ContainsFunc(snap.Stripes, func(s overlay.StripeSnapshot) bool { return slices.Contains(s.Path, id) }) {
			touched = append(touched, v)
		}
	}
	return d.hits(touched), children
}

// busiest returns the relay with most children, the viewer of the page
// excepted; nil: there is none.
func (d *demo) busiest() (busiest *demoViewer) {
	most := -1
	d.mu.Lock()
	watched := d.watched
	d.mu.Unlock()
	for _, v := range d.watching() {
		if snap, ok := v.snapshot(); ok && snap.Used > most && v != watched {
			busiest, most = v, snap.Used
		}
	}
	return busiest
}

// faultCost is what an event cost those whom it touched.
type faultCost struct {
	Viewers  int     `json:"viewers"`  // touched, and not struck themselves since
	GapMS    float64 `json:"gap_ms"`   // the longest of all
	Switches int     `json:"switches"` // parents replaced; after a drain moves as well
	Missed   uint64  `json:"missed"`   // objects that were not there in time
	// Watched is the longest gap of the page's viewer, ms; absent: it was not touched.
	Watched *float64 `json:"watched_gap_ms,omitempty"`
}

// reckon puts what the touched viewers experience from the hit on down to an
// event that is over, and notes it once demoWatch has passed.
func (d *demo) reckon(ctx context.Context, e *demoEvent, h hit, gaps *[]float64) {
	d.tasks.Go(func() {
		if !pause(ctx, demoWatch) {
			return // not measured
		}
		to := time.Now()
		var c faultCost
		now := d.hits(h.viewers)
		d.mu.Lock()
		for _, v := range d.viewers {
			v.cost = nil
		}
		for i, v := range h.viewers {
			if !slices.Contains(d.viewers, v) || v.aside != "" {
				continue // struck since
			}
			ms := millis(v.player.GapBetween(h.at.Sub(v.began), to.Sub(v.began), true))
			v.cost = &ms
			c.Viewers++
			c.GapMS = max(c.GapMS, ms)
			c.Switches += now.before[i].switches - h.before[i].switches
			if e.fault == faultDrain {
				c.Switches += now.before[i].moves - h.before[i].moves
			}
			if m := now.before[i].missed; m > h.before[i].missed {
				c.Missed += m - h.before[i].missed
			}
			if v == d.watched {
				c.Watched = &ms
			}
			*gaps = append(*gaps, ms)
		}
		e.cost = &c
		d.mu.Unlock()
		d.amend(e, ": longest gap %.0f ms", c.GapMS)
	})
}
