package overlay

// This file answers: from whom is a stripe taken, and when is there a better one?

import (
	"slices"
	"time"

	"github.com/braidway/braidway/stream"
)

// MaxPath is the most peers in a path: with two children each, 2^64 viewers.
const MaxPath = 64

// raiseTime is for how long after the start a later stripe may still raise it.
const raiseTime = 2 * time.Second

// needyAfter the start, a stripe that never had a parent is as urgent as an orphan.
const needyAfter = 2 * time.Second

// join subscribes the stripes that have no parent, wherever a neighbour can serve them.
func (p *Peer) join() {
	if p.cfg.Publisher || p.drained || p.resting() {
		return
	}
	for i := range p.stripes {
		if s := &p.stripes[i]; s.parent == 0 && s.try.to == 0 {
			p.subscribeBest(i, whyJoin, 0)
		}
	}
}

// ask sends the one Subscribe that stripe i may have in flight.
func (p *Peer) ask(n *neighbour, i int, why reason) {
	s := &p.stripes[i]
	wait := n.within(answerTime)
	if s.parent == 0 && !s.orphan {
		wait = 2*n.rtt + joinAnswerTime
	}
	if why == whyMove && !s.trust.broken {
		wait = 2*n.rtt + moveTime
	}
	since := p.now
	if s.episode.on {
		since = s.episode.since
	}
	s.try = attempt{to: n.id, at: p.now + wait, why: why, since: since, latest: !p.started}
	m := Subscribe{Stripe: uint8(i), Latest: !p.started, Epoch: p.haveEpoch(), Behind: uint8(min(p.usedIn(i), 255))}
	if p.started {
		m.From = max(s.front, s.next)
		// What a move leaves behind the front its old parent still sends, unless that
		// never gave it.
		if why != whyMove || s.trust.broken || s.old == 0 && s.next < s.since {
			m.From, m.Have = p.wanted(i)
		}
		if s.episode.on {
			m.Lost = s.parent
		} else if s.orphan {
			m.Lost = s.dead
		}
		m.Urgent = !s.cut && (s.seeks() || s.parent == 0 && p.now-p.startAt > needyAfter || s.leave != 0 && p.neighbour(s.parent) != nil && p.neighbour(s.parent).away || s.trust.broken)
	}
	p.send(n.id, m)
}

// haveBits objects of a stripe a subscription tells of, and brings of the past.
const haveBits = 64

// wanted is from where on a new parent is asked for stripe i, and what of that
// is here or on its way already.
func (p *Peer) wanted(i int) (from, have uint64) {
	s := &p.stripes[i]
	k := uint64(p.cfg.Stripes)
	end := p.firstOf(i, max(s.front, s.next))
	from = s.next
	if end > from+haveBits*k { // older holes are left to pulls
		from = end - haveBits*k
	}
	for b, q := 0, from; q < end; b, q = b+1, q+k {
		if !p.lacks(q) {
			have |= 1 << b
		}
	}
	for ; have&1 != 0; have >>= 1 {
		from += k
	}
	return from, have
}

// expect notes that n was asked for the holes of stripe i from start on with its
// subscription, so that they are not pulled beside.
func (p *Peer) expect(n *neighbour, i int, start uint64) {
	s := &p.stripes[i]
	from, _ := p.wanted(i)
	for q := p.firstOf(i, max(from, start)); q < s.front && len(p.pulls) < maxPulls; q += uint64(p.cfg.Stripes) {
		if p.lacks(q) {
			p.pullAnswered(q) // the one that was given up
			p.pulls = append(p.pulls, pull{seq: q, to: n.id, asked: p.now, at: p.now + n.rtt + p.holeDelay()})
		}
	}
}

