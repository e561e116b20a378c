package overlay

// This file answers: what happens when a parent falls silent or stands still?
//
// Silent (gone, or its link is): at the first suspicion what is missing is
// pulled from the standby; when the silence lasts, the standby is subscribed
// from the first missing object; when it accepts, the old parent is dropped.
// One episode and its one timer own all of this. Standing still (starved): it
// repairs itself; what is due is pulled elsewhere, and it is left when that lasts.

import (
	"slices"
	"time"

	"github.com/braidway/braidway/failover"
)

const (
	// episodeTries bounds the candidates asked in one episode; then the stripe
	// has no parent and the timer of seek goes on.
	episodeTries = 8
	// hedgeAhead is how many objects beyond the known edge a hedge asks for:
	// about the time that a subscription takes.
	hedgeAhead = 3
	// rollPause is the least time between two roll calls (a guess).
	rollPause = 300 * time.Millisecond
)

// watchParent runs the episode of stripe i.
func (p *Peer) watchParent(i int) {
	s := &p.stripes[i]
	if s.parent == 0 {
		return
	}
	if !s.episode.on {
		if p.now < s.prog.SuspectAt(p.progress()) {
			return
		}
		silence := p.now - s.prog.Last()
		p.alarm = p.now
		s.episode = episode{on: true, since: p.now, next: p.now + p.confirm(silence),
			wait: failover.Backoff{Base: 200 * time.Millisecond, Cap: 2 * time.Second, Floor: 30 * time.Millisecond}}
		p.stats.Suspects++
		p.trace(TraceSuspect, s.parent, i, 0, silence)
		p.hedge(i)
		if p.inTrouble() {
			p.callRoll()
		}
		return
	}
	if p.now < s.episode.next {
		return
	}
	if s.try.to != 0 && s.try.why != whyMove {
		s.episode.next = s.try.at
		return
	}
	s.try = attempt{}
	if s.episode.tries >= episodeTries {
		p.orphaned(i)
		return
	}
	s.episode.tries++
	if p.subscribeBest(i, whySwitch, s.parent) {
		s.episode.next = s.try.at
		return
	}
	p.widen()
	s.episode.next = p.now + s.episode.wait.Next(p.rng)
}

// seeks says whether another parent is looked for, since the one that there was is silent
// or gone.
func (s *stripe) seeks() bool { return s.orphan || s.episode.on }

// confirm is how long a parent that is suspect after so much silence stays silent
// before its standby is subscribed: where signs of life come unevenly, and the
// bound is longer, that takes longer too. Hedges bring meanwhile what is missing.
func (p *Peer) confirm(silence time.Duration) time.Duration {
	return min(max(silence, confirmTime), 4*confirmTime)
}

// answered: n, which is alive, sent a hedged object or a Status while stripe i
// looks for a parent. When many die at once, half of the candidates are dead
// too: the first that answers is asked, instead of one that has not.
func (p *Peer) answered(n *neighbour, i int) {
	s := &p.stripes[i]
	if !s.episode.on || s.episode.tries == 0 && p.now < s.episode.next || s.try.to == n.id || !p.canStandBy(n, i) ||
		n.free == 0 && !slices.Contains(s.standbys, n.id) || !n.breaker.Allow(p.now) {
		return
	}
	if s.try.to != 0 {
		if o := p.neighbour(s.try.to); o != nil {
			if o.heard > s.episode.since {
				return // that one is alive too, and was asked first
			}
			o.promised |= 1 << i
		}
		s.try = attempt{}
	}
	p.ask(n, i, whySwitch)
	s.episode.next = s.try.at
}

// callRoll asks all neighbours for a sign of life: more than one parent is
// silent, a standby does not answer, or somebody needs a place that a dead child
// may hold. Who does not answer is neither asked for a stripe nor fed.
func (p *Peer) callRoll() { p.call(func(*neighbour) bool { return true }) }

// callChildren asks the children only: one of them may hold a place and be dead.
// Whoever is turned away can bring that about, again and again.
func (p *Peer) callChildren() { p.call(func(n *neighbour) bool { return p.isChild(n.id) }) }

func (p *Peer) call(whom func(*neighbour) bool) {
	if p.now < p.rollAt || p.tookOver() {
		return
	}
	p.rollAt = p.now + rollPause
	for _, n := range p.nbrs {
		if n.ready && !n.away && p.now-n.heard > confirmTime && whom(n) {
			p.callOn(n)
		}
	}
}

// callOn asks n for a sign of life.
func (p *Peer) callOn(n *neighbour) {
	if n.asked == 0 {
		n.asked = p.now
	}
	switch {
	case !p.silent(n):
		p.rollEnd = min(p.rollEnd, p.answerDue(n))
	case !p.presumedDead(n):
		p.rollEnd = min(p.rollEnd, p.deadAt(n))
	}
	p.watchBorne(n, 1)                   // rollPause leaves it some
	p.send(n.id, Watch{Mask: n.watched}) // is answered by a Status at once
}

// answerDue is by when n, which was called on, should have answered.
func (p *Peer) answerDue(n *neighbour) time.Duration { return n.asked + n.within(lifeTime) }

// answeredLate learns how late n answers that was called on: at once what is later than
// before, slowly what is not.
func (p *Peer) answeredLate(n *neighbour) {
	late := min(max(p.now-n.asked-n.within(0), 0), maxSlow)
	p.slow += max(late-p.slow, -p.slow/8)
}

