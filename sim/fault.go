package sim

// This file answers: what goes wrong, whom does it touch, and was a switch
// right?

import (
	"slices"
	"time"

	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/sim/adversary"
)

const (
	// touchTime is for how long after a death gaps are put down to it.
	touchTime = 2 * time.Second
	// troubleTime is for how long after a fault a switch away from it is right.
	troubleTime = 2 * time.Second
	// singleHit is the most peers that die at once and whose touched viewers
	// are looked at one by one; more is a mass failure.
	singleHit = 16
)

// touch is a viewer behind a death.
type touch struct {
	viewer uint32
	at     int64
}

// arrange plans the scenario's faults.
func (e *engine) arrange() {
	for i := range e.scenario.Faults {
		f := &e.scenario.Faults[i]
		for _, t := range f.Times(e.set.Duration) {
			e.at(e.begin+int64(t), func() { e.happen(f) })
		}
	}
}

// living returns the viewers that are there, in order.
func (e *engine) living() []uint32 {
	var all []uint32
	for i := range e.peers {
		if p := &e.peers[i]; !p.dead && p.view != nil {
			all = append(all, uint32(i))
		}
	}
	return all
}

// shaped is a baseline's word about its tree.
type shaped interface {
	Shape(stripe int) (parent overlay.PeerID, depth, children int)
}

// children counts the children of p in all stripes.
func (e *engine) children(p *peer) int {
	switch c := p.core.(type) {
	case *overlay.Peer:
		return c.Used()
	case *adversary.Core:
		return c.Used()
	case shaped:
		n := 0
		for s := range e.set.Stripes {
			_, _, k := c.Shape(s)
			n += k
		}
		return n
	}
	return 0
}

// victims chooses whom f hits.
func (e *engine) victims(f *Fault) []uint32 {
	all := slices.DeleteFunc(e.living(), func(i uint32) bool { return e.peers[i].frozen || e.peers[i].cutUntil > e.now })
	count := f.Victims(len(all))
	switch f.Who {
	case Busiest:
		slices.SortStableFunc(all, func(a, b uint32) int { return e.children(&e.peers[b]) - e.children(&e.peers[a]) })
		return all[:min(count, len(all))]
	case Relay:
		if relays := slices.DeleteFunc(slices.Clone(all), func(i uint32) bool { return e.children(&e.peers[i]) == 0 }); len(relays) > 0 {
			all = relays
		}
	}
	e.chance.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(count, len(all))]
}

// happen makes f happen now.
func (e *engine) happen(f *Fault) {
	for_ := int64(f.For)
	var hit []uint32
	switch f.What {
	case Jitter:
		e.storm = f.Factor
		e.at(e.now+for_, func() { e.storm = 1 })
	case Publisher:
		e.die(e.publisher)
		e.at(e.now+for_, func() {
			e.takeOver()
			e.standBy() // for the next time
		})
	case Region:
		count := make([]int, len(regions))
		for _, i := range e.living() {
			count[e.peers[i].region]++
		}
		worst := slices.Index(count, slices.Max(count))
		hit = slices.DeleteFunc(e.living(), func(i uint32) bool { return int(e.peers[i].region) != worst })
	case Partition:
		hit = e.victims(&Fault{Share: f.Share})
		e.split, e.splitEnd = map[uint32]bool{}, e.now+for_
		for _, i := range hit {
			e.split[i] = true
		}
		e.trouble(for_)
	default:
		hit = e.victims(f)
	}
	if e.trace != nil {
		e.trace.world(e, "fault", f.What, hit...)
	}
	e.marks = append(e.marks, FaultMark{At: time.Duration(e.now - e.begin), What: f.What, Hit: len(hit)})
	e.touch(f.What, hit)
	for _, i := range hit {
		e.strike(f, i)
	}
}

