package overlay

// This file answers: how does a peer stand? For status, metrics and tests.

import (
	"slices"
	"time"
)

// Snapshot is a copy of what a peer is doing.
type Snapshot struct {
	Self       PeerID
	Publisher  bool
	Started    bool
	Draining   bool
	Resting    bool // it gave its stripes back: there is too little upload
	Confined   bool // it reaches few of those whom it dials
	Open       bool // confined peers reach it
	Epoch      uint64
	Start      uint64 // first Seq taken
	Position   uint64 // everything below was received or given up
	Edge       uint64 // one past the highest Seq known to exist
	Slots      int
	Used       int // children in all stripes together
	Known      int // peers in the passive view
	Neighbours []PeerID
	Stripes    []StripeSnapshot
	Counters   Counters
	PullBytes  int64 // spent on hedges and repairs, estimated
}

// StripeSnapshot is one stripe of a Snapshot.
type StripeSnapshot struct {
	Stripe   int
	Parent   PeerID // 0: none
	Path     []PeerID
	Standbys []PeerID
	// Lacking says that there is no standby though a
	// neighbour is known that could be one.
	Lacking  bool
	Children []PeerID
	Fed      bool
	Starved  bool
	Position uint64
	Silence  time.Duration // since the parent's last sign of life
}

// Snapshot returns a copy of the peer's state at the last Step.
func (p *Peer) Snapshot() Snapshot {
	s := Snapshot{Self: p.self, Publisher: p.cfg.Publisher, Started: p.started, Draining: p.draining, Resting: p.resting(), Confined: p.confined, Open: p.open(),
		Epoch: p.haveEpoch(), Start: p.start, Position: p.have.Next(), Edge: p.edge,
		Slots: p.slots, Used: p.used(), Known: len(p.view), Counters: p.stats, PullBytes: p.budget.Spent() * p.objSize}
	for _, n := range p.nbrs {
		s.Neighbours = append(s.Neighbours, n.id)
	}
	for i := range p.stripes {
		t := &p.stripes[i]
		v := StripeSnapshot{Stripe: i, Parent: t.parent, Path: slices.Clone(t.path), Standbys: slices.Clone(t.standbys),
			Fed: p.fed(i), Starved: t.starved != 0, Position: t.next}
		if t.parent != 0 {
			v.Silence = p.now - t.prog.Last()
		}
		for _, c := range t.children {
			v.Children = append(v.Children, c.id)
		}
		if len(t.standbys) == 0 && !p.cfg.Publisher {
			v.Lacking = slices.ContainsFunc(p.nbrs, func(n *neighbour) bool { return p.canStandBy(n, i) })
		}
		s.Stripes = append(s.Stripes, v)
	}
	return s
}

// Used returns the children in all stripes together, without those that are missing.
func (p *Peer) Used() int { return p.used() }

// Behind reports whether one of ids is on the path of some stripe that has a parent.
func (p *Peer) Behind(ids []PeerID) bool {
	for i := range p.stripes {
		s := &p.stripes[i]
		if s.parent != 0 && slices.ContainsFunc(s.path, func(id PeerID) bool { return slices.Contains(ids, id) }) {
			return true
		}
	}
	return false
}
