package stream

// This file answers: does an object have one wire form, read strictly?

import (
	"bytes"
	"errors"
	"testing"
)

func TestObjectEndsEarlyAtEveryPrefix(t *testing.T) {
	out, _ := batch(t, 3)
	w := out[1].Wire
	for n := range len(w) {
		if _, err := ParseObject(w[:n]); !errors.Is(err, ErrTruncated) {
			t.Fatalf("%d bytes: %v, want ErrTruncated", n, err)
		}
	}
	if _, err := ParseObject(append(bytes.Clone(w), 0)); !errors.Is(err, ErrMalformed) {
		t.Fatalf("one byte too many: %v, want ErrMalformed", err)
	}
}

func TestObjectsOutsideTheLimitsAreRefusedByName(t *testing.T) {
	auth := append([]byte{1, 0}, make([]byte, signatureSize)...)
	head := func(b ...byte) []byte { return append(append(b, 'x'), auth...) }
	for name, c := range map[string]struct {
		wire  []byte
		field string
		kind  error
	}{
		"version 2":            {head(0x20, 1, 0, 0, 0, 0, 1), "version", ErrVersion},
		"epoch 0":              {head(0x10, 0, 0, 0, 0, 0, 1), "epoch", ErrLimit},
		"long form of epoch 1": {head(0x10, 0x81, 0, 0, 0, 0, 0, 1), "epoch", ErrMalformed},
		"two flags":            {head(0x13, 1, 0, 0, 0, 0, 1), "flags", ErrMalformed},
		"encrypted parity":     {head(0x1c, 1, 0, 0, 0, 0, 40), "flags", ErrMalformed},
		"encrypted, but short": {head(0x18, 1, 0, 0, 0, 0, SealOverhead), "payload length", ErrLimit},
		"empty data":           {append([]byte{0x10, 1, 0, 0, 0, 0, 0}, auth...), "payload length", ErrLimit},
		"payload too long":     {head(0x10, 1, 0, 0, 0, 0, 0x81, 0x80, 1), "payload length", ErrLimit},
		"batch of none":        {append([]byte{0x10, 1, 0, 0, 0, 0, 1, 'x', 0, 0}, auth[2:]...), "batch size", ErrLimit},
		"index over batch":     {append([]byte{0x10, 1, 0, 0, 0, 0, 1, 'x', 1, 1}, auth[2:]...), "batch index", ErrLimit},
		"over all limits":      {make([]byte, MaxObject+1), "size", ErrLimit},
	} {
		_, err := ParseObject(c.wire)
		var we *WireError
		if !errors.As(err, &we) || we.Field != c.field || !errors.Is(err, c.kind) {
			t.Errorf("%s: %v, want %s: %v", name, err, c.field, c.kind)
		}
	}
	if _, err := ParseObject(head(0x10, 1, 0, 0, 0, 0, 1)); err != nil {
		t.Errorf("the well-formed one: %v", err)
	}
}

func TestTheLargestObjectsFitTheLimits(t *testing.T) {
	h := Header{Epoch: MaxEpoch, Group: MaxSeq, GroupFirst: MaxSeq / 2, Seq: MaxSeq, Time: MaxTime}
	auth := Auth{Count: MaxBatch, Proof: make([]byte, MaxProof*hashSize), Signature: make([]byte, signatureSize)}
	w, err := AppendObject(nil, Object{Header: h, Payload: make([]byte, MaxPayload)}, auth)
	if err != nil || len(w) > MaxDataObject {
		t.Fatalf("%d bytes, %v; MaxDataObject is %d", len(w), err, MaxDataObject)
	}
	h.Flags = FlagParity
	w, err = AppendObject(nil, Object{Header: h, Payload: make([]byte, MaxParityPayload)}, auth)
	if err != nil || len(w) > MaxObject {
		t.Fatalf("%d bytes, %v; MaxObject is %d", len(w), err, MaxObject)
	}
	if _, err := ParseObject(w); err != nil {
		t.Fatal(err)
	}
}

func FuzzParseObject(f *testing.F) {
	for _, n := range []int{1, 2, 7} {
		out, _ := batch(f, n)
		f.Add(out[n-1].Wire)
	}
	f.Add(signed(f, []Object{{Header: Header{Epoch: 1, Flags: FlagEnd}}})[0].Wire)
	_, v := batch(f, 1)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseObject(b)
		if err != nil {
			return
		}
		_ = v.Verify(&p)
		again, err := AppendObject(nil, p.Object, p.Auth)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("two encodings of one object: %v", err)
		}
	})
}

func TestOnlyAFittingAuthIsAppended(t *testing.T) {
	o := Object{Header: Header{Epoch: 1}, Payload: []byte{1}}
	sig := make([]byte, signatureSize)
	for name, a := range map[string]Auth{
		"batch of none":     {Signature: sig},
		"batch of 65":       {Count: MaxBatch + 1, Signature: sig},
		"index over batch":  {Count: 1, Index: 1, Signature: sig},
		"proof too long":    {Count: 1, Proof: make([]byte, hashSize), Signature: sig},
		"proof too short":   {Count: 2, Signature: sig},
		"signature cut off": {Count: 1, Signature: sig[:63]},
	} {
		if b, err := AppendObject([]byte("x"), o, a); !errors.Is(err, ErrLimit) || string(b) != "x" {
			t.Errorf("%s: %v", name, err)
		}
	}
	o.Epoch = 0
	if _, err := AppendObject(nil, o, Auth{Count: 1, Signature: sig}); !errors.Is(err, ErrLimit) {
		t.Errorf("epoch 0: %v", err)
	}
}

func TestTheStripeIsSeqModK(t *testing.T) {
	for k, want := range map[int]int{0: 0, 1: 0, 4: 2, 16: 10} {
		if got := (Header{Seq: 42}).Stripe(k); got != want {
			t.Errorf("k=%d: stripe %d, want %d", k, got, want)
		}
	}
}
