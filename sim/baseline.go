package sim

// This file answers: what else than Braidway's core can be driven?

import (
	"math/rand/v2"

	"github.com/braidway/braidway/sim/baseline"
)

// newBaseline makes the core of one of the systems that Braidway is compared with.
func (e *engine) newBaseline(p *peer, number uint64, rng *rand.Rand) core {
	s := &e.set
	c, err := baseline.New(s.System, baseline.Config{Publisher: number > 0, Stripes: s.Stripes, Slots: p.slots, Objects: s.Objects,
		Group: e.group, Buffer: s.Buffer, Neighbours: s.Neighbours}, p.id, rng)
	if err != nil {
		panic(err) // Systems names only what baseline has
	}
	return c
}
