package baseline

// This file answers: what does a second path add to the tree?

import (
	"slices"
	"time"

	"github.com/braidway/braidway/overlay"
)

// newDual makes a peer of dual-path: every object comes twice, from two
// parents, and the first copy wins, as in hitless switching of SMPTE ST
// 2022-7:2019 ("Seamless Protection Switching of RTP Datagrams"). It costs
// two slots a viewer.
//
// There are two trees with the same root. A peer has one parent in each, and
// children in either; it sends on the first copy in both. Each tree has its
// own paths, so that neither has a loop, and a peer takes the parent whose
// path shares the fewest peers with that of its other one. Both change as
// others move: paths that have come to share peers are looked at again now
// and then. A lost parent (2 s, as in single-tree) is replaced while the other
// one carries on.
//
// ST 2022-7 knows a sender, a receiver and two networks; it says nothing about
// receivers that relay. Merging in each relay is the kinder reading: a failure
// then stops a viewer only if both of its paths have one at the same hop. When
// slots are scarce, a viewer's first parent goes before another's second.
func newDual(b *base) system { return newTree(b, 2) }

const (
	polishEvery = 10 * time.Second // give or take half (guess)
	polishTime  = 3 * time.Second
)

// shared is how many peers the paths of both branches share.
func (c *tree) shared() int {
	if len(c.branches) < 2 {
		return 0
	}
	return overlap(c.branches[0].route, c.branches[1].route)
}

// sharedWith is how many peers path r of branch t would share with the other one's.
func (c *tree) sharedWith(t int, r []overlay.PeerID) int {
	if len(c.branches) < 2 {
		return 0
	}
	return overlap(r, c.branches[1-t].route)
}

// overlap counts the peers on both paths, the publisher apart.
func overlap(a, b []overlay.PeerID) (n int) {
	for i, id := range a {
		if i > 0 && slices.Contains(b, id) {
			n++
		}
	}
	return n
}

// polish looks for a better second parent when paths share peers.
func (c *tree) polish() {
	if c.shared() > 0 && c.now >= c.polishAt {
		c.polishBy = c.now + polishTime
		c.polishAt = c.polishBy + c.spread(polishEvery)
		c.settled()
	}
}
