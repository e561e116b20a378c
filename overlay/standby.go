package overlay

// This file answers: who is ready to replace the parent of each stripe?
//
// Measured in a prototype, half of 2,000 peers dying at once: with standbys from
// the tree itself, the grandparent and the parent's siblings, 99.7 % of the
// survivors lose nothing at 2 s of buffer; from the view alone 3 %.

import (
	"cmp"
	"slices"
	"time"
)

const (
	// dialsPerLook bounds the connections opened for standbys in one look.
	dialsPerLook = 4
	// extraWatched is how many more than the wanted standbys are watched in a stripe.
	extraWatched = 2
)

// option is a possible standby.
type option struct {
	id    PeerID
	order int
	far   float64 // hops from the publisher, and what its round trip weighs
}

// chooseStandbys looks over the standbys of all stripes: asks for the paths of
// those who could be, and connects to those whom the tree names. A publisher has witnesses
// instead.
func (p *Peer) chooseStandbys() {
	if p.drained {
		return
	}
	if p.cfg.Publisher {
		p.chooseWitnesses()
		return
	}
	masks := make(map[PeerID]uint32)
	dials := dialsPerLook
	for i := range p.stripes {
		if p.stripes[i].parent == 0 && !p.stripes[i].orphan {
			continue
		}
		p.pickStandbys(i)
		dials = p.watchOptions(i, masks, dials)
	}
	few := len(p.nbrs) <= p.crowded()
	for _, n := range p.nbrs {
		if masks[n.id] == 0 && few && !p.related(n) { // who watches is not hung up on
			masks[n.id] = 1 << Home(n.id, p.cfg.Stripes)
		}
		p.watch(n, masks[n.id])
	}
}

// watchShare of the Watches that a neighbour bears are used: some come closer together
// than they went out.
const watchShare = 0.75

// watchBorne takes a Watch out of what n bears, and says whether it was left: of the burst
// that it bears so much is used.
func (p *Peer) watchBorne(n *neighbour, burst float32) bool {
	return n.watches.take(p.now, 1, watchShare*paces[kindWatch].each, burst*paces[kindWatch].burst)
}

// watch asks n for its paths in the stripes of mask, unless it has been; when it has been
// asked as often as it bears, later. (Found by simulation: while paths change all around,
// who could be a standby does too, and one honest peer banned another for its Watches.)
func (p *Peer) watch(n *neighbour, mask uint32) {
	if n.ready && n.watched != mask && p.watchBorne(n, watchShare) {
		n.watched = mask
		p.send(n.id, Watch{Mask: mask})
	}
}

// kinOf returns the peers whom the tree names for stripe i, best first.
func (p *Peer) kinOf(i int) []PeerID {
	s := &p.stripes[i]
	var ids []PeerID
	if id := p.grandparent(i); id != 0 {
		ids = append(ids, id)
	}
	ids = append(ids, s.uncles...)
	if len(s.path) == 2 { // under the publisher there is only the own row
		ids = append(ids, s.siblings...)
	}
	return ids
}

// watchOptions marks in masks whom to watch for stripe i, and connects to kin.
func (p *Peer) watchOptions(i int, masks map[PeerID]uint32, dials int) int {
	want := p.cfg.Standbys + extraWatched
	watch := func(n *neighbour) {
		if want > 0 && p.eligible(n, i) && masks[n.id]&(1<<i) == 0 {
			masks[n.id] |= 1 << i
			want--
		}
	}
	for _, id := range p.stripes[i].standbys {
		if n := p.neighbour(id); n != nil {
			watch(n)
		}
	}
	for _, id := range p.kinOf(i) {
		if n := p.neighbour(id); n != nil {
			watch(n)
		} else if dials > 0 && (len(p.stripes[i].standbys) < p.cfg.Standbys || p.nextToRoot(i, id)) && p.meet(id) {
			dials--
		}
	}
	for _, n := range p.nbrs {
		if n.free > 0 {
			watch(n)
		}
	}
	for _, n := range p.nbrs {
		watch(n)
	}
	return dials
}

