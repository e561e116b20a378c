package stack

// This file answers: what goes wrong, whom does it touch, and was a switch
// right?

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/sim"
)

// feasible are the faults that the full stack can have: those that are seen at
// the packets. Settings of the core, and uplinks, are fixed once a host runs.
var feasible = []string{sim.Kill, sim.Freeze, sim.Flap, sim.Region, sim.Partition, sim.Jitter, sim.Drain}

// arrange plans the scenario's faults.
func (w *world) arrange() {
	for i := range w.scenario.Faults {
		f := &w.scenario.Faults[i]
		for _, t := range f.Times(w.set.Duration) {
			w.at(w.begin+t, func() { w.happen(f) })
		}
	}
}

// within returns a context that ends after d. Its timer frees it.
func (w *world) within(d time.Duration) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(d, cancel)
	return ctx
}

// places looks at everybody at once.
func (w *world) places() map[*member]place {
	all := map[*member]place{}
	for _, m := range w.living() {
		if p, ok := m.v.look(); ok {
			all[m] = p
		}
	}
	return all
}

// victims chooses whom f hits.
func (w *world) victims(f *sim.Fault, places map[*member]place) []*member {
	all := slices.DeleteFunc(w.living(), func(m *member) bool { return m.frozen })
	count := f.Victims(len(all))
	switch f.Who {
	case sim.Busiest:
		slices.SortStableFunc(all, func(a, b *member) int { return places[b].children - places[a].children })
		return all[:min(count, len(all))]
	case sim.Relay:
		if relays := slices.DeleteFunc(slices.Clone(all), func(m *member) bool { return places[m].children == 0 }); len(relays) > 0 {
			all = relays
		}
	}
	w.chance.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(count, len(all))]
}

// happen makes f happen now.
func (w *world) happen(f *sim.Fault) {
	places := w.places()
	var hit []*member
	switch f.What {
	case sim.Jitter:
		w.wire.storm.Store(math.Float64bits(f.Factor))
		w.at(w.now()+f.For, func() { w.wire.storm.Store(math.Float64bits(1)) })
	case sim.Region:
		count := map[string]int{}
		worst := ""
		for _, m := range w.living() {
			r := m.line.Region
			if count[r]++; count[r] > count[worst] {
				worst = r
			}
		}
		hit = slices.DeleteFunc(w.living(), func(m *member) bool { return m.line.Region != worst })
	case sim.Partition:
		hit = w.victims(&sim.Fault{Share: f.Share}, places)
		side := map[int]bool{}
		for _, m := range hit {
			side[m.index] = true
		}
		w.wire.split.Store(&side)
		w.at(w.now()+f.For, func() { w.wire.split.Store(nil) })
		for _, m := range w.living() {
			w.excuse(m, f.For)
		}
	default:
		hit = w.victims(f, places)
	}
	w.marks = append(w.marks, sim.FaultMark{At: w.now() - w.begin, What: f.What, Hit: len(hit)})
	w.touch(f, hit, places)
	for _, m := range hit {
		w.strike(f, m)
	}
}

// strike is what f does to one host.
func (w *world) strike(f *sim.Fault, m *member) {
	port := w.wire.port(m.index)
	switch f.What {
	case sim.Kill, sim.Region:
		w.kills++
		w.die(m)
		if f.Replace {
			w.at(w.now()+time.Duration(w.chance.Int64N(int64(time.Second))), func() { w.join(-1) })
		}
	case sim.Freeze, sim.Flap:
		g := gateFrozen
		if f.What == sim.Flap {
			g = gateDown
		}
		m.frozen = true
		port.set(g)
		w.at(w.now()+f.For, func() {
			if m.frozen = false; m.gone == 0 {
				port.set(gateOpen)
			}
		})
	case sim.Drain:
		w.leave(m, false)
		if f.For > 0 {
			w.at(w.now()+f.For, func() { w.join(-1) })
		}
	}
}

