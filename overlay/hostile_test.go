package overlay

// This file answers: can any events, in any order, from any neighbours, make a
// core panic, break an invariant, or grow without bound?

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/braidway/braidway/stream"
)

// decisions turns the fuzzer's bytes into decisions; behind their end all are zero.
type decisions struct{ b []byte }

func (s *decisions) byte() byte {
	if len(s.b) == 0 {
		return 0
	}
	c := s.b[0]
	s.b = s.b[1:]
	return c
}

func (s *decisions) intn(n int) int { return int(s.byte()) % n }

func (s *decisions) uint64() uint64 {
	var b [8]byte
	s.b = s.b[copy(b[:], s.b):]
	return binary.LittleEndian.Uint64(b[:])
}

// siege is one core among neighbours that do what the script says.
type siege struct {
	*decisions
	t       *testing.T
	core    *Peer
	now     time.Duration
	around  []PeerID // who may speak
	linked  map[PeerID]bool
	got     map[uint64]bool // delivered, of this epoch
	epoch   uint64          // of what was delivered
	start   uint64          // first Seq taken
	next    uint64          // of the publisher's own objects
	drained bool
	were    map[childOf]bool // the children before the event
	most    int              // actions of one event
	out     []Action
}

const siegePeers = 24

func newSiege(t *testing.T, s *decisions) *siege {
	g := &siege{decisions: s, t: t, linked: map[PeerID]bool{}, got: map[uint64]bool{}, were: map[childOf]bool{}}
	const self = PeerID(1) << 40
	cfg := Config{Stripes: 1 + s.intn(6), Slots: s.intn(20), MaxChildren: s.intn(4), Window: 64 << s.intn(4), View: 8 + s.intn(40), Neighbours: 2 + s.intn(6)}
	switch s.intn(4) {
	case 0:
		cfg.Publisher, cfg.Epoch = true, 1+uint64(s.intn(3))
		g.epoch = cfg.Epoch
	case 1:
		cfg.Standby = true
	}
	core, err := New(cfg, self, rand.New(rand.NewPCG(uint64(s.byte()), 7)))
	if err != nil {
		t.Fatal(err)
	}
	g.core = core
	for i := range siegePeers {
		g.around = append(g.around, PeerID(uint64(i+1)<<59|uint64(i+1)))
	}
	return g
}

// peer is mostly one of those around, connected or not; rarely the core itself or nobody.
func (g *siege) peer() PeerID {
	switch c := g.intn(64); c {
	case 62:
		return g.core.self
	case 63:
		return 0
	default:
		return g.around[c%siegePeers]
	}
}

func (g *siege) peers(most int) (ids []PeerID) {
	for range g.intn(most + 1) {
		ids = append(ids, g.peer())
	}
	return ids
}

// path ends in from, as a careful liar's does, or anywhere.
func (g *siege) path(from PeerID) []PeerID {
	if g.intn(16) == 0 { // the longest
		ids := make([]PeerID, MaxPath-g.intn(3))
		for i := range ids {
			ids[i] = PeerID(1000 + i)
		}
		ids[len(ids)-1] = from
		return ids
	}
	if ids := g.peers(5); g.intn(8) > 0 || len(ids) == 0 {
		return append(ids, from)
	} else {
		return ids
	}
}

// seq is around what the core has, or anything that the wire allows.
func (g *siege) seq() uint64 {
	near := []uint64{g.core.edge, g.core.have.Next(), g.core.have.Base(), g.core.start, 0, stream.MaxSeq, g.core.edge + uint64(g.core.cfg.Window)}
	if c := g.intn(16); c < len(near) {
		return near[c]
	} else if c == 15 {
		return g.uint64() % (stream.MaxSeq + 1)
	}
	return min(uint64(max(0, int64(g.core.edge)+int64(int8(g.byte())))), stream.MaxSeq)
}

func (g *siege) epochs() uint64 {
	switch c := g.intn(16); c {
	case 0:
		return 0
	case 1:
		return stream.MaxEpoch
	case 2:
		return min(g.core.epoch+1, stream.MaxEpoch)
	case 3:
		return g.core.epoch - min(g.core.epoch, 1)
	}
	return g.core.epoch
}

func (g *siege) stripe() uint8 {
	if g.intn(16) == 0 {
		return uint8(g.intn(stream.MaxStripes))
	}
	return uint8(g.intn(g.core.cfg.Stripes))
}

func (g *siege) wait() time.Duration {
	return time.Duration([]int{0, 1, 100, 1000, 5000, 3_600_000}[g.intn(6)]) * time.Millisecond
}

