package stream

// This file answers: which objects are there, and which are missing?

// SeqSet is a set of Seqs in a window that slides upwards: a ring of bits.
// What falls out below counts as done. No method allocates.
type SeqSet struct {
	bits []uint64
	mask uint64
	base uint64 // everything below is done
	next uint64 // lowest missing, at least base
	top  uint64 // one past the highest member; base when there is none
}

// NewSeqSet returns an empty set from Seq 0 on that spans at least capacity Seqs.
func NewSeqSet(capacity int) *SeqSet {
	n := uint64(64)
	for n < uint64(max(0, capacity)) {
		n *= 2
	}
	return &SeqSet{bits: make([]uint64, n/64), mask: n - 1}
}

// Reset empties the set; everything below first counts as done.
func (s *SeqSet) Reset(first uint64) {
	clear(s.bits)
	s.base, s.next, s.top = first, first, first
}

// Base returns the Seq below which everything counts as done.
func (s *SeqSet) Base() uint64 { return s.base }

// Next returns the lowest Seq that is missing.
func (s *SeqSet) Next() uint64 { return s.next }

// Top returns one past the highest member, or Base.
func (s *SeqSet) Top() uint64 { return s.top }

// Has says whether seq is a member or done.
func (s *SeqSet) Has(seq uint64) bool {
	if seq < s.base {
		return true
	}
	return seq < s.top && s.bits[(seq&s.mask)/64]&(1<<(seq%64)) != 0
}

// Add makes seq a member and says whether it was missing. A seq beyond the
// capacity slides the window: what falls out is given up.
func (s *SeqSet) Add(seq uint64) bool {
	if s.Has(seq) {
		return false
	}
	if size := s.mask + 1; seq-s.base >= size {
		s.GiveUp(seq - size + 1)
	}
	s.bits[(seq&s.mask)/64] |= 1 << (seq % 64)
	s.top = max(s.top, seq+1)
	s.settle()
	return true
}

// GiveUp makes everything below upTo count as done.
func (s *SeqSet) GiveUp(upTo uint64) {
	if upTo <= s.base {
		return
	}
	if upTo >= s.top {
		clear(s.bits)
		s.top = upTo
	} else {
		for q := s.base; q < upTo; {
			if q%64 == 0 && upTo-q >= 64 {
				s.bits[(q&s.mask)/64] = 0
				q += 64
				continue
			}
			s.bits[(q&s.mask)/64] &^= 1 << (q % 64)
			q++
		}
	}
	s.base = upTo
	s.next = max(s.next, upTo)
	s.settle()
}

func (s *SeqSet) settle() {
	for s.next < s.top && s.bits[(s.next&s.mask)/64]&(1<<(s.next%64)) != 0 {
		s.next++
	}
}
