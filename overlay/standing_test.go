package overlay

import (
	"testing"
	"time"

	"github.com/braidway/braidway/failover"
)

// levels returns how the neighbours of those who live see one peer.
func (n *testNet) levels(of PeerID) map[failover.Level]int {
	m := map[failover.Level]int{}
	for _, p := range n.alive() {
		for _, s := range p.core.Standings() {
			if s.ID == of {
				m[s.Level]++
			}
		}
	}
	return m
}

func TestNeighboursOfAFrozenRelaySeeItGoAndComeBackWary(t *testing.T) {
	n := crowd(t, 9, 30, 8, 3*time.Second)
	n.run(12 * time.Second)
	relay := n.busiest()
	if m := n.levels(relay.id); m[failover.Healthy] == 0 || m[failover.Suspect]+m[failover.Gone] > 0 {
		t.Errorf("before: %v", m)
	}
	n.freeze(relay, 5*time.Second)
	seen := map[failover.Level]int{}
	for range 50 {
		n.run(n.now + 20*time.Millisecond)
		for l, k := range n.levels(relay.id) {
			seen[l] += k
		}
	}
	if seen[failover.Suspect]+seen[failover.Gone] == 0 {
		t.Errorf("while it stood still: %v", seen)
	}
	n.run(n.now + 6*time.Second)
	if m := n.levels(relay.id); m[failover.Wary] == 0 {
		t.Errorf("after: %v", m)
	}
	// Looking changes nothing: p is where another that nobody looked at would be.
	p := n.alive()[3]
	before := p.core.Deadline()
	p.core.Standings()
	if p.core.Deadline() != before {
		t.Error("looking moves the deadline")
	}
}
