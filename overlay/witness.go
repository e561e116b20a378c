package overlay

// This file answers: from which of its children does a stripe of a publisher's hang?
//
// What children say of themselves is a claim: one can have hundreds behind it by its
// word, and be asked to move for one who has more by its word. So a publisher asks
// neighbours of different networks how they have each stripe, and counts through which
// child that is. (Found by simulation: a tenth of 2,000 peers claimed to be orphans from
// whom many hang; the publisher asked the two peers from whom all hung to move, again
// and again, and kept those from whom nobody did.)

import (
	"cmp"
	"slices"
	"time"
)

const (
	// maxWitnesses are asked: enough to see a child from which a fifth of all hang (a
	// guess).
	maxWitnesses = 16
	// fewWitnesses are none: too few to say that from somebody nobody hangs.
	fewWitnesses = 6
	// hangTime is what a child gets until that is said of it: others have to find it.
	hangTime = 10 * time.Second
)

// chooseWitnesses asks for the paths of neighbours of different networks: those that
// were asked before, then in turn the oldest and one by chance.
func (p *Peer) chooseWitnesses() {
	var rest, chosen []*neighbour
	var subnets []uint32
	choose := func(n *neighbour) {
		if len(chosen) < maxWitnesses && (n.subnet == 0 || !slices.Contains(subnets, n.subnet)) {
			chosen, subnets = append(chosen, n), append(subnets, n.subnet)
		}
	}
	for _, n := range p.nbrs {
		switch {
		case !n.ready || n.away || n.hi.Epoch != p.epoch || p.silent(n):
		case n.watched != 0:
			choose(n)
		default:
			rest = append(rest, n)
		}
	}
	slices.SortStableFunc(rest, func(a, b *neighbour) int { return cmp.Compare(a.since, b.since) })
	for len(rest) > 0 && len(chosen) < maxWitnesses {
		at := 0
		if len(chosen)%2 == 1 {
			at = p.rng.IntN(len(rest))
		}
		choose(rest[at])
		rest = slices.Delete(rest, at, at+1)
	}
	for _, n := range p.nbrs {
		mask := uint32(0)
		if slices.Contains(chosen, n) {
			mask = 1<<p.cfg.Stripes - 1
		}
		p.watch(n, mask)
	}
}

// hangs says which share of its witnesses, in maxWorth, have stripe i of this publisher
// through its child id; false: there are too few of them.
func (p *Peer) hangs(i int, id PeerID) (share int, known bool) {
	if !p.cfg.Publisher {
		return 0, false
	}
	votes, all := 0, 0
	for _, n := range p.nbrs {
		if n.watched == 0 || p.childAt(i, n.id) >= 0 {
			continue
		}
		if st, ok := n.of(i); ok && st.Fed && len(st.Path) > 2 && st.Path[0] == p.self {
			all++
			if st.Path[1] == id {
				votes++
			}
		}
	}
	if all < fewWitnesses {
		return 0, false
	}
	return votes * maxWorth / all, true
}

// idle says whether nobody hangs from child c of stripe i of this publisher, though it
// had the time for it.
func (p *Peer) idle(c *child, i int) bool {
	share, known := p.hangs(i, c.id)
	return known && share == 0 && p.now-c.since > hangTime
}

// bears says whether half of a publisher's stripe i hangs from child c, or more: it
// moves for no claim.
func (p *Peer) bears(c *child, i int) bool {
	share, known := p.hangs(i, c.id)
	return known && 2*share >= maxWorth
}
