package overlay

// This file answers: who is let in first where many come at once?
//
// When half of all die, those whose parents were near the root come to the same few
// doors: some have hundreds of viewers behind them, most have nobody. Whoever came
// first took the places, and what was owed to them kept those from being fed who
// carried the rest. (Found by simulation: in one of sixteen networks of 1,000, where
// all four of the publisher's children in a stripe died, nobody alive played on.)
//
// So who is turned away while it is asked which children live waits at the door, and
// is let in by what hangs from it; and who carries nobody lets those go first who do.

import (
	"cmp"
	"slices"
	"time"
)

// waiting returns subscription m of n as it is parked.
func waiting(n *neighbour, m Subscribe, until time.Duration) parked {
	return parked{from: n.id, stripe: m.Stripe, sub: &m, until: until}
}

// asks says whether k is the subscription of peer from to stripe i.
func (k *parked) asks(from PeerID, i int) bool {
	return k.sub != nil && k.from == from && int(k.stripe) == i
}

// holdTime is for how long who carries others waits for a place: most of what its
// viewers' buffers hold (a guess).
const holdTime = 1500 * time.Millisecond

// hold lets n wait until the roll call under way ends, or as long as one takes; one
// that waited already, until then. Who asks is told so, and may ask others meanwhile.
func (p *Peer) hold(n *neighbour, m Subscribe, until time.Duration, asks bool) {
	if p.rollEnd == never {
		p.rollEnd = p.now + lifeTime
	}
	if until == 0 {
		until = p.now + holdTime
	}
	if asks {
		p.refuse(n, int(m.Stripe), CodeNotYet, max(p.rollEnd-p.now, 0)+lifeTime/4)
	}
	p.park(waiting(n, m, until))
}

// waitsUntil returns until when n waits at the door for stripe i; 0: it does not. Who
// asks again goes on waiting. (Found by simulation: one that carried others asked a
// publisher again every half a second, for two seconds, and never had waited long.)
func (p *Peer) waitsUntil(n *neighbour, i int) time.Duration {
	for _, k := range p.parked {
		if k.asks(n.id, i) && p.now < k.until {
			return k.until
		}
	}
	return 0
}

// afterOthers says whether n, an orphan that carries nobody, is to wait at this
// publisher's door, though there may be room: fewer than half of the places of stripe
// i are held by those who carry others. To one that has just taken over all come.
func (p *Peer) afterOthers(n *neighbour, i int, behind uint8) bool {
	if !p.cfg.Publisher || p.tookOver() || p.carries(n, i, behind) {
		return false
	}
	carry := p.living(i, func(c *child, o *neighbour) bool { return p.carries(o, i, c.behind) })
	return carry < max(1, p.share()/2)
}

// carries says whether n, which says that it has so many children behind it in
// stripe i, carries others there, or can.
func (p *Peer) carries(n *neighbour, i int, behind uint8) bool {
	return behind > 0 && n.hi.Slots > 0 || p.able(n.id, int(n.hi.Slots), i)
}

// weight estimates how many wait behind k, a parked subscription, in no unit: as
// many times its children as a tree of two children each has peers below them. What
// it says is a claim: it counts up to the slots that it has, and up to maxWorth.
func (p *Peer) weight(k parked) int {
	n := p.neighbour(k.from)
	if n == nil {
		return 0
	}
	st, ok := n.of(int(k.stripe))
	if !ok {
		return 0
	}
	w := 2 * n.counts(int(k.sub.Behind))
	if p.able(n.id, int(n.hi.Slots), int(k.stripe)) {
		w++
	}
	return w << 16 >> min(st.Depth, 16)
}

// answerParked decides again about the subscriptions that waited for stripe i, in
// the order of what hangs from them.
func (p *Peer) answerParked(i int) {
	p.answerThose(i, func(parked) bool { return true })
}

// answerThose decides about those of them that are such.
func (p *Peer) answerThose(i int, such func(parked) bool) {
	var again []parked
	p.parked = slices.DeleteFunc(p.parked, func(k parked) bool {
		if k.sub != nil && int(k.stripe) == i && such(k) {
			again = append(again, k)
			return true
		}
		return false
	})
	slices.SortStableFunc(again, func(a, b parked) int { return cmp.Compare(p.weight(b), p.weight(a)) })
	for _, k := range again {
		p.answer(k)
	}
}

// answer decides about a parked subscription.
func (p *Peer) answer(k parked) {
	if n := p.neighbour(k.from); n != nil && p.now < k.until+lifeTime { // the last look may come a little late
		p.subscribe(n, *k.sub, k.until)
	}
}

// patience is for how long who carries others waits at a publisher's door before it is
// taken as one that finds no parent: others have found somebody by then (a guess).
const patience = 500 * time.Millisecond

// waitedLong says whether n, which carries others, has waited at this publisher's door,
// where it may until a time, 0: it does not, for so long that it is likely what all
// those hang from who found each other meanwhile.
func (p *Peer) waitedLong(n *neighbour, m Subscribe, until time.Duration) bool {
	return p.cfg.Publisher && until != 0 && p.now > until-holdTime+patience && p.carries(n, int(m.Stripe), m.Behind)
}

// waits says whether this peer, which carries others in stripe i, stays at the doors
// there until the parent that it found has brought something of what it owes. Where
// half have died, orphans find each other sooner than a busy publisher answers, and
// whoever let one of them in would have done so for nothing. (Found by simulation:
// those from whom most hung were let in, and had left.)
func (p *Peer) waits(i int) bool { return !p.stripes[i].trust.paid && p.usedIn(i) > 0 }

// standWait is what NOT_YET says where there is no stream yet, longer than a roll call
// takes: at the door of who stands by for the publisher its children wait, whatever
// parent they find meanwhile.
const standWait = 500 * time.Millisecond

// withdraw leaves the doors at which this peer waits for stripe i: it has a parent that
// will do.
func (p *Peer) withdraw(i int) {
	for _, n := range p.nbrs {
		if n.promised&^n.stands&(1<<i) != 0 {
			n.promised &^= 1 << i
			p.send(n.id, Unsubscribe{Stripe: uint8(i)})
		}
	}
}
