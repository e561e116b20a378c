package stream

// This file answers: how does a publisher vouch for objects, and how does
// anyone check it?

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
)

// ErrSignature means that the owner of the key did not sign these bytes.
var ErrSignature = errors.New("stream: signature is not the publisher's")

const batchTag = "braidway batch v1\x00"

// batchText is what a batch's signature covers: tag, stream id, epoch (8 bytes,
// most significant first), the number of objects, and the Merkle root over
// header and payload of each. Without the number, a relay could change it in
// some objects (a proof for 0 of 3 is one for 0 of 4), and an object had two
// wire forms, which parity would notice. With it, the index follows from the proof.
type batchText [len(batchTag) + hashSize + 8 + 1 + hashSize]byte

func newBatchText(id ID, epoch uint64, count uint8, root *digest) (t batchText) {
	n := copy(t[:], batchTag)
	n += copy(t[n:], id[:])
	binary.BigEndian.PutUint64(t[n:], epoch)
	t[n+8] = count
	copy(t[n+9:], root[:])
	return t
}

// SignBatch encodes 1 to [MaxBatch] objects of one epoch and signs them with
// one signature, in the order given. The results share memory with each other,
// none with the payloads. The error names the object that cannot be encoded.
func SignBatch(key ed25519.PrivateKey, id ID, objects []Object) ([]Parsed, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("stream: private key of %d bytes, an ed25519 key has %d", len(key), ed25519.PrivateKeySize)
	}
	if len(objects) == 0 || len(objects) > MaxBatch {
		return nil, fmt.Errorf("stream: batch of %d objects, allowed is 1 to %d", len(objects), MaxBatch)
	}
	n, total := len(objects), 0
	for i := range objects {
		o := &objects[i]
		if field, detail, kind := o.check(len(o.Payload)); kind != nil {
			err := &WireError{What: "object", Field: field, Kind: kind, Detail: detail}
			return nil, fmt.Errorf("stream: signing object %d of %d: %w", i, n, err)
		}
		if o.Epoch != objects[0].Epoch {
			return nil, fmt.Errorf("stream: signing object %d of %d: epoch %d, the batch's first object has %d",
				i, n, o.Epoch, objects[0].Epoch)
		}
		total += MaxHeader + len(o.Payload) + 2 + proofLen(i, n)*hashSize + signatureSize
	}
	var tree merkleTree
	buf := make([]byte, 0, total)
	out := make([]Parsed, n)
	// The signature is not known yet: leave room for it behind each proof.
	for i := range objects {
		start := len(buf)
		buf = appendSigned(buf, objects[i])
		p := &out[i]
		p.signed = len(buf) - start
		tree.levels[0][i] = leafHash(buf[start:])
		buf = buf[:len(buf)+2+proofLen(i, n)*hashSize+signatureSize]
		p.Wire = buf[start:len(buf):len(buf)]
	}
	root := tree.build(n)
	text := newBatchText(id, objects[0].Epoch, byte(n), &root)
	sig := ed25519.Sign(key, text[:])
	for i := range out {
		p := &out[i]
		p.Header = objects[i].Header
		pay := len(objects[i].Payload)
		p.Payload = p.Wire[p.signed-pay : p.signed : p.signed]
		w := append(p.Wire[:p.signed], byte(n), byte(i))
		w = tree.appendProof(w, i)
		at := len(w)
		w = append(w, sig...)
		p.Auth = Auth{Count: byte(n), Index: byte(i), Proof: w[p.signed+2 : at : at], Signature: w[at:len(w):len(w)]}
	}
	return out, nil
}

// verifiedBatches is how many checked signatures a Verifier remembers: at 40
// batches a second 6 s, longer than the objects of one batch are apart on any path.
const verifiedBatches = 256

type batchKey struct {
	epoch uint64
	count uint8
	root  digest
	sig   [signatureSize]byte
}

// Verifier checks objects of one stream. Several goroutines may use it at
// once; they share the signatures that were already checked, so that the
// objects of one batch cost one ed25519 verification and a hash each.
type Verifier struct {
	pub ed25519.PublicKey
	id  ID

	mu   sync.Mutex
	seen map[batchKey]struct{}
	ring [verifiedBatches]batchKey // what seen holds, oldest at next once full
	next int
}

// NewVerifier returns a verifier for the stream id of the owner of pub, 32 bytes.
func NewVerifier(pub ed25519.PublicKey, id ID) (*Verifier, error) {
	if len(pub) != publicKeySize {
		return nil, fmt.Errorf("stream: public key of %d bytes, an ed25519 key has %d", len(pub), publicKeySize)
	}
	return &Verifier{
		pub:  append(ed25519.PublicKey(nil), pub...),
		id:   id,
		seen: make(map[batchKey]struct{}, verifiedBatches),
	}, nil
}

// Verify returns nil when the publisher signed p, else an error that wraps
// [ErrSignature]. It looks only at p.Wire as [ParseObject] or [SignBatch]
// split it, so p must come from one of them.
func (v *Verifier) Verify(p *Parsed) error {
	if p.signed == 0 || len(p.Auth.Signature) != signatureSize {
		return fmt.Errorf("%w: object was not read by ParseObject", ErrSignature)
	}
	k := batchKey{epoch: p.Epoch, count: p.Auth.Count, sig: [signatureSize]byte(p.Auth.Signature)}
	k.root = proofRoot(leafHash(p.Wire[:p.signed]), int(p.Auth.Index), int(p.Auth.Count), p.Auth.Proof)
	v.mu.Lock()
	_, known := v.seen[k]
	v.mu.Unlock()
	if known {
		return nil
	}
	text := newBatchText(v.id, k.epoch, k.count, &k.root)
	if !ed25519.Verify(v.pub, text[:], p.Auth.Signature) {
		return fmt.Errorf("%w: %s object %d of epoch %d", ErrSignature, p.Flags, p.Seq, p.Epoch)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, known := v.seen[k]; !known {
		delete(v.seen, v.ring[v.next])
		v.ring[v.next], v.seen[k] = k, struct{}{}
		v.next = (v.next + 1) % verifiedBatches
	}
	return nil
}
