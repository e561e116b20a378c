package overlay

// This file answers: whom does a peer know, to whom is it connected, and how
// does that stay fresh? HyParView's idea (Leitão, Pereira, Rodrigues, DSN
// 2007): a small active set with connections, a larger passive one, shuffles.

import (
	"cmp"
	"slices"
	"time"

	"github.com/braidway/braidway/failover"
)

// neighbour is a peer with an open control exchange.
type neighbour struct {
	id       PeerID
	ready    bool // its Hello is here
	hi       Hello
	rtt      time.Duration
	since    time.Duration
	heard    time.Duration
	free     uint16
	stripes  []StripeStatus  // its latest word about every stripe
	lag      []time.Duration // how far it was behind the live edge in each, a moving average
	watching uint32          // stripes of which it wants to know our path
	watched  uint32          // stripes of which we asked its path
	away     bool            // it is leaving
	missing  bool            // a child that an orphan of its says is dead, and that says nothing
	busy     []time.Duration
	quiet    bool          // it did not answer a pull: perhaps dead, until it is heard of
	climbAt  time.Duration // not asked before to make room for a worthier child
	breaker  failover.Breaker
	failedAt time.Duration // of the breaker's last failure
	served   int           // objects served to it since servedAt
	servedAt time.Duration // start of the running second
	doubt    time.Duration // when it was last given up as a parent, 0: never
}

// known is an entry of the passive set.
type known struct {
	Candidate
	dialing bool
	again   time.Duration // not dialled before
	fails   uint8
}

type ban struct {
	id    PeerID
	until time.Duration
}

const (
	banTime  = 10 * time.Minute // guess: longer than most views of a stream
	dialTime = 5 * time.Second
	// slowDial is when a dial no longer keeps others back: most answer sooner, and
	// those that do not end by their time-out (the idea of Happy Eyeballs, RFC 8305).
	slowDial = 700 * time.Millisecond
	// seekDials is how many are dialled at a time though there are neighbours
	// enough, when none of them can be the parent that a stripe lacks.
	seekDials = 3
	// quickDial is when a parent whose connection failed is dialled again.
	quickDial    = 300 * time.Millisecond
	subnetLimit  = 6 // of one subnet in the view (guess)
	shuffleCount = 6
	// trimAfter is what a neighbour that nobody needs gets to ask and to be
	// answered: some round trips across the world.
	trimAfter = time.Second
	maxBans   = 256
)

func (p *Peer) isBanned(id PeerID) bool {
	for _, b := range p.banned {
		if b.id == id && p.now < b.until {
			return true
		}
	}
	return false
}

func (p *Peer) ban(id PeerID) {
	if id == 0 || id == p.self {
		return
	}
	p.out = append(p.out, Action{Kind: ActBan, Peer: id, Wait: banTime})
	p.lost(id)
	p.banned = slices.DeleteFunc(p.banned, func(b ban) bool { return b.id == id || p.now >= b.until })
	if len(p.banned) == maxBans {
		p.banned = p.banned[1:]
	}
	p.banned = append(p.banned, ban{id, p.now + banTime})
	p.view = slices.DeleteFunc(p.view, func(k known) bool { return k.Peer == id })
}

// learn adds a candidate to the view; a full view forgets a random entry that is not connected.
func (p *Peer) learn(c Candidate) {
	if c.Peer == 0 || c.Peer == p.self || p.isBanned(c.Peer) {
		return
	}
	same := 0
	for i := range p.view {
		if v := &p.view[i]; v.Peer == c.Peer {
			v.Source = min(v.Source, c.Source)
			if c.Source < SourcePeer && !v.dialing {
				v.again = min(v.again, p.now) // rendezvous saw it again: its time-out is over
			}
			return
		} else if c.Subnet != 0 && v.Subnet == c.Subnet {
			same++
		}
	}
	if same >= subnetLimit {
		return
	}
	if len(p.view) >= p.cfg.View {
		i := p.rng.IntN(len(p.view))
		if p.byID[p.view[i].Peer] != nil || p.view[i].dialing {
			return
		}
		p.view = slices.Delete(p.view, i, i+1)
	}
	p.view = append(p.view, known{Candidate: c})
}

