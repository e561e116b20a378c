package overlay

// This file answers: does a peer dial less when its line is full of dials?

import (
	"testing"
	"time"
)

// dialsIn counts whom a newcomer dials within time when every dial is answered after so
// long, by somebody who hangs up at once. undo runs before each step.
func dialsIn(t *testing.T, within, after time.Duration, undo func(p *Peer)) (n int) {
	t.Helper()
	type answer struct {
		at time.Duration
		id PeerID
	}
	p := newcomer(t)
	var due []answer
	step := func(now time.Duration, ev Event) {
		undo(p)
		for _, a := range p.Step(now, ev, nil) {
			if a.Kind == ActConnect {
				n++
				due = append(due, answer{now + after, a.Peer})
			}
		}
	}
	next := PeerID(1000)
	for now := time.Duration(0); now < within; now += 10 * time.Millisecond {
		if now%time.Second == 0 {
			var cs []Candidate
			for range 20 {
				next++
				cs = append(cs, Candidate{Peer: next, Source: SourceDHT})
			}
			step(now, Event{Kind: EvCandidates, Candidates: cs})
		}
		for len(due) > 0 && due[0].at <= now {
			step(now, Event{Kind: EvConnected, Peer: due[0].id, RTT: time.Millisecond})
			step(now, Event{Kind: EvDisconnected, Peer: due[0].id})
			due = due[1:]
		}
		step(now, Event{Kind: EvTimeout})
	}
	return n
}

func TestWhoseDialsAreLateDialsLess(t *testing.T) {
	const within = 20 * time.Second
	quick := dialsIn(t, within, lateDial, func(*Peer) {})
	late := dialsIn(t, within, lateDial+50*time.Millisecond, func(*Peer) {})
	if most := 2*dialBurst + int(within.Seconds())*dialRate/maxDialCost; late > most || quick < 2*late {
		t.Errorf("%d dials in %v where they are late, %d where they are not; want at most %d, and twice as many", late, within, quick, most)
	}
	if all := dialsIn(t, within, lateDial+50*time.Millisecond, func(p *Peer) { p.dialCost = 1 }); all < quick*9/10 {
		t.Errorf("%d dials without the rule, %d where nothing is late: the test sees something else", all, quick)
	}
}
