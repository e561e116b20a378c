package overlay

// This file answers: who is connected, what do they say about themselves, and
// who has to go?

import (
	"cmp"
	"slices"
	"time"
)

func (p *Peer) connected(id PeerID, rtt time.Duration, subnet uint32) {
	if p.isBanned(id) || id == p.self || id == 0 || p.neighbour(id) == nil && (p.shut(subnet) || p.taken(subnet)) {
		p.out = append(p.out, Action{Kind: ActDisconnect, Peer: id})
		return
	}
	if n := p.neighbour(id); n != nil {
		p.lost(id) // a new exchange replaces the old: what was agreed on that is void
	}
	p.learn(Candidate{Peer: id, Subnet: subnet, Source: SourcePeer}, 0)
	chosen := false
	for i := range p.view {
		if v := &p.view[i]; v.Peer == id {
			if chosen = v.dialing; chosen {
				p.dialled(p.now - v.dialledAt())
			}
			v.dialing, v.met, v.fails, v.again = false, true, 0, 0
			if v.Subnet == 0 {
				v.Subnet = subnet
			}
		}
	}
	n := &neighbour{id: id, rtt: rtt, subnet: subnet, chosen: chosen, since: p.now, heard: p.now, busy: make([]time.Duration, p.cfg.Stripes), lag: make([]time.Duration, p.cfg.Stripes)}
	n.record = p.recall(id)
	at, _ := slices.BinarySearch(p.ids, id)
	p.ids, p.nbrs = slices.Insert(p.ids, at, id), slices.Insert(p.nbrs, at, n)
	p.greet(n)
	p.tell(n) // at once: a newcomer can only ask whose place in the trees it knows
	if p.started && p.room(false) <= 0 {
		if free := p.freePeers(id); len(free) > 0 {
			p.send(id, Shuffle{Reply: true, Peers: free}) // it need not ask to hear who else there is
		}
	}
	if len(p.nbrs) > p.crowded() {
		p.trimAt = min(p.trimAt, p.now+trimAfter)
	}
}

// greet says who this peer is.
func (p *Peer) greet(n *neighbour) {
	p.send(n.id, Hello{Publisher: p.cfg.Publisher, Draining: p.draining, Slots: uint16(min(p.slots, 65535)), Epoch: p.haveEpoch(), Edge: p.edge})
}

// neighbour returns who is connected as id; nil: nobody.
func (p *Peer) neighbour(id PeerID) *neighbour {
	if at, ok := slices.BinarySearch(p.ids, id); ok {
		return p.nbrs[at]
	}
	return nil
}

// spoke notes a sign of life of n, and feeds it again where it was thought dead.
func (p *Peer) spoke(n *neighbour) {
	if n.asked != 0 {
		p.answeredLate(n)
	}
	n.heard, n.asked, n.quiet = p.now, 0, false
	if n.missing {
		p.resume(n)
	}
}

// within is the time in which n answers: a round trip and a quarter, and what
// may hold the answer up beyond.
func (n *neighbour) within(beyond time.Duration) time.Duration { return n.rtt + n.rtt/4 + beyond }

// haveEpoch is the epoch of which this peer has something, or 0.
func (p *Peer) haveEpoch() uint64 {
	if p.started {
		return p.epoch
	}
	return 0
}

func (p *Peer) hello(n *neighbour, m Hello) {
	n.ready, n.hi, n.away = true, m, m.Draining
	n.free = m.Slots
	p.join()
}

func (p *Peer) status(n *neighbour, m Status) {
	n.confined, n.open = m.Confined, m.Open
	n.hi.Epoch, n.hi.Edge, n.away, n.free = m.Epoch, m.Edge, m.Draining, m.Free
	n.hi.Slots = max(n.hi.Slots, m.Free) // measured since its Hello
	n.ahead = 0
	if m.Epoch == p.epoch {
		n.ahead = int64(min(m.Edge, p.edge+uint64(p.cfg.Window))) - int64(p.edge)
	}
	first := n.stripes == nil
	n.stripes = m.Stripes
	n.ready = true
	for _, st := range m.Stripes {
		if i := int(st.Stripe); i < len(n.lag) && st.Fed && m.Epoch == p.epoch {
			n.lag[i] = p.learnLag(n.lag[i], st.Position, first)
			if s := &p.stripes[i]; s.parent == n.id && st.Position <= p.edge+uint64(p.cfg.Window) {
				s.trust.said = max(s.trust.said, st.Position)
			}
		}
	}
	p.standbysChanged(n)
	for i := range p.stripes {
		p.answered(n, i)
	}
	p.join()
}

