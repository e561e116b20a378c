package overlay

// This file answers: who is refused, and for how long? One is banned for what
// it did to this peer itself: for objects that do not verify, for messages that
// nobody sends who keeps to the protocol, and for floods. What an honest peer
// passes on in good faith, a path, a name or a position, is never a reason.

import (
	"slices"
	"time"
)

const (
	banTime = 10 * time.Minute // guess: longer than most views of a stream
	// maxBanTime is what it grows to, twice as long each time.
	maxBanTime = 24 * time.Hour
	maxBans    = 256
	// subnetBans of peers of one subnet shut it for newcomers: identities cost
	// nothing, networks do. Fewer would punish those who only live there.
	subnetBans = 3
)

// ban is kept after its end as long as it lasted, so that the next is longer.
type ban struct {
	id     PeerID
	subnet uint32
	times  uint8
	until  time.Duration
	forget time.Duration
}

func (p *Peer) isBanned(id PeerID) bool {
	for _, b := range p.banned {
		if b.id == id && p.now < b.until {
			return true
		}
	}
	return false
}

// bansOf counts the bans of peers of a subnet that run.
func (p *Peer) bansOf(subnet uint32) (n int) {
	for _, b := range p.banned {
		if subnet != 0 && b.subnet == subnet && p.now < b.until {
			n++
		}
	}
	return n
}

// shut says whether nobody new of subnet is met. Who is here stays.
func (p *Peer) shut(subnet uint32) bool { return p.bansOf(subnet) >= subnetBans }

// ban ends what there is with id, for a time that doubles: with each ban of it,
// and with every third of its subnet.
func (p *Peer) ban(id PeerID) {
	if id == 0 || id == p.self {
		return
	}
	b := ban{id: id}
	if n := p.neighbour(id); n != nil {
		b.subnet = n.subnet
	}
	if at := slices.IndexFunc(p.banned, func(o ban) bool { return o.id == id }); at >= 0 {
		b.times = p.banned[at].times
	}
	b.times = uint8(min(max(int(b.times), p.bansOf(b.subnet)/subnetBans)+1, 16))
	wait := min(banTime<<(b.times-1), maxBanTime)
	b.until, b.forget = p.now+wait, p.now+2*wait
	p.out = append(p.out, Action{Kind: ActBan, Peer: id, Wait: wait})
	p.lost(id)
	p.banned = slices.DeleteFunc(p.banned, func(o ban) bool { return o.id == id || p.now >= o.forget })
	if len(p.banned) == maxBans {
		p.banned = slices.Delete(p.banned, 0, 1)
	}
	p.banned = append(p.banned, b)
	p.view = slices.DeleteFunc(p.view, func(k known) bool { return k.Peer == id })
}

// taken says whether neighbours of one subnet, and not this one alone, have half
// of the places for neighbours.
func (p *Peer) taken(subnet uint32) bool {
	if subnet == 0 {
		return false
	}
	n := 0
	for _, o := range p.nbrs {
		if o.subnet == subnet {
			n++
		}
	}
	return n >= p.most()/2
}
