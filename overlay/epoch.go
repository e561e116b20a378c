package overlay

// This file answers: what happens when the stream gets another publisher?

import (
	"cmp"
	"slices"
)

// newEpoch ends the lower epoch: the publisher came back, or another one goes on.
func (p *Peer) newEpoch(epoch, first uint64) {
	p.epoch, p.edge, p.sure = epoch, first, true
	p.nGroups, p.nMarks, p.edgeAt = 0, 0, p.now
	p.stale = allStale
	p.pulls = p.pulls[:0]
	p.parked = slices.DeleteFunc(p.parked, func(k parked) bool { return k.sub == nil })
	for _, n := range p.nbrs {
		n.gone = 0
	}
	p.out = append(p.out, Action{Kind: ActEpoch, Epoch: epoch, Seq: first})
	p.begin(first)
	for i := range p.stripes {
		s := &p.stripes[i]
		if s.parent != 0 {
			s.prog.Start(p.now, p.cfg.Beacon)
			s.trust = trust{from: first}
		}
		for c := range s.children {
			s.children[c].start, s.children[c].unsent = first, first
		}
	}
	p.answerAll()
}

// answerAll answers all parked subscriptions, the worthiest of each stripe in
// turn: those for one stripe must not take the slots of the others.
func (p *Peer) answerAll() {
	turn := make([]int, len(p.stripes))
	var subs []parked
	for _, k := range p.parked {
		if k.sub != nil && p.neighbour(k.from) != nil && p.now < k.until {
			subs = append(subs, k)
		}
	}
	p.parked = p.parked[:0]
	slices.SortStableFunc(subs, func(a, b parked) int {
		return cmp.Compare(p.worth(p.neighbour(b.from), int(b.stripe)), p.worth(p.neighbour(a.from), int(a.stripe)))
	})
	for n := range subs {
		subs[n].turn = turn[subs[n].stripe]
		turn[subs[n].stripe]++
	}
	slices.SortStableFunc(subs, func(a, b parked) int { return cmp.Compare(a.turn, b.turn) })
	for _, k := range subs {
		p.answer(k)
	}
}

// publish makes this peer the publisher, under a higher epoch than any that it
// knows of: it stood by, and the one before is gone or leaves. Its neighbours
// hear at once that a path ends here; among them are the old publisher's children,
// to whom that one named its heir, and who wait here since they lost it.
func (p *Peer) publish(epoch uint64) {
	if p.cfg.Publisher || p.draining || epoch <= p.epoch {
		return
	}
	for i := range p.stripes {
		s := &p.stripes[i]
		p.leaveOld(i)
		for _, id := range []PeerID{s.parent, s.try.to} {
			if id != 0 {
				p.send(id, Unsubscribe{Stripe: uint8(i)})
			}
		}
		s.parent, s.dead, s.try, s.episode = 0, 0, attempt{}, episode{}
		s.orphan, s.fresh, s.leave, s.starved = false, false, 0, 0
		s.standbys, s.siblings, s.uncles = nil, nil, nil
		s.path = []PeerID{p.self}
	}
	p.cfg.Publisher, p.cfg.Standby, p.cfg.Epoch, p.repairAt = true, false, epoch, never
	p.publishAt = max(p.now, 1) // 0 is never
	p.trace(TracePublish, 0, 0, 0, 0)
	p.newEpoch(epoch, 0)
	for _, n := range p.nbrs {
		n.watched = 0
		p.greet(n)
		p.tell(n)
	}
	for i := range p.stripes {
		p.tellPath(i)
	}
}

// tookOver says whether this publisher has taken over just now: then all its
// children have only just asked, and none is dead.
func (p *Peer) tookOver() bool { return p.publishAt != 0 && p.now-p.publishAt < overTime }
