package overlay

// This file answers: what happens when an object or a beacon arrives?

import (
	"slices"
	"time"
)

// object handles an arrived or, at the publisher, made object. Hot path: it
// must not allocate.
func (p *Peer) object(ev *Event) {
	if p.cfg.Publisher && ev.Peer != p.self || ev.Seq > lastSeq {
		return
	}
	if ev.Epoch != p.epoch {
		if ev.Epoch < p.epoch && p.sure || ev.Epoch < p.cfg.Epoch || !p.started {
			return
		}
		p.newEpoch(ev.Epoch, ev.GroupFirst)
	}
	p.sure = true
	i := p.stripeOf(ev.Seq)
	s := &p.stripes[i]
	p.heardFrom(ev.Peer, i, ev.Repair)
	if n := p.neighbour(ev.Peer); n != nil {
		n.gave = p.now
	}
	p.measure(i, ev)
	p.sawGroup(ev.GroupFirst)
	p.sawEdge(ev.Seq + 1)
	if ev.Repair {
		p.pullAnswered(ev.Seq)
	}
	if !p.started || ev.Seq < p.start || !p.have.Add(ev.Seq) {
		return
	}
	p.objSize += (int64(ev.Size) - p.objSize) / 16
	p.budget.Earn(1)
	p.out = append(p.out, Action{Kind: ActDeliver, Peer: ev.Peer, Stripe: uint8(i), Epoch: ev.Epoch, Seq: ev.Seq})
	late := ev.Seq < s.front
	s.front, s.held = max(s.front, ev.Seq+1), max(s.held, ev.Seq+1)
	if len(s.children) > 0 {
		if !late {
			s.sentAt = p.now
		}
		for c := range s.children {
			if ch := &s.children[c]; ch.id != ev.Peer && ev.Seq >= ch.start && !ch.paused {
				p.out = append(p.out, Action{Kind: ActForward, Peer: ch.id, Stripe: uint8(i), Backfill: late, Epoch: ev.Epoch, Seq: ev.Seq})
			}
		}
	}
	if len(p.parked) > 0 {
		p.serveParked(ev.Seq)
	}
	p.advance(i)
	if s.old != 0 {
		p.settleMove(i)
	}
}

// advance moves the stripe's lowest missing Seq on and plans a repair when that is a hole.
func (p *Peer) advance(i int) {
	s, k := &p.stripes[i], uint64(p.cfg.Stripes)
	p.skip(i)
	moved := false
	for s.next < s.front && p.have.Has(s.next) {
		s.next += k
		moved = true
	}
	if moved {
		s.holeAt = p.now
	}
	if s.next < s.front && !p.cfg.Publisher {
		at := s.holeAt + p.holeDelay()
		if at <= p.now { // it was tried: the next run is planned, or soon
			at = p.now + pullAgain/2
		}
		p.repairAt = min(p.repairAt, at)
	}
}

// skip moves the stripe's lowest missing Seq to what the window still holds:
// objects of other stripes may have moved that on, by any distance.
func (p *Peer) skip(i int) {
	if s := &p.stripes[i]; s.next < p.have.Base() {
		s.next, s.holeAt = p.firstOf(i, p.have.Base()), p.now
	}
}

// heardFrom is the heartbeat of a parent: stream progress.
func (p *Peer) heardFrom(from PeerID, i int, repair bool) {
	s := &p.stripes[i]
	if n := p.neighbour(from); n != nil {
		p.spoke(n)
		if repair {
			n.answeredPull()
			p.answered(n, i)
		}
	}
	if from != s.parent || repair || from == 0 {
		return
	}
	s.prog.Beacon(p.now, 0)
	if s.episode.on {
		p.cancelEpisode(i)
	}
}

// beacon handles a parent's word that everything below Seq was sent.
func (p *Peer) beacon(ev *Event) {
	i := int(ev.Stripe)
	if i >= len(p.stripes) {
		return
	}
	if ev.Epoch != p.epoch { // alive, but behind or ahead by an epoch
		p.heardFrom(ev.Peer, i, false)
		return
	}
	if ev.Seq > lastSeq {
		return
	}
	p.heardFrom(ev.Peer, i, false)
	s := &p.stripes[i]
	if ev.Peer != s.parent || ev.Peer == 0 || !p.started {
		return
	}
	s.prog.Claim(p.now, ev.Seq)
	// A position is a claim: what it says that it sent is to be here soon, but no
	// more than exists by verified objects, or a liar could make everyone pull
	// what never was, and make honest parents look late.
	if front := min(ev.Seq, p.edge); front > s.front {
		s.front = front
		p.advance(i)
	}
	p.noticeClaims(i)
	p.noticeStarved(i)
}