// message is any that ParseMessage could return.
func (g *siege) message(from PeerID) Message {
	switch g.intn(14) {
	case 0:
		return Hello{Publisher: g.intn(4) == 0, Draining: g.intn(8) == 0, Slots: uint16(g.byte()) << g.intn(9), Epoch: g.epochs(), Edge: g.seq()}
	case 1:
		m := Subscribe{Stripe: g.stripe(), Latest: g.intn(2) == 0, Urgent: g.intn(2) == 0, Epoch: g.epochs(), From: g.seq()}
		if g.intn(4) == 0 {
			m.Have, m.Lost = g.uint64(), g.peer()
		}
		return m
	case 2:
		return Accept{Stripe: g.stripe(), Epoch: g.epochs(), Start: g.seq(), Path: g.path(from)}
	case 3:
		return Refuse{Stripe: g.stripe(), Code: Code(1 + g.intn(5)), Wait: g.wait(), Alternatives: g.peers(4)}
	case 4:
		return Unsubscribe{Stripe: g.stripe()}
	case 5:
		return Path{Stripe: g.stripe(), Path: g.path(from)}
	case 6:
		return Kin{Stripe: g.stripe(), Siblings: g.peers(4), Uncles: g.peers(4)}
	case 7:
		return Watch{Mask: uint32(g.byte())}
	case 8:
		m := Status{Draining: g.intn(8) == 0, Confined: g.intn(4) == 0, Open: g.intn(4) == 0, Free: uint16(g.byte()), Epoch: g.epochs(), Edge: g.seq()}
		for range g.intn(8) {
			st := StripeStatus{Stripe: g.stripe(), Fed: g.intn(4) > 0, Depth: uint8(g.intn(65)), Position: g.seq()}
			if g.intn(2) == 0 {
				st.Path = g.path(from)
			}
			m.Stripes = append(m.Stripes, st)
		}
		return m
	case 9:
		return Pull{Epoch: g.epochs(), First: g.seq(), Bits: uint32(g.uint64())}
	case 10:
		return Miss{Code: Code(1 + g.intn(5)), Wait: g.wait(), Epoch: g.epochs(), First: g.seq(), Bits: uint32(g.uint64())}
	case 11:
		s := g.stripe()
		if g.intn(2) == 0 {
			s = AllStripes
		}
		return GoAway{Stripe: s, Wait: g.wait(), Alternatives: g.peers(4)}
	case 12:
		return Shuffle{Reply: g.intn(2) == 0, Peers: g.peers(16)}
	}
	// Bytes as they come: what the parser lets through.
	n := g.intn(64)
	b := g.b[:min(n, len(g.b))]
	g.b = g.b[len(b):]
	m, err := ParseMessage(b)
	if err != nil {
		return nil
	}
	return m
}

// obliging is what one who keeps to the protocol could say next in stripe i, so
// that the core gets far enough to be attacked there.
func (g *siege) obliging(i int) (ev Event, ok bool) {
	s, near := &g.core.stripes[i], g.core.firstOf(i, g.core.edge)
	switch c := g.intn(8); {
	case g.core.cfg.Publisher:
	case s.try.to != 0:
		return Event{Kind: EvMessage, Peer: s.try.to, Msg: Accept{Stripe: uint8(i), Epoch: max(1, g.core.epoch), Start: g.core.edge, Path: []PeerID{5, s.try.to}}}, true
	case s.parent == 0:
	case c < 5:
		if c == 0 && s.next < near {
			near = s.next // what is missing
		}
		return Event{Kind: EvObject, Peer: s.parent, Size: 1500, Epoch: max(1, g.core.epoch), Seq: near, Group: near / 16, GroupFirst: near - near%16, Stripe: uint8(i)}, true
	case c == 5:
		return Event{Kind: EvBeacon, Peer: s.parent, Stripe: uint8(i), Epoch: g.core.epoch, Seq: near}, true
	case c == 6:
		if len(g.core.pulls) > 0 { // the answer to a pull
			u := g.core.pulls[g.intn(len(g.core.pulls))]
			return Event{Kind: EvObject, Peer: u.to, Repair: true, Size: 1500, Epoch: max(1, g.core.epoch), Seq: u.seq, Group: u.seq / 16, GroupFirst: u.seq - u.seq%16, Stripe: uint8(g.core.stripeOf(u.seq))}, true
		}
	}
	if len(g.core.nbrs) == 0 {
		return ev, false
	}
	n := g.core.nbrs[g.intn(len(g.core.nbrs))].id
	st := Status{Free: 8, Epoch: g.core.epoch, Edge: g.core.edge}
	for i := range g.core.stripes {
		st.Stripes = append(st.Stripes, StripeStatus{Stripe: uint8(i), Fed: true, Depth: 2, Position: g.core.edge, Path: []PeerID{6, n}})
	}
	msgs := []Message{Hello{Slots: 8, Epoch: max(1, g.core.epoch), Edge: g.core.edge}, Subscribe{Stripe: uint8(i), Latest: true, Epoch: g.core.epoch}, st}
	return Event{Kind: EvMessage, Peer: n, Msg: msgs[g.intn(len(msgs))]}, true
}

