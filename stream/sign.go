package stream

// This file answers: how does a publisher vouch for objects, and how does
// anyone check it? One ed25519 signature covers the Merkle root (RFC 6962
// hashing) of the objects of one flush.

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/bits"
	"sync"
)

// Errors of Verifier.
var (
	ErrSignature = errors.New("stream: signature is not the publisher's")
)

type hash = [sha256.Size]byte

func leafHash(b []byte) hash {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(b)
	return hash(h.Sum(nil))
}

func nodeHash(l, r hash) hash {
	var b [65]byte
	b[0] = 1
	copy(b[1:], l[:])
	copy(b[33:], r[:])
	return sha256.Sum256(b[:])
}

func merkleRoot(leaves []hash) hash {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := 1 << (bits.Len(uint(len(leaves)-1)) - 1)
	return nodeHash(merkleRoot(leaves[:k]), merkleRoot(leaves[k:]))
}

// appendProof appends the audit path of leaf i, nearest sibling first.
func appendProof(b []byte, leaves []hash, i int) []byte {
	if len(leaves) == 1 {
		return b
	}
	k := 1 << (bits.Len(uint(len(leaves)-1)) - 1)
	var sibling hash
	if i < k {
		b, sibling = appendProof(b, leaves[:k], i), merkleRoot(leaves[k:])
	} else {
		b, sibling = appendProof(b, leaves[k:], i-k), merkleRoot(leaves[:k])
	}
	return append(b, sibling[:]...)
}

// rootFrom folds the audit path of leaf i of n into a root.
func rootFrom(leaf hash, proof []byte, i, n int) hash {
	if n == 1 {
		return leaf
	}
	last := hash(proof[len(proof)-32:])
	proof = proof[:len(proof)-32]
	k := 1 << (bits.Len(uint(n-1)) - 1)
	if i < k {
		return nodeHash(rootFrom(leaf, proof, i, k), last)
	}
	return nodeHash(last, rootFrom(leaf, proof, i-k, n-k))
}

const signTag = "braidway batch v1\x00"

func signedText(id ID, epoch uint64, root hash) []byte {
	b := make([]byte, 0, len(signTag)+32+8+32)
	b = append(b, signTag...)
	b = append(b, id[:]...)
	for s := 56; s >= 0; s -= 8 {
		b = append(b, byte(epoch>>s))
	}
	return append(b, root[:]...)
}

// SignBatch encodes and signs objects of one epoch, 1 to MaxBatch of them.
func SignBatch(key ed25519.PrivateKey, id ID, objects []Object) ([]Parsed, error) {
	if len(objects) == 0 || len(objects) > MaxBatch {
		return nil, fmt.Errorf("stream: batch of %d objects, allowed is 1 to %d", len(objects), MaxBatch)
	}
	wires := make([][]byte, len(objects))
	leaves := make([]hash, len(objects))
	for i := range objects {
		o := &objects[i]
		if len(o.Payload) > MaxPayload || o.Epoch != objects[0].Epoch || o.GroupFirst > o.Seq || o.Time < 0 {
			return nil, fmt.Errorf("stream: object %d cannot be signed: payload %d bytes, epoch %d, group first %d",
				o.Seq, len(o.Payload), o.Epoch, o.GroupFirst)
		}
		wires[i] = appendUnsigned(make([]byte, 0, MaxHeader+len(o.Payload)+MaxAuth), o)
		leaves[i] = leafHash(wires[i])
	}
	sig := ed25519.Sign(key, signedText(id, objects[0].Epoch, merkleRoot(leaves)))
	out := make([]Parsed, len(objects))
	for i, w := range wires {
		w = append(w, byte(len(objects)), byte(i))
		w = append(appendProof(w, leaves, i), sig...)
		p, err := ParseObject(w)
		if err != nil {
			return nil, fmt.Errorf("stream: object %d: %w", objects[i].Seq, err)
		}
		out[i] = p
	}
	return out, nil
}

// Verifier checks objects of one stream. It may be used from several
// goroutines: readers of different parents share what was already checked.
type Verifier struct {
	pub ed25519.PublicKey
	id  ID

	mu   sync.Mutex
	seen map[batchKey]struct{}
	ring [verifiedBatches]batchKey
	at   int
}

type batchKey struct {
	epoch uint64
	root  hash
	sig   [ed25519.SignatureSize]byte
}

// verifiedBatches is how many checked signatures are remembered: at 40 batches
// a second, 6 s, longer than the objects of one batch are apart on any path.
const verifiedBatches = 256

// NewVerifier returns a verifier for stream id of the owner of pub.
func NewVerifier(pub ed25519.PublicKey, id ID) (*Verifier, error) {
	if len(pub) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("stream: public key of %d bytes, must be %d", len(pub), ed25519.PublicKeySize)
	}
	return &Verifier{pub: pub, id: id, seen: make(map[batchKey]struct{}, verifiedBatches)}, nil
}

// Verify returns nil when the publisher signed p, else ErrSignature.
func (v *Verifier) Verify(p *Parsed) error {
	k := batchKey{epoch: p.Epoch, sig: [64]byte(p.sig)}
	k.root = rootFrom(leafHash(p.Wire[:p.signed]), p.proof, int(p.index), int(p.leaves))
	v.mu.Lock()
	_, known := v.seen[k]
	v.mu.Unlock()
	if known {
		return nil
	}
	if !ed25519.Verify(v.pub, signedText(v.id, p.Epoch, k.root), p.sig) {
		return fmt.Errorf("%w: object %d of epoch %d", ErrSignature, p.Seq, p.Epoch)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, known := v.seen[k]; !known {
		delete(v.seen, v.ring[v.at])
		v.ring[v.at], v.seen[k] = k, struct{}{}
		v.at = (v.at + 1) % verifiedBatches
	}
	return nil
}
