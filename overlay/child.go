package overlay

// This file answers: who is taken as a child, and who has to make room?

import (
	"slices"
	"time"
)

// maxAlternatives bounds the peers named in Refuse and GoAway.
const maxAlternatives = 4

func (p *Peer) childAt(i int, id PeerID) int {
	return slices.IndexFunc(p.stripes[i].children, func(c child) bool { return c.id == id })
}

// used counts the children of all stripes that are not missing.
func (p *Peer) used() (n int) {
	for i := range p.stripes {
		n += p.usedIn(i)
	}
	return n
}

func (p *Peer) usedIn(i int) (n int) {
	for _, c := range p.stripes[i].children {
		if o := p.byID[c.id]; o != nil && !o.missing {
			n++
		}
	}
	return n
}

// reportedDead notes that an orphan lost child id. Its place is free and nothing
// is sent to it until it is heard of again, which it is asked for: otherwise
// those who come for the dead would find the uplink full of what is sent to
// them. (Found by simulation: half of all die, the publisher feeds its dead
// children and their orphans, and falls further and further behind.)
func (p *Peer) reportedDead(i int, id PeerID) {
	c := p.byID[id]
	if c == nil || p.childAt(i, id) < 0 || c.missing || p.now-c.heard <= missingTime {
		return
	}
	c.missing = true
	for o := range p.stripes {
		s := &p.stripes[o]
		if at := p.childAt(o, id); at >= 0 {
			s.children[at].paused, s.children[at].unsent = true, max(s.front, s.children[at].start)
		}
	}
	p.send(id, Watch{Mask: c.watched}) // is answered by a Status at once
}

// resume goes on with a child that was said to be dead.
func (p *Peer) resume(n *neighbour) {
	n.missing = false
	k := uint64(p.cfg.Stripes)
	for i := range p.stripes {
		s := &p.stripes[i]
		at := p.childAt(i, n.id)
		if at < 0 || !s.children[at].paused {
			continue
		}
		s.children[at].paused = false
		for q := p.firstOf(i, max(s.children[at].unsent, p.have.Base())); q < s.front; q += k {
			if p.have.Has(q) {
				p.out = append(p.out, Action{Kind: ActForward, Peer: n.id, Stripe: uint8(i), Epoch: p.epoch, Seq: q})
			}
		}
	}
}

// over is by how many children the urgent and the pushing may exceed the slots
// for a while: a small uplink has no room for even one more.
func (p *Peer) over() int { return p.slots / 8 }

// room returns the free slots for an ordinary or an urgent subscriber.
func (p *Peer) room(urgent bool) int {
	limit := p.slots
	if urgent {
		limit += p.over()
	} else if p.slots >= 4 {
		limit -= max(1, int(float64(p.slots)*p.cfg.Reserve))
	}
	return limit - p.used()
}

// subscribe decides about a request before any work is done for it.
func (p *Peer) subscribe(n *neighbour, m Subscribe) {
	i := int(m.Stripe)
	if i >= len(p.stripes) {
		p.ban(n.id)
		return
	}
	s := &p.stripes[i]
	switch {
	case p.draining:
		p.refuse(n, i, CodeGoingAway, time.Minute)
		return
	case slices.Contains(s.path, n.id) || s.parent == n.id:
		p.refuse(n, i, CodeLoop, time.Second)
		return
	case !p.started || len(s.path) == 0 || m.Epoch > p.epoch:
		p.refuse(n, i, CodeNotYet, 500*time.Millisecond)
		p.park(parked{from: n.id, stripe: uint8(i), sub: true, latest: m.Latest, urgent: m.Urgent, seq: m.From, epoch: m.Epoch})
		return
	}
	if m.Urgent && m.Lost != 0 {
		p.reportedDead(i, m.Lost)
	}
	if p.childAt(i, n.id) < 0 && !p.admit(n, i, m.Urgent, m.stranded()) {
		p.refuse(n, i, CodeBusy, p.jitter(time.Second))
		return
	}
	p.accept(n, i, m)
}

// worth is what a peer is worth near the root of stripe i: the children that it
// can have there. In its home stripe it has them; elsewhere it takes few.
func (p *Peer) worth(n *neighbour, i int) int {
	w := int(n.hi.Slots)
	if Home(n.id, p.cfg.Stripes) != i {
		w /= 8
	}
	return w
}

