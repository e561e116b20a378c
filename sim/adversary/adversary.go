// Package adversary is an attacker: the shipped core behind a wrapper that changes
// what it hears, says and sends; beside that it is a peer like the others, with
// their lines and handshakes. The simulator's attackers are made of it, and those
// that tests run as real processes. docs/adversaries.md tells what each is worth.
//
// What is not the core's is left to whoever drives it: an attacker that pollutes
// spoils the bytes of its objects there.
package adversary

// This file answers: what does an attacker do?

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/braidway/braidway/overlay"
)

// What attackers do.
const (
	Pollute    = "pollute"        // sends objects that do not verify
	Withhold   = "withhold"       // says that it sends, and does not: all objects, or every other one
	Delay      = "delay"          // sends everything as late as is not noticed
	LiePath    = "lie-about-path" // says that it is next to the publisher and has room, and lets everybody in
	FakeUrgent = "fake-urgent"    // takes places as an orphan with a great uplink, and reports the living dead
	PullFlood  = "pull-flood"     // asks everybody for everything, all the time
	Eclipse    = "eclipse"        // fills views with its like; then all of them stop sending at once
	FreeRide   = "free-ride"      // says that it has room, and refuses everybody
	SybilDHT   = "sybil-dht"      // as free-ride, and owns most of what the DHT answers
)

// Attacks returns all of them.
func Attacks() []string {
	return []string{Pollute, Withhold, Delay, LiePath, FakeUrgent, PullFlood, Eclipse, FreeRide, SybilDHT}
}

const (
	// floodEvery is the pace of one who floods, on each of its connections.
	floodEvery = 50 * time.Millisecond
	// crawlEvery is the pace at which attackers dial honest peers.
	crawlEvery = 250 * time.Millisecond
	// Claimed are the slots that a liar says it has, and the children behind it.
	Claimed = 255
	// noted bounds what an attacker keeps of what it hears of others.
	noted = 64
)

// Config says who attacks, and what it knows of the world.
type Config struct {
	Attack  string // one of Attacks
	Number  int    // among the attackers
	Self    overlay.PeerID
	Stripes int
	Objects float64 // of the stream in a second
	Rand    *rand.Rand
	Now     time.Duration
	// Strike is when an eclipse stops sending; by it, views are to be full.
	Strike time.Duration
	// Likes are all attackers; nil: it knows of none.
	Likes func() []overlay.PeerID
	// Prey is somebody to dial, 0: nobody; nil: who was heard of.
	Prey func() overlay.PeerID
}

