package overlay

// This file answers: how does a peer leave without anyone noticing?

import "time"

// maxDrain bounds a drain.
const maxDrain = 10 * time.Minute

// drain tells every neighbour, and serves the children until they have moved. A
// publisher after whom nobody publishes has nothing more to serve.
func (p *Peer) drain(wait time.Duration) {
	wait = min(max(wait, 0), maxDrain)
	if p.drained {
		return // it has left already
	}
	if p.draining {
		p.drainAt = min(p.drainAt, p.now+wait)
		return
	}
	p.draining, p.drainAt = true, p.now+wait
	for _, n := range p.nbrs {
		m := GoAway{Stripe: AllStripes, Wait: wait}
		for i := range p.stripes {
			if p.childAt(i, n.id) >= 0 {
				m.Alternatives = p.alternatives(i, n.id)
				break
			}
		}
		p.send(n.id, m)
	}
	if p.cfg.Publisher && p.heir == 0 { // its children have nowhere to go
		p.finishDrain()
		return
	}
	p.checkDrained()
}

// checkDrained ends the drain when the last child has left.
func (p *Peer) checkDrained() {
	if p.draining && p.childless() {
		p.finishDrain()
	}
}

func (p *Peer) childless() bool {
	for i := range p.stripes {
		if len(p.stripes[i].children) > 0 {
			return false
		}
	}
	return true
}

// finishDrain leaves the parents and says that nothing holds this peer any more.
func (p *Peer) finishDrain() {
	if p.drained {
		return
	}
	p.drained, p.drainAt = true, never
	for i := range p.stripes {
		s := &p.stripes[i]
		p.leaveOld(i)
		if s.parent != 0 {
			p.send(s.parent, Unsubscribe{Stripe: uint8(i)})
			s.parent = 0
		}
		s.episode, s.try = episode{}, attempt{}
		for len(s.children) > 0 {
			c := s.children[len(s.children)-1].id
			s.children = s.children[:len(s.children)-1]
			p.out = append(p.out, Action{Kind: ActClose, Peer: c, Stripe: uint8(i)})
		}
	}
	p.out = append(p.out, Action{Kind: ActDrained})
}
