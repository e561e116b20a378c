package baseline

// This file answers: how does a peer of a tree find a parent, and what when it
// loses one?

import (
	"slices"

	"github.com/braidway/braidway/overlay"
)

func (c *tree) connected(l *link) {
	for _, p := range c.probes {
		if p.link == l && p.offer == nil {
			c.askFor(l)
		}
	}
}

func (c *tree) askFor(l *link) {
	c.send(l, ask{epoch: c.epoch, sole: c.soleNow(), giver: c.giver()})
}

// soleNow is whether the parent looked for will be the only one.
func (c *tree) soleNow() bool {
	t, _ := c.wanted()
	return c.sole(t)
}

func (c *tree) look() { c.seek() }

// wanted says which branch needs a parent, -1 meaning any.
func (c *tree) wanted() (t int, ok bool) {
	if c.cfg.Publisher || c.drainBy > 0 {
		return 0, false
	}
	without := 0
	for i := range c.branches {
		if c.branches[i].parent == nil {
			t, without = i, without+1
		}
	}
	if without > 1 {
		return -1, true
	}
	if without == 1 {
		return t, true
	}
	for i := range c.branches {
		if c.branches[i].leave {
			return i, true
		}
	}
	return 0, false
}

// seek goes on with the search for a parent, if one is wanted.
func (c *tree) seek() {
	t, ok := c.wanted()
	if !ok {
		c.endSearch()
		return
	}
	if c.chosen != nil {
		if c.now < c.chosenAt+joinTime {
			return
		}
		c.release(c.chosen)
	}
	waiting := 0
	for i := len(c.probes) - 1; i >= 0; i-- {
		if p := c.probes[i]; p.offer == nil && c.now > p.at+askTime {
			c.release(p.link)
		} else if p.offer == nil {
			waiting++
		}
	}
	if len(c.probes) > waiting && (waiting == 0 || c.now >= c.pickAt) && c.pick(t) {
		return
	}
	for waiting < probes {
		id := c.next()
		if id == 0 {
			break
		}
		if t >= 0 && c.home(id) != t && id != c.root {
			continue // it has no children there
		}
		l := c.link(id)
		if l != nil && (c.parents(l) || c.child(l) != nil || c.probing(l) != nil) {
			continue
		}
		if l == nil {
			l = c.dial(id)
		} else if l.up {
			c.askFor(l)
		}
		l.hold++
		c.probes = append(c.probes, &probe{link: l, at: c.now})
		waiting++
	}
	if waiting == 0 {
		c.find()
	}
}

func (c *tree) probing(l *link) *probe {
	for _, p := range c.probes {
		if p.link == l {
			return p
		}
	}
	return nil
}

// release ends the probe of l, and the connection unless it is for more.
func (c *tree) release(l *link) {
	for i, p := range c.probes {
		if p.link == l {
			c.probes = slices.Delete(c.probes, i, i+1)
			if l.hold--; l.hold <= 0 {
				c.hangUp(l)
			}
			break
		}
	}
	if c.chosen == l {
		c.chosen = nil
	}
}

func (c *tree) endSearch() {
	for len(c.probes) > 0 {
		c.release(c.probes[0].link)
	}
}

func (c *tree) offered(l *link, m offer) {
	c.prefer(m.near...)
	c.learn(m.others...)
	p := c.probing(l)
	if p == nil {
		return
	}
	if m.routes[0] == nil && m.routes[1] == nil || c.chosen == l {
		c.release(l) // full, or refused
	} else {
		first := true
		for _, q := range c.probes {
			first = first && q.offer == nil
		}
		if p.offer = &m; first {
			c.pickAt = c.now + pickTime
		}
		if len(m.routes[0]) == 1 || len(m.routes[1]) == 1 { // the publisher: there is no better one
			c.pickAt = c.now
		}
	}
	c.seek()
}

