package overlay

// This file answers: what becomes of who asks to be a child, and of the children?

import (
	"cmp"
	"math/bits"
	"slices"
	"time"
)

// maxAlternatives bounds the peers named in Refuse and GoAway.
const maxAlternatives = 4

func (p *Peer) childAt(i int, id PeerID) int {
	return slices.IndexFunc(p.stripes[i].children, func(c child) bool { return c.id == id })
}

// used counts the children of all stripes that are not missing.
func (p *Peer) used() (n int) {
	for i := range p.stripes {
		n += p.usedIn(i)
	}
	return n
}

func (p *Peer) usedIn(i int) int {
	return p.living(i, func(*child, *neighbour) bool { return true })
}

// living counts the children of stripe i that are not missing, of those that are such.
func (p *Peer) living(i int, such func(*child, *neighbour) bool) (n int) {
	children := p.stripes[i].children
	for at := range children {
		if o := p.neighbour(children[at].id); o != nil && !o.missing && such(&children[at], o) {
			n++
		}
	}
	return n
}

// reportedDead notes that an orphan lost child id. Its place is free and nothing
// is sent to it until it is heard of again, which it is asked for: otherwise
// those who come for the dead would find the uplink full of what is sent to
// them. (Found by simulation: half of all die, the publisher feeds its dead
// children and their orphans, and falls further and further behind.)
//
// Who reported the living before is not believed: then the child goes on being
// fed while it is asked.
func (p *Peer) reportedDead(by *neighbour, i int, id PeerID) {
	c := p.neighbour(id)
	if c == nil || p.childAt(i, id) < 0 || c.missing || p.now-c.heard <= missingTime {
		return
	}
	p.callOn(c)
	if by.cried < criedLimit {
		c.reporter = by.id
		p.miss(c)
	}
}

// criedLimit of reports of the living are borne: links fail too, and lines are
// slow to answer (a guess).
const criedLimit = 2

// miss stops feeding n, where it is a child, until it is heard of.
func (p *Peer) miss(n *neighbour) {
	n.missing = true
	p.measureSpare()
	for i := range p.stripes {
		s := &p.stripes[i]
		if at := p.childAt(i, n.id); at >= 0 {
			s.children[at].paused, s.children[at].unsent = true, max(s.front, s.children[at].start)
		}
	}
}

// resume goes on with a child that was said to be dead. Its places may have been given
// away: then others are asked to move at once, as what it missed comes beside.
func (p *Peer) resume(n *neighbour) {
	n.missing = false
	if by := p.neighbour(n.reporter); by != nil {
		by.cried = min(by.cried+1, criedLimit)
	}
	n.reporter = 0
	k := uint64(p.cfg.Stripes)
	for i := range p.stripes {
		s := &p.stripes[i]
		at := p.childAt(i, n.id)
		if at < 0 || !s.children[at].paused {
			continue
		}
		s.children[at].paused = false
		for q := p.firstOf(i, max(s.children[at].unsent, p.have.Base())); q < s.front; q += k {
			if p.have.Has(q) {
				p.out = append(p.out, Action{Kind: ActForward, Peer: n.id, Stripe: uint8(i), Epoch: p.epoch, Seq: q})
			}
		}
	}
	p.shed()
}

// subscribe decides about a request before any work is done for it. One that waited,
// at the door or for the stream, may do so until a time; 0: it did not, or asks again.
func (p *Peer) subscribe(n *neighbour, m Subscribe, waited time.Duration) {
	i := int(m.Stripe)
	if i >= len(p.stripes) {
		p.ban(n.id)
		return
	}
	s := &p.stripes[i]
	switch {
	case p.draining:
		p.refuse(n, i, CodeGoingAway, time.Minute)
		return
	case slices.Contains(s.path, n.id) || s.parent == n.id:
		p.refuse(n, i, CodeLoop, time.Second)
		return
	case !p.started || len(s.path) == 0 || m.Epoch > p.epoch || p.cfg.Standby:
		p.refuse(n, i, CodeNotYet, standWait)
		p.park(waiting(n, m, p.now+10*parkTime)) // whoever waits for a stream waits long
		return
	}
	if m.Urgent && m.Lost != 0 {
		p.reportedDead(n, i, m.Lost)
	}
	m.Urgent = m.Urgent && p.believed(n)
	if p.childAt(i, n.id) < 0 {
		asks := waited == 0
		if asks {
			waited = p.waitsUntil(n, i)
		}
		if m.Lost != 0 && m.Behind > 0 && !p.leads(m) {
			p.waitForLead(n, m, waited, asks)
			return
		}
		if m.Urgent && asks && p.afterOthers(n, i, m.Behind) {
			p.callChildren()
			p.hold(n, m, waited, asks)
			return
		}
		if !p.admit(n, m, waited) {
			if m.Urgent {
				// Some of those who hold a place may be dead; and the next place is for
				// who carries others.
				if p.callChildren(); p.rollEnd != never || m.Lost != 0 && p.carries(n, i, m.Behind) && (waited == 0 || p.now < waited) {
					p.hold(n, m, waited, asks)
					return
				}
			}
			p.refuse(n, i, CodeBusy, p.jitter(time.Second))
			return
		}
	}
	p.accept(n, i, m)
}

