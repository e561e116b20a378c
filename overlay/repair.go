package overlay

// This file answers: how is what is missing fetched elsewhere, and what is
// served to others? Hedges and repairs spend tokens, so that a network in
// trouble is not pushed over.

import (
	"math/bits"
	"slices"
	"time"
)

// pull is one object asked for and not yet answered.
type pull struct {
	seq   uint64
	to    PeerID
	asked time.Duration
	at    time.Duration // when it may be asked for again
	tries uint8
}

// parked is a request of another peer that waits for us.
type parked struct {
	from   PeerID
	stripe uint8
	sub    *Subscribe // nil: one object of a Pull, seq of epoch
	seq    uint64
	epoch  uint64
	until  time.Duration
	lead   bool // until this peer leads the sender of sub
	turn   int  // answerAll's
}

const (
	pullBits = 32 // objects in one Pull
	// firstBudget is how many objects a newcomer may pull: seconds of a stripe.
	firstBudget = 128
	// sourcesAtOnce is how many peers one look for holes asks.
	sourcesAtOnce = 4
	// maxPulls bounds what is in flight: a second of all stripes.
	maxPulls = 128
	// maxParked bounds parked requests, of all and of one peer.
	maxParked     = 1024
	maxParkedEach = 64
	// parkTime is for how long a request is parked.
	parkTime = 3 * time.Second
	// muteTime is for how long one is not asked that did not answer pulls though it
	// lives; twice as long each time, until it answers (a guess).
	muteTime = 500 * time.Millisecond
	// notYetPause, doubled by each, is the pause after somebody did not have it
	// yet: when nobody has it, asking around at once spent the budget in 200 ms.
	notYetPause = 10 * time.Millisecond
	// hedgeAgain is when an unanswered hedge may go to the next standby: beyond
	// what a queue on the way takes, well within any playout buffer.
	hedgeAgain = 40 * time.Millisecond
	// tooOld, beyond twice the buffer: nobody behind plays it any more.
	tooOld = 2 * time.Second
)

// limit is up to where stripe i is expected to be there: what its parent said
// it sent, or what must exist when the parent is in doubt.
func (p *Peer) limit(i int) uint64 {
	s := &p.stripes[i]
	switch {
	case s.parent == 0 || s.episode.on || s.trust.broken:
		return max(s.front, p.edge)
	case s.starved != 0: // it repairs itself, and most comes through it in time
		return max(s.front, p.olderThan(p.cfg.Buffer/2))
	}
	return s.front
}

// holeDelay is the age at which a hole behind its stripe's frontier is pulled:
// backfill, hedges and what the parent itself repairs come first, as far as the
// buffer allows. Pulled at once, one death makes all behind it pull the same.
func (p *Peer) holeDelay() time.Duration {
	return min(max(p.cfg.Buffer/5, 80*time.Millisecond), 400*time.Millisecond)
}

// hedge pulls what stripe i misses, and what comes next, while its parent is in doubt.
func (p *Peer) hedge(i int) {
	if !p.started || p.resting() {
		return
	}
	k := uint64(p.cfg.Stripes)
	end := p.firstOf(i, max(p.stripes[i].front, p.edge)) + hedgeAhead*k
	if n := p.pullFrom(i, end, true); n > 0 {
		p.stats.Hedges++
	}
	p.repairAt = min(p.repairAt, p.now+hedgeAgain)
}

// repair pulls holes that have been there for a while, gives up those that
// nobody can play any more, and plans its next run.
func (p *Peer) repair() {
	p.repairAt = never
	if !p.started || p.cfg.Publisher || p.resting() {
		return
	}
	for i := range p.stripes {
		s := &p.stripes[i]
		end := p.limit(i)
		p.forget(i, end)
		if s.next >= end {
			if s.parent == 0 || s.episode.on || s.starved != 0 {
				p.repairAt = min(p.repairAt, p.now+pullAgain/2) // more will be missing, and nobody will say so
			}
			continue
		}
		if due := p.repairDue(i); p.now < due {
			p.repairAt = min(p.repairAt, due)
			continue
		}
		if p.pullFrom(i, end, false) > 0 {
			p.stats.Repairs++
		}
		p.repairAt = min(p.repairAt, p.now+pullAgain/2)
	}
}

