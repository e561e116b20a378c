package stream

// This file answers: what does a publisher sign about its stream, for the DHT
// and for every hello?

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Errors of [Record.Check], for errors.Is.
var (
	// ErrExpired: the record's life is over; look for a newer one.
	ErrExpired = errors.New("stream: record has expired")
	// ErrFuture: the record was issued later than now, so one of the clocks is wrong.
	ErrFuture = errors.New("stream: record is from the future")
)

// AccessOpen is the Access of a stream that everyone may watch, [AccessToken]
// that of a private one. A peer that
// does not know a record's Access leaves the stream alone.
const AccessOpen byte = 0

// Record is what a publisher says about its stream, signed. Times are in
// seconds since the Unix epoch.
type Record struct {
	PublicKey   ed25519.PublicKey // with Name it gives the stream's id
	Name        string            // see CheckName
	Epoch       uint64            // the publisher's term, 1 to MaxEpoch
	Sequence    uint64            // counts the records of one epoch, 0 to MaxSeq
	K           uint8             // data stripes, 1 to MaxStripes
	M           uint8             // parity stripes, 0 to MaxParity
	ContentType string            // media type in printable ASCII; empty when not known
	Bitrate     uint64            // of the stream in bit/s; 0 when not known
	Access      byte              // who may watch, see AccessOpen
	PublisherID []byte            // binary peer id of the publisher, 1 to MaxPeerID bytes
	Addrs       [][]byte          // binary multiaddrs, not looked into, 1 to MaxAddr bytes each
	Issued      int64
	Expires     int64  // after Issued by at most MaxRecordLife
	Signature   []byte // ed25519 over everything else; SignRecord ignores it
}

const recordTag = "braidway record v1\x00"

// ID returns the id of the stream that the record speaks of.
func (r Record) ID() ID { return NewID(r.PublicKey, r.Name) }

// Check returns an error that wraps [ErrExpired] or [ErrFuture] unless the
// record is in force at now, in seconds since the Unix epoch. Clocks may differ
// by [MaxRecordSkew] before a record counts as from the future.
func (r Record) Check(now int64) error {
	if now >= r.Expires {
		return fmt.Errorf("%w: %d s ago, at %s; if its publisher is running, check the clock", ErrExpired, now-r.Expires, unixText(r.Expires))
	}
	if skew := int64(MaxRecordSkew / time.Second); r.Issued > now+skew {
		return fmt.Errorf("%w: issued at %s, %d s ahead, allowed are %d s; check the clock",
			ErrFuture, unixText(r.Issued), r.Issued-now, skew)
	}
	return nil
}

func unixText(s int64) string { return time.Unix(s, 0).UTC().Format(time.RFC3339) }

// Better reports whether the record replaces o: a higher epoch wins, then a
// higher sequence, then a later issue.
func (r Record) Better(o Record) bool {
	switch {
	case r.Epoch != o.Epoch:
		return r.Epoch > o.Epoch
	case r.Sequence != o.Sequence:
		return r.Sequence > o.Sequence
	}
	return r.Issued > o.Issued
}

// SignRecord encodes and signs r. PublicKey may be left empty, else it must be
// the key's. The error names the field that is outside its range.
func SignRecord(key ed25519.PrivateKey, r Record) ([]byte, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("stream: private key of %d bytes, an ed25519 key has %d", len(key), ed25519.PrivateKeySize)
	}
	pub := key.Public().(ed25519.PublicKey)
	if len(r.PublicKey) == 0 {
		r.PublicKey = pub
	}
	if !bytes.Equal(r.PublicKey, pub) {
		return nil, errors.New("stream: record: public key is not that of the signing key")
	}
	// The numbers that a parser would refuse are found by parsing; only what
	// does not fit the encoding must be caught before it.
	if r.Issued < 0 || r.Expires < 0 {
		return nil, fmt.Errorf("stream: record: issued %d, expires %d, allowed is 0 to %d", r.Issued, r.Expires, int64(MaxUnixTime))
	}
	b := appendRecord(make([]byte, 0, 512), r)
	b = append(b, ed25519.Sign(key, recordText(b))...)
	if _, err := ParseRecord(b); err != nil {
		return nil, err
	}
	return b, nil
}

