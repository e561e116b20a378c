package stream

// This file answers: what is an object, and what are its bytes?

import (
	"encoding/binary"
	"fmt"
)

// Flags mark objects that are not plain bytes of the stream.
type Flags uint8

// The flags. An object has at most one.
const (
	// FlagPreamble: the payload is decoder tables; it is played only when
	// playback starts at this object's group.
	FlagPreamble Flags = 1 << iota
	// FlagEnd: the last object of the stream; the payload may be empty.
	FlagEnd
	// FlagParity: the payload is a parity shard (see [RowDecoder]) and Seq
	// counts parity objects, not objects of the stream.
	FlagParity
)

const wireVersion = 1

// flagEncrypted is Header.Encrypted on the wire, beside the other flags.
const flagEncrypted = 1 << 3

// String returns the flag's name, for logs.
func (f Flags) String() string {
	switch f {
	case 0:
		return "data"
	case FlagPreamble:
		return "preamble"
	case FlagEnd:
		return "end"
	case FlagParity:
		return "parity"
	}
	return fmt.Sprintf("flags(%#x)", uint8(f))
}

// Header says what an object is and where it belongs.
type Header struct {
	Epoch      uint64 // the publisher's term, 1 to MaxEpoch
	Seq        uint64 // number within the epoch, from 0, never skipping
	Group      uint64 // number of the group within the epoch, from 0
	GroupFirst uint64 // Seq of the group's first object, at most Seq
	Time       int64  // publisher clock when the object was cut, µs since the Unix epoch
	Flags      Flags
	Encrypted  bool // the payload is sealed: the stream is private
}

// Stripe returns the stripe, of k data stripes, that carries the object; 0 when k < 2.
func (h Header) Stripe(k int) int {
	if k < 2 {
		return 0
	}
	return int(h.Seq % uint64(k))
}

// GroupStart reports whether the object is the first of its group.
func (h Header) GroupStart() bool { return h.Seq == h.GroupFirst }

// check returns the first field that no writer may produce.
func (h Header) check(payload int) (field, detail string, kind error) {
	top := MaxPayload
	if h.Flags == FlagParity {
		top = MaxParityPayload
	}
	low := 1
	if h.Flags == FlagEnd {
		low = 0
	}
	if h.Encrypted {
		low += SealOverhead
	}
	switch {
	case h.Flags != 0 && h.Flags != FlagPreamble && h.Flags != FlagEnd && h.Flags != FlagParity:
		return "flags", fmt.Sprintf("%#x, allowed is one of 1, 2 and 4 or none", uint8(h.Flags)), ErrMalformed
	case h.Encrypted && h.Flags == FlagParity:
		return "flags", "parity is not encrypted: what it is made of is", ErrMalformed
	case h.Epoch == 0 || h.Epoch > MaxEpoch:
		return "epoch", fmt.Sprintf("%d, allowed is 1 to %d", h.Epoch, uint64(MaxEpoch)), ErrLimit
	case h.Group > MaxSeq:
		return "group", fmt.Sprintf("%d, allowed is 0 to %d", h.Group, uint64(MaxSeq)), ErrLimit
	case h.Seq > MaxSeq:
		return "seq", fmt.Sprintf("%d, allowed is 0 to %d", h.Seq, uint64(MaxSeq)), ErrLimit
	case h.GroupFirst > h.Seq:
		return "group first", fmt.Sprintf("%d, allowed is 0 to the object's seq, %d", h.GroupFirst, h.Seq), ErrLimit
	case h.Time < 0 || h.Time > MaxTime:
		return "time", fmt.Sprintf("%d, allowed is 0 to %d", h.Time, int64(MaxTime)), ErrLimit
	case payload < low || payload > top:
		return "payload length", fmt.Sprintf("%d, allowed is %d to %d", payload, low, top), ErrLimit
	}
	return "", "", nil
}

// Object is the unit that is sent, verified, forwarded and repaired.
type Object struct {
	Header
	Payload []byte // at most MaxPayload bytes; a parity object's at most MaxParityPayload
}

// Auth is the authentication section of an object: its place in a signed batch.
type Auth struct {
	Count     uint8  // objects in the batch, 1 to MaxBatch
	Index     uint8  // place of this object in it, below Count
	Proof     []byte // Merkle proof, lowest level first, 32 bytes each
	Signature []byte // ed25519 over the batch (64 bytes)
}

// Parsed is an object together with the bytes it was read from. Payload and
// Auth are parts of Wire: whoever keeps one keeps all. None may be written to.
type Parsed struct {
	Object
	Auth Auth
	Wire []byte // the complete encoded object, the same on every hop

	signed int // bytes of header and payload at the front of Wire
}

// AuthSize returns the bytes of the authentication section.
func (p *Parsed) AuthSize() int { return len(p.Wire) - p.signed }