// repairDue returns when the first hole of stripe i is to be pulled. One that
// was asked for already waits for its answer only.
func (p *Peer) repairDue(i int) time.Duration {
	s := &p.stripes[i]
	if s.next >= s.front {
		return p.now
	}
	due := s.holeAt + p.holeDelay()
	if at := p.pullOf(s.next); at >= 0 {
		due = min(due, p.pulls[at].at)
	}
	return due
}

// forget gives up holes of stripe i that are too old.
func (p *Peer) forget(i int, end uint64) {
	s := &p.stripes[i]
	p.skip(i)
	for s.next < end && p.age(s.next) > p.oldAge() {
		p.have.GiveUp(s.next + 1)
		s.front = max(s.front, s.next+1)
		p.advance(i)
	}
	if len(p.pulls) > 0 {
		p.pulls = slices.DeleteFunc(p.pulls, func(u pull) bool { return p.have.Has(u.seq) || p.now-u.at > 2*time.Second })
	}
}

// pullFrom asks for the missing objects of stripe i below end and returns how many.
func (p *Peer) pullFrom(i int, end uint64, hedge bool) int {
	s := &p.stripes[i]
	k := uint64(p.cfg.Stripes)
	p.skip(i)
	total, ordinal := 0, 0
	var to [sourcesAtOnce]*neighbour
	var ask [sourcesAtOnce]Pull
	flush := func(at int) {
		if ask[at].Bits == 0 {
			return
		}
		count := bits.OnesCount32(ask[at].Bits)
		p.send(to[at].id, ask[at])
		total += count
		kind := TraceRepair
		if hedge {
			kind = TraceHedge
		}
		p.trace(kind, to[at].id, i, uint64(count), 0)
		to[at], ask[at] = nil, Pull{}
	}
	for seq := s.next; seq < end && len(p.pulls) < maxPulls; seq += k {
		if p.have.Has(seq) {
			continue
		}
		tries, since := uint8(0), p.alarm // who was heard of since a parent fell silent is alive
		old := p.pullOf(seq)
		if old >= 0 {
			if p.now < p.pulls[old].at {
				continue
			}
			tries, since = p.pulls[old].tries, max(since, p.pulls[old].asked)
			if o := p.neighbour(p.pulls[old].to); o != nil && o.heard < p.pulls[old].asked {
				o.quiet = true
			}
		}
		turn := int(tries)
		if hedge { // ask all standbys for a part: who answers is alive
			turn += ordinal
			ordinal++
		}
		src := p.source(i, seq, turn, hedge, since)
		if src == nil {
			src = p.source(i, seq, turn, hedge, 0)
		}
		if src == nil {
			continue // others may have a later one
		}
		if !p.budget.Spend(1) {
			p.trace(TraceBudget, src.id, i, seq, 0)
			break
		}
		at := slices.Index(to[:], src)
		if at >= 0 && (seq-ask[at].First)/k >= pullBits {
			flush(at)
			at = -1
		}
		if at < 0 {
			if at = slices.Index(to[:], nil); at < 0 {
				at = 0
				flush(at)
			}
			to[at], ask[at] = src, Pull{Epoch: p.epoch, First: seq}
		}
		ask[at].Bits |= 1 << ((seq - ask[at].First) / k)
		again := pullAgain + 2*src.rtt
		if hedge || p.age(seq) > p.cfg.Buffer/2 {
			again = src.within(hedgeAgain)
		}
		if src.owesAt == 0 {
			src.owesAt = p.now
		}
		u := pull{seq: seq, to: src.id, asked: p.now, at: p.now + again, tries: tries + 1}
		if old >= 0 {
			p.pulls[old] = u
		} else {
			p.pulls = append(p.pulls, u)
		}
	}
	for at := range to {
		flush(at)
	}
	return total
}

