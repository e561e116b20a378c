package overlay

// This file answers: how much of what a peer knows can one neighbour, or one
// network, fill?

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// surrounded is a peer with an honest neighbour, 2, and a hostile one, 3, that
// names 400 of its like, one shuffle a second; undo runs before each.
func surrounded(t *testing.T, undo func(p *Peer)) *Peer {
	t.Helper()
	p := newcomer(t)
	at := time.Duration(0)
	for id := range PeerID(2) {
		p.Step(at, Event{Kind: EvConnected, Peer: 2 + id, RTT: time.Millisecond}, nil)
	}
	named := PeerID(1000)
	for range 40 {
		at += time.Second
		undo(p)
		p.Step(at, Event{Kind: EvMessage, Peer: 2, Msg: Shuffle{Reply: true, Peers: []PeerID{100 + named%50}}}, nil)
		var like []PeerID
		for range 10 {
			named++
			like = append(like, named)
		}
		p.Step(at, Event{Kind: EvMessage, Peer: 3, Msg: Shuffle{Reply: true, Peers: like}}, nil)
	}
	return p
}

func TestOneNeighbourNamesAPartOfTheViewOnly(t *testing.T) {
	like := func(p *Peer) (n int) {
		for _, v := range p.view {
			if v.Peer > 1000 {
				n++
			}
		}
		return n
	}
	p := surrounded(t, func(*Peer) {})
	if n := like(p); n == 0 || n > p.cfg.View/namedShare {
		t.Errorf("a hostile neighbour fills %d of %d places, want some, and at most %d", n, p.cfg.View, p.cfg.View/namedShare)
	}
	without := surrounded(t, func(p *Peer) {
		for i := range p.view {
			p.view[i].by = 0
		}
	})
	if n := like(without); n < p.cfg.View/2 {
		t.Errorf("without the rule it fills %d of %d: the test sees nothing", n, p.cfg.View)
	}
}

func TestOneSubnetHasAPartOfViewAndNeighbours(t *testing.T) {
	fill := func(subnet func(i int) uint32) (inView, neighbours int) {
		p, err := New(Config{Slots: 0}, 1, rand.New(rand.NewPCG(1, 1)))
		if err != nil {
			t.Fatal(err)
		}
		var cs []Candidate
		for i := range 60 {
			cs = append(cs, Candidate{Peer: PeerID(1000 + i), Subnet: subnet(i), Source: SourceDHT})
		}
		p.Step(0, Event{Kind: EvCandidates, Candidates: cs}, nil)
		inView = len(p.view)
		for i := range 60 {
			p.Step(0, Event{Kind: EvConnected, Peer: PeerID(2000 + i), RTT: time.Millisecond, Subnet: subnet(i)}, nil)
		}
		return inView, len(p.nbrs)
	}
	if v, n := fill(func(int) uint32 { return 7 }); v > subnetLimit || n > 24 {
		t.Errorf("one subnet has %d places in the view and %d among the neighbours, want at most %d and 24", v, n, subnetLimit)
	}
	if v, n := fill(func(i int) uint32 { return uint32(i) + 1 }); v != 60 || n != 60 {
		t.Errorf("of 60 in networks of their own %d are known and %d are neighbours", v, n)
	}
}

func TestWhoIsHereLongestStaysThoughOthersAreNearer(t *testing.T) {
	p, err := New(Config{}, 1, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 80 { // the first are far, whoever comes later is near
		rtt := 300 * time.Millisecond
		if i >= 10 {
			rtt = time.Millisecond
		}
		p.Step(time.Duration(i)*time.Millisecond, Event{Kind: EvConnected, Peer: PeerID(2 + i), RTT: rtt}, nil)
	}
	for at := 2 * time.Second; at < 6*time.Second; at += 100 * time.Millisecond {
		p.Step(at, Event{Kind: EvTimeout}, nil)
	}
	for id := range PeerID(oldest) {
		if !slices.Contains(p.ids, 2+id) {
			t.Errorf("peer %d, one of the first, was hung up on", 2+id)
		}
	}
	if len(p.nbrs) > p.crowded() {
		t.Errorf("%d neighbours are kept, %d are enough", len(p.nbrs), p.crowded())
	}
}
