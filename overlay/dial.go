package overlay

// This file answers: how many does a peer dial, and how fast?

import "time"

const (
	dialTime = 5 * time.Second
	// slowDial is when a dial no longer keeps others back: most answer sooner, and
	// those that do not end by their time-out (the idea of Happy Eyeballs, RFC 8305).
	slowDial = 700 * time.Millisecond
	// dialBurst and dialRate bound how many are dialled at once, and a second: a
	// handshake takes 8 kB of the uplink. (Found by simulation: where there is too
	// little upload, small uplinks were full of their own dials for a minute.)
	dialBurst, dialRate = 24, 8
	// lateDial: no handshake takes so long, around the world, but behind a full line.
	lateDial = 1500 * time.Millisecond
	// maxDialCost is in tokens, so that two a second are dialled. (With one, of 500 peers
	// of which seven in ten give nothing, the last had a picture after 13 s, not 9.)
	maxDialCost = 4
	// seekDials is how many are dialled at a time though there are neighbours
	// enough, when none of them can be the parent that a stripe lacks.
	seekDials = 3
	// quickDial is when a parent whose connection failed is dialled again.
	quickDial = 300 * time.Millisecond
)

// meet is dial for one that this peer need not know yet.
func (p *Peer) meet(id PeerID) bool {
	p.learn(Candidate{Peer: id, Source: SourcePeer}, 0)
	return p.dial(id)
}

// dial connects to known peer id unless that is under way, done or pointless; true: it does.
func (p *Peer) dial(id PeerID) bool {
	if p.neighbour(id) != nil || p.isBanned(id) {
		return false
	}
	for i := range p.view {
		v := &p.view[i]
		if v.Peer != id {
			continue
		}
		if p.now < v.again || !p.dials.Take(p.now, p.dialCost) {
			return false
		}
		v.dialing, v.again = true, p.now+dialTime
		p.out = append(p.out, Action{Kind: ActConnect, Peer: id})
		return true
	}
	return false
}

// dialledAt is when v was dialled, while it is.
func (v *known) dialledAt() time.Duration { return v.again - dialTime }

// dialled learns from a dial that was answered after so long. Where that is late, the own
// line is full, most likely of dials: each one costs twice as much from now on, and less
// again with each that is not late. (Found by simulation: viewers with a quarter of a
// stream of upload had seconds of their own handshakes before whatever they said, were
// taken for dead by each parent that they found, and dialled for others.)
func (p *Peer) dialled(after time.Duration) {
	if after > lateDial {
		p.dialCost = min(2*p.dialCost, maxDialCost)
	} else {
		p.dialCost = max(p.dialCost/1.5, 1)
	}
}