// mute says whether n is not to be pulled from: it was, and said nothing to that
// within its time. Each such pull would cost a token.
func (p *Peer) mute(n *neighbour) bool {
	if n.owesAt != 0 && p.now-n.owesAt > n.within(lifeTime) {
		n.muted = p.now + muteTime<<n.ignored
		n.ignored, n.owesAt = min(n.ignored+1, 7), 0
	}
	return p.now < n.muted
}

// answeredPull ends what mute counts.
func (n *neighbour) answeredPull() { n.ignored, n.muted, n.owesAt = 0, 0, 0 }

// source picks whom to ask for seq, of those heard of since then who did not say
// that they have nothing to give: the stripe's standbys, the parent if it is not
// in doubt, then others who are that far; each turn takes the next.
func (p *Peer) source(i int, seq uint64, turn int, hedge bool, since time.Duration) *neighbour {
	s := &p.stripes[i]
	var all [16]*neighbour
	n := 0
	add := func(id PeerID) {
		o := p.neighbour(id)
		if o == nil || n == len(all) || !o.ready || o.quiet || p.silent(o) || p.now < o.spent || p.mute(o) || seq < o.gone || o.heard < since || o.hi.Epoch != p.epoch || slices.Contains(all[:n], o) {
			return
		}
		all[n] = o
		n++
	}
	trusted := s.parent != 0 && !s.episode.on && s.starved == 0 && !s.trust.broken
	for at, id := range s.standbys {
		if add(id); at == 0 && trusted && !hedge {
			add(s.parent) // it said that it sent this: perhaps it was only late
		}
	}
	if hedge && n > 0 {
		return all[turn%n]
	}
	for o := range p.stripes {
		if q := &p.stripes[o]; q.parent != s.parent && q.parent != 0 && !q.episode.on && p.childAt(i, q.parent) < 0 {
			add(q.parent)
		}
	}
	for _, o := range p.nbrs {
		if st, ok := o.of(i); (ok && st.Fed && st.Depth > 0 || o.hi.Publisher) && o.id != s.parent && p.childAt(i, o.id) < 0 {
			add(o.id)
		}
	}
	if trusted {
		add(s.parent)
	}
	if n == 0 {
		return nil
	}
	return all[turn%n]
}

// pullOf returns where in pulls object seq is; -1: it was not asked for.
func (p *Peer) pullOf(seq uint64) int {
	return slices.IndexFunc(p.pulls, func(u pull) bool { return u.seq == seq })
}

// lacks says that object seq is neither here nor on its way from somebody who
// was heard of since a parent fell silent: others may be dead as well.
func (p *Peer) lacks(seq uint64) bool {
	if p.have.Has(seq) {
		return false
	}
	at := p.pullOf(seq)
	if at < 0 || p.now >= p.pulls[at].at {
		return true
	}
	n := p.neighbour(p.pulls[at].to)
	return n == nil || n.heard < p.alarm
}

// pullAnswered ends the wait for seq.
func (p *Peer) pullAnswered(seq uint64) {
	if at := p.pullOf(seq); at >= 0 {
		last := len(p.pulls) - 1
		p.pulls[at] = p.pulls[last]
		p.pulls = p.pulls[:last]
	}
}