func (p *Peer) refuse(n *neighbour, i int, code Code, wait time.Duration) {
	p.stats.Refused++
	p.trace(TraceRefuse, n.id, i, uint64(code), wait)
	p.send(n.id, Refuse{Stripe: uint8(i), Code: code, Wait: wait, Alternatives: p.alternatives(i, n.id)})
}

// accept makes n a child of stripe i and sends it what it misses.
func (p *Peer) accept(n *neighbour, i int, m Subscribe) {
	s := &p.stripes[i]
	if m.Epoch != p.epoch { // what it wants and has is of a timeline that ended
		m.From, m.Have = 0, 0
	}
	start := max(m.From, p.have.Base(), p.start)
	if g, ok := p.latestGroup(); ok && (m.Latest || m.Epoch != p.epoch) {
		start = g
	}
	k := uint64(p.cfg.Stripes)
	if m.Latest {
		start = p.newcomerStart(n.id, start)
	} else if s.front > start+haveBits*k { // what lies before is left to pulls
		start = s.front - haveBits*k
	}
	past := 0
	if s.front > start {
		past = max(0, int((s.front-start)/k)-bits.OnesCount64(m.Have))
	}
	if !n.allowance.past.take(p.now, float32(past), pastPace, max(pastBurst, float32(4*p.groupLength()))) {
		start, past = s.front, 0 // it asks for the past again and again
		p.excess(n, 1)
	}
	given, ahead := p.givesPast(n, i, m, past)
	if !given {
		start, past = s.front, 0
	}
	p.spare.Owe(p.now, float64(past))
	c := child{id: n.id, start: start, since: p.now, behind: m.Behind, stranded: m.stranded()}
	if at := p.childAt(i, n.id); at >= 0 { // to ask again makes it no newcomer, nor one that was not asked to move
		c.since, c.away = s.children[at].since, s.children[at].away
		s.children = slices.Delete(s.children, at, at+1)
	}
	s.children = append(s.children, c)
	p.measureSpare()
	p.trace(TraceAccept, n.id, i, start, 0)
	p.send(n.id, Accept{Stripe: uint8(i), Epoch: p.epoch, Start: start, Path: s.path})
	p.out = append(p.out, Action{Kind: ActOpen, Peer: n.id, Stripe: uint8(i), Epoch: p.epoch, Seq: start})
	for q := start + (uint64(i)+k-start%k)%k; q < s.front; q += k {
		if at := (q - m.From) / k; q >= m.From && at < haveBits && m.Have&(1<<at) != 0 {
			continue
		}
		if p.have.Has(q) && q >= p.have.Base() {
			p.out = append(p.out, Action{Kind: ActForward, Peer: n.id, Stripe: uint8(i), Backfill: !ahead, Epoch: p.epoch, Seq: q})
		}
	}
	s.kinAt = min(s.kinAt, p.now)
}

// newcomerStart is where a newcomer starts: at the latest group, where there is
// room for its past in all stripes, else with the group that comes next. All
// its stripes start alike, or it would miss what only some of them bring.
func (p *Peer) newcomerStart(id PeerID, latest uint64) uint64 {
	for i := range p.stripes {
		if at := p.childAt(i, id); at >= 0 {
			if c := &p.stripes[i].children[at]; p.now-c.since < raiseTime && c.start >= latest {
				return c.start
			}
		}
	}
	if next := p.nextGroup(); next > latest && p.edge > latest && int(p.edge-latest) > int(p.spare.Has(p.now)) {
		return next
	}
	return latest
}

