package overlay

// This file answers: of all who were named to a peer, who is dialled first?
//
// A newcomer knows what it is told. Where Sybils are most of what the DHT answers,
// refuse everybody and name each other, one who dials each name as it comes has no dial
// left for the few that help. (Found by simulation: 2,000 peers, a tenth of them Sybils
// that are nine in ten answers of the DHT: of a newcomer's dials 98 in 100 went to them,
// they had 94 of the 96 places in its view, and six in ten had no picture after 20 s.)
//
// So while a peer has no picture, and some did not keep their word, those come first whom
// the link's peers or rendezvous name, and most dials are kept for them; networks of which
// peers did not keep their word come last; and a full view forgets the last of these first.
// The same holds for a while when a parent withheld what it said that it sent: whoever came
// with many names has filled the view, and rendezvous is asked again. (Before any was seen
// to break its word, all names are dialled: where nobody lies, a newcomer needs neighbours
// soon. Found by simulation: otherwise 60 peers of whom half die after some seconds miss
// twice as much.)

import (
	"slices"
	"time"
)

// The order in which known peers are dialled, and forgotten from its end.
const (
	rankLink   = iota // the link names it
	rankMet           // it was reached before
	rankFound         // others
	rankFailed        // it could not be reached
	rankNamed         // while this peer is wary: only a neighbour names it
	rankHollow        // its network is hollow
	ranks
)

// wary says whether this peer believes strangers less: it has no picture, and some did not
// keep their word, or it was deceived just now.
func (p *Peer) wary() bool { return !p.started && p.broken >= hollowLimit || p.deceived() }

func (p *Peer) deceived() bool { return p.now < p.waryUntil }

// waryTime is for how long a peer is wary that was deceived (a guess: several look-ups
// and dials).
const waryTime = 10 * time.Second

// beWary notes that this peer was deceived.
func (p *Peer) beWary() {
	p.waryUntil, p.lookAt = p.now+waryTime, min(p.lookAt, max(p.now, p.findAt))
}

func (p *Peer) rank(v *known) int {
	switch {
	case v.Source == SourceLink:
		return rankLink
	case p.hollow(v.Subnet):
		return rankHollow
	case v.met:
		return rankMet
	case p.wary() && v.Source == SourcePeer:
		return rankNamed
	case v.fails > 0:
		return rankFailed
	}
	return rankFound
}

// keptDials are not spent by a wary peer on the last two ranks, nor on whom a neighbour
// names just now (a guess: two thirds of what may be dialled at once).
const keptDials = 2 * dialBurst / 3

// sparesDial says whether one more dial may be spent on those.
func (p *Peer) sparesDial() bool { return !p.wary() || p.dials.Has(p.now) >= keptDials+p.dialCost }

// forgettable returns which entry a full view forgets for one of a rank: of some, at
// random, that would be dialled last. A wary peer forgets nobody who would be dialled
// sooner; -1: nobody.
func (p *Peer) forgettable(rank int) int {
	at, last := -1, rankLink
	if p.wary() {
		last = max(rank, rankFound) - 1
	}
	for range forgetTries {
		i := p.rng.IntN(len(p.view))
		v := &p.view[i]
		if r := p.rank(v); r > last && !v.dialing && p.neighbour(v.Peer) == nil {
			at, last = i, r
		}
	}
	return at
}

// forgetTries entries are looked at, of a hundred (a guess).
const forgetTries = 8

// sourceOf is where names come from that neighbour by tells.
func (p *Peer) sourceOf(by PeerID) Source {
	if slices.ContainsFunc(p.view, func(v known) bool { return v.Peer == by && v.Source == SourceLink }) {
		return SourceVouched
	}
	return SourcePeer
}

// named learns and, if wanted, dials those whom neighbour by names.
func (p *Peer) named(ids []PeerID, by PeerID, dial bool) {
	from := p.sourceOf(by)
	for _, id := range ids {
		p.learn(Candidate{Peer: id, Source: from}, by)
		if dial && (from == SourceVouched || p.sparesDial()) {
			p.dial(id)
		}
	}
}

// hollowNet is a network and how many of its peers did not keep their word, since one gave
// something: they were busy though they had said that they had room, or withheld what they
// said that they sent.
type hollowNet struct {
	subnet uint32
	count  uint8
}

const (
	// hollowLimit of them make a network hollow: one may have filled up just now (a guess).
	hollowLimit = 2
	// maxHollowNets are remembered, the latest.
	maxHollowNets = 64
)

// hollowNet returns how many hollow peers of a subnet there were.
func (p *Peer) hollowNet(subnet uint32) uint8 {
	for i := range p.hollowNets {
		if p.hollowNets[i].subnet == subnet {
			return p.hollowNets[i].count
		}
	}
	return 0
}

// hollow says whether a subnet is to come last.
func (p *Peer) hollow(subnet uint32) bool { return p.hollowNet(subnet) >= hollowLimit }

// noteHollow counts one more hollow peer of a subnet.
func (p *Peer) noteHollow(subnet uint32) {
	p.broken = min(p.broken+1, hollowLimit)
	if subnet == 0 { // not known
		return
	}
	count := p.hollowNet(subnet)
	p.forgiveNet(subnet)
	if len(p.hollowNets) == maxHollowNets {
		p.hollowNets = slices.Delete(p.hollowNets, 0, 1)
	}
	p.hollowNets = append(p.hollowNets, hollowNet{subnet, min(count+1, hollowLimit)})
}

// forgiveNet forgets that a subnet was hollow.
func (p *Peer) forgiveNet(subnet uint32) {
	p.hollowNets = slices.DeleteFunc(p.hollowNets, func(h hollowNet) bool { return h.subnet == subnet })
}
