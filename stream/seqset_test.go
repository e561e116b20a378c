package stream

// This file answers: is the ring of bits the set that a map would be?

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestSeqSetIsASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size = 128
		s := NewSeqSet(size)
		in, base := map[uint64]bool{}, uint64(0)
		top, any := uint64(0), false
		if rapid.Bool().Draw(t, "reset") {
			base = rapid.Uint64Range(0, MaxSeq-1000).Draw(t, "first")
			s.Reset(base)
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			back := min(base, 20)
			seq := min(base-back+rapid.Uint64Range(0, 300).Draw(t, "seq"), MaxSeq)
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
					if !any || seq > top {
						top, any = seq, true
					}
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
			if m, ok := s.Max(); m != top || ok != any {
				t.Fatalf("Max %d %v, want %d %v", m, ok, top, any)
			}
			for q := base; q < base+size; q++ {
				if s.Has(q) != in[q] {
					t.Fatalf("Has(%d) = %v", q, s.Has(q))
				}
			}
			stride := rapid.Uint64Range(1, 5).Draw(t, "stride")
			offset := rapid.Uint64Range(0, stride-1).Draw(t, "offset")
			from, limit := base-back, rapid.IntRange(0, 40).Draw(t, "limit")
			var want []uint64
			for q := max(from, base); q < min(base+size+50, MaxSeq+1) && len(want) < limit; q++ {
				if !in[q] && q%stride == offset {
					want = append(want, q)
				}
			}
			if got := s.AppendMissing(nil, from, base+size+50, stride, offset, limit); !slices.Equal(got, want) {
				t.Fatalf("missing %v, want %v", got, want)
			}
		}
	})
}

func TestSeqSetAtTheEndOfTheRange(t *testing.T) {
	s := NewSeqSet(64)
	s.Reset(MaxSeq - 3)
	for seq := uint64(MaxSeq - 3); seq <= MaxSeq; seq++ {
		if !s.Add(seq) {
			t.Fatalf("%d is not new", seq)
		}
	}
	if s.Add(MaxSeq+1) || s.Next() != MaxSeq+1 {
		t.Fatalf("next is %d", s.Next())
	}
	if got := s.AppendMissing(nil, 0, 1<<63, 1, 0, 10); len(got) != 0 {
		t.Fatalf("missing %v", got)
	}
}

func BenchmarkSeqSet(b *testing.B) {
	s := NewSeqSet(2048)
	b.ReportAllocs()
	for seq := uint64(0); b.Loop(); seq++ {
		s.Add(seq ^ 1)
		if s.Has(seq + 2) {
			b.Fatal("has what was not added")
		}
	}
}