// accepted makes n the parent of a stripe that asked for it.
func (p *Peer) accepted(n *neighbour, m Accept) {
	i := int(m.Stripe)
	if i >= len(p.stripes) || len(m.Path) == 0 || len(m.Path) > MaxPath || m.Path[len(m.Path)-1] != n.id || m.Epoch == 0 || m.Start > lastSeq || p.cfg.Publisher && p.publishAt == 0 {
		p.ban(n.id)
		return
	}
	if p.cfg.Publisher { // it was asked before this peer took over
		p.send(n.id, Unsubscribe{Stripe: m.Stripe})
		return
	}
	s := &p.stripes[i]
	if s.parent == n.id {
		p.pathChanged(n, Path{Stripe: m.Stripe, Path: m.Path})
		return
	}
	try := s.try
	if try.to != n.id {
		// A parked request may be answered late: welcome where nothing else was
		// found, or nothing that has brought what it owes, or where what was found
		// is of an epoch that is over.
		late := n.promised&(1<<i) != 0 && s.old == 0 && (m.Epoch > p.epoch || s.parent == 0 || s.episode.on || p.waits(i))
		if !late && (try.to != 0 || s.parent != 0) {
			p.send(n.id, Unsubscribe{Stripe: m.Stripe})
			return
		}
		if try.to != 0 {
			p.send(try.to, Unsubscribe{Stripe: m.Stripe})
		}
		try = attempt{to: n.id, why: whyMove, since: p.now}
		if s.episode.on {
			try.why = whySwitch
		}
	}
	n.promised &^= 1 << i
	n.hollow = 0
	s.try = attempt{}
	n.breaker.Success()
	if slices.Contains(m.Path, p.self) || len(m.Path) == MaxPath || p.childAt(i, n.id) >= 0 || p.started && m.Epoch < p.epoch || m.Epoch < p.cfg.Epoch {
		p.loop(n, i)
		return
	}
	if !p.started {
		p.epoch, p.sure = m.Epoch, false
		p.begin(m.Start)
	} else if m.Epoch == p.epoch && m.Start > s.next {
		if p.now-p.startAt < raiseTime && m.Start <= p.edge+uint64(p.cfg.Window) {
			p.raise(m.Start)
		}
	}
	old, wasOrphan := s.parent, s.orphan
	switch {
	case old != 0 && try.why == whyMove:
		s.old, s.oldUntil, s.oldPath = old, p.now+overlap, s.path[:len(s.path)-1]
		if o := p.neighbour(old); o != nil {
			p.noteLag(o, i)
			if s.prog.Unrest() > restless {
				p.blame(o)
			}
		}
		p.stats.Moves++
		p.trace(TraceMove, n.id, i, 0, p.now-try.since)
	case old != 0:
		p.giveUpParent(i)
		fallthrough
	case s.orphan:
		p.stats.Switches++
		p.trace(TraceSwitch, n.id, i, 0, p.now-s.episode.since)
	default:
		p.trace(TraceJoin, n.id, i, m.Start, 0)
	}
	s.parent, s.since, s.fresh, s.orphan, s.cut, s.leave, s.starved = n.id, m.Start, true, false, false, 0, 0
	s.lag = n.lag[i] + n.rtt/2
	s.episode = episode{}
	s.siblings, s.uncles = nil, nil
	s.prog.Start(p.now+2*n.rtt, p.cfg.Beacon+n.rtt/4)
	p.owes(i)
	switch {
	case s.next >= s.front && s.next >= p.edge:
	case try.why == whyMove || old == 0 && !wasOrphan && m.Start <= s.next:
		p.repairAt = min(p.repairAt, p.now+p.holeDelay()+n.rtt)
		s.holeAt = p.now + n.rtt
	default: // the new parent brings the rest from its start on; pulls that are on the way may not come
		s.front = max(s.front, min(m.Start, p.edge))
		p.expect(n, i, m.Start)
		p.repairAt = min(p.repairAt, p.now+hedgeAgain)
		s.holeAt = p.now - p.holeDelay()
	}
	p.setPath(i, m.Path)
	if !p.waits(i) {
		p.withdraw(i)
	}
	if slices.Contains(s.standbys, n.id) { // where the path is the same again, nothing else makes it choose anew
		p.standAt = min(p.standAt, p.now+150*time.Millisecond)
	}
	if !p.wantsParents() {
		p.find.Reset()
		p.braidAt = min(p.braidAt, p.now+p.jitter(braidAfter))
	}
	p.answerParked(i)
	if try.why != whyMove { // it can be a parent again; of another path only those hear who asked for it
		p.statusAt = min(p.statusAt, p.now+p.jitter(40*time.Millisecond))
	}
}

// loop turns down n, whose path runs through this peer or leaves it no place, or
// which is behind it.
func (p *Peer) loop(n *neighbour, i int) {
	p.stats.Loops++
	p.trace(TraceLoop, n.id, i, 0, 0)
	p.send(n.id, Unsubscribe{Stripe: uint8(i)})
	n.busy[i] = p.now + p.jitter(time.Second)
	p.retry(i)
}