// learnLag returns how far somebody is behind the live edge, who was taken to
// be avg behind and whose first missing object is next: at least the age of that
// one, at most the age of the one before. Between the two nothing is learnt: to
// take either for the lag would make it jump by the time between two objects.
func (p *Peer) learnLag(avg time.Duration, next uint64, first bool) time.Duration {
	least, most := p.age(next), p.age(next-min(next, uint64(p.cfg.Stripes)))
	switch {
	case first: // unknown, up to a hop
		return least + min((most-least)/2, hopLag)
	case avg < least:
		return avg + (least-avg)/2
	case avg > most:
		return avg - (avg-most)/2
	}
	return avg
}

// of returns the neighbour's latest word about stripe i.
func (n *neighbour) of(i int) (StripeStatus, bool) {
	if i < len(n.stripes) && int(n.stripes[i].Stripe) == i { // as everybody sends them
		return n.stripes[i], true
	}
	for _, s := range n.stripes {
		if int(s.Stripe) == i {
			return s, true
		}
	}
	return StripeStatus{}, false
}

// lost handles the end of an exchange, or of an attempt to open one.
func (p *Peer) lost(id PeerID) {
	for i := range p.view {
		if v := &p.view[i]; v.Peer == id {
			v.dialing = false
			v.fails = min(v.fails+1, 6)
			v.again = p.now + p.jitter(time.Second<<v.fails)
			if n := p.neighbour(id); n != nil && (p.isParent(id) || n.hi.Publisher && p.silent(n)) { // it may only have been started anew
				v.again = p.now + p.jitter(quickDial)
			}
			if v.fails == 6 {
				p.view = slices.Delete(p.view, i, i+1)
			}
			break
		}
	}
	at, ok := slices.BinarySearch(p.ids, id)
	if !ok {
		return
	}
	p.remember(p.nbrs[at])
	p.ids, p.nbrs = slices.Delete(p.ids, at, at+1), slices.Delete(p.nbrs, at, at+1)
	p.parked = slices.DeleteFunc(p.parked, func(k parked) bool { return k.from == id })
	for i := range p.stripes {
		s := &p.stripes[i]
		s.children = slices.DeleteFunc(s.children, func(c child) bool { return c.id == id })
		s.standbys = slices.DeleteFunc(s.standbys, func(b PeerID) bool { return b == id })
		if s.old == id {
			s.old = 0
		}
		if s.try.to == id {
			p.attemptFailed(i)
		}
	}
	for i := range p.stripes {
		if p.stripes[i].parent == id {
			p.parentLost(i)
		}
	}
	p.standAt = min(p.standAt, p.now+50*time.Millisecond)
	p.checkDrained()
}

func (p *Peer) isParent(id PeerID) bool {
	return slices.ContainsFunc(p.stripes, func(s stripe) bool { return s.parent == id })
}

// dropSilent ends the neighbourhood with peers that say nothing at all.
func (p *Peer) dropSilent() {
	for _, n := range slices.Clone(p.nbrs) {
		if p.now-n.heard > silentLimit {
			p.hangUp(n)
		}
	}
}

// crowded is how many neighbours are enough: more, and those that nobody needs have to go.
func (p *Peer) crowded() int { return 2*p.cfg.Neighbours + p.cfg.Standbys*p.cfg.Stripes }

// most is how many neighbours are borne at all, whoever watches this peer: those
// near the root have many grandchildren.
func (p *Peer) most() int { return 2*p.crowded() + 8*p.slots }

