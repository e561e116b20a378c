package overlay

// This file answers: how does each neighbour stand, for those who watch?

import (
	"time"

	"github.com/braidway/braidway/failover"
)

// Standing is how one neighbour stands.
type Standing struct {
	ID PeerID
	// Level is the worst of the stripes of which it is the parent, and what is
	// remembered of it otherwise.
	Level   failover.Level
	Leaving bool
	RTT     time.Duration // when it was met
}

// Standings returns how the neighbours stand at the last Step, in the order of
// Snapshot's Neighbours. It changes nothing.
func (p *Peer) Standings() []Standing {
	all := make([]Standing, 0, len(p.nbrs))
	for _, n := range p.nbrs {
		s := Standing{ID: n.id, Leaving: n.away, RTT: n.rtt}
		if p.doubts(n) > 0 {
			s.Level = failover.Wary
		}
		for i := range p.stripes {
			if t := &p.stripes[i]; t.parent == n.id {
				prog := t.prog // Level remembers when it was asked
				s.Level = worse(s.Level, prog.Level(p.now, p.edge, p.progress()))
			}
		}
		if n.quiet {
			s.Level = worse(s.Level, failover.Suspect)
		}
		if n.missing {
			s.Level = failover.Gone
		}
		all = append(all, s)
	}
	return all
}

// worse returns the worse of two levels.
func worse(a, b failover.Level) failover.Level {
	rank := [...]int{failover.Healthy: 0, failover.Wary: 1, failover.Starved: 2, failover.Suspect: 3, failover.Gone: 4}
	if rank[a] > rank[b] {
		return a
	}
	return b
}
