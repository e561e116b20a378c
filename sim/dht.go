package sim

// This file answers: how do peers find each other? The publisher's address is
// in the link and is there at once; a look-up of provider records takes time
// and names the dead among the living.

import (
	"math/rand/v2"
	"time"

	"github.com/braidway/braidway/overlay"
)

// lookup is the time of a walk to the first provider record, in seconds:
// LN(−0.84, 0.85), ProbeLab RFM7.
var lookup = lognormal{-0.84, 0.85}

const (
	// recordLife is for how long the record of a dead peer is still found: the
	// live runtime's are renewed, and expire after about two minutes.
	recordLife = 2 * time.Minute
	// provideTime is the median of a provide, 0.87 s (optimistic provide).
	provideTime = 0.87
	// providers is how many a look-up names, kad-dht's bucket size.
	providers = 20
)

// registry is the provider records. It changes between windows only.
type registry struct {
	all []uint32
	at  map[uint32]int // place of a peer in all
}

func newRegistry() *registry { return &registry{at: make(map[uint32]int)} }

func (r *registry) add(i uint32) {
	if _, ok := r.at[i]; !ok {
		r.at[i] = len(r.all)
		r.all = append(r.all, i)
	}
}

func (r *registry) remove(i uint32) {
	n, ok := r.at[i]
	if !ok {
		return
	}
	last := r.all[len(r.all)-1]
	r.all[n], r.at[last] = last, n
	r.all = r.all[:len(r.all)-1]
	delete(r.at, i)
}

// sample names up to n providers but not the asker.
func (r *registry) sample(rng *rand.Rand, n int, not uint32) []uint32 {
	var ids []uint32
	for tries := 0; tries < 2*n && len(ids) < n && len(ids) < len(r.all); tries++ {
		i := r.all[rng.IntN(len(r.all))]
		twice := i == not
		for _, o := range ids {
			twice = twice || o == i
		}
		if !twice {
			ids = append(ids, i)
		}
	}
	return ids
}

// search answers ActFind: what the link names at once, the look-up later.
func (s *shard) search(p *peer) {
	if named := s.e.named; named != p.index {
		s.after(p, time.Millisecond, event{kind: evFound, from: named, seq: 1})
	}
	if !p.looking {
		p.looking = true
		s.after(p, time.Duration(min(lookup.draw(p.rng), 60)*float64(time.Second)), event{kind: evFound, from: p.index})
	}
}

func (s *shard) found(p *peer, ev *event) {
	if ev.seq == 1 {
		s.step(p, overlay.Event{Kind: overlay.EvCandidates, Candidates: []overlay.Candidate{{Peer: s.e.peers[ev.from].id, Source: overlay.SourceLink}}})
		return
	}
	p.looking = false
	ids := s.e.dht.sample(p.rng, providers, p.index)
	if s.e.captured() {
		ids = s.e.poisoned(p, ids)
	}
	var cs []overlay.Candidate
	for _, i := range ids {
		cs = append(cs, overlay.Candidate{Peer: s.e.peers[i].id, Subnet: s.e.subnetOf(&s.e.peers[i]), Source: overlay.SourceDHT})
	}
	s.step(p, overlay.Event{Kind: overlay.EvCandidates, Candidates: cs})
}
