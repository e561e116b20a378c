package stream

// This file answers: what stands in the DHT of a private stream? A record that
// shows neither its name nor who publishes it, sealed for those who have the link.

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"time"
)

const blindedTag = "braidway blinded record v1\x00"

// BlindedRecord is a stream record as the DHT holds it. Its numbers are those
// of the record inside, so that nodes that cannot look into it know the better one.
type BlindedRecord struct {
	BlindKey ed25519.PublicKey
	Epoch    uint64
	Sequence uint64
	Issued   int64
	Expires  int64

	sealed  []byte // with its nonce
	context []byte
}

// ID returns the blinded id under which the record stands.
func (r *BlindedRecord) ID() ID {
	p := Private{BlindKey: [publicKeySize]byte(r.BlindKey)}
	return p.BlindID()
}

// Record returns the numbers as a record, for Check and Better.
func (r *BlindedRecord) Record() Record {
	return Record{Epoch: r.Epoch, Sequence: r.Sequence, Issued: r.Issued, Expires: r.Expires}
}

// SealRecord encrypts the encoded record raw of the stream that key's owner
// publishes, and signs it with the stream's blinded key.
func SealRecord(key ed25519.PrivateKey, raw []byte) ([]byte, error) {
	rec, err := ParseRecord(raw)
	if err != nil {
		return nil, err
	}
	id := rec.ID()
	p, err := NewPrivate(key, id)
	if err != nil {
		return nil, err
	}
	b := append(make([]byte, 0, 128+len(raw)), wireVersion)
	b = append(b, p.BlindKey[:]...)
	for _, v := range []uint64{rec.Epoch, rec.Sequence, uint64(rec.Issued), uint64(rec.Expires)} {
		b = binary.AppendUvarint(b, v)
	}
	sealed := p.recordCipher(id).Seal(nil, nil, raw, b)
	b = append(b, sealed[:nonceSize]...)
	b = binary.AppendUvarint(b, uint64(len(sealed)-nonceSize))
	b = append(b, sealed[nonceSize:]...)
	b = append(b, ed25519.Sign(blindKey(key, id), blindedText(b))...)
	if _, err := ParseBlindedRecord(b); err != nil {
		return nil, err
	}
	return b, nil
}

func blindedText(body []byte) []byte {
	return append(append(make([]byte, 0, len(blindedTag)+len(body)), blindedTag...), body...)
}

func (p *Private) recordCipher(id ID) interface {
	Seal(dst, nonce, plaintext, additionalData []byte) []byte
	Open(dst, nonce, ciphertext, additionalData []byte) ([]byte, error)
} {
	return newGCM(derive(p.Meet[:], nil, sealTag+string(id[:]), secretSize), true)
}

// ParseBlindedRecord reads a blinded record that fills b exactly and verifies
// its signature. It does not look at the clock. The error is a *[WireError], or
// wraps [ErrSignature].
func ParseBlindedRecord(b []byte) (*BlindedRecord, error) {
	r := readCopy("blinded record", b, MaxBlindedRecord)
	if r.err != nil {
		return nil, r.err
	}
	rec := &BlindedRecord{}
	rec.BlindKey = r.bytes("blinded key", publicKeySize)
	rec.Epoch = r.uvarint("epoch", 1, MaxEpoch)
	rec.Sequence = r.uvarint("sequence", 0, MaxSeq)
	rec.Issued = int64(r.uvarint("issued", 0, MaxUnixTime))
	expiresAt := r.off
	rec.Expires = int64(r.uvarint("expires", 0, MaxUnixTime))
	if life := int64(MaxRecordLife / time.Second); r.err == nil && (rec.Expires <= rec.Issued || rec.Expires > rec.Issued+life) {
		r.fail("expires", expiresAt, ErrLimit, "%d, allowed is %d to %d", rec.Expires, rec.Issued+1, rec.Issued+life)
	}
	rec.context = r.b[:r.off:r.off]
	nonce := r.bytes("nonce", nonceSize)
	n := int(r.uvarint("sealed length", tagSize+1, MaxRecord+tagSize))
	if r.err != nil {
		return nil, r.err
	}
	rec.sealed = append(bytes.Clone(nonce), r.bytes("sealed", n)...)
	body := r.off
	sig := r.bytes("signature", signatureSize)
	r.end()
	if r.err != nil {
		return nil, r.err
	}
	if !ed25519.Verify(rec.BlindKey, blindedText(b[:body]), sig) {
		return nil, fmt.Errorf("%w: blinded record %s", ErrSignature, rec.ID())
	}
	return rec, nil
}

// Unseal returns the stream record inside, parsed and as it was signed; it is
// that of stream id, or the error says why not.
func (r *BlindedRecord) Unseal(p *Private, id ID) (Record, []byte, error) {
	raw, err := p.recordCipher(id).Open(nil, nil, r.sealed, r.context)
	if err != nil {
		return Record{}, nil, fmt.Errorf("%w: record of stream %s", ErrSealed, id)
	}
	rec, err := ParseRecord(raw)
	switch {
	case err != nil:
		return Record{}, nil, err
	case rec.ID() != id || rec.Epoch != r.Epoch || rec.Sequence != r.Sequence || rec.Issued != r.Issued || rec.Expires != r.Expires:
		return Record{}, nil, fmt.Errorf("stream: record of stream %s: it is another one than it says outside", id)
	}
	return rec, raw, nil
}