// lessWorth returns the child of stripe i that is to make room for n: the one
// worth least, if n is worth more than twice as much; -1: there is none, or
// another was asked just now.
func (p *Peer) lessWorth(i int, n *neighbour) int {
	least, at := p.worth(n, i), -1
	if p.now < p.pushAt {
		return -1
	}
	for c := range p.stripes[i].children {
		ch := &p.stripes[i].children[c]
		o := p.byID[ch.id]
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
// stranded is a peer that plays but finds no parent in this stripe; most of our
// children have more choice than it has, as those behind a bad NAT know.
func (p *Peer) admit(n *neighbour, i int, urgent, stranded bool) bool {
	perStripe := p.cfg.MaxChildren == 0 || p.usedIn(i) < p.cfg.MaxChildren
	if perStripe && p.room(urgent) > 0 {
		return true
	}
	// The publisher's slots are shared out evenly: were they all taken by other
	// stripes, the one peer from whom a whole stripe hangs could find no parent
	// that is not behind it.
	needy := p.cfg.Publisher && p.usedIn(i) < p.slots/p.cfg.Stripes
	most := min(p.slots, max(1, p.slots/8))
	if needy {
		most++
	}
	used := p.used()
	if p.cfg.MaxChildren > 0 && p.usedIn(i) > p.cfg.MaxChildren || used >= p.slots+most+1 {
		return false
	}
	// Even with the extra places taken: those who cannot move may have nowhere to
	// go before the worthier one is here to take them.
	c := p.lessWorth(i, n)
	if c < 0 && stranded {
		c = p.settled(i)
	}
	if c >= 0 {
		p.pushAt = p.now + pushPause
		p.push(i, c, n.id)
		return true
	}
	if p.leaving() >= most || used >= p.slots+most {
		return false
	}
	if perStripe && (needy || Home(p.self, p.cfg.Stripes) == i && !p.cfg.Publisher) && p.pushOther(i) {
		return true
	}
	// The dead child whose orphan this is may still hold a place: one more for a while.
	return urgent && p.used() < p.slots+p.over()
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

// settled returns a child of stripe i that can be asked to move for a stranded
// peer: the latest of those that are not stranded themselves; -1: none.
func (p *Peer) settled(i int) int {
	if p.now < p.pushAt {
		return -1
	}
	children := p.stripes[i].children
	for c := len(children) - 1; c >= 0; c-- {
		if ch := &children[c]; ch.away <= p.now && !ch.stranded && p.now-ch.since > pushPause {
			return c
		}
	}
	return -1
}

// pushOther asks a child of the stripe with most children, other than i, to move.
func (p *Peer) pushOther(i int) bool {
	from, most := -1, 0
	for o := range p.stripes {
		staying := 0
		for _, c := range p.stripes[o].children {
			if c.away <= p.now {
				staying++
			}
		}
		if o != i && staying > most {
			from, most = o, staying
		}
	}
	if from < 0 {
		return false
	}
	children := p.stripes[from].children
	for c := len(children) - 1; c >= 0; c-- {
		if children[c].away <= p.now {
			p.push(from, c, p.stripes[from].parent)
			return true
		}
	}
	return false
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
// there, those at home first, then our siblings and our parent.
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
			n := p.byID[c.id]
			if n == nil || n.hi.Slots == 0 || pass < 2 && n.free == 0 || pass == 0 && Home(c.id, p.cfg.Stripes) != i {
				continue
			}
			add(c.id)
		}
	}
	for _, id := range s.siblings {
		add(id)
	}
	add(s.parent)
	return ids
}

func (p *Peer) refuse(n *neighbour, i int, code Code, wait time.Duration) {
	p.stats.Refused++
	p.trace(TraceRefuse, n.id, i, uint64(code), wait)
	p.send(n.id, Refuse{Stripe: uint8(i), Code: code, Wait: wait, Alternatives: p.alternatives(i, n.id)})
}

// accept makes n a child of stripe i and sends it what it misses.
func (p *Peer) accept(n *neighbour, i int, m Subscribe) {
	s := &p.stripes[i]
	start := max(m.From, p.have.Base(), p.start)
	if g, ok := p.latestGroup(); ok && (m.Latest || m.Epoch != p.epoch) {
		start = g
	}
	k := uint64(p.cfg.Stripes)
	if m.Latest {
		start = p.newcomerStart(n.id, start)
	}
	past := 0
	if s.front > start {
		past = int((s.front - start) / k)
	}
	// The past of one that plays is due sooner than live objects; more of it than
	// there is room for, or a newcomer's, waits behind them.
	due := !m.Latest && past <= p.spare.has(p.now)
	p.spare.owe(p.now, past)
	if at := p.childAt(i, n.id); at >= 0 {
		s.children = slices.Delete(s.children, at, at+1)
	}
	s.children = append(s.children, child{id: n.id, start: start, since: p.now, stranded: m.stranded()})
	p.trace(TraceAccept, n.id, i, start, 0)
	p.send(n.id, Accept{Stripe: uint8(i), Epoch: p.epoch, Start: start, Path: s.path})
	p.out = append(p.out, Action{Kind: ActOpen, Peer: n.id, Stripe: uint8(i), Epoch: p.epoch, Seq: start})
	for q := start + (uint64(i)+k-start%k)%k; q < s.front; q += k {
		if p.have.Has(q) && q >= p.have.Base() {
			p.out = append(p.out, Action{Kind: ActForward, Peer: n.id, Stripe: uint8(i), Backfill: !due, Epoch: p.epoch, Seq: q})
		}
	}
	s.kinAt = min(s.kinAt, p.now)
}

// newcomerStart is where a newcomer starts: at the latest group, where there is
// room for its past in all stripes, else with the group that comes next. All
// its stripes start alike, or it would miss what only some of them bring.
func (p *Peer) newcomerStart(id PeerID, latest uint64) uint64 {
	for i := range p.stripes {
		if at := p.childAt(i, id); at >= 0 {
			if c := &p.stripes[i].children[at]; p.now-c.since < raiseTime && c.start >= latest {
				return c.start
			}
		}
	}
	if next := p.nextGroup(); next > latest && p.edge > latest && int(p.edge-latest) > p.spare.has(p.now) {
		return next
	}
	return latest
}

func (p *Peer) unsubscribe(n *neighbour, m Unsubscribe) {
	i := int(m.Stripe)
	if i >= len(p.stripes) {
		p.ban(n.id)
		return
	}
	p.parked = slices.DeleteFunc(p.parked, func(k parked) bool { return k.sub && k.from == n.id && int(k.stripe) == i })
	p.removeChild(i, n.id)
}

func (p *Peer) removeChild(i int, id PeerID) {
	s := &p.stripes[i]
	at := p.childAt(i, id)
	if at < 0 {
		return
	}
	s.children = slices.Delete(s.children, at, at+1)
	p.out = append(p.out, Action{Kind: ActClose, Peer: id, Stripe: uint8(i)})
	s.kinAt = min(s.kinAt, p.now+kinEvery)
	p.checkDrained()
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
	excess := p.used() - p.slots
	for i := range p.stripes {
		for _, c := range p.stripes[i].children {
			if c.away > p.now {
				excess--
			}
		}
	}
	for pass := 0; pass < 2 && excess > 0; pass++ {
		for i := range p.stripes {
			if (Home(p.self, p.cfg.Stripes) == i) != (pass == 1) {
				continue
			}
			for c := len(p.stripes[i].children) - 1; c >= 0 && excess > 0; c-- {
				if p.stripes[i].children[c].away <= p.now {
					p.push(i, c, 0)
					excess--
				}
			}
		}
	}
}

// tellPath passes a changed path on to the children of stripe i.
func (p *Peer) tellPath(i int) {
	for _, c := range p.stripes[i].children {
		p.send(c.id, Path{Stripe: uint8(i), Path: p.stripes[i].path})
	}
	for _, n := range p.nbrs {
		if n.watching&(1<<i) != 0 {
			p.tell(n)
		}
	}
	p.standAt = min(p.standAt, p.now+p.jitter(100*time.Millisecond))
}

// kinTick names to the children of stripe i whom to keep as standbys.
func (p *Peer) kinTick(i int) {
	s := &p.stripes[i]
	if p.now < s.kinAt {
		return
	}
	s.kinAt = never
	for _, c := range s.children {
		m := Kin{Stripe: uint8(i), Uncles: s.siblings}
		for _, at := range p.rng.Perm(len(s.children)) {
			if o := s.children[at].id; o != c.id && len(m.Siblings) < maxAlternatives {
				m.Siblings = append(m.Siblings, o)
			}
		}
		p.send(c.id, m)
	}
}