// event is what comes next.
func (g *siege) event() Event {
	if g.intn(2) == 0 {
		if ev, ok := g.obliging(g.intn(g.core.cfg.Stripes)); ok {
			return ev
		}
	}
	from := g.peer()
	switch g.intn(16) {
	case 0, 1:
		return Event{Kind: EvConnected, Peer: from, RTT: time.Duration(g.byte()) * time.Millisecond}
	case 2:
		return Event{Kind: EvDisconnected, Peer: from}
	case 3:
		cs := make([]Candidate, g.intn(8))
		for i := range cs {
			cs[i] = Candidate{Peer: g.peer(), Subnet: uint32(g.intn(3)), Source: Source(g.intn(4))}
		}
		return Event{Kind: EvCandidates, Candidates: cs}
	case 4, 5, 6:
		if g.core.cfg.Publisher { // what it makes is in order
			first := g.next - g.next%16
			g.next++
			return Event{Kind: EvObject, Peer: g.core.self, Size: 1500, Epoch: g.core.epoch, Seq: g.next - 1, Group: first / 16, GroupFirst: first, Stripe: uint8(g.core.stripeOf(g.next - 1))}
		}
		seq := g.seq() // signed by a publisher who may be the worst of all
		first := seq - min(seq, uint64(g.intn(100)))
		return Event{Kind: EvObject, Peer: from, Repair: g.intn(4) == 0, Size: 100 + int32(g.byte())*64, Epoch: max(1, g.epochs()), Seq: seq, Group: first / 16, GroupFirst: first, Stripe: uint8(g.core.stripeOf(seq))}
	case 7:
		return Event{Kind: EvBeacon, Peer: from, Stripe: uint8(g.intn(g.core.cfg.Stripes)), Epoch: g.epochs(), Seq: g.seq()}
	case 8:
		switch g.intn(16) {
		case 0:
			return Event{Kind: EvBad, Peer: from}
		case 1:
			return Event{Kind: EvDrain, Wait: g.wait()}
		case 2:
			g.next = 0
			return Event{Kind: EvPublish, Epoch: g.epochs()}
		case 3:
			return Event{Kind: EvHeir, Peer: from}
		case 4, 5:
			return Event{Kind: EvSlow, Peer: from, Stripe: g.stripe()}
		}
		return Event{Kind: EvSlots, Slots: int32(g.byte()), Pressed: g.intn(2) == 0}
	}
	if m := g.message(from); m != nil {
		return Event{Kind: EvMessage, Peer: from, Msg: m}
	}
	return Event{Kind: EvBad, Peer: from}
}

// run plays the script to its end.
func (g *siege) run() {
	for n := 0; len(g.b) > 0; n++ {
		switch c := g.intn(32); {
		case c < 20:
		case c < 31: // time passes, and the core is woken when it asked for it
			g.pass([]time.Duration{time.Millisecond, 10 * time.Millisecond, 60 * time.Millisecond, 250 * time.Millisecond, time.Second, 3 * time.Second}[g.intn(6)])
		default: // the whole process was stopped
			g.now += []time.Duration{time.Second, 20 * time.Second, 11 * time.Minute}[g.intn(3)]
		}
		g.step(g.event())
		if n%128 == 0 {
			g.weigh()
		}
	}
	g.pass(5 * time.Second)
	g.weigh()
}

// pass lets d pass.
func (g *siege) pass(d time.Duration) {
	end, at, same := g.now+d, g.now, 0
	for g.core.Deadline() <= end {
		if g.now = max(g.now, g.core.Deadline()); g.now > at {
			at, same = g.now, 0
		}
		if same++; same > 50 {
			g.t.Fatalf("time stands still at %v", g.now)
		}
		g.step(Event{Kind: EvTimeout})
	}
	g.now = end
}

// step hands one event to the core and holds its answers against what is promised.
func (g *siege) step(ev Event) {
	switch ev.Kind {
	case EvConnected:
		g.linked[ev.Peer] = true
	case EvDisconnected:
		delete(g.linked, ev.Peer)
	}
	clear(g.were)
	for i := range g.core.stripes {
		for _, c := range g.core.stripes[i].children {
			g.were[childOf{c.id, i}] = true
		}
	}
	g.out = g.core.Step(g.now, ev, g.out[:0])
	for i := range g.out {
		g.action(&ev, &g.out[i])
	}
	// The most that one event may cause: the whole past to a child, and a few words to everybody.
	if g.most = max(g.most, len(g.out)); len(g.out) > 2*g.core.cfg.Window+16*siegePeers+256 {
		g.t.Fatalf("%d actions for one event %+v", len(g.out), ev)
	}
	g.core.Deadline()
	for i, due := range g.core.dues[:len(g.core.stripes)] {
		if anew := g.core.stripeDue(i); anew != due {
			g.t.Fatalf("stripe %d is due at %v, the deadline says %v after %+v", i, anew, due, ev)
		}
	}
	g.standing(&ev)
}

func TestNoEventsInAnyOrderBreakACore(t *testing.T) {
	most := 0
	for seed := range uint64(100) {
		b := make([]byte, 4096)
		rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
		_, _ = rng.Read(b)
		g := newSiege(t, &decisions{b})
		g.run()
		if most = max(most, g.most); t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("at most %d actions for one event", most)
}

func FuzzCore(f *testing.F) {
	for seed := range 8 {
		b := make([]byte, 128<<(seed%3))
		rng := rand.NewChaCha8([32]byte{byte(seed), 1})
		_, _ = rng.Read(b)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4<<10 {
			return
		}
		newSiege(t, &decisions{b}).run()
	})
}