// trim ends the neighbourhood with those that nobody needs, while there are too
// many: whoever is well known meets every newcomer, and would soon send more
// words than objects. The far ones go first: so neighbourhoods come together
// by distance (the idea of X-BOT, SRDS 2009).
func (p *Peer) trim() {
	p.trimAt = never
	all := slices.Clone(p.nbrs)
	slices.SortStableFunc(all, func(a, b *neighbour) int { return cmp.Compare(a.since, b.since) })
	idle := slices.DeleteFunc(slices.Clone(all), p.needed)
	idle = idle[min(len(idle), oldest):]
	slices.SortStableFunc(idle, func(a, b *neighbour) int { return cmp.Compare(b.rtt, a.rtt) })
	for _, n := range idle {
		if len(p.nbrs) <= p.crowded() {
			return
		}
		if p.now-n.since >= trimAfter {
			p.hangUp(n)
		}
	}
	for _, n := range slices.Backward(all) { // those who only watch stay by age
		if len(p.nbrs) <= p.most() {
			break
		}
		if n.watched == 0 && !p.related(n) && p.neighbour(n.id) == n {
			p.hangUp(n)
		}
	}
	if len(p.nbrs) > p.crowded() {
		p.trimAt = p.now + trimAfter/2
	}
}

func (p *Peer) hangUp(n *neighbour) {
	p.out = append(p.out, Action{Kind: ActDisconnect, Peer: n.id})
	p.lost(n.id)
}

func (p *Peer) needed(n *neighbour) bool {
	return n.watching != 0 || n.watched != 0 || p.related(n)
}

// related says whether n is, was or may become parent or child of a stripe.
func (p *Peer) related(n *neighbour) bool {
	for i := range p.stripes {
		s := &p.stripes[i]
		if s.parent == n.id || s.try.to == n.id || s.old == n.id || p.childAt(i, n.id) >= 0 {
			return true
		}
	}
	return false
}

// tell sends a Status to n.
func (p *Peer) tell(n *neighbour) { p.tellThis(n, p.ownStatus()) }

// ownStatus is how this peer stands, for all neighbours alike: without paths.
func (p *Peer) ownStatus() Status {
	m := Status{Draining: p.draining, Confined: p.confined, Open: p.open(), Free: uint16(max(0, min(p.room(false), 65535))), Epoch: p.haveEpoch(), Edge: p.edge}
	m.Stripes = make([]StripeStatus, len(p.stripes))
	for i := range p.stripes {
		m.Stripes[i] = StripeStatus{Stripe: uint8(i), Fed: p.fed(i), Depth: uint8(min(len(p.stripes[i].path), 255)), Children: uint8(min(p.usedIn(i), MaxChildrenTold)), Position: p.standsAt(i)}
	}
	return m
}

// tellThis sends Status m to n, with the paths of the stripes that it watches.
func (p *Peer) tellThis(n *neighbour, m Status) {
	if n.watching != 0 {
		m.Stripes = slices.Clone(m.Stripes)
		for i := range p.stripes {
			if n.watching&(1<<i) != 0 {
				m.Stripes[i].Path = p.stripes[i].path
			}
		}
	}
	p.send(n.id, m)
}

// standsAt returns where stripe i stands, for who looks for a parent: at its first hole,
// but an older one counts for no more than half a buffer behind the edge, if what is
// newer comes. (Found by simulation: once all of a stripe had missed the same objects,
// who had it live again looked as late as those who had nothing, for six seconds.)
func (p *Peer) standsAt(i int) uint64 {
	s := &p.stripes[i]
	if s.next >= s.front || p.age(s.next) <= p.cfg.Buffer/2 {
		return s.next
	}
	return max(s.next, min(p.firstOf(i, p.olderThan(p.cfg.Buffer/2)), s.front))
}

// fed says whether stripe i has a parent that is not in doubt.
func (p *Peer) fed(i int) bool {
	s := &p.stripes[i]
	return p.cfg.Publisher || s.parent != 0 && !s.episode.on && len(s.path) > 0
}

func (p *Peer) sendStatus() {
	for i := range p.stripes {
		s := &p.stripes[i]
		s.lag = p.learnLag(s.lag, p.standsAt(i), false)
	}
	p.measureLate()
	m := p.ownStatus()
	for _, n := range p.nbrs {
		p.tellThis(n, m)
	}
}
