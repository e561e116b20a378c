package sim

// This file answers: what does an attacker do? It is the shipped core behind a
// wrapper that changes what it hears, says and sends; beside that it is a peer
// like the others, with their lines and handshakes.

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/braidway/braidway/overlay"
)

const (
	// floodEvery is the pace of one who floods, on each of its connections.
	floodEvery = 50 * time.Millisecond
	// crawlEvery is the pace at which attackers dial honest peers.
	crawlEvery = 250 * time.Millisecond
	// claimed are the slots that a liar says it has.
	claimed = 255
	// known bounds what an attacker notes of others.
	noted = 64
)

// foe is an attacker's core.
type foe struct {
	*overlay.Peer
	e      *engine
	attack string
	number uint32 // among the attackers
	self   overlay.PeerID
	rng    *rand.Rand
	raw    []overlay.Action
	next   time.Duration // when it acts by itself
	ticks  int

	nbrs  []overlay.PeerID // in the order of connection
	kin   []kinship
	epoch uint64
	edge  uint64
	sent  []uint64 // by stripe: what was let through, one past it
	late  []tardy
}

// kinship is what a parent told of its other children.
type kinship struct {
	parent, child overlay.PeerID
	stripe        uint8
}

// tardy is an action that is held back.
type tardy struct {
	at time.Duration
	a  overlay.Action
}

func (e *engine) newFoe(c *overlay.Peer, p *peer, attack string, rng *rand.Rand) *foe {
	return &foe{Peer: c, e: e, attack: attack, number: uint32(len(e.foes)), self: p.id, rng: rng, next: time.Duration(e.now) + crawlEvery, sent: make([]uint64, e.set.Stripes)}
}

// delay is how late everything may be that is not noticed: a parent that
// stands still for six objects of each stripe is looked at.
func (f *foe) delay() time.Duration {
	return time.Duration(float64(6*f.e.set.Stripes)/f.e.set.Objects*float64(time.Second)) - 20*time.Millisecond
}

// Deadline is the core's, or the attacker's own.
func (f *foe) Deadline() time.Duration {
	d := min(f.Peer.Deadline(), f.next)
	if len(f.late) > 0 {
		d = min(d, f.late[0].at)
	}
	return d
}

// Step lets the core decide, and then does otherwise.
func (f *foe) Step(now time.Duration, ev overlay.Event, out []overlay.Action) []overlay.Action {
	for len(f.late) > 0 && f.late[0].at <= now {
		a := f.late[0].a
		f.late = f.late[1:]
		f.sent[a.Stripe] = max(f.sent[a.Stripe], a.Seq+1)
		out = append(out, a)
	}
	deaf := f.hears(&ev) || ev.Kind == overlay.EvTimeout && f.Peer.Deadline() > now
	if !deaf {
		f.raw = f.Peer.Step(now, ev, f.raw[:0])
		for i := range f.raw {
			out = f.does(now, f.raw[i], out)
		}
	}
	if now >= f.next {
		out = f.acts(now, out)
	}
	return out
}

// hears notes what comes; true: the core does not hear of it.
func (f *foe) hears(ev *overlay.Event) bool {
	switch ev.Kind {
	case overlay.EvConnected:
		if !slices.Contains(f.nbrs, ev.Peer) {
			f.nbrs = append(f.nbrs, ev.Peer)
		}
	case overlay.EvDisconnected:
		f.nbrs = slices.DeleteFunc(f.nbrs, func(id overlay.PeerID) bool { return id == ev.Peer })
	case overlay.EvSlots:
		return f.attack == LiePath // it lets everybody in
	case overlay.EvMessage:
		switch m := ev.Msg.(type) {
		case overlay.GoAway:
			return f.attack == FakeUrgent || f.attack == FreeRide || f.attack == SybilDHT // a place is a place
		case overlay.Kin:
			for _, id := range m.Siblings {
				f.notes(ev.Peer, id, m.Stripe)
			}
		case overlay.Refuse:
			for _, id := range m.Alternatives {
				f.notes(ev.Peer, id, m.Stripe)
			}
		}
	}
	return false
}

func (f *foe) notes(parent, child overlay.PeerID, stripe uint8) {
	k := kinship{parent, child, stripe}
	if slices.Contains(f.kin, k) || child == f.self {
		return
	}
	if f.kin = append(f.kin, k); len(f.kin) > noted {
		f.kin = f.kin[1:]
	}
}

// does changes one action of the core.
func (f *foe) does(now time.Duration, a overlay.Action, out []overlay.Action) []overlay.Action {
	switch a.Kind {
	case overlay.ActDeliver:
		f.epoch, f.edge = a.Epoch, max(f.edge, a.Seq+1)
	case overlay.ActSend:
		a.Msg = f.says(a.Msg)
	case overlay.ActDisconnect: // whom it attacks it keeps
		if f.attack == PullFlood || f.attack == Eclipse || f.attack == FakeUrgent {
			return out
		}
	case overlay.ActForward, overlay.ActServe:
		switch {
		case f.attack == Delay:
			f.late = append(f.late, tardy{now + f.delay(), a})
			return append(out, overlay.Action{Kind: overlay.ActBeacon, Peer: a.Peer, Stripe: a.Stripe, Epoch: a.Epoch, Seq: f.sent[a.Stripe]})
		case f.withholds(now, a.Seq) && a.Kind == overlay.ActServe:
			return out
		case f.withholds(now, a.Seq):
			return append(out, overlay.Action{Kind: overlay.ActBeacon, Peer: a.Peer, Stripe: a.Stripe, Epoch: a.Epoch, Seq: a.Seq + 1})
		}
	case overlay.ActBeacon:
		if f.attack == Delay {
			a.Seq = min(a.Seq, f.sent[a.Stripe])
		}
	}
	return append(out, a)
}

