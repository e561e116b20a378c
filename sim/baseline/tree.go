package baseline

// This file answers: how does a peer get, keep and replace its parents, and
// whom does it take as a child? single-tree runs it with one branch,
// dual-path with two.

import (
	"slices"
	"time"

	"github.com/braidway/braidway/overlay"
)

const (
	silence   = 2 * time.Second        // a parent silent for longer is dead (the brief's; common for relays)
	keepalive = 500 * time.Millisecond // a quarter of it
	tickTime  = 100 * time.Millisecond // how late silence may be noticed
	probes    = 8                      // candidates asked at a time (guess)
	askTime   = 1200 * time.Millisecond
	joinTime  = time.Second
	pickTime  = 200 * time.Millisecond  // for better offers after the first
	moveTime  = 1500 * time.Millisecond // for a child that was asked to move on
	adrift    = 5 * time.Second         // a parent without a way to the publisher is borne for that long
	lateAge   = 500 * time.Millisecond  // older objects go behind live ones
	nearMost  = 8
)

// Messages of the trees.
type (
	// ask wants to know what the receiver offers; offer is the answer: the
	// path from the publisher down to the sender in each branch where it would
	// take the asker, and, when there is none, children with room below them.
	ask struct {
		overlay.Message
		epoch       uint64
		sole, giver bool
	}
	offer struct {
		overlay.Message
		routes       [2][]overlay.PeerID
		near, others []overlay.PeerID
	}
	// join makes the receiver parent, if it answers with accept: objects from
	// start on follow, old ones as backfill. The refusal is an offer.
	join struct {
		overlay.Message
		branch      int
		epoch, from uint64 // what the sender has; 0: nothing yet
		begun       bool
		sole, giver bool
	}
	accept struct {
		overlay.Message
		branch       int
		epoch, start uint64
		route        []overlay.PeerID
	}
	// route tells children that their parent's path changed; empty: it has none.
	route struct {
		overlay.Message
		branch int
		route  []overlay.PeerID
	}
	// move asks a child to find another parent soon.
	move struct {
		overlay.Message
		to []overlay.PeerID
	}
	// alive is sent when there was nothing else; to a parent it says what the
	// child needs and has.
	alive struct {
		overlay.Message
		sole       bool
		free, room int
	}
)

func (ask) Size() int { return 2 + seqSize }
func (o offer) Size() int {
	return 5 + idSize*(len(o.routes[0])+len(o.routes[1])+len(o.near)+len(o.others))
}
func (join) Size() int     { return 3 + 2*seqSize }
func (a accept) Size() int { return 3 + 2*seqSize + idSize*len(a.route) }
func (r route) Size() int  { return 3 + idSize*len(r.route) }
func (m move) Size() int   { return 2 + idSize*len(m.to) }
func (alive) Size() int    { return 4 }

// branch is one tree that the peer is in.
type branch struct {
	parent *link            // nil: none
	route  []overlay.PeerID // from the publisher down to parent; nil: not known to reach it
	since  time.Duration    // when route was lost
	leave  bool             // parent is to be replaced, and serves until then
	was    bool             // there was a parent before
	told   bool             // the parent knows this peer to rely on it alone
}

// kid is a child in one branch: it gets every object.
type kid struct {
	*link
	branch      int
	start       uint64
	sole, giver bool
	free, room  int
	moveBy      time.Duration // when it is dropped, having been asked to move; 0: it was not
}

// home is the branch in which peer id has children, so that no peer but the
// publisher is inside both trees.
func (c *tree) home(id overlay.PeerID) int { return int(id>>32) % len(c.branches) }

// probe is a candidate: asked, or one that has answered.
type probe struct {
	*link
	at    time.Duration
	offer *offer
}

type tree struct {
	*base
	branches []branch
	kids     []*kid
	probes   []*probe
	chosen   *link // join was sent to it
	chosenAt time.Duration
	pickAt   time.Duration
	drainBy  time.Duration // 0: not draining
}

func newTree(b *base, branches int) *tree { return &tree{base: b, branches: make([]branch, branches)} }

// Shape implements Core. The stripes take turns in showing the branches; every
// child is in all stripes.
func (c *tree) Shape(stripe int) (overlay.PeerID, int, int) {
	b := &c.branches[stripe%len(c.branches)]
	if b.parent == nil {
		return 0, 0, len(c.kids)
	}
	return b.parent.id, len(b.route), len(c.kids)
}