// beaconTick tells silent stripes' children where this peer stands.
func (p *Peer) beaconTick(i int) {
	s := &p.stripes[i]
	if len(s.children) == 0 || p.now < s.sentAt+p.cfg.Beacon || p.drained {
		return
	}
	s.sentAt = p.now
	for _, c := range s.children {
		if c.paused {
			continue
		}
		p.out = append(p.out, Action{Kind: ActBeacon, Peer: c.id, Stripe: uint8(i), Epoch: p.epoch, Seq: s.held})
	}
}

// begin takes the stream from Seq first on.
func (p *Peer) begin(first uint64) {
	p.started, p.start, p.startAt = true, first, p.now
	p.have.Reset(first)
	k := uint64(p.cfg.Stripes)
	for i := range p.stripes {
		s := &p.stripes[i]
		s.next = first + (uint64(i)+k-first%k)%k
		s.front, s.held, s.live, s.holeAt = first, first, 0, p.now
	}
	if !p.cfg.Publisher { // a stripe that finds no parent is pulled by then
		p.repairAt = min(p.repairAt, p.now+p.holeDelay())
	}
	p.out = append(p.out, Action{Kind: ActStart, Epoch: p.epoch, Seq: first})
}

// raise moves the start up, since a stripe can only be had from there on; not
// once something can be played: what is missing then is a hole for pulls.
func (p *Peer) raise(first uint64) {
	if first <= p.start || p.have.Next() > p.start || first > lastSeq {
		return
	}
	p.start = first
	p.have.GiveUp(first)
	for i := range p.stripes {
		p.stripes[i].front = max(p.stripes[i].front, first)
		p.advance(i)
	}
	p.out = append(p.out, Action{Kind: ActStart, Epoch: p.epoch, Seq: first})
}

// sawGroup remembers the first Seqs of the latest groups, in order.
func (p *Peer) sawGroup(first uint64) {
	n := p.nGroups
	if n > 0 && p.groups[n-1] >= first {
		return
	}
	if n == groupMemory {
		copy(p.groups[:], p.groups[1:])
		n--
	}
	p.groups[n] = first
	p.nGroups = n + 1
}

// latestGroup returns the first Seq of the latest group that this peer takes whole.
func (p *Peer) latestGroup() (uint64, bool) {
	for i := p.nGroups - 1; i >= 0; i-- {
		if g := p.groups[i]; g >= p.start && g >= p.have.Base() {
			return g, true
		}
	}
	return p.start, p.started && p.start >= p.have.Base()
}

// nextGroup guesses the first Seq of the group after the latest: as long as the
// one before. 0: there is nothing to guess from, or nothing that others would believe.
func (p *Peer) nextGroup() uint64 {
	if p.nGroups < 2 {
		return 0
	}
	next := p.groups[p.nGroups-1] + p.groupLength()
	if next > p.edge+uint64(p.cfg.Window) {
		return 0
	}
	return next
}

// groupLength is that of the last group that has ended, objects; 0: none has.
func (p *Peer) groupLength() uint64 {
	if p.nGroups < 2 {
		return 0
	}
	return p.groups[p.nGroups-1] - p.groups[p.nGroups-2]
}

func (p *Peer) sawEdge(edge uint64) {
	if edge <= p.edge {
		return
	}
	p.edge, p.edgeAt = edge, p.now
	if p.nMarks > 0 && p.now-p.marks[p.nMarks-1].at < p.oldAge()/(markCount-8) {
		return
	}
	if p.nMarks == markCount {
		copy(p.marks[:], p.marks[1:])
		p.nMarks--
	}
	p.marks[p.nMarks] = mark{edge, p.now}
	p.nMarks++
}

// oldAge is the age at which nobody behind plays an object any more.
func (p *Peer) oldAge() time.Duration { return 2*p.cfg.Buffer + tooOld }

// olderThan returns a Seq below which everything has existed for at least d.
func (p *Peer) olderThan(d time.Duration) uint64 {
	for i := p.nMarks - 1; i >= 0; i-- {
		if m := p.marks[i]; p.now-m.at >= d {
			return m.seq
		}
	}
	return 0
}

// age returns for how long object seq has been known to exist: between marks as
// if the edge had moved evenly.
func (p *Peer) age(seq uint64) time.Duration {
	i, _ := slices.BinarySearchFunc(p.marks[:p.nMarks], seq, func(m mark, seq uint64) int {
		if m.seq > seq {
			return 1
		}
		return -1
	})
	m := mark{p.edge, p.edgeAt}
	if i < p.nMarks {
		m = p.marks[i]
	}
	if m.seq <= seq {
		return 0
	}
	if i == 0 {
		return p.now - m.at
	}
	b := p.marks[i-1]
	return p.now - b.at - time.Duration(float64(m.at-b.at)*float64(seq+1-b.seq)/float64(m.seq-b.seq))
}
