package stream

// This file answers: how does a publisher say which tokens count no more, and
// which content secret comes next? In one signed list that goes from peer to peer.

import (
	"crypto/ed25519"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// AccessToken is the Access of a private stream: see PROTOCOL.md, section 8.
const AccessToken byte = 1

const accessTag = "braidway access v1\x00"

// wrappedSize is the number of bytes of a wrapped content secret.
const wrappedSize = contentSize + tagSize

// AccessList is what the publisher of a private stream says of access to it.
type AccessList struct {
	ID       ID
	Sequence uint64   // the higher one counts, 1 to MaxSeq
	Issued   int64    // seconds since the Unix epoch
	Revoked  []uint16 // tokens that count no more, ascending, at most MaxRevoked

	nonce    [nonceSize]byte
	number   uint32 // of the newest content secret
	nodes    []uint32
	wrapped  []byte // wrappedSize for each node
	previous []uint32
	older    []byte // their secrets, under the newest
}

// HasRevoked reports whether token counts no more.
func (l *AccessList) HasRevoked(token uint16) bool {
	_, found := slices.BinarySearch(l.Revoked, token)
	return found
}

// Number returns the number of the newest content secret.
func (l *AccessList) Number() uint32 { return l.number }

// SignAccessList encodes and signs a list. contents are the content secrets,
// the newest first, at most 1 + MaxPrevious; all tokens but the revoked come to
// know them. The error names the field that is outside its range.
func SignAccessList(key ed25519.PrivateKey, l AccessList, contents []Content) ([]byte, error) {
	switch {
	case len(key) != ed25519.PrivateKeySize:
		return nil, fmt.Errorf("stream: private key of %d bytes, an ed25519 key has %d", len(key), ed25519.PrivateKeySize)
	case len(contents) < 1 || len(contents) > 1+MaxPrevious:
		return nil, fmt.Errorf("stream: access list: %d content secrets, allowed are 1 to %d", len(contents), 1+MaxPrevious)
	case len(l.Revoked) > MaxRevoked:
		return nil, fmt.Errorf("stream: access list: %d revoked tokens, allowed are up to %d", len(l.Revoked), MaxRevoked)
	case !slices.IsSorted(l.Revoked) || l.Issued < 0:
		return nil, errors.New("stream: access list: revoked tokens must ascend, and the time of issue must not be before 1970")
	}
	_, _ = crand.Read(l.nonce[:]) // never fails
	tree := NewKeyTree(key, l.ID)
	newest := contents[0]
	b := append(make([]byte, 0, 256), wireVersion)
	b = append(b, l.ID[:]...)
	b = binary.AppendUvarint(b, l.Sequence)
	b = binary.AppendUvarint(b, uint64(l.Issued))
	b = append(b, l.nonce[:]...)
	b = binary.AppendUvarint(b, uint64(len(l.Revoked)))
	for i, t := range l.Revoked {
		d := uint64(t)
		if i > 0 {
			d -= uint64(l.Revoked[i-1])
		}
		b = binary.AppendUvarint(b, d)
	}
	b = binary.BigEndian.AppendUint32(b, newest.Number)
	nodes := cover(l.Revoked)
	b = binary.AppendUvarint(b, uint64(len(nodes)))
	for _, n := range nodes {
		b = binary.AppendUvarint(b, uint64(n))
		b = newGCM(tree.node(n), false).Seal(b, l.nonce[:], newest.Secret[:], wrapContext(l.ID, newest.Number, n))
	}
	b = append(b, byte(len(contents)-1))
	var older []byte
	for _, c := range contents[1:] {
		b = binary.BigEndian.AppendUint32(b, c.Number)
		older = append(older, c.Secret[:]...)
	}
	if len(older) > 0 {
		b = newGCM(newest.Secret[:], false).Seal(b, l.nonce[:], older, wrapContext(l.ID, newest.Number, 0))
	}
	b = append(b, ed25519.Sign(key, accessText(b))...)
	if _, err := ParseAccessList(b, key.Public().(ed25519.PublicKey)); err != nil {
		return nil, err
	}
	return b, nil
}

func wrapContext(id ID, number, node uint32) []byte {
	b := append(make([]byte, 0, len(id)+8), id[:]...)
	b = binary.BigEndian.AppendUint32(b, number)
	return binary.BigEndian.AppendUint32(b, node)
}

func accessText(body []byte) []byte {
	return append(append(make([]byte, 0, len(accessTag)+len(body)), accessTag...), body...)
}

// ParseAccessList reads a list that fills b exactly and verifies that the owner
// of pub signed it. Whether it is of the right stream is for the caller to see.
// It shares no memory with b. The error is a *[WireError], or wraps [ErrSignature].
func ParseAccessList(b []byte, pub ed25519.PublicKey) (*AccessList, error) {
	r := readCopy("access list", b, MaxAccessList)
	if r.err != nil {
		return nil, r.err
	}
	l := &AccessList{}
	copy(l.ID[:], r.bytes("stream id", len(l.ID)))
	l.Sequence = r.uvarint("sequence", 1, MaxSeq)
	l.Issued = int64(r.uvarint("issued", 0, MaxUnixTime))
	copy(l.nonce[:], r.bytes("nonce", nonceSize))
	low, token := uint64(0), uint64(0)
	for range r.uvarint("revoked", 0, MaxRevoked) {
		token += r.uvarint("revoked token", low, MaxTokens-1-token)
		if low = 1; r.err != nil {
			return nil, r.err
		}
		l.Revoked = append(l.Revoked, uint16(token))
	}
	l.number = r.uint32("content secret")
	node := uint64(0)
	for range r.uvarint("cover", 1, MaxCover) {
		node = r.uvarint("node", node+1, 2*MaxTokens-1)
		wrapped := r.bytes("wrapped secret", wrappedSize)
		if r.err != nil {
			return nil, r.err
		}
		l.nodes = append(l.nodes, uint32(node))
		l.wrapped = append(l.wrapped, wrapped...)
	}
	n := int(r.byte("previous"))
	if n > MaxPrevious {
		r.fail("previous", r.off-1, ErrLimit, "%d, allowed is 0 to %d", n, MaxPrevious)
		return nil, r.err
	}
	for range n {
		l.previous = append(l.previous, r.uint32("previous content secret"))
	}
	if n > 0 {
		l.older = r.bytes("previous secrets", n*contentSize+tagSize)
	}
	body := r.off
	sig := r.bytes("signature", signatureSize)
	r.end()
	if r.err != nil {
		return nil, r.err
	}
	if len(pub) != publicKeySize || !ed25519.Verify(pub, accessText(b[:body]), sig) {
		return nil, fmt.Errorf("%w: access list of stream %s", ErrSignature, l.ID)
	}
	return l, nil
}

// unwrap returns the content secrets, the newest first, if the keys reach them.
func (l *AccessList) unwrap(path PathKeys) ([]Content, error) {
	for i, n := range l.nodes {
		key := path.key(n)
		if key == nil {
			continue
		}
		newest := Content{Number: l.number}
		plain, err := newGCM(key, false).Open(nil, l.nonce[:], l.wrapped[i*wrappedSize:(i+1)*wrappedSize], wrapContext(l.ID, l.number, n))
		if err != nil {
			return nil, fmt.Errorf("%w: content secret %d under node %d: the token's keys are not this stream's", ErrSealed, l.number, n)
		}
		copy(newest.Secret[:], plain)
		found := []Content{newest}
		if len(l.previous) > 0 {
			if plain, err = newGCM(newest.Secret[:], false).Open(nil, l.nonce[:], l.older, wrapContext(l.ID, l.number, 0)); err != nil {
				return found, nil // the publisher's mistake; the newest is what counts
			}
			for i, number := range l.previous {
				found = append(found, Content{number, [contentSize]byte(plain[i*contentSize:])})
			}
		}
		return found, nil
	}
	return nil, fmt.Errorf("%w: token %d does not reach content secret %d: it was revoked", ErrNoKey, path.Token, l.number)
}