// nextToRoot says whether id is the publisher, and this peer, who carries others in
// stripe i, the child of a child of it. Should all of those die, only the publisher has
// what the stripe's other peers lack. (Found by simulation: half of 10,000 die, and the
// one from whom all of a stripe hung first had to dial, among all who then did.)
func (p *Peer) nextToRoot(i int, id PeerID) bool {
	return id == p.grandparent(i) && id == p.stripes[i].path[0] && p.usedIn(i) > 0
}

// pickStandbys chooses for stripe i among the neighbours whose path is known:
// those whom the tree names first, then by depth and distance, since a hedge and the
// switch take a round trip each. (By depth alone, gaps after deaths were a tenth longer.)
func (p *Peer) pickStandbys(i int) {
	s := &p.stripes[i]
	kin := p.kinOf(i)
	var opts []option
	for _, n := range p.nbrs {
		if !p.canStandBy(n, i) {
			continue
		}
		o := option{id: n.id, far: 1}
		if st, ok := n.of(i); ok && !n.hi.Publisher {
			o.far = float64(st.Depth)
		}
		o.far += n.trip()
		if !slices.Contains(kin, n.id) {
			o.order = 1
		}
		if n.free == 0 {
			o.order += 2
		}
		if p.doubts(n) > 0 {
			o.order += 4
		}
		if p.now-n.heard > statusEvery+statusEvery/2 { // its Status is overdue
			o.order += 8
		}
		opts = append(opts, o)
	}
	slices.SortFunc(opts, func(a, b option) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.far, b.far), cmp.Compare(a.id^p.self, b.id^p.self))
	})
	s.standbys = s.standbys[:0]
	for _, o := range opts[:min(len(opts), p.cfg.Standbys)] {
		s.standbys = append(s.standbys, o.id)
	}
}

// canStandBy says whether n could replace the parent of stripe i when that dies.
func (p *Peer) canStandBy(n *neighbour, i int) bool {
	s := &p.stripes[i]
	if n.id == s.parent || n.quiet || !p.eligible(n, i) {
		return false
	}
	if n.hi.Publisher {
		return true
	}
	st, ok := n.of(i)
	if !ok || !st.Fed || len(st.Path) == 0 {
		return false
	}
	// Behind the publisher everybody is: that cannot be avoided.
	return s.parent == 0 || s.parent == st.Path[0] || !slices.Contains(st.Path, s.parent)
}

// kin takes what the parent says about who else is in the tree.
func (p *Peer) kin(n *neighbour, m Kin) {
	i := int(m.Stripe)
	if i >= len(p.stripes) {
		p.ban(n.id)
		return
	}
	s := &p.stripes[i]
	if s.parent != n.id {
		return
	}
	own := func(ids []PeerID) []PeerID {
		ids = slices.Clone(ids[:min(len(ids), maxAlternatives)])
		return slices.DeleteFunc(ids, func(id PeerID) bool { return id == p.self || id == 0 })
	}
	old := s.siblings
	s.siblings, s.uncles = own(m.Siblings), own(m.Uncles)
	p.named(s.siblings, n.id, false)
	p.named(s.uncles, n.id, false)
	if !slices.Equal(old, s.siblings) && len(s.children) > 0 {
		s.kinAt = min(s.kinAt, p.now+p.jitter(kinEvery)) // our siblings are their uncles
	}
	p.standAt = min(p.standAt, p.now+p.jitter(50*time.Millisecond))
}

// standbysChanged follows a standby's new status.
func (p *Peer) standbysChanged(n *neighbour) {
	if n.watched == 0 {
		return
	}
	for i := range p.stripes {
		if n.watched&(1<<i) != 0 {
			is := slices.Contains(p.stripes[i].standbys, n.id)
			if is != p.canStandBy(n, i) && (is || len(p.stripes[i].standbys) < p.cfg.Standbys) {
				p.standAt = min(p.standAt, p.now)
				return
			}
		}
	}
}
