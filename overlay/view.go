package overlay

// This file answers: whom does a peer know, to whom is it connected, and how
// does that stay fresh? HyParView's idea (Leitão, Pereira, Rodrigues, DSN
// 2007): a small active set with connections, a larger passive one, shuffles.

import (
	"slices"
	"time"

	"github.com/braidway/braidway/failover"
)

// neighbour is a peer with an open control exchange.
type neighbour struct {
	id       PeerID
	heard    time.Duration
	gave     time.Duration // when an object last came from it, 0: never
	asked    time.Duration // when it was asked for a sign of life that has not come, 0: it was not
	ready    bool          // its Hello is here
	away     bool          // it is leaving
	chosen   bool          // this peer dialled it
	missing  bool          // a child that is probably dead: nothing is sent to it
	confined bool          // it reaches few, by its word
	open     bool          // the confined reach it, by its word
	quiet    bool          // it did not answer a pull: perhaps dead, until it is heard of
	free     uint16
	watching uint32 // stripes of which it wants to know our path
	watched  uint32 // stripes of which we asked its path
	promised uint32 // stripes of which it said NOT_YET: its Accept may come later
	stands   uint32 // of these, for want of the stream
	hi       Hello
	breaker  failover.Breaker
	stripes  []StripeStatus // its latest word about every stripe
	busy     []time.Duration
	lag      []time.Duration // how far it was behind the live edge in each, a moving average
	rtt      time.Duration
	subnet   uint32 // as Candidate's
	record   record // what it did as a parent
	since    time.Duration
	spent    time.Duration // it has nothing to give until then
	gone     uint64        // it no longer has what is below
	climbAt  time.Duration // not asked before to make room for a worthier child
	failedAt time.Duration // of the breaker's last failure
	left     uint8         // places that it took and left at once
	leftAt   time.Duration // when it last did
	reporter PeerID        // who said that it is dead
	cried    uint8         // how often it said that of the living
	ahead    int64         // of our edge, objects, by its last Status
	hollow   uint8         // BUSY though it said that it had room, one after another
	owesAt   time.Duration // since when it did not answer a pull, 0: it owes nothing
	muted    time.Duration // it is not pulled from until then
	ignored  uint8         // how often that was so, one after another
	// allowance is what it may ask for.
	allowance allowance
	// watches is what was taken of its allowance for Watch.
	watches bucket
}

// known is an entry of the passive set.
type known struct {
	Candidate
	dialing bool
	met     bool          // it was connected: it can be reached from here
	again   time.Duration // not dialled before
	fails   uint8
	by      PeerID // which neighbour named it first; 0: rendezvous, or nobody
}

const (
	subnetLimit = 6 // of one subnet in the view (guess)
	// namedShare: one neighbour names a sixth of the view at most, of those that
	// were never met (a guess).
	namedShare = 6
	// oldest idle neighbours stay however far they are: they were there before
	// whoever fills neighbourhoods came.
	oldest       = 3
	shuffleCount = 6
	// trimAfter is what a neighbour that nobody needs gets to ask and to be
	// answered: some round trips across the world.
	trimAfter = time.Second
)

// learn adds a candidate to the view, whom neighbour by named, or nobody. A full
// view forgets another; what one neighbour names is a part of it only.
func (p *Peer) learn(c Candidate, by PeerID) {
	if c.Peer == 0 || c.Peer == p.self || p.isBanned(c.Peer) || p.shut(c.Subnet) {
		return
	}
	same, named := 0, 0
	for i := range p.view {
		if v := &p.view[i]; v.Peer == c.Peer {
			v.Source = min(v.Source, c.Source)
			if by == 0 && c.Source < SourcePeer && !v.dialing {
				v.again = min(v.again, p.now) // rendezvous saw it again: its time-out is over
			}
			return
		} else if c.Subnet != 0 && v.Subnet == c.Subnet {
			same++
		} else if by != 0 && v.by == by && !v.met {
			named++
		}
	}
	if same >= subnetLimit || named >= max(p.cfg.View/namedShare, shuffleCount) {
		return
	}
	if len(p.view) >= p.cfg.View {
		i := p.forgettable(p.rank(&known{Candidate: c}))
		if i < 0 {
			return
		}
		p.view = slices.Delete(p.view, i, i+1)
	}
	p.view = append(p.view, known{Candidate: c, by: by})
}