// deadAt is when n, which was called on and does not answer, is taken for dead: where
// others answered late just now, this peer's own line may be why. (Found by simulation: a
// publisher whose uplink was full took its children for dead, gave their places away, and
// had half as many again when they answered.)
func (p *Peer) deadAt(n *neighbour) time.Duration {
	return n.asked + n.within(max(lifeTime, p.slow+p.slow/2))
}

func (p *Peer) presumedDead(n *neighbour) bool { return n.asked != 0 && p.now >= p.deadAt(n) }

// silent says whether n did not answer when it was called on.
func (p *Peer) silent(n *neighbour) bool { return n.asked != 0 && p.now >= p.answerDue(n) }

// endRoll frees the places of the children that did not answer, and lets those in
// who wait for them.
func (p *Peer) endRoll() {
	p.rollEnd = never
	for _, n := range p.nbrs {
		switch {
		case n.asked == 0 || n.missing:
		case p.presumedDead(n):
			p.miss(n)
		case p.silent(n): // that is for the next roll call
		default:
			p.rollEnd = min(p.rollEnd, p.answerDue(n))
		}
	}
	for i := range p.stripes {
		p.answerParked(i)
	}
	if !p.cfg.Publisher {
		p.widen()
	}
}

// inTrouble says whether parents of two stripes are silent.
func (p *Peer) inTrouble() bool {
	var one PeerID
	for i := range p.stripes {
		if s := &p.stripes[i]; s.episode.on && s.parent != 0 {
			if one != 0 && s.parent != one {
				return true
			}
			one = s.parent
		}
	}
	return false
}

// cancelEpisode: the suspected parent came back before it was replaced.
func (p *Peer) cancelEpisode(i int) {
	s := &p.stripes[i]
	p.stats.Cancels++
	p.trace(TraceCancel, s.parent, i, 0, p.now-s.episode.since)
	s.prog.Doubt(p.now)
	if s.try.to != 0 && s.try.why == whySwitch {
		p.send(s.try.to, Unsubscribe{Stripe: uint8(i)})
		s.try = attempt{}
	}
	s.episode = episode{}
	p.withdraw(i)
}

// giveUpParent ends the subscription to the failed parent. It stays known, and
// is worth less for a while.
func (p *Peer) giveUpParent(i int) {
	s := &p.stripes[i]
	if n := p.neighbour(s.parent); n != nil {
		p.blame(n)
		p.send(n.id, Unsubscribe{Stripe: uint8(i)})
	}
	p.trace(TraceGone, s.parent, i, 0, p.now-s.prog.Last())
	s.dead, s.parent = s.parent, 0
	if s.old != 0 { // it had not even begun: the one before may still send
		p.send(s.old, Unsubscribe{Stripe: uint8(i)})
		s.old = 0
	}
}

// orphaned leaves stripe i without a parent and looks for one at once. Its
// path stays as it was, to tell loops by.
func (p *Peer) orphaned(i int) {
	s := &p.stripes[i]
	since := p.now
	if s.episode.on {
		since = s.episode.since
	}
	if s.parent != 0 {
		p.giveUpParent(i)
	}
	p.trace(TraceOrphan, 0, i, s.next, 0)
	s.episode = episode{since: since}
	p.alarm = max(p.alarm, since)
	s.orphan, s.leave, s.starved = true, 0, 0
	if s.try.to == 0 {
		p.retry(i)
	} else {
		s.try.why = whyJoin
	}
	p.hedge(i)
}

// parentLost is orphaned for a connection that failed: no doubt is left.
func (p *Peer) parentLost(i int) {
	s := &p.stripes[i]
	if s.old != 0 && s.fresh && p.neighbour(s.old) != nil {
		// The new parent was lost before it began: stay with the old.
		p.backToOld(i)
		return
	}
	p.orphaned(i)
}

// backToOld returns to the parent that was to be replaced, and still sends.
func (p *Peer) backToOld(i int) {
	s := &p.stripes[i]
	s.parent, s.old, s.fresh = s.old, 0, false
	s.prog.Start(p.now, p.cfg.Beacon)
	p.owes(i)
	s.episode = episode{}
	p.standAt = min(p.standAt, p.now) // it may be its own standby
	p.pathChanged(p.neighbour(s.parent), Path{Stripe: uint8(i), Path: s.oldPath})
}

// noticeStarved runs at a parent's sign of life: is it alive but standing still?
func (p *Peer) noticeStarved(i int) {
	s := &p.stripes[i]
	if s.prog.Level(p.now, p.edge, p.progress()) != failover.Starved {
		s.starved = 0
		return
	}
	if s.starved == 0 {
		s.starved = p.now
		p.trace(TraceStarved, s.parent, i, s.prog.Position(), 0)
	}
	p.repairAt = min(p.repairAt, p.now)
	if s.prog.Ahead() > p.progress().StarveLag {
		p.withheld(i)
		return
	}
	if p.now-s.starved > starvedMove && s.try.to == 0 && s.old == 0 {
		if n := p.neighbour(s.parent); n != nil {
			n.busy[i] = p.now + p.jitter(starvedMove)
			p.blame(n)
			p.noteLag(n, i)
		}
		s.starved = p.now // once in a while, not at every beacon
		if n, _ := p.best(i, s.parent, false); n != nil && n.breaker.Allow(p.now) {
			p.ask(n, i, whyMove)
		}
	}
}