// strike is what f does to peer i.
func (e *engine) strike(f *Fault, i uint32) {
	p := &e.peers[i]
	end := e.now + int64(f.For)
	p.troubleUntil = max(p.troubleUntil, end+int64(troubleTime))
	switch f.What {
	case Kill, Region:
		e.kills++
		e.die(i)
		if f.Replace {
			e.at(e.now+e.chance.Int64N(int64(time.Second)), func() { e.join(-1) })
		}
	case Freeze:
		p.frozen = true
		e.at(end, func() { e.thaw(i) })
	case Flap:
		p.cutUntil = end
	case Bandwidth:
		p.perByte /= f.Factor
		e.at(end, func() { e.peers[i].perByte *= f.Factor })
	case Drain:
		e.leave(i, false)
		if f.For > 0 {
			e.at(end, func() { e.join(-1) })
		}
	}
}

// trouble makes every switch right for a while.
func (e *engine) trouble(d int64) {
	for i := range e.peers {
		e.peers[i].troubleUntil = max(e.peers[i].troubleUntil, e.now+d+int64(troubleTime))
	}
}

// die ends a peer; nobody is told.
func (e *engine) die(i uint32) {
	p := &e.peers[i]
	if p.dead {
		return
	}
	p.dead, p.gone, p.held = true, e.now, nil
	e.deafAt[i] = e.now + int64(deafTime)
	if p.view != nil {
		p.view.freeze(time.Duration(e.now))
	}
	e.at(e.now+e.chance.Int64N(int64(recordLife)), func() { e.dht.remove(i) })
}

// leave ends a viewer's session, with or without a word.
func (e *engine) leave(i uint32, abrupt bool) {
	p := &e.peers[i]
	if p.dead || p.frozen {
		return
	}
	if e.trace != nil {
		e.trace.world(e, "leave", "", i)
	}
	if abrupt {
		e.die(i)
		return
	}
	p.left = e.now
	if p.view != nil {
		p.view.freeze(time.Duration(e.now)) // it watches no more, but serves until its children have moved
	}
	e.dht.remove(i)
	p.shard.step(p, overlay.Event{Kind: overlay.EvDrain, Wait: 5 * time.Second})
	e.at(e.now+int64(6*time.Second), func() { e.die(i) })
}

// thaw lets a frozen peer go on: what came meanwhile comes now.
func (e *engine) thaw(i uint32) {
	p := &e.peers[i]
	if p.dead {
		return
	}
	p.frozen = false
	held := p.held
	p.held = nil
	for n := range held {
		held[n].at = e.now
		p.shard.q.push(held[n])
	}
	p.timer = 0
	p.shard.step(p, overlay.Event{Kind: overlay.EvTimeout})
}

// touch notes who is behind the dead.
func (e *engine) touch(what string, dead []uint32) {
	if len(dead) == 0 || len(dead) > singleHit || what != Kill && what != Freeze && what != Flap {
		return
	}
	ids := make([]overlay.PeerID, len(dead))
	for n, i := range dead {
		ids[n] = e.peers[i].id
	}
	for _, i := range e.living() {
		if slices.Contains(dead, i) || e.peers[i].left != 0 {
			continue
		}
		if e.behind(&e.peers[i], ids) {
			e.touched = append(e.touched, touch{i, e.now})
		}
	}
}

// behind reports whether p is fed through one of ids, as far as its core tells.
func (e *engine) behind(p *peer, ids []overlay.PeerID) bool {
	switch c := p.core.(type) {
	case *overlay.Peer:
		return c.Behind(ids)
	case shaped:
		for s := range e.set.Stripes {
			if parent, _, _ := c.Shape(s); slices.Contains(ids, parent) {
				return true
			}
		}
	}
	return false
}

// judge decides whether a parent that was given up was alive, its line up and
// its path whole: then the switch was false.
func (e *engine) judge(g *gone) {
	troubled := func(i uint32) bool {
		p := &e.peers[i]
		return p.foe != nil || p.dead || p.frozen || e.now < p.cutUntil+int64(troubleTime) || e.now < p.troubleUntil || p.left != 0
	}
	if int(g.parent) >= len(e.peers) || g.at < e.begin || troubled(g.parent) || troubled(g.peer) {
		return
	}
	for _, id := range g.path {
		if troubled(indexOf(id)) {
			return
		}
	}
	e.falseSwitches++
}