// AppendObject appends the encoded object to b. The error is a *[WireError]
// that names the field that is outside its range.
func AppendObject(b []byte, o Object, a Auth) ([]byte, error) {
	if field, detail, kind := o.check(len(o.Payload)); kind != nil {
		return b, &WireError{What: "object", Field: field, Kind: kind, Detail: detail}
	}
	if err := a.check(); err != nil {
		return b, err
	}
	return appendAuth(appendSigned(b, o), a), nil
}

func (a Auth) check() error {
	bad := func(field, format string, args ...any) error {
		return &WireError{What: "object", Field: field, Kind: ErrLimit, Detail: fmt.Sprintf(format, args...)}
	}
	switch {
	case a.Count < 1 || a.Count > MaxBatch:
		return bad("batch size", "%d, allowed is 1 to %d", a.Count, MaxBatch)
	case a.Index >= a.Count:
		return bad("batch index", "%d, allowed is 0 to %d", a.Index, a.Count-1)
	case len(a.Proof) != hashSize*proofLen(int(a.Index), int(a.Count)):
		return bad("proof", "%d bytes, object %d of %d has %d", len(a.Proof), a.Index, a.Count, hashSize*proofLen(int(a.Index), int(a.Count)))
	case len(a.Signature) != signatureSize:
		return bad("signature", "%d bytes, a signature has %d", len(a.Signature), signatureSize)
	}
	return nil
}

// appendSigned appends header and payload: what a leaf hash covers.
func appendSigned(b []byte, o Object) []byte {
	b = appendHeader(b, &o.Header)
	b = binary.AppendUvarint(b, uint64(len(o.Payload)))
	return append(b, o.Payload...)
}

// appendHeader appends what comes before the payload's length.
func appendHeader(b []byte, h *Header) []byte {
	first := wireVersion<<4 | byte(h.Flags)
	if h.Encrypted {
		first |= flagEncrypted
	}
	b = append(b, first)
	b = binary.AppendUvarint(b, h.Epoch)
	b = binary.AppendUvarint(b, h.Group)
	b = binary.AppendUvarint(b, h.GroupFirst)
	b = binary.AppendUvarint(b, h.Seq-h.GroupFirst)
	return binary.AppendUvarint(b, uint64(h.Time))
}

func appendAuth(b []byte, a Auth) []byte {
	b = append(b, a.Count, a.Index)
	b = append(b, a.Proof...)
	return append(b, a.Signature...)
}

// ParseObject reads one object that fills b exactly. It copies nothing: the
// result refers to b. It does not verify (see [Verifier]). The error is a *[WireError].
func ParseObject(b []byte) (Parsed, error) {
	r := wireReader{what: "object", b: b}
	if len(b) > MaxObject {
		r.fail("size", 0, ErrLimit, "%d bytes, allowed is up to %d", len(b), MaxObject)
		return Parsed{}, r.err
	}
	p := Parsed{Wire: b[:len(b):len(b)]}
	first := r.byte("version")
	if r.err == nil && first>>4 != wireVersion {
		r.fail("version", 0, ErrVersion, "%d, known is %d", first>>4, wireVersion)
	}
	p.Flags, p.Encrypted = Flags(first&0x0f&^flagEncrypted), first&flagEncrypted != 0
	p.Epoch = r.uvarint("epoch", 1, MaxEpoch)
	p.Group = r.uvarint("group", 0, MaxSeq)
	p.GroupFirst = r.uvarint("group first", 0, MaxSeq)
	p.Seq = p.GroupFirst + r.uvarint("seq", 0, MaxSeq-p.GroupFirst)
	p.Time = int64(r.uvarint("time", 0, MaxTime))
	lengthAt := r.off
	n := int(r.uvarint("payload length", 0, MaxParityPayload))
	if r.err != nil {
		return Parsed{}, r.err
	}
	if field, detail, kind := p.check(n); kind != nil {
		at := 0 // only flags and payload length can be wrong by now
		if field == "payload length" {
			at = lengthAt
		}
		r.fail(field, at, kind, "%s", detail)
		return Parsed{}, r.err
	}
	p.Payload = r.bytes("payload", n)
	p.signed = r.off
	p.Auth.Count = uint8(r.uvarint("batch size", 1, MaxBatch))
	if r.err != nil {
		return Parsed{}, r.err
	}
	p.Auth.Index = uint8(r.uvarint("batch index", 0, uint64(p.Auth.Count)-1))
	if r.err != nil {
		return Parsed{}, r.err
	}
	p.Auth.Proof = r.bytes("proof", hashSize*proofLen(int(p.Auth.Index), int(p.Auth.Count)))
	p.Auth.Signature = r.bytes("signature", signatureSize)
	r.end()
	if r.err != nil {
		return Parsed{}, r.err
	}
	return p, nil
}
