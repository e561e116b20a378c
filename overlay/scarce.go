package overlay

// This file answers: who goes without where there is too little upload for
// everyone?
//
// Stripes shared out to everybody make a picture for nobody. So who gives less
// than it takes and misses a stripe for long gives its others back, and tries
// again later; and a parent that has more children than it can feed, and asked
// them in vain to move, ends what it does for those who give least, a publisher also
// for those from whom nobody hangs.

import (
	"time"

	"github.com/braidway/braidway/failover"
)

const (
	// yieldAfter is for how long a stripe has no parent before its peer gives the
	// others back (a guess: several rounds of asking around).
	yieldAfter = 5 * time.Second
)

// gives says whether a peer with so many slots may give as much as it takes.
func (p *Peer) gives(slots int) bool { return slots >= p.cfg.Stripes }

// resting says whether this peer has given way to others for now.
func (p *Peer) resting() bool { return p.now < p.restUntil }

// yield gives all stripes back when one is missing for long, and pulls do not do for
// a parent.
func (p *Peer) yield() {
	if p.cfg.Publisher || p.cfg.Standby || p.draining || !p.started || p.resting() || p.gives(p.slots) {
		return
	}
	lacking, late, holds := false, false, false
	for i := range p.stripes {
		switch s := &p.stripes[i]; {
		case s.parent == 0:
			lacking = true
			late = late || p.age(s.next) > p.cfg.Buffer
		case !s.episode.on && s.starved == 0: // else its line, or the whole stream, may be the cause
			holds = true
		}
	}
	switch {
	case !lacking:
		if p.lackAt != never {
			p.lackAt, p.wholeAt = never, p.now
		} else if p.now-p.wholeAt > p.rest.Cap {
			p.rest.Reset()
		}
		return
	case p.lackAt == never:
		p.lackAt = p.now
	}
	if !late || !holds || p.now-p.lackAt < yieldAfter {
		return
	}
	wait := p.rest.Next(p.rng)
	p.trace(TraceYield, 0, 0, 0, wait)
	p.restUntil, p.findAt = p.now+wait, p.now+wait
	p.startAt = p.restUntil // as a newcomer
	p.lackAt = p.restUntil
	for i := range p.stripes {
		s := &p.stripes[i]
		if s.try.to != 0 {
			p.send(s.try.to, Unsubscribe{Stripe: uint8(i)})
		}
		if s.parent != 0 {
			p.send(s.parent, Unsubscribe{Stripe: uint8(i)})
		}
		p.leaveOld(i)
		s.parent, s.dead, s.try, s.episode = 0, 0, attempt{}, episode{}
		s.orphan, s.leave, s.starved = false, 0, 0
		for c := range s.children {
			p.push(i, c, 0)
		}
	}
	p.pulls = p.pulls[:0]
	p.repairAt = never
}

// back ends the rest: what went by meanwhile is not asked for.
func (p *Peer) back() {
	p.restUntil = 0
	p.have.GiveUp(p.edge)
	for i := range p.stripes {
		p.stripes[i].front = max(p.stripes[i].front, p.edge)
		p.advance(i)
	}
	p.repairAt = min(p.repairAt, p.now+p.holeDelay())
}

// first returns the child that is to go first of those that may: the one that gives
// least, by its slots or by what a publisher's witnesses say, the latest; of a
// publisher's in the stripe that has most, or whole stripes hang from nobody, and of a
// relay's at home last. i is -1 when there is none.
func (p *Peer) first(may func(i int, c *child) bool) (i, c int) {
	least, last := 0, 0
	i, c = -1, -1
	for o := range p.stripes {
		order := 0
		switch {
		case p.cfg.Publisher:
			order = -p.staying(o)
		case Home(p.self, p.cfg.Stripes) == o:
			order = 1
		}
		for at := len(p.stripes[o].children) - 1; at >= 0; at-- {
			ch := &p.stripes[o].children[at]
			n := p.neighbour(ch.id)
			if n == nil || n.missing {
				continue
			}
			gives := min(int(n.hi.Slots), p.cfg.Stripes)
			if share, known := p.hangs(o, ch.id); known {
				gives = share
			}
			worse := gives < least || gives == least && order < last
			if p.cfg.Publisher {
				worse = order < last || order == last && gives < least
			}
			if may(o, ch) && (i < 0 || worse) {
				i, c, least, last = o, at, gives, order
			}
		}
	}
	return i, c
}

// cut ends what this peer does for up to excess children that give less than they
// take, or from whom nobody hangs, and were asked to move in vain, and returns for how
// many.
func (p *Peer) cut(excess int) (n int) {
	for ; n < excess; n++ {
		i, c := p.first(func(i int, c *child) bool {
			o := p.neighbour(c.id)
			return c.away != 0 && c.away <= p.now && o != nil && (!p.gives(int(o.hi.Slots)) || p.idle(c, i))
		})
		if i < 0 {
			break
		}
		ch := &p.stripes[i].children[c]
		o := p.neighbour(ch.id)
		if p.idle(ch, i) {
			p.disbelieve(o)
		}
		p.removeChild(i, o.id)
		p.refuse(o, i, CodeBusy, time.Second)
	}
	for i := range p.stripes { // whoever could not move and need not stays
		for c := range p.stripes[i].children {
			if ch := &p.stripes[i].children[c]; ch.away <= p.now {
				ch.away = 0
			}
		}
	}
	return n
}

// newRest is how long a peer rests that gave way, the next time longer (a guess:
// several times what it takes to find parents where there are some).
func newRest() failover.Backoff {
	return failover.Backoff{Base: 8 * time.Second, Cap: time.Minute, Floor: 4 * time.Second}
}