// withholds says whether object seq is not sent though it is said to be.
func (f *foe) withholds(now time.Duration, seq uint64) bool {
	switch f.attack {
	case Withhold:
		return f.number%2 == 0 || seq/uint64(f.e.set.Stripes)%2 == 0
	case Eclipse:
		return now >= f.e.strikeTime()
	}
	return false
}

// says changes one message. What the core keeps is not written to.
func (f *foe) says(m overlay.Message) overlay.Message {
	switch m := m.(type) {
	case overlay.Hello:
		if f.covets() {
			m.Slots = claimed
		}
		return m
	case overlay.Status:
		switch {
		case f.attack == LiePath:
			m.Free, m.Stripes = claimed, slices.Clone(m.Stripes)
			for i := range m.Stripes {
				if st := &m.Stripes[i]; st.Depth > 0 {
					st.Depth, st.Path, st.Fed = 2, f.short(st.Path), true
				}
			}
		case f.covets():
			m.Free = claimed / 8
		}
		return m
	case overlay.Accept:
		if f.attack == LiePath {
			m.Path = f.short(m.Path)
		}
		return m
	case overlay.Path:
		if f.attack == LiePath {
			m.Path = f.short(m.Path)
		}
		return m
	case overlay.Subscribe:
		if f.attack == FakeUrgent {
			m.Urgent = true
			if len(f.kin) > 0 {
				m.Lost = f.kin[f.rng.IntN(len(f.kin))].child
			}
		}
		return m
	case overlay.Refuse:
		m.Alternatives = f.named(m.Alternatives, 4)
		return m
	case overlay.GoAway:
		m.Alternatives = f.named(m.Alternatives, 4)
		return m
	case overlay.Kin:
		m.Siblings, m.Uncles = f.named(m.Siblings, 4), f.named(m.Uncles, 4)
		return m
	case overlay.Shuffle:
		m.Peers = f.named(m.Peers, overlay.MaxPeers)
		return m
	}
	return m
}

// covets says whether it claims slots that it does not have.
func (f *foe) covets() bool {
	return f.attack == FakeUrgent || f.attack == FreeRide || f.attack == SybilDHT
}

// short is the path that a liar claims: the publisher and itself.
func (f *foe) short(path []overlay.PeerID) []overlay.PeerID {
	if len(path) < 2 {
		return path
	}
	return []overlay.PeerID{path[0], f.self}
}

// named are the peers that are told to others: its like, where views are its aim.
func (f *foe) named(ids []overlay.PeerID, most int) []overlay.PeerID {
	if f.attack != Eclipse && f.attack != SybilDHT {
		return ids
	}
	all := f.e.foes
	var like []overlay.PeerID
	for range min(most, len(all)) {
		if id := all[f.rng.IntN(len(all))]; id != f.self && !slices.Contains(like, id) {
			like = append(like, id)
		}
	}
	return like
}

// acts is what it does by itself.
func (f *foe) acts(now time.Duration, out []overlay.Action) []overlay.Action {
	f.ticks++
	f.next = now + crawlEvery
	switch f.attack {
	case PullFlood:
		f.next = now + floodEvery
		for _, id := range f.nbrs {
			out = f.floods(id, out)
		}
		if f.ticks%5 == 0 {
			out = f.crawls(out)
		}
	case FakeUrgent:
		for range min(len(f.kin), 4) {
			k := f.kin[f.rng.IntN(len(f.kin))]
			out = send(out, k.parent, overlay.Subscribe{Stripe: k.stripe, Urgent: true, Epoch: f.epoch, From: f.edge, Lost: k.child})
		}
		out = f.crawls(out)
	case Eclipse:
		for _, id := range f.nbrs {
			out = send(out, id, overlay.Shuffle{Reply: f.ticks%2 == 0, Peers: f.named(nil, overlay.MaxPeers)})
			if f.ticks%8 == 0 {
				out = send(out, id, overlay.Watch{Mask: 1})
			}
		}
		out = f.crawls(out)
	case FreeRide, SybilDHT, LiePath:
		out = f.crawls(out)
	}
	return out
}

// floods asks one neighbour for everything.
func (f *foe) floods(id overlay.PeerID, out []overlay.Action) []overlay.Action {
	k := uint64(f.e.set.Stripes)
	stripe := uint64(f.rng.IntN(int(k)))
	first := f.edge - min(f.edge, 32*k)
	out = send(out, id, overlay.Pull{Epoch: f.epoch, First: first + (stripe+k-first%k)%k, Bits: 1<<32 - 1})
	switch f.ticks % 4 {
	case 0:
		out = send(out, id, overlay.Shuffle{})
	case 1:
		out = send(out, id, overlay.Watch{Mask: 1<<k - 1})
	case 2:
		out = send(out, id, overlay.Subscribe{Stripe: uint8(stripe), Urgent: true, Epoch: f.epoch})
	case 3:
		out = send(out, id, overlay.Unsubscribe{Stripe: uint8(stripe)})
	}
	return out
}

// crawls dials somebody.
func (f *foe) crawls(out []overlay.Action) []overlay.Action {
	p := &f.e.peers[f.rng.IntN(len(f.e.peers))]
	if p.foe != nil || slices.Contains(f.nbrs, p.id) {
		return out
	}
	return append(out, overlay.Action{Kind: overlay.ActConnect, Peer: p.id})
}

func send(out []overlay.Action, to overlay.PeerID, m overlay.Message) []overlay.Action {
	return append(out, overlay.Action{Kind: overlay.ActSend, Peer: to, Msg: m})
}
