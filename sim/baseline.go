package sim

// This file answers: what else than Braidway's core can be driven?

import "math/rand/v2"

func (e *engine) newBaseline(p *peer, number uint64, rng *rand.Rand) core { panic("not there yet") }
