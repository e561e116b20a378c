package stream

// This file answers: is exactly what the publisher signed accepted?

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
)

func TestEveryBatchSizeVerifiesAndReadsBack(t *testing.T) {
	for n := 1; n <= MaxBatch; n++ {
		out, v := batch(t, n)
		for i := range out {
			p, err := ParseObject(out[i].Wire)
			if err != nil {
				t.Fatalf("%d of %d: %v", i, n, err)
			}
			if p.Header != out[i].Header || !bytes.Equal(p.Payload, out[i].Payload) || p.AuthSize() != out[i].AuthSize() {
				t.Fatalf("%d of %d: read %+v, signed %+v", i, n, p.Header, out[i].Header)
			}
			if err := v.Verify(&out[i]); err != nil {
				t.Fatalf("%d of %d: %v", i, n, err)
			}
			if err := v.Verify(&p); err != nil {
				t.Fatalf("%d of %d, read back: %v", i, n, err)
			}
		}
	}
}

func TestOneChangedBitIsRefusedWhetherOrNotTheBatchIsKnown(t *testing.T) {
	for _, n := range []int{1, 3, 5, 8} {
		out, known := batch(t, n)
		for i := range out {
			if err := known.Verify(&out[i]); err != nil {
				t.Fatal(err)
			}
		}
		for _, i := range []int{0, n - 1} {
			w := bytes.Clone(out[i].Wire)
			for bit := range 8 * len(w) {
				if at := bit / 8; at > 40 && at < 1200 && bit%64 != 0 {
					continue // inside the payload: a sample
				}
				w[bit/8] ^= 1 << (bit % 8)
				if p, err := ParseObject(w); err == nil {
					if known.Verify(&p) == nil {
						t.Fatalf("object %d of %d verifies with bit %d of byte %d changed", i, n, bit%8, bit/8)
					}
					if bit%8 == 0 && testVerifier(t).Verify(&p) == nil {
						t.Fatalf("object %d of %d verifies afresh with byte %d changed", i, n, bit/8)
					}
				}
				w[bit/8] ^= 1 << (bit % 8)
			}
		}
	}
}

func TestTheObjectsOfABatchCostOneSignatureVerification(t *testing.T) {
	out, v := batch(t, MaxBatch)
	for i := range out {
		if err := v.Verify(&out[i]); err != nil {
			t.Fatal(err)
		}
	}
	if len(v.seen) != 1 {
		t.Fatalf("%d signatures remembered for one batch", len(v.seen))
	}
	for i := range 2 * verifiedBatches {
		p := signed(t, []Object{{Header: Header{Epoch: 1, Seq: uint64(i)}, Payload: []byte{1}}})
		if err := v.Verify(&p[0]); err != nil {
			t.Fatal(err)
		}
	}
	if len(v.seen) != verifiedBatches {
		t.Fatalf("%d signatures remembered, want %d", len(v.seen), verifiedBatches)
	}
}

func TestAnotherStreamsObjectIsRefused(t *testing.T) {
	out, _ := batch(t, 1)
	v, _ := NewVerifier(testPub(), NewID(testPub(), "other"))
	if err := v.Verify(&out[0]); !errors.Is(err, ErrSignature) {
		t.Fatalf("got %v, want ErrSignature", err)
	}
	if err := v.Verify(&Parsed{}); !errors.Is(err, ErrSignature) {
		t.Fatalf("an object that was never read: %v, want ErrSignature", err)
	}
}

func TestSeveralGoroutinesShareAVerifier(t *testing.T) {
	out, v := batch(t, 16)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range out {
				if err := v.Verify(&out[i]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestWhatCannotBeSignedIsNamed(t *testing.T) {
	good := Object{Header: Header{Epoch: 1}, Payload: []byte{1}}
	with := func(change func(*Object)) []Object {
		o := good
		change(&o)
		return []Object{good, o}
	}
	for name, objects := range map[string][]Object{
		"no object":         nil,
		"too many":          make([]Object, MaxBatch+1),
		"epoch 0":           with(func(o *Object) { o.Epoch = 0 }),
		"two epochs":        with(func(o *Object) { o.Epoch = 2 }),
		"long payload":      with(func(o *Object) { o.Payload = make([]byte, MaxPayload+1) }),
		"empty payload":     with(func(o *Object) { o.Payload = nil }),
		"group after seq":   with(func(o *Object) { o.GroupFirst = 1 }),
		"negative time":     with(func(o *Object) { o.Time = -1 }),
		"two flags":         with(func(o *Object) { o.Flags = FlagEnd | FlagPreamble }),
		"seq over the top":  with(func(o *Object) { o.Seq = MaxSeq + 1 }),
		"group over the to": with(func(o *Object) { o.Group = MaxSeq + 1 }),
	} {
		if _, err := SignBatch(testKey(), testID(), objects); err == nil {
			t.Errorf("%s is signed", name)
		}
	}
	if _, err := SignBatch(testKey()[:5], testID(), []Object{good}); err == nil {
		t.Error("a key of 5 bytes signs")
	}
	if _, err := NewVerifier(testPub()[:5], testID()); err == nil {
		t.Error("a public key of 5 bytes makes a verifier")
	}
}

func BenchmarkSign(b *testing.B) {
	for _, n := range []int{1, 2, 8} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			objects := make([]Object, n)
			for i := range objects {
				objects[i] = Object{Header: Header{Epoch: 1, Seq: uint64(i), Time: 1e15}, Payload: make([]byte, 12500)}
			}
			key, id := testKey(), testID()
			for b.Loop() {
				if _, err := SignBatch(key, id, objects); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, n := range []int{1, 2, 8} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			out, v := batch(b, n)
			for i := 0; b.Loop(); i++ {
				if i%n == 0 {
					clear(v.seen)
				}
				if v.Verify(&out[i%n]) != nil {
					b.Fatal("does not verify")
				}
			}
		})
	}
}
