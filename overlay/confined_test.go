package overlay

// This file answers: does who reaches few hear of those that it can reach?

import (
	"slices"
	"testing"
	"time"
)

// lastStatus returns the last Status of as, to anybody.
func lastStatus(as []Action) (m Status) {
	for _, a := range as {
		if s, ok := a.Msg.(Status); ok {
			m = s
		}
	}
	return m
}

func TestWhoReachesFewSaysSoAndWantsMoreNeighbours(t *testing.T) {
	// Of 20 known peers the last so many do not answer.
	try := func(fail int) (*Peer, []Action) {
		p := newcomer(t)
		var cs []Candidate
		for id := range PeerID(20) {
			cs = append(cs, Candidate{Peer: 10 + id, Subnet: uint32(id + 1), Source: SourceDHT})
		}
		now := time.Duration(0)
		var out []Action
		step := func(ev Event) { out = p.Step(now, ev, out) }
		for ; now < 20*time.Second; now += 500 * time.Millisecond {
			out = nil
			step(Event{Kind: EvCandidates, Candidates: cs})
			for _, a := range slices.Clone(out) {
				switch {
				case a.Kind != ActConnect:
				case int(a.Peer) >= 30-fail:
					step(Event{Kind: EvDisconnected, Peer: a.Peer})
				default:
					step(Event{Kind: EvConnected, Peer: a.Peer, RTT: time.Millisecond})
				}
			}
		}
		out = nil
		step(Event{Kind: EvConnected, Peer: 2, RTT: time.Millisecond})
		return p, out
	}
	for _, c := range []struct {
		fail int
		want bool
	}{{0, false}, {10, false}, {18, true}} {
		p, out := try(c.fail)
		if got := lastStatus(out).Confined; got != c.want {
			t.Errorf("%d of 20 do not answer: confined %v, want %v", c.fail, got, c.want)
		}
		if got, want := p.wantedReserve(), p.cfg.Neighbours; got != want && !c.want || got != 2*want && c.want {
			t.Errorf("%d of 20 do not answer: %d neighbours are wanted, where others want %d", c.fail, got, want)
		}
	}
}

func TestTheConfinedHearOfThoseInTheOpen(t *testing.T) {
	p := newcomer(t)
	const confined, other = 2, 3
	hear := func(from PeerID, m Message) []Action {
		return p.Step(time.Second, Event{Kind: EvMessage, Peer: from, Msg: m}, nil)
	}
	names := func(as []Action) (ids []PeerID) {
		for _, a := range as {
			if s, ok := a.Msg.(Shuffle); ok && s.Reply {
				ids = append(ids, s.Peers...)
			}
		}
		return ids
	}
	open := []PeerID{20, 21, 22, 23}
	for id := PeerID(2); id < 40; id++ {
		p.Step(time.Second, Event{Kind: EvConnected, Peer: id, RTT: time.Millisecond}, nil)
		hear(id, Hello{Slots: 4})
		hear(id, Status{Free: 4, Confined: id == confined, Open: slices.Contains(open, id)})
	}
	got := names(hear(confined, Shuffle{}))
	if len(got) != shuffleCount || slices.Contains(got, confined) {
		t.Errorf("%v are named, want %d others", got, shuffleCount)
	}
	for _, id := range open {
		if !slices.Contains(got, id) {
			t.Errorf("%v are named to a confined peer, want all of %v among them", got, open)
		}
	}
	slices.Sort(got)
	if len(slices.Compact(got)) != shuffleCount {
		t.Errorf("%v are named, one of them twice", got)
	}
	for _, id := range p.freePeers(confined) {
		if !slices.Contains(open, id) {
			t.Errorf("%d has room but is not in the open, and is named to a confined peer before others", id)
		}
	}
	toOthers := 0
	for range 20 {
		for _, id := range p.freePeers(other) {
			if !slices.Contains(open, id) {
				toOthers++
			}
		}
	}
	if toOthers == 0 {
		t.Error("others hear of open peers only, whose places the confined need")
	}

	// One confined neighbour may have had bad luck; two make this peer an open one.
	if p.open() {
		t.Error("a peer with one confined neighbour says that it is open")
	}
	hear(other, Status{Confined: true})
	if m := p.ownStatus(); !m.Open {
		t.Errorf("a peer with two confined neighbours says %+v, want open", m)
	}
}
