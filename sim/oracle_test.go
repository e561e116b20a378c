package sim

// Oracles walk all peers of a run and count what must not be.

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/braidway/braidway/measure"
	"github.com/braidway/braidway/overlay"
)

// overlayOf returns the core of p, whatever stands before it; nil: it is a baseline's.
func overlayOf(p *peer) *overlay.Peer {
	switch c := p.core.(type) {
	case *overlay.Peer:
		return c
	case *mutant:
		return c.Peer
	case *weakened:
		return c.Peer
	}
	return nil
}

// present calls do with every viewer that is there and not about to leave.
func present(e *engine, do func(p *peer, s *overlay.Snapshot)) {
	for _, i := range e.living() {
		if p := &e.peers[i]; p.left == 0 && !p.frozen {
			s := overlayOf(p).Snapshot()
			do(p, &s)
		}
	}
}

// loops counts the stripes of viewers whose parents lead back to themselves.
func loops(e *engine) (n int) {
	parent := func(i uint32, stripe int) (uint32, bool) {
		if int(i) >= len(e.peers) || e.peers[i].dead || e.peers[i].view == nil {
			return 0, false
		}
		_, id := placeOf(&e.peers[i], stripe)
		return indexOf(id), id != 0
	}
	for _, i := range e.living() {
		for stripe := range e.set.Stripes {
			at, ok := parent(i, stripe)
			for steps := 0; ok && at != i && steps < len(e.peers); steps++ {
				at, ok = parent(at, stripe)
			}
			if ok && at == i {
				n++
			}
		}
	}
	return n
}

func placeOf(p *peer, stripe int) (path []overlay.PeerID, parent overlay.PeerID) {
	s := overlayOf(p).Snapshot().Stripes[stripe]
	return s.Path, s.Parent
}

// overfull counts the viewers with more children than their slots and the
// bounded few that overlay promises. Where there is too little upload, lines are
// full and children silent for so long that their places are given away; several
// come back at once, and are asked to move.
func overfull(e *engine) (n int) {
	scarce := !enough(e)
	present(e, func(p *peer, s *overlay.Snapshot) {
		most := 0
		switch {
		case s.Slots == 0:
		case scarce:
			most = p.slots + p.slots/2 + 3
		default:
			most = s.Slots + max(1, s.Slots/8) + 1
		}
		if s.Used > most {
			n++
		}
	})
	return n
}

// place is a viewer's stripe.
type place struct {
	peer   uint32
	stripe int
}

// hungry returns the places, of viewers that are there for 10 s, without a sound parent.
func hungry(e *engine) map[place]bool {
	all := map[place]bool{}
	present(e, func(p *peer, s *overlay.Snapshot) {
		for _, t := range s.Stripes {
			if e.now-p.joined > int64(measure.JoinLimit) && (t.Parent == 0 || !t.Fed || e.peers[indexOf(t.Parent)].dead) {
				all[place{p.index, t.Stripe}] = true
			}
		}
	})
	return all
}

// enough says whether there are half as many slots again as are needed: with
// less, not everybody finds a parent that it can reach.
func enough(e *engine) bool {
	slots, need := e.peers[e.publisher].slots, 0
	present(e, func(p *peer, s *overlay.Snapshot) { slots, need = slots+s.Slots, need+e.set.Stripes })
	return 2*slots >= 3*need
}

// behindParent is the share of standbys whose true way to the publisher runs
// through the very parent that they are to replace.
func behindParent(e *engine) float64 {
	n, all := 0, 0
	present(e, func(p *peer, s *overlay.Snapshot) {
		for i, t := range s.Stripes {
			for _, id := range t.Standbys {
				q := &e.peers[indexOf(id)]
				if t.Parent == 0 || q.dead || e.peers[indexOf(t.Parent)].view == nil || q.view == nil {
					continue
				}
				all++
				if path, _ := placeOf(q, i); slices.Contains(path, t.Parent) {
					n++
				}
			}
		}
	})
	return float64(n) / float64(max(1, all))
}

// tooMany counts the viewers who were given more than was made in their time
// and in the 3 s before it, which is what may have been on its way.
func tooMany(e *engine) (n int) {
	for i := range e.peers {
		p := &e.peers[i]
		if p.view == nil {
			continue
		}
		end := e.now
		if p.gone != 0 {
			end = p.gone
		}
		from := p.joined
		if end > e.begin {
			from = max(from, e.begin)
		}
		made := e.set.Objects * (time.Duration(end-from).Seconds() + 3)
		if float64(p.view.m.BytesUnique) > made*float64(e.set.ObjectSize) {
			n++
		}
	}
	return n
}

// outcome of a run with what its oracles saw on the way, every half second or so.
type outcome struct {
	e       *engine
	r       *Result
	looping int             // most stripes in a loop at three looks one after another: where a network is split, news of a path waits
	hungry  map[place]int64 // since when, of those that are at the end
}

// starving counts the places that had no sound parent for the last 3 s.
func (o *outcome) starving() (n int) {
	for _, since := range o.hungry {
		if o.e.now-since > int64(3*time.Second) {
			n++
		}
	}
	return n
}

// watchRun runs s with a rule broken in all viewers, nil for none, and looks
// at the trees on the way.
func watchRun(t testing.TB, s Scenario, peers int, seed uint64, broken *breach) outcome {
	t.Helper()
	if err := s.check(peers); err != nil {
		t.Fatal(err)
	}
	e := started(s, peers, seed, 1)
	if broken != nil {
		e.wrap = broken.wrap
	}
	o := outcome{e: e}
	before, earlier := 0, 0
	e.run(context.Background(), func() {
		n := loops(e)
		o.looping = max(o.looping, min(n, before, earlier))
		before, earlier = n, before
		now := map[place]int64{}
		for at := range hungry(e) {
			now[at] = e.now
			if since, ok := o.hungry[at]; ok {
				now[at] = since
			}
		}
		o.hungry = now
	})
	o.r = e.result(time.Second)
	return o
}
