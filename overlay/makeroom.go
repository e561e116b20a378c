package overlay

// This file answers: who has to make room for another, and when is it asked? Nobody is
// cut off: who is asked goes on being served until it has moved (but see scarce.go).

import (
	"slices"
	"time"
)

// displaces is how much has to hang from n, in children of m's stripe, for a child there
// to move for it though that one is worth as much: less than half of so many hang from
// it. 0: none moves. From a publisher's child the stripe hangs: it moves for no single
// viewer. Relays take in whoever finds no parent, as those behind a bad NAT have few to ask.
func (p *Peer) displaces(n *neighbour, m Subscribe, waited time.Duration) int {
	switch {
	case m.stranded() && p.cfg.Publisher:
		return max(2*fewBehind+1, n.counts(int(m.Behind)))
	case m.stranded():
		return anyBehind
	case p.waitedLong(n, m, waited):
		return n.counts(int(m.Behind))
	}
	return 0
}

const (
	// fewBehind are children that may have to move with a publisher's child.
	fewBehind = 2
	// anyBehind is more than twice what counts of anybody.
	anyBehind = 2*maxWorth + 1
)

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
		idle := p.idle(ch, i)
		if o == nil || o.missing || ch.away > p.now || ch.stranded && !idle || p.now-ch.since < pushPause || p.bears(ch, i) {
			continue
		}
		w := p.worth(o, i)
		if idle {
			w = min(w, p.cfg.Stripes/2) // as who takes few
		}
		if 2*w+1 < p.worth(n, i) && w < least {
			least, at = w, c
		}
	}
	return at
}

// settled returns a child of stripe i that can be asked to move for a stranded peer:
// the latest of those that are not stranded themselves, or from whom nobody hangs, and
// that have less than half of so many children; -1: none. (Found by simulation: among liars, each from whom
// hundreds hung was asked to move for the next one, and moved to a liar.)
func (p *Peer) settled(i, below int) int {
	if p.now < p.pushAt {
		return -1
	}
	return p.latest(i, func(c *child) bool {
		return (!c.stranded || p.idle(c, i)) && p.now-c.since > pushPause && 2*p.load(c, i) < below
	})
}

// leaf returns the latest child of stripe i that can take no others; -1: none.
func (p *Peer) leaf(i int) int {
	return p.latest(i, func(c *child) bool {
		o := p.neighbour(c.id)
		return o != nil && p.worth(o, i) == 0
	})
}

// latest returns the latest child of stripe i that was not asked to move, of those
// that are such, and at a publisher of those from whom least hangs; -1: none.
func (p *Peer) latest(i int, such func(*child) bool) int {
	children := p.stripes[i].children
	at, least := -1, maxWorth+1
	for c := len(children) - 1; c >= 0; c-- {
		ch := &children[c]
		if o := p.neighbour(ch.id); o == nil || o.missing || ch.away > p.now || !such(ch) { // the missing hold no place
			continue
		}
		if share, _ := p.hangs(i, ch.id); share < least {
			at, least = c, share
		}
	}
	return at
}

// load is how many children c has in stripe i, of which it is a child: by what a
// publisher's witnesses say, else by its word.
func (p *Peer) load(c *child, i int) int {
	n := p.neighbour(c.id)
	if n == nil {
		return 0
	}
	if share, known := p.hangs(i, c.id); known {
		return share
	}
	told := 0
	if st, ok := n.of(i); ok {
		told = int(st.Children)
	}
	if p.now-c.since < statusEvery { // it may not have said how many it has now
		told = max(told, int(c.behind))
	}
	return n.counts(told)
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
	p.makeRoom(from, p.latest(from, func(*child) bool { return true }), by, i)
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

// makeRoom plans that child c of stripe i moves for peer by, who gets a place in stripe
// in: to that one in the same stripe, else to the parent. It counts as one that was
// asked from now on.
func (p *Peer) makeRoom(i, c int, by PeerID, in int) {
	to := by
	if in != i {
		to = p.stripes[i].parent
	}
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

// leaving counts the children that were asked to move.
func (p *Peer) leaving() (n int) {
	for i := range p.stripes {
		n += p.usedIn(i) - p.staying(i)
	}
	return n
}

// staying counts the children of stripe i that were not asked to move.
func (p *Peer) staying(i int) int {
	return p.living(i, func(c *child, _ *neighbour) bool { return c.away <= p.now })
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
		i, c := p.first(func(_ int, c *child) bool { return c.away <= p.now })
		if i < 0 {
			return
		}
		p.push(i, c, 0)
		excess--
	}
}