func (p *Peer) unsubscribe(n *neighbour, m Unsubscribe) {
	i := int(m.Stripe)
	if i >= len(p.stripes) {
		p.ban(n.id)
		return
	}
	p.parked = slices.DeleteFunc(p.parked, func(k parked) bool { return k.asks(n.id, i) })
	if at := p.childAt(i, n.id); at >= 0 {
		if c := &p.stripes[i].children[at]; c.away == 0 && p.now-c.since < stayTime {
			n.left, n.leftAt = min(n.left+1, leftLimit), p.now
		}
	}
	p.removeChild(i, n.id)
	p.makeMoves()
}

const (
	// stayTime: a child that goes sooner by itself needed no place made for it. One
	// that is only braiding does so now and then.
	stayTime = 3 * time.Second
	// leftLimit of such departures are borne; then nothing more is moved for that
	// neighbour until it has kept quiet for leftTime (guesses).
	leftLimit = 6
	leftTime  = 30 * time.Second
)

// believed says whether n's need is: who takes places and leaves them again gets
// what is free and nothing more.
func (p *Peer) believed(n *neighbour) bool { return n.left < leftLimit || p.now-n.leftAt > leftTime }

// disbelieve makes n one of whose need that is not believed.
func (p *Peer) disbelieve(n *neighbour) { n.left, n.leftAt = leftLimit, p.now }

func (p *Peer) removeChild(i int, id PeerID) {
	s := &p.stripes[i]
	at := p.childAt(i, id)
	if at < 0 {
		return
	}
	s.children = slices.Delete(s.children, at, at+1)
	p.measureSpare()
	p.out = append(p.out, Action{Kind: ActClose, Peer: id, Stripe: uint8(i)})
	s.kinAt = min(s.kinAt, p.now+kinEvery)
	p.checkDrained()
}

// tellPath passes a changed path on to the children of stripe i.
func (p *Peer) tellPath(i int) {
	for _, c := range p.stripes[i].children {
		p.send(c.id, Path{Stripe: uint8(i), Path: p.stripes[i].path})
	}
	for _, n := range p.nbrs {
		if n.watching&(1<<i) != 0 {
			p.tell(n)
		}
	}
	p.standAt = min(p.standAt, p.now+p.jitter(100*time.Millisecond))
}

// kinTick names to the children of stripe i whom to keep as standbys, where that
// has changed: those of their siblings who relay and are nearest by id. A choice
// that stays while the children stay: with another one each time all would
// forever look for new standbys.
func (p *Peer) kinTick(i int) {
	s := &p.stripes[i]
	if p.now < s.kinAt {
		return
	}
	s.kinAt = never
	var able []PeerID
	for _, c := range s.children {
		if n := p.neighbour(c.id); n != nil && n.hi.Slots > 0 && !n.missing {
			able = append(able, c.id)
		}
	}
	for at := range s.children {
		c := &s.children[at]
		slices.SortFunc(able, func(a, b PeerID) int { return cmp.Compare(a^c.id, b^c.id) })
		near := able
		if len(near) > 0 && near[0] == c.id {
			near = near[1:]
		}
		near = near[:min(len(near), maxAlternatives)]
		if p.heir != 0 && p.heir != c.id {
			near = slices.Insert(slices.DeleteFunc(slices.Clone(near), func(id PeerID) bool { return id == p.heir }), 0, p.heir)
		}
		told := fingerprint(fingerprint(0, near), s.siblings)
		if told == c.told {
			continue
		}
		c.told = told
		p.send(c.id, Kin{Stripe: uint8(i), Siblings: slices.Clone(near), Uncles: s.siblings})
	}
}

// kinChanged makes all children hear anew whom to keep as standbys.
func (p *Peer) kinChanged() {
	for i := range p.stripes {
		p.stripes[i].kinAt = min(p.stripes[i].kinAt, p.now)
	}
}

// fingerprint folds ids into h, as FNV-1a does with bytes.
func fingerprint(h uint64, ids []PeerID) uint64 {
	for _, id := range ids {
		h = (h ^ uint64(id)) * 0x100000001b3
	}
	return h ^ uint64(len(ids))
}
