package overlay

// This file answers: who is let in where there is little room, and who has to
// make room?

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
	w := min(int(n.hi.Slots), maxWorth)
	switch {
	case Home(n.id, p.cfg.Stripes) == i:
		return w
	case p.gives(w):
		return max(w/8, 2) // more than who takes none
	}
	return 0
}

// lessWorth returns the child of stripe i that is to make room for n: the one
// worth least, if n is worth more than twice as much; -1: there is none, or
// another was asked just now.
func (p *Peer) lessWorth(i int, n *neighbour) int {
	least, at := p.worth(n, i), -1
	if p.now < p.pushAt || !p.believed(n) {
		return -1
	}
	for c := range p.stripes[i].children {
		ch := &p.stripes[i].children[c]
		o := p.neighbour(ch.id)
		if o == nil || ch.away > p.now || ch.stranded || p.now-ch.since < pushPause {
			continue
		}
		if w := p.worth(o, i); 2*w+1 < p.worth(n, i) && w < least {
			least, at = w, c
		}
	}
	return at
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
			p.makeRoom(i, c, n.id, n.id, i)
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
		p.makeRoom(i, c, n.id, n.id, i)
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

// leaf returns the latest child of stripe i that can take no others; -1: none.
func (p *Peer) leaf(i int) int {
	return p.latest(i, func(c *child) bool {
		o := p.neighbour(c.id)
		return o != nil && p.worth(o, i) == 0
	})
}

// latest returns the latest child of stripe i that was not asked to move, of those
// that are such; -1: none.
func (p *Peer) latest(i int, such func(*child) bool) int {
	children := p.stripes[i].children
	for c := len(children) - 1; c >= 0; c-- {
		if ch := &children[c]; ch.away <= p.now && such(ch) {
			return c
		}
	}
	return -1
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

// leaving counts the children that were asked to move.
func (p *Peer) leaving() (n int) {
	for i := range p.stripes {
		for _, c := range p.stripes[i].children {
			if c.away > p.now {
				n++
			}
		}
	}
	return n
}

// displaces is below how many children a child of m's stripe may be asked to move for n:
// any, for one that is stranded; 0: for n nobody is who is worth as much.
func (p *Peer) displaces(n *neighbour, m Subscribe, waited time.Duration) int {
	switch {
	case m.stranded():
		return max(2*fewBehind+1, p.behind(n, m))
	case p.waitedLong(n, m, waited):
		return p.behind(n, m)
	}
	return 0
}

// fewBehind are children that may have to move with their parent for one that finds none.
const fewBehind = 2

// behind is how many children sender n of m has in its stripe, by its word: it counts
// up to the slots that it has, and up to maxWorth.
func (p *Peer) behind(n *neighbour, m Subscribe) int {
	return min(int(m.Behind), int(n.hi.Slots), maxWorth)
}

// settled returns a child of stripe i that can be asked to move for a stranded peer:
// the latest of those that are not stranded themselves, and have less than half of so
// many children; -1: none. (Found by simulation: among liars, each from whom
// hundreds hung was asked to move for the next one, and moved to a liar.)
func (p *Peer) settled(i, below int) int {
	if p.now < p.pushAt {
		return -1
	}
	return p.latest(i, func(c *child) bool {
		return !c.stranded && p.now-c.since > pushPause && 2*p.load(c, i) < below
	})
}

// load is how many children c has in stripe i, of which it is a child, by its word, which
// counts as in behind.
func (p *Peer) load(c *child, i int) int {
	n := p.neighbour(c.id)
	if n == nil {
		return 0
	}
	told := 0
	if st, ok := n.of(i); ok {
		told = int(st.Children)
	}
	if p.now-c.since < statusEvery { // it may not have said how many it has now
		told = max(told, int(c.behind))
	}
	return min(told, int(n.hi.Slots), maxWorth)
}

// pushOther has a child of the stripe with most children, other than i, make room for
// peer by in i.
func (p *Peer) pushOther(i int, by PeerID) bool {
	from, most := -1, 0
	for o := range p.stripes {
		if n := p.staying(o); o != i && n > most {
			from, most = o, n
		}
	}
	if from < 0 {
		return false
	}
	p.makeRoom(from, p.latest(from, func(*child) bool { return true }), p.stripes[from].parent, by, i)
	return true
}

// move is a child that is to make room for another.
type move struct {
	child  PeerID // in stripe
	stripe int
	to     PeerID // where it may go
	by     PeerID // for whom, who has the place in stripe in
	in     int
	at     time.Duration // when it is asked
}

// stayFirst is for how long one for whom somebody is to move has to stay before: an
// answer around the world (a guess). Who takes places and leaves them again moves
// nobody. (Found by simulation: a tenth of the peers did so at every door, and the
// publisher asked one after another to move from whom a whole stripe hung.)
const stayFirst = 250 * time.Millisecond

// makeRoom plans that child c of stripe i goes to peer to, for peer by in stripe in. It
// counts as one that was asked from now on.
func (p *Peer) makeRoom(i, c int, to, by PeerID, in int) {
	ch := &p.stripes[i].children[c]
	m := move{child: ch.id, stripe: i, to: to, by: by, in: in, at: p.now + stayFirst}
	ch.away = m.at + goAwayTime
	p.moves = append(p.moves, m)
	p.moveAt = min(p.moveAt, m.at)
}

// makeMoves asks those children to move for whom it is time. They stay where the one who
// was to have the place is gone.
func (p *Peer) makeMoves() {
	p.moveAt = never
	p.moves = slices.DeleteFunc(p.moves, func(m move) bool {
		c := p.childAt(m.stripe, m.child)
		switch {
		case c < 0:
			return true
		case p.childAt(m.in, m.by) < 0:
			p.stripes[m.stripe].children[c].away = 0
			return true
		case p.now < m.at:
			p.moveAt = min(p.moveAt, m.at)
			return false
		}
		p.push(m.stripe, c, m.to)
		return true
	})
}

// staying counts the children of stripe i that were not asked to move.
func (p *Peer) staying(i int) (n int) {
	for _, c := range p.stripes[i].children {
		if c.away <= p.now {
			n++
		}
	}
	return n
}

// push asks child c of stripe i to move, first to peer to.
func (p *Peer) push(i, c int, to PeerID) {
	ch := &p.stripes[i].children[c]
	ch.away = p.now + goAwayTime
	p.stats.Pushed++
	p.trace(TracePush, ch.id, i, 0, goAwayTime)
	alt := p.alternatives(i, ch.id)
	if to != 0 && to != ch.id {
		alt = slices.Insert(slices.DeleteFunc(alt, func(id PeerID) bool { return id == to }), 0, to)
	}
	p.send(ch.id, GoAway{Stripe: uint8(i), Wait: goAwayTime, Alternatives: alt[:min(len(alt), maxAlternatives)]})
}

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

// slowChild answers a child that does not keep up: it is asked to move.
func (p *Peer) slowChild(id PeerID, i int) {
	if i < len(p.stripes) {
		if c := p.childAt(i, id); c >= 0 && p.stripes[i].children[c].away < p.now {
			p.push(i, c, 0)
		}
	}
}

// shed asks children to move while there are too many: in one stripe, or in
// all, those of foreign stripes first, the latest first. The urgent get some
// time before, in which dead children are found out.
func (p *Peer) shed() {
	if p.cfg.MaxChildren > 0 {
		for i := range p.stripes {
			s := &p.stripes[i]
			if last := len(s.children) - 1; last >= p.cfg.MaxChildren && s.children[last].away <= p.now && p.now-s.children[last].since > overTime {
				p.push(i, last, 0)
			}
		}
	}
	excess := p.used() - p.slots - p.leaving()
	excess -= p.cut(excess)
	for excess > 0 {
		i, c := p.first(func(c *child) bool { return c.away <= p.now })
		if i < 0 {
			return
		}
		p.push(i, c, 0)
		excess--
	}
}
