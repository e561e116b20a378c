package overlay

// This file answers: whose subtree may an orphan that carries others join without
// closing a loop?
//
// Where many die at once, orphans with whole subtrees behind them look for parents at the
// same moment, and paths say nothing: each names dead peers, and who asked whom has not
// travelled down yet. Two that join each other's subtrees close a loop, which nobody sees
// until their new paths are around it. So objects decide: a relay takes in who carries
// others only once its own parent has passed down something newer than the orphan has. Then
// it does not hang from the orphan; and it is fed, or whoever joined it would have found
// nothing. This is loop freedom by sequence numbers as in destination-sequenced
// distance vectors (Perkins and Bhagwat, SIGCOMM 1994) and AODV (Perkins and Royer,
// WMCSA 1999): a route is only taken from who has a newer one.
//
// Found by simulation: half of 20,000 die, and for two seconds 9,500 of those who live
// hung from each other in a loop, and when one of them noticed, it closed the next.

import (
	"math/bits"
	"time"
)

const (
	// leadObjects of a stripe, one and what jitter adds, are waited for at a relay that does
	// not lead, between leadAtLeast and leadAtMost: who is fed has the next one by then. Not
	// longer, for what the orphan pulls goes down to all behind it.
	leadObjects = 1.5
	leadAtLeast = 100 * time.Millisecond
	leadAtMost  = 600 * time.Millisecond
	// standstill: nothing new in any stripe for so long, and objects order nobody. Paths
	// have the time to close no loop, and a loop costs nothing (a guess).
	standstill = 2 * time.Second
)

// leads says whether a parent passed down to this peer something of m's stripe that is
// newer than all that the sender of m has.
func (p *Peer) leads(m Subscribe) bool {
	if p.cfg.Publisher || p.now-p.edgeAt > standstill {
		return true
	}
	has := uint64(0) // one past its newest
	if m.Epoch == p.epoch {
		has = m.From + uint64(p.cfg.Stripes)*uint64(bits.Len64(m.Have))
	}
	return p.stripes[m.Stripe].live > has
}

// follows notes that a parent passed down object seq of stripe i: this peer may lead now
// who waits for that.
func (p *Peer) follows(i int, seq uint64) {
	s := &p.stripes[i]
	if seq < s.live {
		return
	}
	s.live = seq + 1
	if len(p.parked) > 0 {
		p.answerThose(i, func(k parked) bool { return k.lead && p.leads(*k.sub) })
	}
}

// waitForLead lets n, which carries others, wait for a time until this peer leads it, or,
// when it waited already, until then. It may ask others meanwhile.
func (p *Peer) waitForLead(n *neighbour, m Subscribe, until time.Duration, asks bool) {
	if asks {
		wait := time.Duration(leadObjects / p.stripePace() * float64(time.Second))
		wait = min(max(wait, leadAtLeast), leadAtMost)
		until = p.now + wait
		p.refuse(n, int(m.Stripe), CodeNotYet, min(wait, standWait-1))
	}
	if p.now < until {
		k := waiting(n, m, until)
		k.lead = true
		p.park(k)
	}
}

// bereft says whether this peer carries others in stripe i and looks for another parent
// there.
func (p *Peer) bereft(i int) bool {
	return p.stripes[i].seeks() && p.usedIn(i) > 0
}
