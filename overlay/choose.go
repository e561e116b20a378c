package overlay

// This file answers: which neighbour is the best parent for a stripe?

import (
	"slices"
	"time"
)

// restless: a parent whose intervals vary by more than this beyond what its
// beacons promise is left for a quieter one, and not taken again soon (a guess:
// what one recovery a second across a continent makes).
const restless = 40 * time.Millisecond

// hopLag of lag behind the live edge weighs as much as a hop: about what one
// relay's queue and jitter add (a guess). A deep path is bad for what can
// break on it, a late one is late now.
const hopLag = 50 * time.Millisecond

// hopTrip of a round trip weighs as much as a hop (a guess).
const hopTrip = 20 * time.Millisecond

// trip is what n's round trip weighs, in hops.
func (n *neighbour) trip() float64 { return float64(n.rtt) / float64(hopTrip) }

// provenTime is for how long a neighbour that sent something counts as one that does.
const provenTime = 5 * time.Second

// betterBy is how much better, in hops, a new parent must be: less than one
// hop, more than the noise of round-trip times.
const betterBy = 0.9

// subscribeBest asks the best candidate but not to become parent of stripe i;
// false: there is none now.
func (p *Peer) subscribeBest(i int, why reason, not PeerID) bool {
	s := &p.stripes[i]
	if why != whyMove {
		p.meetRoot(i)
	}
	best, _ := p.best(i, not, why != whyMove)
	if best == nil || !best.breaker.Allow(p.now) {
		return false
	}
	p.ask(best, i, why)
	if s.episode.on && best.heard <= s.episode.since {
		p.callRoll() // it may be dead too: whoever answers first is asked instead
	}
	return true
}

// eligible says whether n may be asked for stripe i at all.
func (p *Peer) eligible(n *neighbour, i int) bool {
	if !n.ready || n.away || p.silent(n) || n.busy[i] > p.now || n.breaker.Open(p.now) ||
		n.hi.Slots == 0 && !n.hi.Publisher || n.hi.Epoch == 0 || n.hi.Epoch < max(p.haveEpoch(), p.cfg.Epoch) ||
		n.id == p.stripes[i].parent || p.childAt(i, n.id) >= 0 {
		return false
	}
	if n.hi.Publisher {
		return true
	}
	st, ok := n.of(i)
	return ok && st.Depth > 0 && int(st.Depth) < MaxPath-1 && !slices.Contains(st.Path, p.self)
}

// cost is what n is worth as parent of stripe i, in hops; lower is better.
func (p *Peer) cost(n *neighbour, i int, depth int) float64 {
	c := float64(depth) + n.trip()
	for o := range p.stripes {
		if o != i && p.stripes[o].parent == n.id {
			c += 0.75 // one death should touch one stripe
		}
	}
	lag := n.lag[i]
	if s := &p.stripes[i]; s.parent == n.id {
		// Of the others it is not known: what is usual is not held against it.
		c += float64(max(s.prog.Unrest()-restless/2, 0)) / float64(20*time.Millisecond)
		lag = s.lag - n.rtt/2 + p.late // what it brings is known better than what it says
	} else {
		if p.late > 0 {
			lag += max(0, p.late-p.aheadBy(n))
		}
		if n.record.lag > lag && p.now < n.record.lagUntil { // and what it brought
			lag = n.record.lag
		}
	}
	c += float64(max(lag, 0)) / float64(hopLag)
	if !n.hi.Publisher && Home(n.id, p.cfg.Stripes) != i {
		c++
	}
	return c + 3*float64(p.doubts(n)) + float64(n.hollow)/2
}

// best returns the best eligible neighbour for stripe i but not, and its cost.
// desperate also takes those who are not fed or have no free slot by their last word.
func (p *Peer) best(i int, not PeerID, desperate bool) (*neighbour, float64) {
	var top *neighbour
	var least float64
	bereft := desperate && p.bereft(i)
	for _, n := range p.nbrs {
		if n.id == not || !p.eligible(n, i) {
			continue
		}
		depth, fed := 1, true
		if !n.hi.Publisher {
			st, _ := n.of(i)
			depth, fed = int(st.Depth), st.Fed
		}
		c := p.cost(n, i, depth)
		if since := p.stripes[i].episode.since; desperate && since != 0 && n.heard <= since {
			c += 6 // who was heard of since the parent fell silent is alive
		}
		if st, _ := n.of(i); bereft && !n.hi.Publisher && st.Position <= p.stripes[i].front {
			c += 6 // by its last word it has nothing newer, and would let this peer wait (leads)
		}
		if p.stripes[i].trust.broken {
			if n.gave == 0 || p.now-n.gave > provenTime || p.hollow(n.subnet) {
				c += 8 // words were not enough: who gave something lately is taken first
			}
		} else if desperate && slices.Contains(p.stripes[i].standbys, n.id) {
			c -= 4 // its path is known to be apart from the dead parent's
		}
		if n.hi.Epoch > p.epoch && (desperate || p.stripes[i].leave != 0) {
			c -= 50 // another publisher goes on: the paths of this epoch end nowhere
		}
		if !fed || n.free == 0 {
			// A full parent may make room for one who is worth it (admit): the
			// grandparent too, which has others there who are worth less.
			if climbs := fed && p.able(p.self, p.slots, i) && p.now >= n.climbAt && depth <= len(p.stripes[i].path)-2; !desperate && !climbs {
				continue
			}
			if !fed {
				c += 100
			}
			if n.free == 0 && desperate {
				c += 4
			}
		}
		if desperate && n.id == p.grandparent(i) && p.wide(i) {
			c -= 8
		}
		if top == nil || c < least {
			top, least = n, c
		}
	}
	return top, least
}

// grandparent returns the parent of stripe i's parent; 0: there is none.
func (p *Peer) grandparent(i int) PeerID {
	if path := p.stripes[i].path; len(path) > 2 {
		return path[len(path)-3]
	}
	return 0
}

// wide says whether more than the parent of stripe i seems to have failed, from which
// others hang: then one of them goes to the grandparent, where the dead parent leaves a
// place, and the others to that one. (Found by simulation: half of all die, and those
// with ten children behind them asked eight others first, of which each hung from one
// of the rest, and came to the publisher a second later, when its places were given.)
func (p *Peer) wide(i int) bool {
	s := &p.stripes[i]
	return p.usedIn(i) > 0 && (s.orphan || s.episode.tries > 1 || p.inTrouble())
}

// able says whether peer id, which has so many slots, belongs near the root of stripe i.
func (p *Peer) able(id PeerID, slots, i int) bool {
	return Home(id, p.cfg.Stripes) == i && p.gives(slots)
}
