package stream

// This file answers: does the window hold what a map within the same bounds would?

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// bare returns an object that nobody signed, of n encoded bytes, for what
// does not look at signatures.
func bare(epoch, seq uint64, n int) Parsed {
	p := Parsed{Wire: make([]byte, n)}
	p.Epoch, p.Seq, p.GroupFirst, p.Payload = epoch, seq, seq-seq%10, p.Wire
	p.Group = seq / 10
	return p
}

func TestWindowHoldsTheRecentObjects(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const maxBytes, maxAge = 5000, 10 * time.Second
		w := NewWindow(maxBytes, maxAge)
		type held struct {
			at time.Duration
			n  int
		}
		in, floor, now := map[uint64]held{}, uint64(0), time.Duration(0)
		base := rapid.SampledFrom([]uint64{0, 1000, MaxSeq - 500}).Draw(t, "base")
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 1500).Draw(t, "ms")) * time.Millisecond
			seq := min(base+rapid.Uint64Range(0, 100).Draw(t, "seq"), MaxSeq)
			base = min(base+rapid.Uint64Range(0, 2).Draw(t, "on"), MaxSeq)
			n := rapid.IntRange(1, 400).Draw(t, "bytes")
			_, dup := in[seq]
			want := !dup && seq >= floor
			if want {
				in[seq] = held{now, n}
			}
			lowest := func() (low uint64, bytes int) {
				low = MaxSeq + 1
				for s, h := range in {
					low, bytes = min(low, s), bytes+h.n
				}
				return low, bytes
			}
			low, bytes := lowest()
			for want && len(in) > 0 && (bytes > maxBytes || now-in[low].at > maxAge) {
				delete(in, low)
				floor = low + 1
				low, bytes = lowest()
			}
			_, kept := in[seq]
			if got := w.Add(now, bare(7, seq, n)); got != (want && kept) {
				t.Fatalf("Add(%d) = %v, want %v", seq, got, want && kept)
			}
			if w.Len() != len(in) || w.Bytes() != bytes {
				t.Fatalf("%d objects, %d bytes, want %d, %d", w.Len(), w.Bytes(), len(in), bytes)
			}
			high := uint64(0)
			for s := range in {
				if p, ok := w.Get(7, s); !ok || p.Seq != s {
					t.Fatalf("%d is not there", s)
				}
				high = max(high, s)
			}
			if l, h, ok := w.Range(); ok != (len(in) > 0) || ok && (l != low || h != high) {
				t.Fatalf("range %d to %d, want %d to %d", l, h, low, high)
			}
			var missing []uint64
			for s := low; s < high && len(in) > 0; s++ {
				if _, ok := in[s]; !ok {
					missing = append(missing, s)
					if _, ok := w.Get(7, s); ok {
						t.Fatalf("%d is there", s)
					}
				}
			}
			if got := w.AppendMissing(nil, 1000); !slices.Equal(got, missing) {
				t.Fatalf("missing %v, want %v", got, missing)
			}
		}
	})
}

func TestWindowKeepsToItsEpoch(t *testing.T) {
	w := NewWindow(1<<20, time.Minute)
	if !w.Add(0, bare(3, 5, 10)) || w.Add(0, bare(4, 6, 10)) || w.Add(0, bare(2, 6, 10)) || w.Epoch() != 3 {
		t.Fatal("the first object does not decide the epoch")
	}
	parity := bare(3, 6, 10)
	parity.Flags = FlagParity
	if w.Add(0, parity) {
		t.Fatal("a parity object is kept under a Seq of the stream")
	}
	if _, ok := w.Get(4, 5); ok {
		t.Fatal("another epoch's object is there")
	}
	w.Reset(4)
	if w.Len() != 0 || w.Bytes() != 0 || w.Add(0, bare(3, 6, 10)) || !w.Add(0, bare(4, 0, 10)) {
		t.Fatal("after Reset(4) the window is not empty, or not of epoch 4")
	}
}

func TestWindowWithNothingAddedEmptiesByAge(t *testing.T) {
	w := NewWindow(1<<20, time.Second)
	for i := range uint64(100) {
		w.Add(time.Duration(i)*time.Millisecond, bare(1, i, 10))
	}
	w.Expire(time.Second + 50*time.Millisecond)
	if low, _, _ := w.Range(); low != 50 {
		t.Fatalf("lowest is %d, want 50", low)
	}
	w.Expire(time.Hour)
	if w.Len() != 0 || w.Bytes() != 0 || w.Add(time.Hour, bare(1, 3, 10)) || !w.Add(time.Hour, bare(1, 100, 10)) {
		t.Fatal("what was dropped comes back, or what is new does not")
	}
}

func TestALeapDoesNotGrowTheWindowOverItsLimit(t *testing.T) {
	w := NewWindow(1<<30, time.Hour)
	for _, seq := range []uint64{10, 0, 10 + MaxWindowObjects - 1, 1 << 40, MaxSeq, MaxSeq - 1} {
		if !w.Add(0, bare(1, seq, 10)) {
			t.Fatalf("%d is not kept", seq)
		}
		if len(w.ring.slots) > MaxWindowObjects {
			t.Fatalf("%d places after %d", len(w.ring.slots), seq)
		}
	}
	if w.Len() != 2 {
		t.Fatalf("%d objects", w.Len())
	}
	if w.Add(0, bare(1, 1, 10)) || w.Add(0, bare(1, MaxSeq-MaxWindowObjects, 10)) {
		t.Fatal("an object beyond the limit is kept")
	}
	if NewWindow(5, time.Hour).Add(0, bare(1, 1, 10)) {
		t.Fatal("an object over the bound in bytes is kept")
	}
}

func BenchmarkWindow(b *testing.B) {
	w := NewWindow(1<<20, time.Minute)
	p := bare(1, 0, 1000)
	b.ReportAllocs()
	for seq := uint64(0); b.Loop(); seq++ {
		p.Seq = seq
		if !w.Add(time.Duration(seq)*time.Millisecond, p) {
			b.Fatal("not kept")
		}
		if _, ok := w.Get(1, seq/2*2); !ok {
			b.Fatal("not there")
		}
	}
}