func (p *Peer) candidates(cs []Candidate) {
	for _, c := range cs {
		p.learn(c)
	}
	p.widen()
}

// dial connects to peer id unless that is under way, done or pointless; true: it does.
func (p *Peer) dial(id PeerID) bool {
	if p.byID[id] != nil || id == p.self || p.isBanned(id) {
		return false
	}
	p.learn(Candidate{Peer: id, Source: SourcePeer})
	for i := range p.view {
		v := &p.view[i]
		if v.Peer != id {
			continue
		}
		if p.now < v.again {
			return false
		}
		v.dialing, v.again = true, p.now+dialTime
		p.out = append(p.out, Action{Kind: ActConnect, Peer: id})
		return true
	}
	return false
}

// widen connects to more known peers while there are too few neighbours.
func (p *Peer) widen() {
	want := p.cfg.Neighbours - len(p.nbrs)
	switch {
	case p.cfg.Publisher:
		want = 2 - len(p.nbrs)
	case !p.started: // the longer it takes, the more are tried side by side: many may be out of reach
		want += min(int((p.now-p.bornAt)/slowDial), 2*p.cfg.Neighbours)
	}
	for i := range p.view {
		if v := &p.view[i]; v.dialing && p.now < v.again-dialTime+slowDial {
			want--
		}
	}
	if want <= 0 && !p.cfg.Publisher && p.started && p.wantsParents() {
		want = seekDials // those at hand are of no use
	}
	order := p.rng.Perm(len(p.view))
	for _, first := range []bool{true, false} { // whom the link names first
		for _, at := range order {
			if want <= 0 {
				return
			}
			v := p.view[at]
			if (v.Source == SourceLink) == first && p.byID[v.Peer] == nil && p.now >= v.again && p.dial(v.Peer) {
				want--
			}
		}
	}
}

func (p *Peer) connected(id PeerID, rtt time.Duration) {
	if p.isBanned(id) || id == p.self || id == 0 {
		p.out = append(p.out, Action{Kind: ActDisconnect, Peer: id})
		return
	}
	if n := p.byID[id]; n != nil {
		p.lost(id) // a new exchange replaces the old: what was agreed on that is void
	}
	p.learn(Candidate{Peer: id, Source: SourcePeer})
	for i := range p.view {
		if v := &p.view[i]; v.Peer == id {
			v.dialing, v.fails, v.again = false, 0, 0
		}
	}
	n := &neighbour{id: id, rtt: rtt, since: p.now, heard: p.now, busy: make([]time.Duration, p.cfg.Stripes), lag: make([]time.Duration, p.cfg.Stripes)}
	at, _ := slices.BinarySearchFunc(p.nbrs, id, func(n *neighbour, id PeerID) int {
		switch {
		case n.id < id:
			return -1
		case n.id > id:
			return 1
		}
		return 0
	})
	p.nbrs = slices.Insert(p.nbrs, at, n)
	p.byID[id] = n
	p.send(id, Hello{Publisher: p.cfg.Publisher, Draining: p.draining, Slots: uint16(min(p.slots, 65535)), Epoch: p.haveEpoch(), Edge: p.edge})
	p.tell(n) // at once: a newcomer can only ask whose place in the trees it knows
	if p.started && p.room(false) <= 0 {
		if free := p.freePeers(id); len(free) > 0 {
			p.send(id, Shuffle{Reply: true, Peers: free}) // it need not ask to hear who else there is
		}
	}
	if len(p.nbrs) > p.crowded() {
		p.trimAt = min(p.trimAt, p.now+trimAfter)
	}
}

// haveEpoch is the epoch of which this peer has something, or 0.
func (p *Peer) haveEpoch() uint64 {
	if p.started {
		return p.epoch
	}
	return 0
}

func (p *Peer) hello(n *neighbour, m Hello) {
	n.ready, n.hi, n.away = true, m, m.Draining
	n.free = m.Slots
	p.join()
}

