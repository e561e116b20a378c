package overlay

// This file answers: who is let in where there is little room?

import (
	"slices"
	"time"
)

// over is by how many children the urgent and the pushing may exceed the slots
// for a while: a small uplink has no room for even one more, and a publisher that
// has just taken over has no place that a dead child holds. (Found by simulation:
// with an eighth, a publisher of four streams had 20 children for its 16 slots
// while a thousand came, and its live objects waited.)
func (p *Peer) over() int {
	if p.tookOver() {
		return 0
	}
	return p.slots / 16
}

// room returns the free slots for an ordinary or an urgent subscriber.
func (p *Peer) room(urgent bool) int {
	if p.cfg.Standby {
		return 0
	}
	limit := p.slots
	if urgent {
		limit += p.over()
	} else if p.slots >= 4 {
		limit -= max(1, int(float64(p.slots)*p.cfg.Reserve))
	}
	return limit - p.used()
}

// maxWorth, slots: six streams of four stripes, more than most homes give. Nobody
// who has half of it is moved for a claim (a guess).
const maxWorth = 24

// worth is what a peer is worth near the root of stripe i: the children that it
// can have there. In its home stripe it has them; elsewhere it takes few, which is
// more than none: a stripe whose first places are all held by such goes no further.
//
// Slots are a claim: beyond maxWorth more of them are worth nothing, or one who
// says that it has thousands takes the places of all who are what they say.
func (p *Peer) worth(n *neighbour, i int) int {
	w := n.counts(maxWorth)
	switch {
	case Home(n.id, p.cfg.Stripes) == i:
		return w
	case p.gives(w):
		return max(w/8, 2) // more than who takes none
	}
	return 0
}

// admit finds room for n in stripe i. A full parent makes room for one that is
// worth more there by asking the child worth least to move under the newcomer
// (SplitStream's push-down, SOSP 2003, with capacity: only able peers, in their
// home stripe, belong near the root), and in its own home stripe by asking a
// child of another stripe to move. Nobody is cut off.
//
// A stranded peer plays but finds no parent in this stripe; most of our children have
// more choice than it has, as those behind a bad NAT know. Who has waited long is taken
// for one, beside children from whom less hangs.
func (p *Peer) admit(n *neighbour, m Subscribe, waited time.Duration) bool {
	i, urgent := int(m.Stripe), m.Urgent
	below := p.displaces(n, m, waited)
	stranded := below > 0
	perStripe := p.cfg.MaxChildren == 0 || p.usedIn(i) < p.cfg.MaxChildren
	used := p.used()
	free := p.slots - used
	if urgent {
		free += p.over()
	}
	if perStripe && p.room(urgent) > 0 && free > p.kept(i) {
		return true
	}
	if p.cfg.Publisher && p.usedIn(i) == 0 && p.slots > 0 {
		return true // or nobody has the stripe
	}
	if p.cfg.Publisher && used < p.slots+p.cfg.Stripes && p.rollEnd == never && p.believed(n) && p.worth(n, i) > 0 && p.barren(i) {
		if c := p.leaf(i); c >= 0 {
			p.makeRoom(i, c, n.id, i)
			return true
		}
	}
	needy := p.cfg.Publisher && p.usedIn(i) < p.share()
	most := 0 // a small uplink has no room for even one more
	if p.slots >= 4 {
		most = max(1, p.slots/16)
	}
	if needy && !p.pressed {
		most++
	}
	if p.pressed && !urgent && used >= p.slots {
		return false // whoever comes beside those there are makes it worse for all
	}
	extra := 0
	if stranded && n.hi.Slots > 0 {
		extra = 1 // it takes whom it displaces; where none of those that hold the places can, the stripe goes no further
	}
	if p.cfg.MaxChildren > 0 && p.usedIn(i) > p.cfg.MaxChildren+extra || used >= p.slots+most+extra {
		return false
	}
	// Even with the extra places taken: those who cannot move may have nowhere to
	// go before the worthier one is here to take them.
	c := p.lessWorth(i, n)
	if c < 0 && stranded {
		c = p.settled(i, below)
	}
	if c >= 0 {
		p.pushAt = p.now + pushPause
		p.makeRoom(i, c, n.id, i)
		return true
	}
	if p.leaving() >= most || used >= p.slots+most {
		return false
	}
	if perStripe && (needy || Home(p.self, p.cfg.Stripes) == i && !p.cfg.Publisher) && p.pushOther(i, n.id) {
		return true
	}
	// The dead child whose orphan this is may still hold a place: one more for a while.
	return urgent && free > p.kept(i)
}

// barren says whether stripe i goes no further than to the children that this peer has
// there.
func (p *Peer) barren(i int) bool {
	return p.living(i, func(c *child, n *neighbour) bool { return c.away <= p.now && p.worth(n, i) > 0 }) == 0
}

// share is what each stripe has of a publisher's slots.
func (p *Peer) share() int { return p.slots / p.cfg.Stripes }

// kept counts the places that a publisher keeps for stripes other than i: its slots
// are shared out evenly. Were they all taken by other stripes, as when half of all
// die at once and some come sooner, the one peer from whom a whole stripe hangs
// could find no parent that is not behind it. Who is asked for a sign of life may be
// dead.
func (p *Peer) kept(i int) (n int) {
	if !p.cfg.Publisher {
		return 0
	}
	for o := range p.stripes {
		if o != i {
			n += max(0, p.share()-p.living(o, func(_ *child, c *neighbour) bool { return c.asked == 0 }))
		}
	}
	return n
}

// counts is what n's word counts for, that it has so many children or can have them: up
// to its slots, and up to maxWorth.
func (n *neighbour) counts(children int) int { return min(children, int(n.hi.Slots), maxWorth) }

// alternatives names peers that may take stripe i's child not: our children
// there who have room, those at home first, then neighbours who have, then the
// other children, our siblings and our parent.
func (p *Peer) alternatives(i int, not PeerID) []PeerID {
	s := &p.stripes[i]
	var ids []PeerID
	add := func(id PeerID) {
		if id != 0 && id != not && len(ids) < maxAlternatives && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if p.draining {
		add(s.parent)
	}
	for pass := range 3 { // free and at home, then free, then able at all
		for _, at := range p.rng.Perm(len(s.children)) {
			c := s.children[at]
			n := p.neighbour(c.id)
			if n == nil || n.missing || p.silent(n) || n.hi.Slots == 0 || pass < 2 && n.free == 0 || pass == 0 && Home(c.id, p.cfg.Stripes) != i {
				continue
			}
			add(c.id)
		}
		if pass == 1 {
			for _, id := range p.freePeers(not) {
				add(id)
			}
		}
	}
	for _, id := range s.siblings {
		add(id)
	}
	add(s.parent)
	return ids
}
