package stream

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

func testKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32)) }

func batch(t testing.TB, n int) ([]Parsed, *Verifier) {
	key := testKey()
	pub := key.Public().(ed25519.PublicKey)
	id := NewID(pub, "test")
	objects := make([]Object, n)
	for i := range objects {
		objects[i] = Object{Header{Epoch: 3, Seq: 100 + uint64(i), Group: 4, GroupFirst: 90, Time: 1e15}, bytes.Repeat([]byte{byte(i)}, 1250)}
	}
	out, err := SignBatch(key, id, objects)
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewVerifier(pub, id)
	if err != nil {
		t.Fatal(err)
	}
	return out, v
}

func TestEveryBatchSizeVerifies(t *testing.T) {
	for n := 1; n <= MaxBatch; n++ {
		out, v := batch(t, n)
		for i := range out {
			if err := v.Verify(&out[i]); err != nil {
				t.Fatalf("%d of %d: %v", i, n, err)
			}
		}
	}
}

func TestOneChangedBitIsRefused(t *testing.T) {
	out, v := batch(t, 5)
	for i := range out {
		w := out[i].Wire
		for at := range w {
			bad := bytes.Clone(w)
			bad[at] ^= 4
			p, err := ParseObject(bad)
			if err == nil {
				err = v.Verify(&p)
			}
			if err == nil {
				t.Fatalf("object %d verifies with byte %d changed", i, at)
			}
		}
	}
}

func TestAnotherStreamsObjectIsRefused(t *testing.T) {
	out, _ := batch(t, 1)
	key := testKey()
	v, _ := NewVerifier(key.Public().(ed25519.PublicKey), NewID(key.Public().(ed25519.PublicKey), "other"))
	if err := v.Verify(&out[0]); !errors.Is(err, ErrSignature) {
		t.Fatalf("got %v, want ErrSignature", err)
	}
}

func TestEndOfInputAtEveryPrefixIsAnError(t *testing.T) {
	out, _ := batch(t, 3)
	for n := range len(out[1].Wire) {
		if _, err := ParseObject(out[1].Wire[:n]); !errors.Is(err, ErrShort) {
			t.Fatalf("%d bytes: %v, want ErrShort", n, err)
		}
	}
	if _, err := ParseObject(append(bytes.Clone(out[1].Wire), 0)); !errors.Is(err, ErrFormat) {
		t.Fatalf("one byte too many: %v, want ErrFormat", err)
	}
}

func FuzzParseObject(f *testing.F) {
	for _, n := range []int{1, 2, 7} {
		out, _ := batch(f, n)
		f.Add(out[n-1].Wire)
	}
	_, v := batch(f, 1)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseObject(b)
		if err != nil {
			return
		}
		_ = v.Verify(&p)
		if !bytes.Equal(appendUnsigned(nil, &p.Object), b[:p.signed]) {
			t.Fatal("two encodings of one object")
		}
	})
}

func TestIDTextIsItsOnlyForm(t *testing.T) {
	id := NewID(testKey().Public().(ed25519.PublicKey), "x")
	s := id.String()
	if got, err := ParseID(s); err != nil || got != id {
		t.Fatal(got, err)
	}
	for n := range len(s) {
		if _, err := ParseID(s[:n]); err == nil {
			t.Fatalf("%d characters parse", n)
		}
	}
	if _, err := ParseID(s[:51] + "7"); err == nil {
		t.Fatal("a last character with loose bits parses")
	}
}

// TestSeqSetIsASet holds the ring of bits against a map.
func TestSeqSetIsASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size = 128
		s := NewSeqSet(size)
		in, base := map[uint64]bool{}, uint64(0)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			seq := base + rapid.Uint64Range(0, 300).Draw(t, "seq") - min(base, 20)
			if rapid.IntRange(0, 9).Draw(t, "kind") == 0 {
				s.GiveUp(seq)
				base = max(base, seq)
			} else {
				want := seq >= base && !in[seq]
				if got := s.Add(seq); got != want {
					t.Fatalf("Add(%d) = %v with base %d", seq, got, base)
				}
				if want {
					in[seq] = true
				}
				if seq >= base+size {
					base = seq - size + 1
				}
			}
			next := base
			for in[next] {
				next++
			}
			if s.Next() != next || s.Base() != base {
				t.Fatalf("next %d base %d, want %d %d", s.Next(), s.Base(), next, base)
			}
			for q := base; q < base+size; q++ {
				if s.Has(q) != in[q] {
					t.Fatalf("Has(%d) = %v", q, s.Has(q))
				}
			}
		}
	})
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
