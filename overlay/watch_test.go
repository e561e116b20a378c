package overlay

// This file answers: does a peer ask for paths no more often than others bear?

import (
	"testing"
	"time"
)

// TestNobodyIsBannedForItsWatches: who wants to ask for other paths every 10 ms, and
// calls the roll as often as that may be, is not beyond what the one asked bears.
func TestNobodyIsBannedForItsWatches(t *testing.T) {
	asks, bears := newcomer(t), newcomer(t)
	connect := func(p *Peer, other PeerID) *neighbour {
		p.Step(0, Event{Kind: EvConnected, Peer: other, RTT: 20 * time.Millisecond}, nil)
		p.Step(0, Event{Kind: EvMessage, Peer: other, Msg: Hello{Slots: 8, Epoch: 1}}, nil)
		return p.neighbour(other)
	}
	to, from := connect(asks, 77), connect(bears, 78)
	sent := 0
	for now := 10 * time.Millisecond; now < time.Minute; now += 10 * time.Millisecond {
		asks.now, bears.now = now, now
		asks.out = nil
		asks.watch(to, uint32(1+sent%2))
		if now%rollPause == 0 {
			asks.callOn(to)
		}
		for _, a := range asks.out {
			if m, ok := a.Msg.(Watch); ok {
				sent++
				if !bears.allows(from, m) {
					t.Fatalf("Watch %d, after %v, is beyond what a neighbour bears", sent, now)
				}
			}
		}
	}
	if least := 3 * 60; sent < least {
		t.Errorf("%d times asked in a minute, want %d and more", sent, least)
	}
}
