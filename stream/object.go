package stream

// This file answers: what is an object, and which bytes is it on the wire?
// PROTOCOL.md, "Object", is the same in words.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// Flags of an object.
type Flags uint8

// Flags of an object; the other bits must be zero.
const (
	// FlagPreamble: the payload is decoder set-up (for MPEG-TS: tables), to be
	// played only when playback starts at this group.
	FlagPreamble Flags = 1 << iota
	// FlagEnd: the last object of the stream.
	FlagEnd

	knownFlags = FlagPreamble | FlagEnd
)

// Header says what an object is and where it belongs.
type Header struct {
	Epoch      uint64 // publisher's term, at least 1
	Seq        uint64 // number of the object; never skips inside an epoch
	Group      uint64 // number of the group
	GroupFirst uint64 // Seq of the group's first object
	Time       int64  // publisher's clock when it was cut, µs since 1970, not negative
	Flags      Flags
}

// GroupStart says whether a decoder can start at this object.
func (h Header) GroupStart() bool { return h.Seq == h.GroupFirst }

// Object is the unit that is sent, verified, forwarded and repaired.
type Object struct {
	Header
	Payload []byte // at most MaxPayload
}

// Parsed is an object as it stands in its wire bytes; it keeps them alive.
type Parsed struct {
	Object
	Wire   []byte // all of it, as received
	signed int    // length of the part that is hashed: header and payload
	leaves uint8
	index  uint8
	proof  []byte // 32 bytes each
	sig    []byte // 64 bytes
}

// AuthSize returns the bytes of the authentication section.
func (p *Parsed) AuthSize() int { return len(p.Wire) - p.signed }

// Errors of ParseObject.
var (
	ErrShort  = errors.New("stream: object is cut short")
	ErrFormat = errors.New("stream: object is malformed")
)

// objectVersion stands in the upper half of the first byte.
const objectVersion = 1

func appendUnsigned(b []byte, o *Object) []byte {
	b = append(b, objectVersion<<4|byte(o.Flags))
	b = binary.AppendUvarint(b, o.Epoch)
	b = binary.AppendUvarint(b, o.Seq)
	b = binary.AppendUvarint(b, o.Seq-o.GroupFirst)
	b = binary.AppendUvarint(b, o.Group)
	b = binary.AppendUvarint(b, uint64(o.Time))
	b = binary.AppendUvarint(b, uint64(len(o.Payload)))
	return append(b, o.Payload...)
}

// proofLen returns the number of hashes in the audit path of leaf i of n
// (RFC 6962, section 2.1.1).
func proofLen(i, n int) int {
	count := 0
	for n > 1 {
		split := 1 << (bits.Len(uint(n-1)) - 1)
		if i < split {
			n = split
		} else {
			i, n = i-split, n-split
		}
		count++
	}
	return count
}

// uvarint reads one minimally encoded varint.
func uvarint(b []byte) (v uint64, rest []byte, err error) {
	v, n := binary.Uvarint(b)
	switch {
	case n == 0:
		return 0, nil, ErrShort
	case n < 0:
		return 0, nil, fmt.Errorf("%w: a number has more than 64 bits", ErrFormat)
	case n > 1 && b[n-1] == 0:
		return 0, nil, fmt.Errorf("%w: a number is not encoded in its shortest form", ErrFormat)
	}
	return v, b[n:], nil
}

// ParseObject reads one object that fills b exactly. It copies nothing: the
// result refers to b. It checks form only; Verifier checks who made it.
func ParseObject(b []byte) (Parsed, error) {
	p := Parsed{Wire: b}
	if len(b) == 0 {
		return p, ErrShort
	}
	if len(b) > MaxObject {
		return p, fmt.Errorf("%w: %d bytes, at most %d", ErrFormat, len(b), MaxObject)
	}
	p.Flags = Flags(b[0] & 0xf)
	if b[0]>>4 != objectVersion || p.Flags&^knownFlags != 0 {
		return p, fmt.Errorf("%w: unknown version or flags %#x", ErrFormat, b[0])
	}
	var back, micros, size uint64
	var err error
	rest := b[1:]
	for _, v := range []*uint64{&p.Epoch, &p.Seq, &back, &p.Group, &micros, &size} {
		if *v, rest, err = uvarint(rest); err != nil {
			return p, err
		}
	}
	switch {
	case p.Epoch == 0:
		return p, fmt.Errorf("%w: epoch is 0", ErrFormat)
	case back > p.Seq:
		return p, fmt.Errorf("%w: group starts before the stream", ErrFormat)
	case micros > 1<<62:
		return p, fmt.Errorf("%w: time is out of range", ErrFormat)
	case size > MaxPayload:
		return p, fmt.Errorf("%w: payload of %d bytes, at most %d", ErrFormat, size, MaxPayload)
	case uint64(len(rest)) < size:
		return p, ErrShort
	}
	p.GroupFirst, p.Time = p.Seq-back, int64(micros)
	p.Payload, rest = rest[:size:size], rest[size:]
	p.signed = len(b) - len(rest)
	if len(rest) < 2 {
		return p, ErrShort
	}
	p.leaves, p.index = rest[0], rest[1]
	if p.leaves == 0 || p.leaves > MaxBatch || p.index >= p.leaves {
		return p, fmt.Errorf("%w: leaf %d of %d", ErrFormat, p.index, p.leaves)
	}
	want := 2 + 32*proofLen(int(p.index), int(p.leaves)) + 64
	switch {
	case len(rest) < want:
		return p, ErrShort
	case len(rest) > want:
		return p, fmt.Errorf("%w: %d bytes behind its end", ErrFormat, len(rest)-want)
	}
	p.proof, p.sig = rest[2:want-64], rest[want-64:]
	return p, nil
}