func (p *Peer) status(n *neighbour, m Status) {
	n.hi.Epoch, n.hi.Edge, n.away, n.free = m.Epoch, m.Edge, m.Draining, m.Free
	first := n.stripes == nil
	n.stripes = m.Stripes
	n.ready = true
	for _, st := range m.Stripes {
		if i := int(st.Stripe); i < len(n.lag) && st.Fed && m.Epoch == p.epoch {
			n.lag[i] = smooth(n.lag[i], p.age(st.Position), first)
		}
	}
	p.standbysChanged(n)
	for i := range p.stripes {
		p.answered(n, i)
	}
	p.join()
}

// smooth is one step of a moving average.
func smooth(avg, x time.Duration, first bool) time.Duration {
	if first {
		return x
	}
	return avg + (x-avg)/2
}

// of returns the neighbour's latest word about stripe i.
func (n *neighbour) of(i int) (StripeStatus, bool) {
	if i < len(n.stripes) && int(n.stripes[i].Stripe) == i { // as everybody sends them
		return n.stripes[i], true
	}
	for _, s := range n.stripes {
		if int(s.Stripe) == i {
			return s, true
		}
	}
	return StripeStatus{}, false
}

// lost handles the end of an exchange, or of an attempt to open one.
func (p *Peer) lost(id PeerID) {
	for i := range p.view {
		if v := &p.view[i]; v.Peer == id {
			v.dialing = false
			v.fails = min(v.fails+1, 6)
			v.again = p.now + p.jitter(time.Second<<v.fails)
			if n := p.byID[id]; n != nil && p.isParent(id) { // it may only have been started anew
				v.again = p.now + p.jitter(quickDial)
			}
			if v.fails == 6 {
				p.view = slices.Delete(p.view, i, i+1)
			}
			break
		}
	}
	n := p.byID[id]
	if n == nil {
		return
	}
	delete(p.byID, id)
	p.nbrs = slices.DeleteFunc(p.nbrs, func(o *neighbour) bool { return o == n })
	p.parked = slices.DeleteFunc(p.parked, func(k parked) bool { return k.from == id })
	for i := range p.stripes {
		s := &p.stripes[i]
		s.children = slices.DeleteFunc(s.children, func(c child) bool { return c.id == id })
		s.standbys = slices.DeleteFunc(s.standbys, func(b PeerID) bool { return b == id })
		if s.old == id {
			s.old = 0
		}
		if s.try.to == id {
			p.attemptFailed(i)
		}
	}
	for i := range p.stripes {
		if p.stripes[i].parent == id {
			p.parentLost(i)
		}
	}
	p.standAt = min(p.standAt, p.now+50*time.Millisecond)
	p.checkDrained()
}

func (p *Peer) isParent(id PeerID) bool {
	return slices.ContainsFunc(p.stripes, func(s stripe) bool { return s.parent == id })
}

// dropSilent ends the neighbourhood with peers that say nothing at all.
func (p *Peer) dropSilent() {
	for _, n := range slices.Clone(p.nbrs) {
		if p.now-n.heard > silentLimit {
			p.hangUp(n)
		}
	}
}

// crowded is how many neighbours are enough: more, and those that nobody needs have to go.
func (p *Peer) crowded() int { return 2*p.cfg.Neighbours + p.cfg.Standbys*p.cfg.Stripes }

// trim ends the neighbourhood with those that nobody needs, while there are too
// many: whoever is well known meets every newcomer, and would soon send more
// words than objects. The far ones go first: so neighbourhoods come together
// by distance (the idea of X-BOT, SRDS 2009).
func (p *Peer) trim() {
	p.trimAt = never
	idle := slices.Clone(p.nbrs)
	slices.SortStableFunc(idle, func(a, b *neighbour) int { return cmp.Compare(b.rtt, a.rtt) })
	for _, n := range idle {
		if len(p.nbrs) <= p.crowded() {
			return
		}
		if !p.needed(n) && p.now-n.since >= trimAfter {
			p.hangUp(n)
		}
	}
	if len(p.nbrs) > p.crowded() {
		p.trimAt = p.now + trimAfter/2
	}
}

func (p *Peer) hangUp(n *neighbour) {
	p.out = append(p.out, Action{Kind: ActDisconnect, Peer: n.id})
	p.lost(n.id)
}