// touch notes who is behind those that f hits: their gaps are put down to it,
// and leaving a parent is right for them. A gap is looked up when its time is over.
func (w *world) touch(f *sim.Fault, hit []*member, places map[*member]place) {
	if len(hit) == 0 {
		return
	}
	ids := make([]overlay.PeerID, len(hit))
	for n, m := range hit {
		ids[n] = m.self
		w.excuse(m, f.For)
	}
	single := len(hit) <= singleHit && (f.What == sim.Kill || f.What == sim.Freeze || f.What == sim.Flap)
	for _, m := range w.living() {
		if slices.Contains(hit, m) || !behind(places[m], ids) {
			continue
		}
		w.excuse(m, f.For)
		if !single {
			continue
		}
		at := w.now()
		w.at(at+touchTime, func() {
			if m.gone == 0 {
				g := m.v.gap(at-m.joined, at-m.joined+touchTime)
				w.touched = append(w.touched, float64(g.Microseconds())/1000)
			}
		})
	}
}

func behind(p place, ids []overlay.PeerID) bool {
	for _, path := range p.paths {
		if slices.ContainsFunc(path, func(id overlay.PeerID) bool { return id != 0 && slices.Contains(ids, id) }) {
			return true
		}
	}
	return false
}

// excuse makes it right to leave m, and for m to leave others, for d and a while.
func (w *world) excuse(m *member, d time.Duration) {
	until := time.Now().Add(d + troubleTime)
	if m.self != 0 && w.quiet[m.self].Before(until) {
		w.quiet[m.self] = until
	}
	if w.excused[m].Before(until) {
		w.excused[m] = until
	}
}

// judge counts parents that were given up though they were alive, their line
// up and their path whole. The path is known from the looks at all places when
// something goes wrong: whoever was behind it is excused for a while, and so is
// who leaves one that was.
func (w *world) judge() {
	byID := map[overlay.PeerID]*member{}
	for _, m := range w.living() {
		byID[m.self] = m
	}
	for _, m := range w.living() {
		for _, g := range m.v.gaveUp() {
			parent := byID[g.parent]
			switch {
			case w.now() < w.begin, g.at.Before(w.excused[m]), g.at.Before(w.quiet[g.parent]):
			case parent == nil && w.known(g.parent): // dead
			case parent != nil && g.at.Before(w.excused[parent]):
			default:
				w.wrong++
			}
		}
	}
}

// known reports whether id is that of a viewer who was there.
func (w *world) known(id overlay.PeerID) bool {
	return slices.ContainsFunc(w.all(), func(m *member) bool { return m.self == id })
}

// Fits says why the full stack cannot run s; nil: it can.
func Fits(s sim.Scenario, peers int) error {
	set, def := &s.Settings, sim.Default()
	if n := peers + set.Crowd; n < 2 || n > mostPeers {
		return fmt.Errorf("stack: peers is %d and the crowd %d, allowed are 2 to %d together", peers, set.Crowd, mostPeers)
	}
	for _, f := range s.Faults {
		if !slices.Contains(feasible, f.What) {
			return fmt.Errorf("stack: what is %q, the full stack allows one of %q", f.What, feasible)
		}
	}
	if set.System != sim.Systems()[0] && set.System != "gossip" {
		return fmt.Errorf("stack: system is %q, the full stack allows %s and gossip", set.System, sim.Systems()[0])
	}
	for _, f := range []struct {
		name     string
		is, live any
	}{{"beacon", set.Beacon, def.Beacon}, {"bound", set.Bound, def.Bound}, {"standbys", set.Standbys, def.Standbys},
		{"reserve", set.Reserve, def.Reserve}, {"hedge", set.Hedge, def.Hedge}, {"neighbours", set.Neighbours, def.Neighbours}} {
		if f.is != f.live {
			return fmt.Errorf("stack: %s is %v; the full stack runs the live peer, which has %v", f.name, f.is, f.live)
		}
	}
	_, _, _, err := pace(set)
	return err
}
