package stream

import (
	"bytes"
	"crypto/ed25519"
	"testing"
)

func TestTwoObjectsUnderOneNumberProveEquivocation(t *testing.T) {
	pub, key, err := ed25519.GenerateKey(bytes.NewReader(make([]byte, 64)))
	if err != nil {
		t.Fatal(err)
	}
	_, stranger, _ := ed25519.GenerateKey(bytes.NewReader(bytes.Repeat([]byte{7}, 64)))
	id := ID{1}
	v, err := NewVerifier(pub, id)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(key ed25519.PrivateKey, objects ...Object) []Parsed {
		t.Helper()
		ps, err := SignBatch(key, id, objects)
		if err != nil {
			t.Fatal(err)
		}
		return ps
	}
	o := func(epoch, seq, first uint64, payload string) Object {
		return Object{Header: Header{Epoch: epoch, Seq: seq, GroupFirst: first, Time: 5}, Payload: []byte(payload)}
	}
	one := sign(key, o(1, 7, 7, "one"))[0]
	for name, c := range map[string]struct {
		other Parsed
		proof bool
	}{
		"another payload":              {sign(key, o(1, 7, 7, "two"))[0], true},
		"another beginning of a group": {sign(key, o(1, 7, 0, "one"))[0], true},
		"the same in another batch":    {sign(key, o(1, 6, 6, "x"), o(1, 7, 7, "one"))[1], false},
		"the same":                     {one, false},
		"another number":               {sign(key, o(1, 8, 8, "one"))[0], false},
		"another epoch":                {sign(key, o(2, 7, 7, "two"))[0], false},
	} {
		e, ok := Equivocates(&one, &c.other)
		if ok != c.proof {
			t.Errorf("%s: proof %v, want %v", name, ok, c.proof)
			continue
		}
		if err := v.Check(Equivocation{Epoch: 1, Seq: 7, A: one.Wire, B: c.other.Wire}); (err == nil) != c.proof {
			t.Errorf("%s: checked as %v", name, err)
		}
		if ok && (e.Epoch != 1 || e.Seq != 7) {
			t.Errorf("%s: the proof is of %d in epoch %d", name, e.Seq, e.Epoch)
		}
	}
	forged := sign(stranger, o(1, 7, 7, "two"))[0]
	if v.Check(Equivocation{Epoch: 1, Seq: 7, A: one.Wire, B: forged.Wire}) == nil {
		t.Error("a stranger's object proves something against the publisher")
	}
}