// path is the way from the publisher down to this peer; nil: there is none.
func (c *tree) path(t int) []overlay.PeerID {
	r := c.branches[t].route
	if len(r) == 0 && !c.cfg.Publisher {
		return nil
	}
	return append(slices.Clone(r), c.self)
}

// sole reports whether the peer has no parent to rely on besides that of branch t.
func (c *tree) sole(t int) bool {
	for i := range c.branches {
		if b := &c.branches[i]; i != t && b.parent != nil && b.route != nil && !b.leave {
			return false
		}
	}
	return true
}

func (c *tree) giver() bool { return c.cfg.copies() > 0 }

func (c *tree) child(l *link) *kid {
	for _, k := range c.kids {
		if k.link == l {
			return k
		}
	}
	return nil
}

func (c *tree) parents(l *link) bool {
	return slices.ContainsFunc(c.branches, func(b branch) bool { return b.parent == l })
}

// The data.

func (c *tree) object(ev *overlay.Event) {
	if ev.Epoch > c.epoch {
		c.renew()
	}
	if !c.take(ev, true) {
		return
	}
	late := ev.Seq+c.cfg.objectsIn(lateAge) < c.edge()
	for _, k := range c.kids {
		if ev.Seq >= k.start && k.id != ev.Peer {
			c.give(overlay.ActForward, k.link, ev.Seq, late)
		}
	}
}

// renew lets the children have a new epoch from its start.
func (c *tree) renew() {
	for _, k := range c.kids {
		k.start = 0
	}
}

func (c *tree) message(l *link, m overlay.Message) {
	switch m := m.(type) {
	case ask:
		c.asked(l, m)
	case offer:
		c.offered(l, m)
	case join:
		c.joining(l, m)
	case accept:
		c.accepted(l, m)
	case route:
		c.rerouted(l, m)
	case move:
		for i := range c.branches {
			if b := &c.branches[i]; b.parent == l {
				b.leave = true
				c.prefer(m.to...)
				c.settled()
				c.seek()
			}
		}
	case alive:
		if k := c.child(l); k != nil {
			k.sole, k.free, k.room = m.sole, m.free, m.room
		}
	}
}

func (c *tree) tick() time.Duration {
	for i := range c.branches {
		b := &c.branches[i]
		if l := b.parent; l != nil && c.now-l.heard > silence {
			c.trace(overlay.TraceGone, l.id, i, 0, c.now-l.heard)
			c.drop(l)
		} else if l != nil && b.route == nil && c.now-b.since > adrift && !b.leave {
			b.leave = true
			c.settled()
		}
		if l := b.parent; l != nil && (c.now-l.sent >= keepalive || b.told != c.sole(i)) {
			c.report(i)
		}
	}
	for i := len(c.kids) - 1; i >= 0; i-- {
		k := c.kids[i]
		if c.now-k.heard > silence || k.moveBy > 0 && c.now > k.moveBy {
			c.drop(k.link)
		} else if c.now-k.sent >= keepalive {
			c.send(k.link, alive{})
		}
	}
	c.shrink()
	c.seek()
	if c.drainBy > 0 && (len(c.kids) == 0 || c.now >= c.drainBy) {
		c.leave()
	}
	return tickTime
}

// report tells the parent of branch i how this peer stands.
func (c *tree) report(i int) {
	b := &c.branches[i]
	b.told = c.sole(i)
	free, room := c.below(i)
	c.send(b.parent, alive{sole: b.told, free: free, room: room})
}

// drain asks all children to move: below each other, or to where this peer
// leaves a slot.
func (c *tree) drain(until time.Duration) {
	if c.drainBy > 0 {
		return
	}
	c.drainBy = max(until, 1)
	c.endSearch()
	near, others := c.near(nil)
	to := append(near, others...)
	for i := range c.branches {
		if p := c.branches[i].parent; p != nil {
			to = append(to, p.id)
		}
	}
	for _, k := range c.kids {
		if k.moveBy == 0 {
			c.moveOn(k, to, until-c.now+tickTime)
		}
	}
	if len(c.kids) == 0 {
		c.leave()
	}
}