func (p *Peer) candidates(cs []Candidate) {
	for _, c := range cs {
		p.learn(c, 0)
	}
	p.widen()
}

// widen connects to more known peers while there are too few neighbours in reserve.
func (p *Peer) widen() {
	met, failed, pending := p.reached()
	p.confined = failed >= confinedLeast && failed > confinedRatio*met
	want := p.lackingReserve()
	switch {
	case p.cfg.Publisher:
		want = 2 - len(p.nbrs)
	case !p.started: // the longer it takes, the more are tried side by side: many may be out of reach
		want += min(int((p.now-p.bornAt)/slowDial), 2*p.cfg.Neighbours)
	}
	if p.started { // where most cannot be reached, more are tried
		want += want * min(failed/(met+1), 3)
	}
	want -= pending
	if want <= 0 && !p.cfg.Publisher && p.started && (p.wantsParents() || p.deceived()) {
		want = seekDials // those at hand are of no use
	}
	order := p.rng.Perm(len(p.view))
	for rank := range ranks {
		if rank >= rankNamed && !p.sparesDial() {
			return
		}
		for _, at := range order {
			if want <= 0 {
				return
			}
			if v := &p.view[at]; p.rank(v) == rank && p.neighbour(v.Peer) == nil && p.now >= v.again && p.dial(v.Peer) {
				want--
			}
		}
	}
}

// reserve counts the living neighbours that are neither parent nor child: with
// them, a peer goes on when all those die at once. At least half of them it has
// to have chosen itself: who fills neighbourhoods dials. The hollow are none to one
// that is wary.
func (p *Peer) reserve() (count int) {
	came := 0
	for _, n := range p.nbrs {
		switch {
		case p.silent(n) || p.related(n) || p.doubts(n) > 0 || p.wary() && (n.hollow > 0 || p.hollow(n.subnet)):
		case n.chosen:
			count++
		default:
			came++
		}
	}
	return count + min(came, p.cfg.Neighbours/2)
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
		if p.neighbour(v.Peer) == nil && p.dial(v.Peer) {
			return
		}
	}
}

// freePeers names up to maxAlternatives neighbours but not, who have room by their
// last word; first whom that one is likely to reach.
func (p *Peer) freePeers(not PeerID) []PeerID {
	if len(p.nbrs) == 0 {
		return nil
	}
	var ids, others []PeerID
	asker := p.neighbour(not)
	from := p.rng.IntN(len(p.nbrs))
	for i := range p.nbrs {
		n := p.nbrs[(from+i)%len(p.nbrs)]
		switch {
		case len(ids) == maxAlternatives:
			return ids
		case n.id == not || n.free == 0 || n.away || n.missing || p.silent(n) || n.hi.Publisher || n.hi.Epoch != p.epoch:
		case n.reachedBy(asker):
			ids = append(ids, n.id)
		default:
			others = append(others, n.id)
		}
	}
	ids = append(ids, others...)
	return ids[:min(len(ids), maxAlternatives)]
}

func (p *Peer) shuffled(n *neighbour, m Shuffle) {
	if !m.Reply {
		p.send(n.id, Shuffle{Reply: true, Peers: p.sampleFor(n)})
	}
	p.named(m.Peers, n.id, !p.started && !p.cfg.Publisher || p.confined && p.lackingReserve() > 0)
}

// wantsParents says whether some stripe has no parent.
func (p *Peer) wantsParents() bool {
	if p.resting() {
		return false
	}
	for i := range p.stripes {
		if p.stripes[i].parent == 0 {
			return true
		}
	}
	return false
}

// seek asks rendezvous for candidates, with backoff: the retry's one owner.
func (p *Peer) seek() {
	if p.restUntil != 0 {
		p.back()
	}
	p.findAt = p.now + p.find.Next(p.rng)
	p.out = append(p.out, Action{Kind: ActFind})
	p.widen()
	p.join()
}
