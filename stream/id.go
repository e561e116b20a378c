package stream

// This file answers: how is a stream named?

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
)

// ID names a stream: SHA-256 over a domain tag, the publisher's ed25519 public
// key and the stream's name. Whoever has the id can check key and name.
type ID [32]byte

const idTag = "braidway stream id v1\x00"

var idText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// idTextLen is the length of an id's text form.
const idTextLen = 52

// NewID returns the id of the stream that the owner of pub publishes as name.
func NewID(pub ed25519.PublicKey, name string) ID {
	h := sha256.New()
	h.Write([]byte(idTag))
	h.Write(pub)
	h.Write([]byte(name))
	return ID(h.Sum(nil))
}

// String returns the id as 52 lower-case base32 characters.
func (id ID) String() string { return idText.EncodeToString(id[:]) }

// ParseID is the inverse of String; its errors name the position.
func ParseID(s string) (ID, error) {
	var id ID
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return id, fmt.Errorf("stream id: character %q at position %d, allowed are a-z and 2-7", c, i)
		}
	}
	if len(s) != idTextLen {
		return id, fmt.Errorf("stream id: %d characters, must be %d", len(s), idTextLen)
	}
	b, err := idText.DecodeString(s)
	if err != nil {
		return id, fmt.Errorf("stream id: %w", err)
	}
	copy(id[:], b)
	if id.String() != s {
		return id, fmt.Errorf("stream id: last character %q at position %d is not canonical", s[idTextLen-1], idTextLen-1)
	}
	return id, nil
}