func recordText(body []byte) []byte {
	return append(append(make([]byte, 0, len(recordTag)+len(body)), recordTag...), body...)
}

func appendRecord(b []byte, r Record) []byte {
	text := func(v []byte) { b = append(binary.AppendUvarint(b, uint64(len(v))), v...) }
	b = append(b, wireVersion)
	b = append(b, r.PublicKey...)
	text([]byte(r.Name))
	b = binary.AppendUvarint(b, r.Epoch)
	b = binary.AppendUvarint(b, r.Sequence)
	b = append(b, r.K, r.M)
	text([]byte(r.ContentType))
	b = binary.AppendUvarint(b, r.Bitrate)
	b = append(b, r.Access)
	text(r.PublisherID)
	b = binary.AppendUvarint(b, uint64(len(r.Addrs)))
	for _, a := range r.Addrs {
		text(a)
	}
	b = binary.AppendUvarint(b, uint64(r.Issued))
	return binary.AppendUvarint(b, uint64(r.Expires))
}

// ParseRecord reads a record that fills b exactly and verifies its signature.
// It does not look at the clock (see [Record.Check]). The record shares no
// memory with b. The error is a *[WireError], or wraps [ErrSignature].
func ParseRecord(b []byte) (Record, error) {
	r := readCopy("record", b, MaxRecord)
	if r.err != nil {
		return Record{}, r.err
	}
	var rec Record
	rec.PublicKey = r.bytes("public key", publicKeySize)
	nameLen := int(r.uvarint("name length", 1, MaxName))
	nameAt := r.off
	rec.Name = string(r.bytes("name", nameLen))
	if r.err == nil {
		if err := CheckName(rec.Name); err != nil {
			r.fail("name", nameAt, ErrMalformed, "%v", err)
		}
	}
	rec.Epoch = r.uvarint("epoch", 1, MaxEpoch)
	rec.Sequence = r.uvarint("sequence", 0, MaxSeq)
	rec.K = uint8(r.uvarint("data stripes", 1, MaxStripes))
	rec.M = uint8(r.uvarint("parity stripes", 0, MaxParity))
	typeLen := int(r.uvarint("content type length", 0, MaxContentType))
	typeAt := r.off
	rec.ContentType = string(r.bytes("content type", typeLen))
	for i := range len(rec.ContentType) {
		if c := rec.ContentType[i]; c < ' ' || c > '~' {
			r.fail("content type", typeAt+i, ErrMalformed, "byte %#x, allowed is printable ASCII", c)
			break
		}
	}
	rec.Bitrate = r.uvarint("bitrate", 0, MaxBitrate)
	rec.Access = r.byte("access")
	rec.PublisherID = r.bytes("publisher id", int(r.uvarint("publisher id length", 1, MaxPeerID)))
	if n := int(r.uvarint("address count", 0, MaxRecordAddrs)); n > 0 {
		rec.Addrs = make([][]byte, n)
	}
	for i := range rec.Addrs {
		rec.Addrs[i] = r.bytes("address", int(r.uvarint("address length", 1, MaxAddr)))
	}
	rec.Issued = int64(r.uvarint("issued", 0, MaxUnixTime))
	expiresAt := r.off
	rec.Expires = int64(r.uvarint("expires", 0, MaxUnixTime))
	if life := int64(MaxRecordLife / time.Second); r.err == nil && (rec.Expires <= rec.Issued || rec.Expires > rec.Issued+life) {
		r.fail("expires", expiresAt, ErrLimit, "%d, allowed is %d to %d", rec.Expires, rec.Issued+1, rec.Issued+life)
	}
	body := r.off
	rec.Signature = r.bytes("signature", signatureSize)
	r.end()
	if r.err != nil {
		return Record{}, r.err
	}
	if !ed25519.Verify(rec.PublicKey, recordText(b[:body]), rec.Signature) {
		return Record{}, fmt.Errorf("%w: record of stream %s", ErrSignature, rec.ID())
	}
	return rec, nil
}
