package stream

// This file answers: which Seqs are there, and which are missing?

import "math/bits"

// SeqSet is a sliding set of Seqs: a ring of bits over [Base, Base+capacity).
// Everything below Base counts as done. It allocates only in NewSeqSet.
// The zero value is not usable.
type SeqSet struct {
	words []uint64
	mask  uint64 // capacity - 1
	base  uint64
	next  uint64 // lowest Seq not in the set, at least base
	max   uint64
	any   bool
}

// NewSeqSet returns an empty set with Base 0. The capacity is rounded up to a
// power of two of at least 64.
func NewSeqSet(capacity int) *SeqSet {
	n := uint64(64)
	if capacity > 64 {
		n = 1 << bits.Len64(uint64(capacity-1))
	}
	return &SeqSet{words: make([]uint64, n/64), mask: n - 1}
}

// Capacity returns the number of Seqs that the ring spans.
func (s *SeqSet) Capacity() int { return len(s.words) * 64 }

// Reset empties the set and moves Base to first.
func (s *SeqSet) Reset(first uint64) {
	clear(s.words)
	first = min(first, MaxSeq+1)
	s.base, s.next, s.max, s.any = first, first, 0, false
}

// Base returns the Seq below which everything counts as done.
func (s *SeqSet) Base() uint64 { return s.base }

// Next returns the lowest missing Seq: everything below it was added or given up.
func (s *SeqSet) Next() uint64 { return s.next }

// Max returns the highest Seq added since Reset; false when there is none.
func (s *SeqSet) Max() (uint64, bool) { return s.max, s.any }

// Has reports whether seq was added, or lies below Base.
func (s *SeqSet) Has(seq uint64) bool {
	if seq < s.next {
		return true
	}
	if seq-s.base > s.mask {
		return false
	}
	return s.words[seq&s.mask/64]&(1<<(seq&63)) != 0
}

// Add adds seq and reports whether it was new: not added before, not below
// Base, not above MaxSeq. A seq beyond the ring moves Base up so that seq is
// its last place; what falls out is given up.
func (s *SeqSet) Add(seq uint64) bool {
	if seq < s.next || seq > MaxSeq {
		return false
	}
	if seq-s.base > s.mask {
		s.GiveUp(seq - s.mask)
	}
	w := &s.words[seq&s.mask/64]
	bit := uint64(1) << (seq & 63)
	if *w&bit != 0 {
		return false
	}
	*w |= bit
	if !s.any || seq > s.max {
		s.max, s.any = seq, true
	}
	if seq == s.next {
		s.advance()
	}
	return true
}

// GiveUp moves Base up to upTo: everything below counts as done.
func (s *SeqSet) GiveUp(upTo uint64) {
	upTo = min(upTo, MaxSeq+1)
	if upTo <= s.base {
		return
	}
	if upTo-s.base > s.mask {
		clear(s.words)
	} else {
		s.clearRange(s.base, upTo)
	}
	s.base = upTo
	if s.next < upTo {
		s.next = upTo
		s.advance()
	}
}

// advance moves next to the lowest missing Seq, a word at a time.
func (s *SeqSet) advance() {
	for s.any && s.next <= s.max {
		run := uint64(bits.TrailingZeros64(^(s.words[s.next&s.mask/64] >> (s.next & 63))))
		left := 64 - s.next&63
		if run < left {
			// Bits above max may be those of Seqs a whole ring lower.
			s.next = min(s.next+run, s.max+1)
			return
		}
		s.next += left
	}
	if s.any && s.next > s.max+1 && s.base <= s.max+1 {
		s.next = s.max + 1
	}
}

// clearRange clears [from, to), at most one ring long.
func (s *SeqSet) clearRange(from, to uint64) {
	for from < to {
		off := from & 63
		n := min(64-off, to-from)
		ones := ^uint64(0) >> (64 - n) << off
		s.words[from&s.mask/64] &^= ones
		from += n
	}
}

// AppendMissing appends to dst up to limit missing Seqs in [from, to) with
// seq % stride == offset, lowest first (stride 1, offset 0: all). Seqs beyond
// the ring are missing. A stride of 0 or an offset not below stride matches none.
func (s *SeqSet) AppendMissing(dst []uint64, from, to, stride, offset uint64, limit int) []uint64 {
	if stride == 0 || offset >= stride {
		return dst
	}
	from, to = max(from, s.next), min(to, MaxSeq+1)
	end := s.next
	if s.any {
		end = max(end, s.max+1)
	}
	for from < min(to, end) && limit > 0 {
		off := from & 63
		n := min(64-off, min(to, end)-from)
		gone := ^(s.words[from&s.mask/64] >> off) & (^uint64(0) >> (64 - n))
		for ; gone != 0 && limit > 0; gone &= gone - 1 {
			seq := from + uint64(bits.TrailingZeros64(gone))
			if stride == 1 || seq%stride == offset {
				dst = append(dst, seq)
				limit--
			}
		}
		from += n
	}
	if from >= to || limit <= 0 {
		return dst
	}
	for seq := from + (offset+stride-from%stride)%stride; seq < to && limit > 0; seq += stride {
		dst = append(dst, seq)
		limit--
		if seq > MaxSeq-min(stride, MaxSeq) {
			break
		}
	}
	return dst
}
