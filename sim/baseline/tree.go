package baseline

// This file answers: how does a peer get, keep and replace its parents, and
// whom does it take as a child? single-tree runs it with one branch,
// dual-path with two.

import (
	"cmp"
	"math"
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

// worth orders children: one that has another parent comes last, then one
// that cannot have children. A full parent asks its least worthy child to move
// for a worthier newcomer.
func worth(sole, giver bool) int {
	switch {
	case !sole:
		return 0
	case !giver:
		return 1
	}
	return 2
}

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
	polishAt time.Duration // when branches that share peers are looked at again
	polishBy time.Duration // until then a better parent is looked for
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

// The parent's side.

// active is how many children stay, in branch t and in all.
func (c *tree) active(t int) (in, all int) {
	for _, k := range c.kids {
		if k.moveBy == 0 {
			all++
			if k.branch == t {
				in++
			}
		}
	}
	return in, all
}

// room is whether a newcomer of that worth can come into branch t, and who
// would have to move for it.
func (c *tree) room(t, newcomer int) (victim *kid, ok bool) {
	in, all := c.active(t)
	most := c.cfg.copies()
	share := most
	if c.cfg.Publisher && len(c.branches) > 1 && most > 1 {
		share = most - most/2 // both branches need a root
	}
	if all < most && in < share {
		return nil, true
	}
	if all > most || len(c.kids) > all { // one at a time
		return nil, false
	}
	for _, k := range c.kids {
		if w := worth(k.sole, k.giver); k.branch == t && w < newcomer && (victim == nil || w < worth(victim.sole, victim.giver)) {
			victim = k
		}
	}
	return victim, victim != nil
}

// admits adds to room what has nothing to do with it: loops above all.
func (c *tree) admits(l *link, t, newcomer int, epoch uint64) (victim *kid, ok bool) {
	if c.drainBy > 0 || epoch > c.epoch || c.parents(l) || c.chosen == l || c.child(l) != nil {
		return nil, false
	}
	if p := c.path(t); p == nil || slices.Contains(p, l.id) {
		return nil, false
	}
	return c.room(t, newcomer)
}

// near names children: first those with room of their own, then those with
// room below them, and others only when there is none.
func (c *tree) near(not *link) (near, others []overlay.PeerID) {
	ks := slices.DeleteFunc(slices.Clone(c.kids), func(k *kid) bool { return k.link == not || k.moveBy > 0 || !k.giver })
	c.rng.Shuffle(len(ks), func(i, j int) { ks[i], ks[j] = ks[j], ks[i] })
	slices.SortStableFunc(ks, func(a, b *kid) int { return cmp.Compare(min(b.free, 1), min(a.free, 1)) })
	for _, k := range ks {
		if k.room > 0 && len(near) < nearMost {
			near = append(near, k.id)
		} else if len(others) < nearMost {
			others = append(others, k.id)
		}
	}
	if len(near) > 0 {
		others = nil
	}
	return near, others
}

func (c *tree) asked(l *link, m ask) {
	var o offer
	open := false
	for t := range c.branches {
		if _, ok := c.admits(l, t, worth(m.sole, m.giver), m.epoch); ok {
			o.routes[t], open = c.path(t), true
		}
	}
	if !open {
		o.near, o.others = c.near(l)
	}
	c.send(l, o)
}

func (c *tree) joining(l *link, m join) {
	if m.branch >= len(c.branches) {
		return
	}
	victim, ok := c.admits(l, m.branch, worth(m.sole, m.giver), m.epoch)
	if !ok {
		var o offer
		o.near, o.others = c.near(l)
		c.send(l, o)
		return
	}
	if victim != nil {
		near, _ := c.near(l)
		c.moveOn(victim, append([]overlay.PeerID{l.id}, near...), moveTime)
		if !victim.sole { // the other parent carries on: no need to serve both
			c.drop(victim.link)
		}
	}
	k := &kid{link: l, branch: m.branch, sole: m.sole, giver: m.giver}
	l.hold++
	if c.begun {
		// Live from the latest group that is here whole; a rejoin from where it
		// stopped, as far back as anybody plays.
		k.start = max(c.group(c.edge()-min(c.edge(), 1)), c.have.Base())
		if m.begun && m.epoch == c.epoch {
			k.start = max(m.from, c.have.Base(), c.edge()-min(c.edge(), c.cfg.objectsIn(c.cfg.Buffer+silence)))
		}
	}
	c.kids = append(c.kids, k)
	c.send(l, accept{branch: k.branch, epoch: c.epoch, start: k.start, route: c.path(k.branch)})
	c.trace(overlay.TraceAccept, l.id, k.branch, 0, 0)
	for seq := k.start; c.begun && seq < c.edge(); seq++ {
		if c.holds(seq) {
			c.give(overlay.ActForward, l, seq, true)
		}
	}
}

func (c *tree) moveOn(k *kid, to []overlay.PeerID, in time.Duration) {
	k.moveBy = c.now + in
	c.send(k.link, move{to: to})
	c.trace(overlay.TracePush, k.id, k.branch, 0, 0)
}

// tell passes the path in branch t down.
func (c *tree) tell(t int) {
	p := c.path(t)
	for _, k := range c.kids {
		if k.branch == t {
			c.send(k.link, route{branch: t, route: p})
		}
	}
}

// below is the room at this peer and under it in branch t.
func (c *tree) below(t int) (free, room int) {
	_, all := c.active(t)
	free = max(0, c.cfg.copies()-all)
	room = free
	for _, k := range c.kids {
		if k.branch == t {
			room += k.room
		}
	}
	return free, min(room, math.MaxUint8)
}

// The child's side.

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

func (c *tree) connected(l *link) {
	for _, p := range c.probes {
		if p.link == l && p.offer == nil {
			c.askFor(l)
		}
	}
}

func (c *tree) askFor(l *link) {
	c.send(l, ask{epoch: c.epoch, sole: c.soleNow(), giver: c.giver()})
}

// soleNow is whether the parent looked for will be the only one.
func (c *tree) soleNow() bool {
	t, _, _ := c.wanted()
	return c.sole(t)
}

func (c *tree) look() { c.seek() }

// wanted says which branch needs a parent, -1 meaning any, and how many peers
// its path may share with the other one's, at most.
func (c *tree) wanted() (t, limit int, ok bool) {
	if c.cfg.Publisher || c.drainBy > 0 {
		return 0, 0, false
	}
	without := 0
	for i := range c.branches {
		if c.branches[i].parent == nil {
			t, without = i, without+1
		}
	}
	if without > 1 {
		return -1, math.MaxInt, true
	}
	if without == 1 {
		return t, math.MaxInt, true
	}
	for i := range c.branches {
		if c.branches[i].leave {
			return i, math.MaxInt, true
		}
	}
	if n := c.shared(); n > 0 && c.now < c.polishBy {
		return len(c.branches) - 1, n - 1, true
	}
	return 0, 0, false
}

// seek goes on with the search for a parent, if one is wanted.
func (c *tree) seek() {
	t, limit, ok := c.wanted()
	if !ok {
		c.endSearch()
		return
	}
	if c.chosen != nil {
		if c.now < c.chosenAt+joinTime {
			return
		}
		c.release(c.chosen)
	}
	waiting := 0
	for i := len(c.probes) - 1; i >= 0; i-- {
		if p := c.probes[i]; p.offer == nil && c.now > p.at+askTime {
			c.release(p.link)
		} else if p.offer == nil {
			waiting++
		}
	}
	if len(c.probes) > waiting && (waiting == 0 || c.now >= c.pickAt) && c.pick(t, limit) {
		return
	}
	for waiting < probes {
		id := c.next()
		if id == 0 {
			break
		}
		l := c.link(id)
		if l != nil && (c.parents(l) || c.child(l) != nil || c.probing(l) != nil) {
			continue
		}
		if l == nil {
			l = c.dial(id)
		} else if l.up {
			c.askFor(l)
		}
		l.hold++
		c.probes = append(c.probes, &probe{link: l, at: c.now})
		waiting++
	}
	if waiting == 0 {
		c.find()
	}
}

func (c *tree) probing(l *link) *probe {
	for _, p := range c.probes {
		if p.link == l {
			return p
		}
	}
	return nil
}

// release ends the probe of l, and the connection unless it is for more.
func (c *tree) release(l *link) {
	for i, p := range c.probes {
		if p.link == l {
			c.probes = slices.Delete(c.probes, i, i+1)
			if l.hold--; l.hold <= 0 {
				c.hangUp(l)
			}
			break
		}
	}
	if c.chosen == l {
		c.chosen = nil
	}
}

func (c *tree) endSearch() {
	for len(c.probes) > 0 {
		c.release(c.probes[0].link)
	}
}

func (c *tree) offered(l *link, m offer) {
	c.prefer(m.near...)
	c.learn(m.others...)
	p := c.probing(l)
	if p == nil {
		return
	}
	if m.routes[0] == nil && m.routes[1] == nil || c.chosen == l {
		c.release(l) // full, or refused
	} else {
		first := true
		for _, q := range c.probes {
			first = first && q.offer == nil
		}
		if p.offer = &m; first {
			c.pickAt = c.now + pickTime
		}
		if len(m.routes[0]) == 1 || len(m.routes[1]) == 1 { // the publisher: there is no better one
			c.pickAt = c.now
		}
	}
	c.seek()
}

// pick joins the best offer: few peers shared with the other branch's path,
// then a short path; false when none will do.
func (c *tree) pick(want, limit int) bool {
	var best *probe
	var at, bestShared, bestLen int
	for _, p := range c.probes {
		if p.offer == nil || c.parents(p.link) || c.child(p.link) != nil {
			continue
		}
		for n := range c.branches {
			// Newcomers begin in either branch, by id, so that both fill.
			t := (n + int(c.self>>32)) % len(c.branches)
			r := p.offer.routes[t]
			if r == nil || want >= 0 && t != want || slices.Contains(r, c.self) {
				continue
			}
			shared := c.sharedWith(t, r)
			if shared <= limit && (best == nil || shared < bestShared || shared == bestShared && len(r) < bestLen) {
				best, at, bestShared, bestLen = p, t, shared, len(r)
			}
		}
	}
	if best == nil {
		for i := len(c.probes) - 1; i >= 0; i-- {
			if c.probes[i].offer != nil {
				c.release(c.probes[i].link)
			}
		}
		return false
	}
	c.chosen, c.chosenAt = best.link, c.now
	c.send(best.link, join{branch: at, epoch: c.epoch, from: c.resume(at), begun: c.begun, sole: c.sole(at), giver: c.giver()})
	return true
}

// resume is where the parent to be of branch t is to begin: at the first hole
// that can still be played, or of the last moment only, if another parent
// carries on until then.
func (c *tree) resume(t int) uint64 {
	back, edge := c.cfg.Buffer, c.edge()
	if !c.sole(t) || c.branches[t].parent != nil {
		back = min(back, lateAge)
	}
	for _, hole := range c.have.AppendMissing(nil, edge-min(edge, c.cfg.objectsIn(back)), edge, 1, 0, 1) {
		return hole
	}
	return edge
}

func (c *tree) accepted(l *link, m accept) {
	if c.chosen != l || m.branch >= len(c.branches) {
		if !c.parents(l) && c.child(l) == nil {
			c.release(l)
			c.hangUp(l)
		}
		return
	}
	l.hold++
	c.release(l)
	b := &c.branches[m.branch]
	switch old := b.parent; {
	case old != nil:
		c.trace(overlay.TraceMove, l.id, m.branch, 0, 0)
		b.parent = nil
		c.hangUp(old)
	case b.was:
		c.trace(overlay.TraceSwitch, l.id, m.branch, 0, c.now-b.since)
	default:
		c.trace(overlay.TraceJoin, l.id, m.branch, 0, 0)
	}
	*b = branch{parent: l, route: m.route, since: c.now, was: true, told: c.sole(m.branch)}
	if m.epoch > 0 && (!c.begun || m.epoch > c.epoch) {
		c.renew()
		c.begin(m.epoch, m.start)
	}
	c.settled()
	if slices.Contains(m.route, c.self) {
		c.loop(m.branch)
		return
	}
	c.tell(m.branch)
	c.seek()
}

func (c *tree) rerouted(l *link, m route) {
	if m.branch >= len(c.branches) || c.branches[m.branch].parent != l {
		return
	}
	b := &c.branches[m.branch]
	if b.route != nil && m.route == nil {
		b.since = c.now
	}
	if b.route = m.route; slices.Contains(m.route, c.self) {
		c.loop(m.branch)
		return
	}
	c.tell(m.branch)
}

// loop lets go of a parent that hangs from this peer.
func (c *tree) loop(t int) {
	l := c.branches[t].parent
	c.trace(overlay.TraceLoop, l.id, t, 0, 0)
	c.drop(l)
}

// drop closes l and what it was for.
func (c *tree) drop(l *link) {
	c.hangUp(l)
	c.lost(l)
}

func (c *tree) lost(l *link) {
	c.release(l)
	c.kids = slices.DeleteFunc(c.kids, func(k *kid) bool { return k.link == l })
	for i := range c.branches {
		if b := &c.branches[i]; b.parent == l {
			c.trace(overlay.TraceOrphan, l.id, i, 0, 0)
			*b = branch{since: c.now, was: true}
			c.tell(i)
			c.book = c.book[:0]
			c.settled()
		}
	}
	c.seek()
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
	c.polish()
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

// shrink asks children to move when there are fewer slots than before.
func (c *tree) shrink() {
	_, all := c.active(0)
	for i := len(c.kids) - 1; i >= 0 && all > c.cfg.copies(); i-- {
		if k := c.kids[i]; k.moveBy == 0 {
			near, _ := c.near(k.link)
			c.moveOn(k, near, moveTime)
			all--
		}
	}
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