// missed takes the answer that objects do not come now.
func (p *Peer) missed(n *neighbour, m Miss) {
	if m.Epoch != p.epoch {
		return
	}
	k := uint64(p.cfg.Stripes)
	n.answeredPull()
	if m.Code == CodeBusy {
		n.spent = p.now + min(m.Wait, pullAgain)
	}
	for b := m.Bits; b != 0; b &= b - 1 {
		seq := m.First + uint64(bits.TrailingZeros32(b))*k
		if m.Code == CodeGone {
			n.gone = max(n.gone, seq+1)
		}
		for i := range p.pulls {
			u := &p.pulls[i]
			if u.seq != seq || u.to != n.id {
				continue
			}
			u.asked = 0 // it answered: others are asked next, not only those heard of since, as it was
			switch {
			case m.Code == CodeNotYet && p.age(seq) < hedgeAgain: // parked there: give it the time, within bounds
				u.at = p.now + min(max(m.Wait, pullAgain), time.Second)
			case m.Code == CodeNotYet: // others may have it; the more do not, the fewer are asked
				u.at = p.now + min(notYetPause<<min(u.tries-1, 4), pullAgain)
				p.repairAt = min(p.repairAt, u.at)
			default: // it is not to be had here: the next one is asked
				p.budget.Refund(1)
				u.at = p.now
				p.repairAt = min(p.repairAt, p.now)
			}
		}
	}
}

// pulled serves objects to a neighbour, at most so many a second.
func (p *Peer) pulled(n *neighbour, m Pull) {
	k := uint64(p.cfg.Stripes)
	var notYet, gone, busy uint32
	beyond := 0
	for b := m.Bits; b != 0; b &= b - 1 {
		bit := bits.TrailingZeros32(b)
		seq := m.First + uint64(bit)*k
		switch {
		case seq < m.First || m.Epoch < p.epoch || p.started && m.Epoch == p.epoch && seq < p.have.Base():
			gone |= 1 << bit
		case !n.allowance.pulled.take(p.now, 1, max(pullPace, float32(p.spare.stream)/10), pullBurst): // an answer costs too
			beyond++
		case !p.spare.Take(p.now, 1):
			busy |= 1 << bit
		case !p.started || m.Epoch != p.epoch || !p.have.Has(seq):
			notYet |= 1 << bit
			p.park(parked{from: n.id, stripe: uint8(p.stripeOf(seq)), seq: seq, epoch: m.Epoch, until: p.now + parkTime})
		default:
			p.out = append(p.out, Action{Kind: ActServe, Peer: n.id, Stripe: uint8(p.stripeOf(seq)), Epoch: p.epoch, Seq: seq})
		}
	}
	miss := func(code Code, set uint32, wait time.Duration) {
		if set != 0 {
			p.send(n.id, Miss{Code: code, Wait: wait, Epoch: m.Epoch, First: m.First, Bits: set})
		}
	}
	miss(CodeNotYet, notYet, pullAgain)
	miss(CodeGone, gone, 0)
	miss(CodeBusy, busy, time.Second)
	if beyond > 0 {
		p.excess(n, 1+beyond/8)
	}
}

// park keeps a request until it can be answered, within bounds.
func (p *Peer) park(k parked) {
	p.parked = slices.DeleteFunc(p.parked, func(o parked) bool {
		return p.now >= o.until || o.from == k.from && o.sub != nil && k.sub != nil && o.stripe == k.stripe
	})
	each := 0
	for i := range p.parked {
		if p.parked[i].from == k.from {
			each++
		}
	}
	if each >= maxParkedEach || len(p.parked) >= maxParked {
		return
	}
	p.parked = append(p.parked, k)
}

// serveParked sends object seq to those whose pull was parked.
func (p *Peer) serveParked(seq uint64) {
	for i := 0; i < len(p.parked); {
		k := p.parked[i]
		if k.sub != nil || k.seq != seq || k.epoch != p.epoch {
			i++
			continue
		}
		p.parked = slices.Delete(p.parked, i, i+1)
		// A child gets it anyway, if its subscription reaches back so far: while it
		// switched to us, later objects may have come from elsewhere.
		stripe := p.stripeOf(seq)
		at := p.childAt(stripe, k.from)
		if p.now < k.until && (at < 0 || seq < p.stripes[stripe].children[at].start) {
			p.out = append(p.out, Action{Kind: ActServe, Peer: k.from, Stripe: k.stripe, Epoch: p.epoch, Seq: seq})
		}
	}
}
