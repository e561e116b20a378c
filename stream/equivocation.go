package stream

// This file answers: did the publisher's key sign two objects under one number?

import "bytes"

// Equivocation is the proof that it did: two objects that both verify and
// cannot both be the stream's. It speaks against the owner of the key, never
// against a peer that passed one of them on.
type Equivocation struct {
	Epoch, Seq uint64
	A, B       []byte // the complete encoded objects, as they came
}

// Equivocates returns the proof in a and b, which were both verified for one
// stream; false: they are the same object, or have different numbers. Two
// batches that hold the same object are no proof: a publisher may sign twice.
func Equivocates(a, b *Parsed) (Equivocation, bool) {
	if a.Epoch != b.Epoch || a.Seq != b.Seq || (a.Flags == FlagParity) != (b.Flags == FlagParity) ||
		bytes.Equal(a.Wire[:a.signed], b.Wire[:b.signed]) {
		return Equivocation{}, false
	}
	return Equivocation{Epoch: a.Epoch, Seq: a.Seq, A: a.Wire, B: b.Wire}, true
}

// Check returns nil when e proves an equivocation of the publisher whom v knows;
// else what is wrong with it.
func (v *Verifier) Check(e Equivocation) error {
	var two [2]Parsed
	for i, wire := range [][]byte{e.A, e.B} {
		p, err := ParseObject(wire)
		if err == nil {
			err = v.Verify(&p)
		}
		if err != nil {
			return err
		}
		two[i] = p
	}
	if got, ok := Equivocates(&two[0], &two[1]); !ok || got.Epoch != e.Epoch || got.Seq != e.Seq {
		return &WireError{What: "equivocation", Field: "objects", Kind: ErrMalformed, Detail: "they are one object, or of other numbers"}
	}
	return nil
}
