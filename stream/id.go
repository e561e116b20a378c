package stream

// This file answers: what is a stream called, by machines?

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// ID names a stream: SHA-256 of a domain tag, the publisher's ed25519 public
// key and the stream's name.
type ID [32]byte

// IDTextSize is the number of characters of an ID as text.
const IDTextSize = 52

const (
	idTag      = "braidway stream id v1\x00"
	idAlphabet = "abcdefghijklmnopqrstuvwxyz234567"
)

var idEncoding = base32.NewEncoding(idAlphabet).WithPadding(base32.NoPadding)

// TextError is a mistake in an id or a link as text. Offset counts bytes from
// the start of the text that was given.
type TextError struct {
	What   string // "id" or "link"
	Offset int
	Reason string
}

// Error says what is wrong and where.
func (e *TextError) Error() string {
	return fmt.Sprintf("stream: %s, position %d: %s", e.What, e.Offset, e.Reason)
}

// NewID returns the id of the stream that the owner of pub publishes as name.
// It does not check them; see [CheckName].
func NewID(pub ed25519.PublicKey, name string) ID {
	b := make([]byte, 0, len(idTag)+publicKeySize+MaxName)
	b = append(b, idTag...)
	b = append(b, pub...)
	b = append(b, name...)
	return sha256.Sum256(b)
}

// String returns the id as 52 characters of lower-case base32 without padding (RFC 4648).
func (id ID) String() string { return idEncoding.EncodeToString(id[:]) }

// IsZero reports whether the id is not set.
func (id ID) IsZero() bool { return id == ID{} }

// MarshalText returns String, so that ids are text in JSON.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is ParseID.
func (id *ID) UnmarshalText(b []byte) error {
	v, err := ParseID(string(b))
	if err == nil {
		*id = v
	}
	return err
}

// ParseID reads what String wrote. The error is a *[TextError].
func ParseID(s string) (ID, error) {
	var id ID
	bad := func(off int, format string, args ...any) (ID, error) {
		return ID{}, &TextError{What: "id", Offset: off, Reason: fmt.Sprintf(format, args...)}
	}
	for i := range min(len(s), IDTextSize) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return bad(i, "%q is not one of a-z and 2-7", rune(c))
		}
	}
	if len(s) < IDTextSize {
		return bad(len(s), "cut short: %d of %d characters", len(s), IDTextSize)
	}
	if len(s) > IDTextSize {
		return bad(IDTextSize, "%d characters, an id has %d", len(s), IDTextSize)
	}
	if _, err := idEncoding.Decode(id[:], []byte(s)); err != nil {
		return bad(0, "%v", err)
	}
	// 52 characters hold 260 bits: the last 4 must be zero, or one id had 16 spellings.
	if id.String() != s {
		return bad(IDTextSize-1, "%q cannot be the last character of an id", rune(s[IDTextSize-1]))
	}
	return id, nil
}

// CheckName returns an error unless name can name a stream: 1 to [MaxName]
// bytes of UTF-8 without control characters.
func CheckName(name string) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("stream: name has %d bytes, allowed are 1 to %d", len(name), MaxName)
	}
	for i, r := range name {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(name[i:]); n == 1 {
				return fmt.Errorf("stream: name is not UTF-8 at byte %d", i)
			}
		}
		if unicode.IsControl(r) {
			return fmt.Errorf("stream: name has the control character %U at byte %d", r, i)
		}
	}
	return nil
}