func (p *Peer) needed(n *neighbour) bool {
	if n.watching != 0 || n.watched != 0 {
		return true
	}
	for i := range p.stripes {
		s := &p.stripes[i]
		if s.parent == n.id || s.try.to == n.id || s.old == n.id || p.childAt(i, n.id) >= 0 {
			return true
		}
	}
	return false
}

// tell sends a Status to n.
func (p *Peer) tell(n *neighbour) {
	m := Status{Draining: p.draining, Free: uint16(max(0, min(p.room(false), 65535))), Epoch: p.haveEpoch(), Edge: p.edge}
	m.Stripes = make([]StripeStatus, len(p.stripes))
	for i := range p.stripes {
		s := &p.stripes[i]
		st := StripeStatus{Stripe: uint8(i), Fed: p.fed(i), Depth: uint8(min(len(s.path), 255)), Position: s.next}
		if n.watching&(1<<i) != 0 {
			st.Path = s.path
		}
		m.Stripes[i] = st
	}
	p.send(n.id, m)
}

// fed says whether stripe i has a parent that is not in doubt.
func (p *Peer) fed(i int) bool {
	s := &p.stripes[i]
	return p.cfg.Publisher || s.parent != 0 && !s.episode.on && len(s.path) > 0
}

func (p *Peer) sendStatus() {
	for i := range p.stripes {
		s := &p.stripes[i]
		s.lag = smooth(s.lag, p.age(s.next), false)
	}
	for _, n := range p.nbrs {
		p.tell(n)
	}
}

// sample returns up to count known peers in random order, without peer not.
func (p *Peer) sample(count int, not PeerID) []PeerID {
	var ids []PeerID
	for _, at := range p.rng.Perm(len(p.view)) {
		if v := p.view[at]; v.Peer != not && v.fails == 0 && len(ids) < count {
			ids = append(ids, v.Peer)
		}
	}
	return ids
}

func (p *Peer) shuffle() {
	if len(p.nbrs) > 0 {
		n := p.nbrs[p.rng.IntN(len(p.nbrs))]
		if n.ready {
			p.send(n.id, Shuffle{Peers: p.sample(shuffleCount, n.id)})
		}
	}
	p.widen()
	p.probe()
}

// probe meets one more known peer, who may be nearer than those at hand.
func (p *Peer) probe() {
	if p.cfg.Publisher || p.draining || len(p.view) == 0 {
		return
	}
	for range 4 {
		v := p.view[p.rng.IntN(len(p.view))]
		if p.byID[v.Peer] == nil && p.dial(v.Peer) {
			return
		}
	}
}

// freePeers names up to maxAlternatives neighbours but not, who have room by their last word.
func (p *Peer) freePeers(not PeerID) []PeerID {
	var ids []PeerID
	if len(p.nbrs) == 0 {
		return nil
	}
	from := p.rng.IntN(len(p.nbrs))
	for i := range p.nbrs {
		n := p.nbrs[(from+i)%len(p.nbrs)]
		if n.id != not && n.free > 0 && !n.away && !n.hi.Publisher && n.hi.Epoch == p.epoch && len(ids) < maxAlternatives {
			ids = append(ids, n.id)
		}
	}
	return ids
}

func (p *Peer) shuffled(n *neighbour, m Shuffle) {
	if !m.Reply {
		p.send(n.id, Shuffle{Reply: true, Peers: p.sample(shuffleCount, n.id)})
	}
	for _, id := range m.Peers {
		p.learn(Candidate{Peer: id, Source: SourcePeer})
		if !p.started && !p.cfg.Publisher {
			p.dial(id)
		}
	}
}

// wantsParents says whether some stripe has no parent.
func (p *Peer) wantsParents() bool {
	for i := range p.stripes {
		if p.stripes[i].parent == 0 {
			return true
		}
	}
	return false
}

// seek asks rendezvous for candidates, with backoff: the retry's one owner.
func (p *Peer) seek() {
	p.findAt = p.now + p.find.Next(p.rng)
	p.out = append(p.out, Action{Kind: ActFind})
	p.widen()
	p.join()
}