// setPath takes the parent's path and passes it on when it is new.
func (p *Peer) setPath(i int, parents []PeerID) {
	s := &p.stripes[i]
	if len(s.path) == len(parents)+1 && slices.Equal(s.path[:len(parents)], parents) {
		return
	}
	path := make([]PeerID, 0, len(parents)+1)
	s.path = append(append(path, parents...), p.self)
	p.tellPath(i)
}

// pathChanged follows the parent's path, and leaves it when that closes a loop.
func (p *Peer) pathChanged(n *neighbour, m Path) {
	i := int(m.Stripe)
	if i >= len(p.stripes) || len(m.Path) == 0 || len(m.Path) > MaxPath || m.Path[len(m.Path)-1] != n.id {
		p.ban(n.id)
		return
	}
	s := &p.stripes[i]
	if s.old == n.id {
		s.oldPath = m.Path
	}
	if s.parent != n.id {
		return
	}
	if slices.Contains(m.Path, p.self) || len(m.Path) == MaxPath {
		p.stats.Loops++
		p.trace(TraceLoop, n.id, i, 0, 0)
		n.busy[i] = p.now + p.jitter(time.Second)
		p.orphaned(i)
		return
	}
	p.setPath(i, m.Path)
}

// refused takes the answer no: the next candidate is asked at once.
func (p *Peer) refused(n *neighbour, m Refuse) {
	i := int(m.Stripe)
	if i >= len(p.stripes) {
		p.ban(n.id)
		return
	}
	wait := min(max(m.Wait, 100*time.Millisecond), 30*time.Second)
	if m.Code == CodeBusy && n.free > 0 {
		if n.hollow == 0 {
			p.noteHollow(n.subnet)
		}
		n.hollow = min(n.hollow+1, maxHollow)
	}
	if try := p.stripes[i].try; try.to == n.id && try.why == whyMove {
		n.climbAt = p.now + p.jitter(climbWait) // an orphan may ask before
	}
	n.busy[i] = p.now + p.jitter(wait)
	n.breaker.Success() // no is an answer
	n.promised, n.stands = n.promised&^(1<<i), n.stands&^(1<<i)
	if m.Code == CodeNotYet {
		n.promised |= 1 << i
		if wait >= standWait {
			n.stands |= 1 << i
		}
	}
	p.named(m.Alternatives[:min(len(m.Alternatives), maxAlternatives)], n.id, p.stripes[i].parent == 0 || p.stripes[i].leave != 0)
	switch s := &p.stripes[i]; n.id {
	case s.try.to:
		s.try = attempt{}
		p.retry(i)
	case s.parent: // it asked to be left and has too many children
		if s.leave != 0 {
			p.orphaned(i)
			s.orphan, s.cut = false, true
		}
	}
}

// expireAttempt ends a Subscribe that was not answered in time.
func (p *Peer) expireAttempt(i int) {
	if s := &p.stripes[i]; s.try.to != 0 && p.now >= s.try.at {
		p.attemptFailed(i)
	}
}

// attemptFailed counts the failure against the neighbour and goes on with the next.
func (p *Peer) attemptFailed(i int) {
	s := &p.stripes[i]
	if n := p.neighbour(s.try.to); n != nil {
		if p.now-n.failedAt > answerTime { // one stall is one failure, in however many stripes
			n.breaker.Failure(p.now)
			n.failedAt = p.now
		}
		n.busy[i] = p.now + p.jitter(time.Second)
		if s.seeks() { // answers come late, and who leaves a door loses its place
			n.promised |= 1 << i
		} else {
			p.send(n.id, Unsubscribe{Stripe: uint8(i)}) // its Accept may be on the way
		}
	}
	if s.seeks() {
		p.callRoll()
	}
	s.try = attempt{}
	p.retry(i)
}

// rootAfter the parent fell silent, few are still looking for another one, and not all
// who carry others come to the publisher's door (a guess).
const rootAfter = 2 * time.Second

// meetRoot connects to the publisher when this peer, who carries others in stripe i,
// still looks for a parent after most have found one: whom it knows may all hang from
// itself. (Found by simulation: half of 20,000 die, and one from whom 9,900 hung asked
// its 80 neighbours, one after the other, for four seconds and more. It knew the publisher.)
func (p *Peer) meetRoot(i int) {
	if s := &p.stripes[i]; p.bereft(i) && len(s.path) > 0 && p.now-s.episode.since > rootAfter {
		p.meet(s.path[0])
	}
}

