package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/braidway/braidway/internal/node"
)

func TestStatusSaysHowAPeerStandsWithEachFailure(t *testing.T) {
	fed := node.StripeState{Stripe: 0, Parent: "12D3KooWparent", State: "fed", Path: []string{"a", "b", "c"}, Standbys: []string{"12D3KooWspare1"}}
	for name, c := range map[string]struct {
		stream   node.StreamState
		draining bool
		says     []string
	}{
		"a parent dies": {stream: node.StreamState{Started: true, Counts: node.CountState{Suspects: 5, Cancels: 1, Switches: 4},
			Stripes: []node.StripeState{fed, {Stripe: 1, Parent: "12D3KooWparent", State: "silent", Silence: 120, Lacking: true}, {Stripe: 2, State: "none"}}},
			says: []string{"fell silent: 5, came back: 1, were replaced: 4", "silent 120 ms", "lacking", "none", "spare1"}},
		"a parent stands still": {stream: node.StreamState{Started: true, Stripes: []node.StripeState{{Parent: "x", State: "starved"}}}, says: []string{"starved"}},
		"the peer was stopped":  {stream: node.StreamState{Started: true, Counts: node.CountState{Stalls: 2}}, says: []string{"this peer itself was stopped: 2 times"}},
		"not there yet": {stream: node.StreamState{Waiting: "DHT: 3 nodes asked"},
			says: []string{"not there yet; tried: DHT: 3 nodes asked"}},
		"locked": {stream: node.StreamState{Started: true, Standing: node.StandingStandby, Publisher: "12D3KooWholder"},
			says: []string{"standing by for publisher holder"}},
		"a standby publisher follows": {stream: node.StreamState{Started: true, Standing: node.StandingActive, Heirs: []string{"12D3KooWsecond"}},
			says: []string{"standby publishers: second"}},
		"fenced off": {stream: node.StreamState{Started: true, Standing: node.StandingFenced, Publisher: "12D3KooWholder"},
			says: []string{"fenced off: publisher holder has begun a higher epoch"}},
		"being updated": {stream: node.StreamState{Started: true}, draining: true, says: []string{"draining"}},
		"full": {stream: node.StreamState{Started: true, Used: 8, Slots: 8, Pressed: true, Troubles: 3, Refused: map[string]int64{"NOT_YET": 1, "BUSY": 7},
			RefusedBy: map[string]int64{"BUSY": 2}, Counts: node.CountState{Pushed: 4}},
			says: []string{"8 of 8 slots used", "nobody is let in", "given up, since children waited for long: 3 times", "turned down: 7 BUSY, 1 NOT_YET", "turned down by others: 2 BUSY", "asked to move: 4"}},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := printState(&b, node.State{Peer: "12D3KooWself", Draining: c.draining, Streams: []node.StreamState{c.stream}}); err != nil {
				t.Fatal(err)
			}
			for _, s := range c.says {
				if !strings.Contains(b.String(), s) {
					t.Errorf("no word of %q in\n%s", s, b.String())
				}
			}
		})
	}
	var b bytes.Buffer
	well := node.StreamState{ID: "id", Role: "viewer", Started: true, Stripes: []node.StripeState{fed}}
	if err := printState(&b, node.State{Peer: "p", Streams: []node.StreamState{well}}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "\n"); n != 5 {
		t.Errorf("%d lines of a peer that is well:\n%s", n, b.String())
	}
}
