package overlay

// This file answers: can who names others, or has many names, keep a newcomer from those
// that help?

import (
	"math/rand/v2"
	"testing"
	"time"
)

func newcomer(t *testing.T) *Peer {
	t.Helper()
	p, err := New(Config{Slots: 8}, 1, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// dialled counts who is dialled of ids from first on.
func dialled(as []Action, first PeerID) (n int) {
	for _, a := range as {
		if a.Kind == ActConnect && a.Peer >= first {
			n++
		}
	}
	return n
}

func TestNamesOfStrangersLeaveANewcomerItsDials(t *testing.T) {
	// Peer 2 names 60; then rendezvous names six, whose ids are higher.
	try := func(link bool, prepare func(p *Peer)) (strangers, found int) {
		p := newcomer(t)
		if link {
			p.Step(0, Event{Kind: EvCandidates, Candidates: []Candidate{{Peer: 2, Source: SourceLink}}}, nil)
		}
		for id := range PeerID(10) {
			p.Step(0, Event{Kind: EvConnected, Peer: 2 + id, RTT: time.Millisecond}, nil)
		}
		prepare(p)
		var out []Action
		for id := range PeerID(10) { // one names a part of a view only
			by := 2 + id
			if link {
				by = 2
			}
			var ids []PeerID
			for n := range PeerID(6) {
				ids = append(ids, 1000+6*id+n)
			}
			out = p.Step(0, Event{Kind: EvMessage, Peer: by, Msg: Shuffle{Reply: true, Peers: ids}}, out)
		}
		strangers = dialled(out, 1000)
		var cs []Candidate
		for n := range PeerID(6) {
			cs = append(cs, Candidate{Peer: 2000 + n, Subnet: uint32(n + 1), Source: SourceDHT})
		}
		for at := time.Duration(0); at <= 3*time.Second; at += 500 * time.Millisecond {
			found += dialled(p.Step(at, Event{Kind: EvCandidates, Candidates: cs}, nil), 2000)
		}
		return strangers, found
	}
	deceived := func(p *Peer) { p.broken = hollowLimit }
	if s, f := try(false, deceived); s == 0 || s > dialBurst-keptDials || f != 6 {
		t.Errorf("%d strangers are dialled, want some and at most %d; then %d of 6 that rendezvous names", s, dialBurst-keptDials, f)
	}
	if s, _ := try(false, func(p *Peer) { p.started = true }); s != 0 {
		t.Errorf("with a picture %d are dialled because somebody named them", s)
	}
	if s, _ := try(false, func(*Peer) {}); s != dialBurst {
		t.Errorf("of 60 strangers %d are dialled where nobody broke its word, want %d", s, dialBurst)
	}
	if s, _ := try(true, deceived); s != 16 { // what one may name
		t.Errorf("of those whom the link's own peer names %d are dialled, want 16", s)
	}
}

func TestANetworkThatIsBusyInSpiteOfRoomComesLast(t *testing.T) {
	p := newcomer(t)
	busy := func(id PeerID, subnet uint32) {
		p.Step(0, Event{Kind: EvConnected, Peer: id, RTT: time.Millisecond, Subnet: subnet}, nil)
		p.Step(0, Event{Kind: EvMessage, Peer: id, Msg: Hello{Slots: 8, Epoch: 1}}, nil)
		p.Step(0, Event{Kind: EvMessage, Peer: id, Msg: Refuse{Code: CodeBusy, Wait: time.Second}}, nil)
		p.Step(0, Event{Kind: EvMessage, Peer: id, Msg: Refuse{Code: CodeBusy, Wait: time.Second}}, nil)
	}
	rank := func(subnet uint32) int {
		return p.rank(&known{Candidate: Candidate{Peer: 99, Subnet: subnet, Source: SourceDHT}})
	}
	busy(2, 7)
	if rank(7) != rankFound {
		t.Errorf("one busy peer makes its network rank %d", rank(7))
	}
	busy(3, 7)
	if rank(7) != rankHollow || rank(8) != rankFound || rank(0) != rankFound {
		t.Errorf("two busy peers: their network has rank %d, another %d, an unknown one %d", rank(7), rank(8), rank(0))
	}
	for n := range uint32(2 * maxHollowNets) {
		busy(PeerID(100+n), 100+n)
	}
	if len(p.hollowNets) != maxHollowNets {
		t.Errorf("%d networks are remembered, want %d", len(p.hollowNets), maxHollowNets)
	}
	busy(4, 9)
	busy(5, 9)
	p.Step(0, Event{Kind: EvMessage, Peer: 5, Msg: Accept{Epoch: 1, Path: []PeerID{6, 5}}}, nil)
	if rank(9) != rankHollow {
		t.Error("a word is enough to be believed again")
	}
	p.Step(0, Event{Kind: EvObject, Peer: 5, Epoch: 1, Size: 1000}, nil)
	if rank(9) != rankFound {
		t.Errorf("one that gives something leaves its network at rank %d", rank(9))
	}
}

func TestAFullViewKeepsWhoIsDialledSooner(t *testing.T) {
	fill := func(started bool) (kept int) {
		p := newcomer(t)
		p.started, p.broken = started, hollowLimit
		for n := range p.cfg.View {
			p.learn(Candidate{Peer: PeerID(100 + n), Subnet: uint32(n + 1), Source: SourceDHT}, 0)
		}
		for n := range 16 * 50 {
			p.learn(Candidate{Peer: PeerID(1000 + n), Source: SourcePeer}, PeerID(2+n/16))
		}
		for _, v := range p.view {
			if v.Source == SourceDHT {
				kept++
			}
		}
		return kept
	}
	if n := fill(false); n != 96 {
		t.Errorf("before there is a picture %d of 96 are kept for names that strangers give", n)
	}
	if n := fill(true); n > 48 {
		t.Errorf("later %d of 96 are kept: nobody new is met", n)
	}
}

func TestChildrenAreNotTakenForDeadWhereAllAnswerLate(t *testing.T) {
	missed := func(late time.Duration) bool {
		p, err := New(Config{Publisher: true, Epoch: 1, Slots: 16}, 1, rand.New(rand.NewPCG(1, 1)))
		if err != nil {
			t.Fatal(err)
		}
		hear := func(at time.Duration, id PeerID, m Message) {
			p.Step(at, Event{Kind: EvMessage, Peer: id, Msg: m}, nil)
		}
		for id := range PeerID(2) {
			p.Step(0, Event{Kind: EvConnected, Peer: 2 + id, RTT: 20 * time.Millisecond}, nil)
			hear(0, 2+id, Hello{Slots: 8, Epoch: 1})
		}
		p.Step(0, Event{Kind: EvObject, Peer: 1, Epoch: 1, Size: 1000}, nil)
		hear(0, 2, Subscribe{Latest: true})
		p.Step(time.Second, Event{Kind: EvTimeout}, nil)
		p.callOn(p.neighbour(3))
		hear(time.Second+late, 3, Status{Epoch: 1})
		p.callOn(p.neighbour(2))
		for at := time.Second + late; at < time.Second+late+400*time.Millisecond; at += 10 * time.Millisecond {
			p.Step(at, Event{Kind: EvTimeout}, nil)
		}
		return p.neighbour(2).missing
	}
	if !missed(30 * time.Millisecond) {
		t.Error("a child that does not answer is not missed")
	}
	if missed(500 * time.Millisecond) {
		t.Error("a child is taken for dead sooner than others answer")
	}
}
