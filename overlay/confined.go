package overlay

// This file answers: how does a peer that reaches few find enough of those?
//
// Behind the worst NATs only peers in the open can be reached, one in ten. (Found by
// simulation: of those who missed something when half of 1,000 died, three in four were
// such peers, one in twenty of all. They had five to eight neighbours, of whom none, one
// or two were left, and of a hundred names most had been dialled in vain.)
//
// So a peer whose dials mostly fail says that it is confined, keeps twice as many
// neighbours in reserve, and forgets those first whom it did not reach. Whoever has
// confined neighbours is in the open, and says so: no other test is needed. And to a
// confined one those in the open are named first. Who lies about either is named to, or
// names, a few that are dialled in vain.

import "slices"

const (
	// confinedLeast dials failed, and confinedRatio for each that did not: behind a hard NAT
	// half do, behind the worst nine of ten.
	confinedLeast, confinedRatio = 6, 2
	// openLeast confined neighbours make a peer an open one: one may have had bad luck.
	openLeast = 2
)

// reached counts of the known peers those that were met, those whom a dial did not reach, at
// least until now, and those who may still answer and are worth to be waited for.
func (p *Peer) reached() (met, failed, pending int) {
	for i := range p.view {
		v := &p.view[i]
		switch {
		case v.dialing && p.now < v.dialledAt()+slowDial:
			if p.rank(v) < rankNamed { // those hold nobody back who may be better
				pending++
			}
		case v.met:
			met++
		case v.dialing || v.fails > 0:
			failed++
		}
	}
	return met, failed, pending
}

// wantedReserve is how many neighbours there should be beside parents and children.
func (p *Peer) wantedReserve() int {
	if p.confined {
		return 2 * p.cfg.Neighbours
	}
	return p.cfg.Neighbours
}

// lackingReserve is how many neighbours there are too few beside parents and children.
func (p *Peer) lackingReserve() int { return p.wantedReserve() - p.reserve() }

// open says whether confined peers reach this one.
func (p *Peer) open() bool {
	count := 0
	for _, n := range p.nbrs {
		if n.confined {
			count++
		}
	}
	return count >= openLeast
}

// reachedBy says whether asker, nil: it is not known, is likely to reach n.
func (n *neighbour) reachedBy(asker *neighbour) bool {
	return asker == nil || !asker.confined || n.open
}

// sampleFor returns up to shuffleCount known peers in random order to name to n: to a
// confined one the open neighbours first.
func (p *Peer) sampleFor(n *neighbour) []PeerID {
	ids := p.sample(shuffleCount, n.id)
	if !n.confined {
		return ids
	}
	var open []PeerID
	for _, at := range p.rng.Perm(len(p.nbrs)) {
		if o := p.nbrs[at]; o.open && o != n && !p.silent(o) {
			open = append(open, o.id)
		}
	}
	ids = slices.DeleteFunc(ids, func(id PeerID) bool { return slices.Contains(open, id) })
	return append(open, ids...)[:min(len(open)+len(ids), shuffleCount)]
}
