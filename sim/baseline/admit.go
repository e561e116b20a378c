package baseline

// This file answers: whom does a peer of a tree take as a child, and who has
// to move for it?

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/braidway/braidway/overlay"
)

// worth orders children: one that has children there, or could, comes before
// one that never will, then one that relies on this parent alone before one
// that has another. A full parent asks its least worthy child to move for a
// worthier newcomer: below it, if that can have children.
func worth(giver, sole bool) int {
	w := 0
	if giver {
		w += 2
	}
	if sole {
		w++
	}
	return w
}

// active is how many children stay, in branch t and in all.
func (c *tree) active(t int) (in, all int) {
	for _, k := range c.kids {
		if k.moveBy == 0 {
			all++
			if k.branch == t {
				in++
			}
		}
	}
	return in, all
}

// room is whether a newcomer of that worth can come into branch t, and who
// would have to move for it.
func (c *tree) room(t, newcomer int) (victim *kid, ok bool) {
	in, all := c.active(t)
	most := c.cfg.copies()
	share := most
	if c.cfg.Publisher && len(c.branches) > 1 && most > 1 {
		share = most - most/2 // both branches need a root
	}
	if all < most && in < share {
		return nil, true
	}
	if all > most || len(c.kids) > all { // one at a time
		return nil, false
	}
	for _, k := range c.kids {
		if w := worth(k.giver, k.sole); k.branch == t && w < newcomer && (victim == nil || w < worth(victim.giver, victim.sole)) {
			victim = k
		}
	}
	return victim, victim != nil
}

// admits adds to room what has nothing to do with it: loops above all.
func (c *tree) admits(l *link, t int, sole, giver bool, epoch uint64) (victim *kid, ok bool) {
	if !c.cfg.Publisher && t != c.home(c.self) || c.drainBy > 0 || epoch > c.epoch || c.parents(l) || c.chosen == l || c.child(l) != nil {
		return nil, false
	}
	if p := c.path(t); p == nil || slices.Contains(p, l.id) {
		return nil, false
	}
	return c.room(t, worth(giver && t == c.home(l.id), sole))
}

// near names children: first those with room of their own, then those with
// room below them, and others only when there is none; for those who look for
// the other branch, its parent there.
func (c *tree) near(not *link) (near, others []overlay.PeerID) {
	ks := slices.DeleteFunc(slices.Clone(c.kids), func(k *kid) bool { return k.link == not || k.moveBy > 0 || !k.giver })
	c.rng.Shuffle(len(ks), func(i, j int) { ks[i], ks[j] = ks[j], ks[i] })
	slices.SortStableFunc(ks, func(a, b *kid) int { return cmp.Compare(min(b.free, 1), min(a.free, 1)) })
	for _, k := range ks {
		if k.room > 0 && len(near) < nearMost {
			near = append(near, k.id)
		} else if len(others) < nearMost {
			others = append(others, k.id)
		}
	}
	if len(near) > 0 {
		others = nil
	}
	for i := range c.branches {
		if p := c.branches[i].parent; p != nil && i != c.home(c.self) {
			others = append(others, p.id) // it has children in the branch in which this peer has none
		}
	}
	return near, others
}

func (c *tree) asked(l *link, m ask) {
	var o offer
	open := false
	for t := range c.branches {
		if _, ok := c.admits(l, t, m.sole, m.giver, m.epoch); ok {
			o.routes[t], open = c.path(t), true
		}
	}
	if !open {
		o.near, o.others = c.near(l)
	}
	c.send(l, o)
}

func (c *tree) joining(l *link, m join) {
	if m.branch >= len(c.branches) {
		return
	}
	victim, ok := c.admits(l, m.branch, m.sole, m.giver, m.epoch)
	if !ok {
		var o offer
		o.near, o.others = c.near(l)
		c.send(l, o)
		return
	}
	if victim != nil {
		near, _ := c.near(l)
		c.moveOn(victim, append([]overlay.PeerID{l.id}, near...), moveTime)
		if !victim.sole { // the other parent carries on: no need to serve both
			c.drop(victim.link)
		}
	}
	k := &kid{link: l, branch: m.branch, sole: m.sole, giver: m.giver && m.branch == c.home(l.id)}
	l.hold++
	if c.begun {
		// Live from the latest group that is here whole; a rejoin from where it
		// stopped, as far back as anybody plays.
		k.start = max(c.group(c.edge()-min(c.edge(), 1)), c.have.Base())
		if m.begun && m.epoch == c.epoch {
			k.start = max(m.from, c.have.Base(), c.edge()-min(c.edge(), c.cfg.objectsIn(c.cfg.Buffer+silence)))
		}
	}
	c.kids = append(c.kids, k)
	c.send(l, accept{branch: k.branch, epoch: c.epoch, start: k.start, route: c.path(k.branch)})
	c.trace(overlay.TraceAccept, l.id, k.branch, 0, 0)
	for seq := k.start; c.begun && seq < c.edge(); seq++ {
		if c.holds(seq) {
			c.give(overlay.ActForward, l, seq, true)
		}
	}
}

func (c *tree) moveOn(k *kid, to []overlay.PeerID, in time.Duration) {
	k.moveBy = c.now + in
	c.send(k.link, move{to: to})
	c.trace(overlay.TracePush, k.id, k.branch, 0, 0)
}

// tell passes the path in branch t down.
func (c *tree) tell(t int) {
	p := c.path(t)
	for _, k := range c.kids {
		if k.branch == t {
			c.send(k.link, route{branch: t, route: p})
		}
	}
}

// below is the room at this peer and under it in branch t.
func (c *tree) below(t int) (free, room int) {
	_, all := c.active(t)
	free = max(0, c.cfg.copies()-all)
	room = free
	for _, k := range c.kids {
		if k.branch == t {
			room += k.room
		}
	}
	return free, min(room, math.MaxUint8)
}

// shrink asks children to move when there are fewer slots than before.
func (c *tree) shrink() {
	_, all := c.active(0)
	for i := len(c.kids) - 1; i >= 0 && all > c.cfg.copies(); i-- {
		if k := c.kids[i]; k.moveBy == 0 {
			near, _ := c.near(k.link)
			c.moveOn(k, near, moveTime)
			all--
		}
	}
}