// retry asks the next candidate of a stripe in need. A failed candidate is
// busy for a while, so this ends; then the timers of the episode or of seek go on.
func (p *Peer) retry(i int) {
	s := &p.stripes[i]
	switch {
	case s.try.to != 0 || p.resting():
	case s.parent == 0:
		if !p.subscribeBest(i, whyJoin, 0) {
			p.findAt = min(p.findAt, p.now+p.jitter(100*time.Millisecond))
		}
	case s.episode.on:
		s.episode.next = p.now
	case s.trust.broken: // each that was asked is busy for a while, so this ends too
		p.withheld(i)
	}
}

// braid moves one stripe to a better parent, make before break.
func (p *Peer) braid() {
	if !p.started || p.cfg.Publisher || p.draining {
		return
	}
	for i := range p.stripes {
		if s := &p.stripes[i]; s.try.to != 0 || s.old != 0 || s.parent == 0 || s.episode.on {
			return
		}
	}
	at, gain := -1, betterBy
	for i := range p.stripes {
		s := &p.stripes[i]
		n := p.neighbour(s.parent)
		if n == nil {
			continue
		}
		if _, c := p.best(i, 0, false); c > 0 {
			if g := p.cost(n, i, len(s.path)-1) - c; g > gain {
				at, gain = i, g
			}
		}
	}
	if at >= 0 && p.subscribeBest(at, whyMove, 0) {
		p.braidAt = min(p.braidAt, p.now+p.jitter(braidAfter))
	}
}

// overlap bounds for how long two parents of one stripe send.
const overlap = 400 * time.Millisecond

// settleMove ends the old subscription once the new parent has begun and what
// lies between the two is there: a new parent that is ahead sends the past behind
// its live objects, and the old one may bring it sooner.
func (p *Peer) settleMove(i int) {
	if s := &p.stripes[i]; s.old != 0 && !s.fresh && (s.next >= s.front || p.now >= s.oldUntil) {
		p.leaveOld(i)
	}
}

// leaveOld ends the old subscription.
func (p *Peer) leaveOld(i int) {
	s := &p.stripes[i]
	if s.old != 0 {
		p.send(s.old, Unsubscribe{Stripe: uint8(i)})
		s.old = 0
	}
}

// goAway is a parent's wish that this peer moves, in one stripe or all.
func (p *Peer) goAway(n *neighbour, m GoAway) {
	if m.Stripe != AllStripes && int(m.Stripe) >= len(p.stripes) {
		p.ban(n.id)
		return
	}
	if m.Stripe == AllStripes {
		n.away = true
	}
	p.named(m.Alternatives[:min(len(m.Alternatives), maxAlternatives)], n.id, true)
	for i := range p.stripes {
		if s := &p.stripes[i]; s.parent == n.id && (m.Stripe == AllStripes || int(m.Stripe) == i) {
			n.busy[i] = p.now + max(m.Wait, 2*time.Second)
			s.leave, s.leaveAt = p.now+m.Wait, p.now+p.jitter(30*time.Millisecond)
		}
	}
	if m.Stripe == AllStripes {
		p.chooseStandbys()
	}
}

// leaveTick looks for another parent of a stripe that was asked to move.
func (p *Peer) leaveTick(i int) {
	s := &p.stripes[i]
	if s.leave == 0 || p.now < s.leaveAt {
		return
	}
	s.leaveAt = p.now + p.jitter(150*time.Millisecond)
	switch {
	case s.parent == 0 || p.now > s.leave:
		s.leave = 0 // nobody was found, and the parent still serves
	case s.try.to == 0 && s.old == 0 && !s.episode.on:
		if !p.subscribeBest(i, whyMove, s.parent) && !p.leaveToAnyone(i) {
			p.widen()
		}
	}
}

// leaveToAnyone also takes candidates that look full, when the parent leaves altogether.
func (p *Peer) leaveToAnyone(i int) bool {
	if n := p.neighbour(p.stripes[i].parent); n == nil || !n.away {
		return false
	}
	if n, _ := p.best(i, p.stripes[i].parent, true); n != nil && n.breaker.Allow(p.now) {
		p.ask(n, i, whyMove)
		return true
	}
	return false
}

// firstOf returns the lowest Seq of stripe i that is at least seq.
func (p *Peer) firstOf(i int, seq uint64) uint64 {
	k := uint64(p.cfg.Stripes)
	return min(seq, stream.MaxSeq) + (uint64(i)+k-seq%k)%k
}
