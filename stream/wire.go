package stream

// This file answers: how are numbers read strictly, and what does a refused
// input say? Objects, parity payloads, records and access
// lists are read with it.

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Kinds of a [WireError], for errors.Is.
var (
	// ErrTruncated: the input ends before the value does.
	ErrTruncated = errors.New("input ends early")
	// ErrMalformed: the input is not something that a writer produces.
	ErrMalformed = errors.New("malformed")
	// ErrVersion: the input is of a version that this reader does not know.
	ErrVersion = errors.New("unknown version")
	// ErrLimit: a number or a length is outside its allowed range.
	ErrLimit = errors.New("outside the allowed range")
)

// WireError says why an encoded value was refused. It wraps one of
// [ErrTruncated], [ErrMalformed], [ErrVersion] and [ErrLimit].
type WireError struct {
	What   string // "object", "parity", "record", "access list", "blinded record"
	Field  string
	Offset int // bytes from the start of the input to the field
	Kind   error
	Detail string // value and allowed range
}

// Error names the value, the field, the position and the allowed range.
func (e *WireError) Error() string {
	s := fmt.Sprintf("stream: %s: %s at byte %d: %v", e.What, e.Field, e.Offset, e.Kind)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// Unwrap returns the kind.
func (e *WireError) Unwrap() error { return e.Kind }

// wireReader reads fields in order. After the first mistake it returns zero
// values and keeps the error, so that a parser checks once at its end, and
// before it uses a value as a size.
type wireReader struct {
	what string
	b    []byte
	off  int
	err  error
}

// readCopy begins to read a copy of b, of at most limit bytes, with its version.
func readCopy(what string, b []byte, limit int) wireReader {
	r := wireReader{what: what}
	if len(b) > limit {
		r.fail("size", 0, ErrLimit, "%d bytes, allowed is up to %d", len(b), limit)
		return r
	}
	r.b = bytes.Clone(b)
	if v := r.byte("version"); r.err == nil && v != wireVersion {
		r.fail("version", 0, ErrVersion, "%d, known is %d", v, wireVersion)
	}
	return r
}

func (r *wireReader) fail(field string, off int, kind error, format string, args ...any) {
	if r.err == nil {
		r.err = &WireError{What: r.what, Field: field, Offset: off, Kind: kind, Detail: fmt.Sprintf(format, args...)}
	}
}

func (r *wireReader) byte(field string) byte {
	if r.err != nil {
		return 0
	}
	if r.off >= len(r.b) {
		r.fail(field, r.off, ErrTruncated, "")
		return 0
	}
	v := r.b[r.off]
	r.off++
	return v
}

// uint32 reads four bytes, most significant first.
func (r *wireReader) uint32(field string) uint32 {
	b := r.bytes(field, 4)
	if r.err != nil {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// bytes returns n bytes of the input itself, with no capacity beyond them.
func (r *wireReader) bytes(field string, n int) []byte {
	if r.err != nil {
		return nil
	}
	if have := len(r.b) - r.off; n > have {
		r.fail(field, r.off, ErrTruncated, "%d bytes wanted, %d left", n, have)
		return nil
	}
	v := r.b[r.off : r.off+n : r.off+n]
	r.off += n
	return v
}

// uvarint reads a base-128 number, least significant first (as encoding/binary),
// in its shortest form, in [lo, hi].
func (r *wireReader) uvarint(field string, lo, hi uint64) uint64 {
	if r.err != nil {
		return 0
	}
	start := r.off
	v, n := binary.Uvarint(r.b[start:])
	switch {
	case n == 0:
		r.fail(field, start, ErrTruncated, "")
		return 0
	case n < 0:
		r.fail(field, start, ErrMalformed, "number over 64 bits")
		return 0
	case n > 1 && r.b[start+n-1] == 0:
		r.fail(field, start, ErrMalformed, "number not in its shortest form")
		return 0
	case v < lo || v > hi:
		r.fail(field, start, ErrLimit, "%d, allowed is %d to %d", v, lo, hi)
		return 0
	}
	r.off += n
	return v
}

// end fails unless all input was read.
func (r *wireReader) end() {
	if r.err == nil && r.off != len(r.b) {
		r.fail("end", r.off, ErrMalformed, "%d bytes too many", len(r.b)-r.off)
	}
}