// pick joins the best offer: in the branch where this peer can have children
// if any will do, then the one with the shortest path. It returns false when
// none will do.
func (c *tree) pick(want int) bool {
	var best *probe
	at, cost := 0, 0
	for _, p := range c.probes {
		if p.offer == nil || c.parents(p.link) || c.child(p.link) != nil {
			continue
		}
		for t := range c.branches {
			r := p.offer.routes[t]
			if r == nil || want >= 0 && t != want || slices.Contains(r, c.self) {
				continue
			}
			n := len(r)
			if c.giver() && t != c.home(c.self) {
				n += 1 << 16
			}
			if best == nil || n < cost {
				best, at, cost = p, t, n
			}
		}
	}
	if best == nil {
		for i := len(c.probes) - 1; i >= 0; i-- {
			if c.probes[i].offer != nil {
				c.release(c.probes[i].link)
			}
		}
		return false
	}
	c.chosen, c.chosenAt = best.link, c.now
	c.send(best.link, join{branch: at, epoch: c.epoch, from: c.resume(at), begun: c.begun, sole: c.sole(at), giver: c.giver()})
	return true
}

// resume is where the parent to be of branch t is to begin: at the first hole
// that can still be played, or of the last moment only, if another parent
// carries on until then.
func (c *tree) resume(t int) uint64 {
	back, edge := c.cfg.Buffer, c.edge()
	if !c.sole(t) || c.branches[t].parent != nil {
		back = min(back, lateAge)
	}
	for _, hole := range c.have.AppendMissing(nil, edge-min(edge, c.cfg.objectsIn(back)), edge, 1, 0, 1) {
		return hole
	}
	return edge
}

func (c *tree) accepted(l *link, m accept) {
	if c.chosen != l || m.branch >= len(c.branches) {
		if !c.parents(l) && c.child(l) == nil {
			c.release(l)
			c.hangUp(l)
		}
		return
	}
	l.hold++
	c.release(l)
	b := &c.branches[m.branch]
	switch old := b.parent; {
	case old != nil:
		c.trace(overlay.TraceMove, l.id, m.branch, 0, 0)
		b.parent = nil
		c.hangUp(old)
	case b.was:
		c.trace(overlay.TraceSwitch, l.id, m.branch, 0, c.now-b.since)
	default:
		c.trace(overlay.TraceJoin, l.id, m.branch, 0, 0)
	}
	*b = branch{parent: l, route: m.route, since: c.now, was: true, told: c.sole(m.branch)}
	if m.epoch > 0 && (!c.begun || m.epoch > c.epoch) {
		c.renew()
		c.begin(m.epoch, m.start)
	}
	c.settled()
	if slices.Contains(m.route, c.self) {
		c.loop(m.branch)
		return
	}
	c.tell(m.branch)
	c.seek()
}

func (c *tree) rerouted(l *link, m route) {
	if m.branch >= len(c.branches) || c.branches[m.branch].parent != l {
		return
	}
	b := &c.branches[m.branch]
	if b.route != nil && m.route == nil {
		b.since = c.now
	}
	if b.route = m.route; slices.Contains(m.route, c.self) {
		c.loop(m.branch)
		return
	}
	c.tell(m.branch)
}

// loop lets go of a parent that hangs from this peer.
func (c *tree) loop(t int) {
	l := c.branches[t].parent
	c.trace(overlay.TraceLoop, l.id, t, 0, 0)
	c.drop(l)
}

// drop closes l and what it was for.
func (c *tree) drop(l *link) {
	c.hangUp(l)
	c.lost(l)
}

func (c *tree) lost(l *link) {
	c.release(l)
	c.kids = slices.DeleteFunc(c.kids, func(k *kid) bool { return k.link == l })
	for i := range c.branches {
		if b := &c.branches[i]; b.parent == l {
			c.trace(overlay.TraceOrphan, l.id, i, 0, 0)
			*b = branch{since: c.now, was: true}
			c.tell(i)
			c.book = c.book[:0]
			c.settled()
		}
	}
	c.seek()
}