// Core is an attacker's core.
type Core struct {
	*overlay.Peer
	Config
	raw   []overlay.Action
	next  time.Duration // when it acts by itself
	ticks int

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

// New puts an attacker around a core.
func New(c *overlay.Peer, cfg Config) *Core {
	f := &Core{Peer: c, Config: cfg, next: cfg.Now + crawlEvery, sent: make([]uint64, cfg.Stripes)}
	if f.Prey == nil {
		f.Prey = f.heardOf
	}
	return f
}

// heardOf is somebody who was named to it.
func (f *Core) heardOf() overlay.PeerID {
	if len(f.kin) == 0 {
		return 0
	}
	return f.kin[f.Rand.IntN(len(f.kin))].child
}

// delay is how late everything may be that is not noticed: a parent that
// stands still for six objects of each stripe is looked at.
func (f *Core) delay() time.Duration {
	return time.Duration(float64(6*f.Stripes)/f.Objects*float64(time.Second)) - 20*time.Millisecond
}

// Deadline is the core's, or the attacker's own.
func (f *Core) Deadline() time.Duration {
	d := min(f.Peer.Deadline(), f.next)
	if len(f.late) > 0 {
		d = min(d, f.late[0].at)
	}
	return d
}

// Step lets the core decide, and then does otherwise.
func (f *Core) Step(now time.Duration, ev overlay.Event, out []overlay.Action) []overlay.Action {
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
func (f *Core) hears(ev *overlay.Event) bool {
	switch ev.Kind {
	case overlay.EvConnected:
		if !slices.Contains(f.nbrs, ev.Peer) {
			f.nbrs = append(f.nbrs, ev.Peer)
		}
	case overlay.EvDisconnected:
		f.nbrs = slices.DeleteFunc(f.nbrs, func(id overlay.PeerID) bool { return id == ev.Peer })
	case overlay.EvSlots:
		return f.Attack == LiePath // it lets everybody in
	case overlay.EvMessage:
		switch m := ev.Msg.(type) {
		case overlay.GoAway:
			return f.Attack == FakeUrgent || f.Attack == FreeRide || f.Attack == SybilDHT // a place is a place
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

func (f *Core) notes(parent, child overlay.PeerID, stripe uint8) {
	k := kinship{parent, child, stripe}
	if slices.Contains(f.kin, k) || child == f.Self {
		return
	}
	if f.kin = append(f.kin, k); len(f.kin) > noted {
		f.kin = f.kin[1:]
	}
}

// does changes one action of the core.
func (f *Core) does(now time.Duration, a overlay.Action, out []overlay.Action) []overlay.Action {
	switch a.Kind {
	case overlay.ActDeliver:
		f.epoch, f.edge = a.Epoch, max(f.edge, a.Seq+1)
	case overlay.ActSend:
		a.Msg = f.says(a.Msg)
	case overlay.ActDisconnect: // whom it attacks it keeps
		if f.Attack == PullFlood || f.Attack == Eclipse || f.Attack == FakeUrgent {
			return out
		}
	case overlay.ActForward, overlay.ActServe:
		switch {
		case f.Attack == Delay:
			f.late = append(f.late, tardy{now + f.delay(), a})
			return append(out, overlay.Action{Kind: overlay.ActBeacon, Peer: a.Peer, Stripe: a.Stripe, Epoch: a.Epoch, Seq: f.sent[a.Stripe]})
		case f.withholds(now, a.Seq) && a.Kind == overlay.ActServe:
			return out
		case f.withholds(now, a.Seq):
			return append(out, overlay.Action{Kind: overlay.ActBeacon, Peer: a.Peer, Stripe: a.Stripe, Epoch: a.Epoch, Seq: a.Seq + 1})
		}
	case overlay.ActBeacon:
		if f.Attack == Delay {
			a.Seq = min(a.Seq, f.sent[a.Stripe])
		}
	}
	return append(out, a)
}

// withholds says whether object seq is not sent though it is said to be.
func (f *Core) withholds(now time.Duration, seq uint64) bool {
	switch f.Attack {
	case Withhold:
		return f.Number%2 == 0 || seq/uint64(f.Stripes)%2 == 0
	case Eclipse:
		return now >= f.Strike
	}
	return false
}

// says changes one message. What the core keeps is not written to.
func (f *Core) says(m overlay.Message) overlay.Message {
	switch m := m.(type) {
	case overlay.Hello:
		if f.covets() {
			m.Slots = Claimed
		}
		return m
	case overlay.Status:
		if f.Attack != LiePath && f.Attack != PullFlood && !f.covets() {
			return m
		}
		m.Stripes = slices.Clone(m.Stripes)
		for i := range m.Stripes {
			st := &m.Stripes[i]
			st.Children = overlay.MaxChildrenTold
			if f.Attack == LiePath && st.Depth > 0 {
				st.Depth, st.Path, st.Fed = 2, f.short(st.Path), true
			}
		}
		switch {
		case f.Attack == LiePath:
			m.Free = Claimed
		case f.covets():
			m.Free = Claimed / 8
		}
		return m
	case overlay.Accept:
		if f.Attack == LiePath {
			m.Path = f.short(m.Path)
		}
		return m
	case overlay.Path:
		if f.Attack == LiePath {
			m.Path = f.short(m.Path)
		}
		return m
	case overlay.Subscribe:
		if f.Attack == FakeUrgent {
			m.Urgent, m.Behind = true, Claimed
			if len(f.kin) > 0 {
				m.Lost = f.kin[f.Rand.IntN(len(f.kin))].child
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
func (f *Core) covets() bool {
	return f.Attack == FakeUrgent || f.Attack == FreeRide || f.Attack == SybilDHT
}

// short is the path that a liar claims: the publisher and itself.
func (f *Core) short(path []overlay.PeerID) []overlay.PeerID {
	if len(path) < 2 {
		return path
	}
	return []overlay.PeerID{path[0], f.Self}
}

// named are the peers that are told to others: its like, where views are its aim.
func (f *Core) named(ids []overlay.PeerID, most int) []overlay.PeerID {
	if f.Attack != Eclipse && f.Attack != SybilDHT {
		return ids
	}
	if f.Likes == nil {
		return ids
	}
	all := f.Likes()
	var like []overlay.PeerID
	for range min(most, len(all)) {
		if id := all[f.Rand.IntN(len(all))]; id != f.Self && !slices.Contains(like, id) {
			like = append(like, id)
		}
	}
	return like
}

// acts is what it does by itself.
func (f *Core) acts(now time.Duration, out []overlay.Action) []overlay.Action {
	f.ticks++
	f.next = now + crawlEvery
	switch f.Attack {
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
			k := f.kin[f.Rand.IntN(len(f.kin))]
			out = send(out, k.parent, overlay.Subscribe{Stripe: k.stripe, Urgent: true, Epoch: f.epoch, From: f.edge, Lost: k.child, Behind: Claimed})
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
func (f *Core) floods(id overlay.PeerID, out []overlay.Action) []overlay.Action {
	k := uint64(f.Stripes)
	stripe := uint64(f.Rand.IntN(int(k)))
	first := f.edge - min(f.edge, 32*k)
	out = send(out, id, overlay.Pull{Epoch: f.epoch, First: first + (stripe+k-first%k)%k, Bits: 1<<32 - 1})
	switch f.ticks % 4 {
	case 0:
		out = send(out, id, overlay.Shuffle{})
	case 1:
		out = send(out, id, overlay.Watch{Mask: 1<<k - 1})
	case 2:
		out = send(out, id, overlay.Subscribe{Stripe: uint8(stripe), Urgent: true, Epoch: f.epoch, Behind: Claimed})
	case 3:
		out = send(out, id, overlay.Unsubscribe{Stripe: uint8(stripe)})
	}
	return out
}

// crawls dials somebody.
func (f *Core) crawls(out []overlay.Action) []overlay.Action {
	id := f.Prey()
	if id == 0 || slices.Contains(f.nbrs, id) {
		return out
	}
	return append(out, overlay.Action{Kind: overlay.ActConnect, Peer: id})
}

func send(out []overlay.Action, to overlay.PeerID, m overlay.Message) []overlay.Action {
	return append(out, overlay.Action{Kind: overlay.ActSend, Peer: to, Msg: m})
}
