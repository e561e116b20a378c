package stream

// This file answers: how does one signature cover many objects?
//
// The tree is that of RFC 6962, section 2.1: leaf = SHA-256(0x00 ‖ bytes),
// node = SHA-256(0x01 ‖ left ‖ right); built level by level, a lone node at
// the right end moves up as it is, which gives the same tree.

import (
	"crypto/sha256"
	"hash"
	"sync"
)

type digest [hashSize]byte

// leafHasher keeps a hash state and its buffers, so that hashing a leaf
// allocates nothing.
type leafHasher struct {
	h   hash.Hash
	tag [1]byte
	sum digest
}

var leafHashers = sync.Pool{New: func() any { return &leafHasher{h: sha256.New()} }}

func leafHash(b []byte) digest {
	l := leafHashers.Get().(*leafHasher)
	l.h.Reset()
	l.h.Write(l.tag[:])
	l.h.Write(b)
	l.h.Sum(l.sum[:0])
	d := l.sum
	leafHashers.Put(l)
	return d
}

func nodeHash(left, right *digest) digest {
	var b [1 + 2*hashSize]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+hashSize:], right[:])
	return sha256.Sum256(b[:])
}

// proofLen returns the number of hashes in the proof of leaf index of count.
func proofLen(index, count int) int {
	n := 0
	for ; count > 1; index, count = index/2, (count+1)/2 {
		if index^1 < count {
			n++
		}
	}
	return n
}

// merkleTree holds all levels over one batch of 1 to MaxBatch leaves.
type merkleTree struct {
	levels [MaxProof + 1][MaxBatch]digest
	count  int
}

// build computes the tree over the count leaves in levels[0] and returns its root.
func (t *merkleTree) build(count int) digest {
	t.count = count
	level := 0
	for n := count; n > 1; n = (n + 1) / 2 {
		row, up := &t.levels[level], &t.levels[level+1]
		for i := 0; i < n; i += 2 {
			if i+1 < n {
				up[i/2] = nodeHash(&row[i], &row[i+1])
			} else {
				up[i/2] = row[i]
			}
		}
		level++
	}
	return t.levels[level][0]
}

// appendProof appends the proof of leaf index, lowest level first.
func (t *merkleTree) appendProof(b []byte, index int) []byte {
	for level, n := 0, t.count; n > 1; level, n, index = level+1, (n+1)/2, index/2 {
		if sibling := index ^ 1; sibling < n {
			b = append(b, t.levels[level][sibling][:]...)
		}
	}
	return b
}

// proofRoot returns the root that leaf and proof lead to. The proof has the
// length that proofLen gives.
func proofRoot(leaf digest, index, count int, proof []byte) digest {
	var side digest
	for ; count > 1; index, count = index/2, (count+1)/2 {
		if index^1 >= count {
			continue
		}
		copy(side[:], proof)
		proof = proof[hashSize:]
		if index&1 == 0 {
			leaf = nodeHash(&leaf, &side)
		} else {
			leaf = nodeHash(&side, &leaf)
		}
	}
	return leaf
}
