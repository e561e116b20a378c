package stream

// This file answers: which secrets does a private stream have, and how does one
// follow from another? PROTOCOL.md, section 8, is the same in words.

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
)

const (
	linkTag    = "braidway private link v1\x00"
	meetTag    = "braidway private meet v1\x00"
	blindTag   = "braidway private blind v1\x00"
	blindIDTag = "braidway blinded id v1\x00"
	treeTag    = "braidway private tree v1\x00"
	nodeTag    = "braidway private node v1\x00"
	objectTag  = "braidway private object v1\x00"
	openTag    = "braidway private open v1\x00"
	sealTag    = "braidway private record v1\x00"
)

// Sizes of what AEADs need.
const (
	secretSize = 32
	nonceSize  = 12
	tagSize    = 16
)

// Private is what a link says beyond the stream's id, so that its owner finds a
// private stream and, with Secret, reads it. The secrets in it are never sent to
// anybody and never logged: its String shows none.
type Private struct {
	// Secret is k, from which a viewer's keys follow; zero in a relay's link.
	Secret [secretSize]byte
	// Meet is r, under which peers show their tokens and the DHT's record is sealed.
	Meet [secretSize]byte
	// BlindKey signs the record in the DHT.
	BlindKey [publicKeySize]byte
}

// NewPrivate returns the secrets of the private stream id of key's owner: the
// same ones each time, so that a link outlives its publisher.
func NewPrivate(key ed25519.PrivateKey, id ID) (Private, error) {
	if len(key) != ed25519.PrivateKeySize {
		return Private{}, fmt.Errorf("stream: private key of %d bytes, an ed25519 key has %d", len(key), ed25519.PrivateKeySize)
	}
	p := Private{Secret: [secretSize]byte(derive(key.Seed(), nil, linkTag+string(id[:]), secretSize))}
	p.Meet = meetSecret(p.Secret, id)
	p.BlindKey = [publicKeySize]byte(blindKey(key, id).Public().(ed25519.PublicKey))
	return p, nil
}

func meetSecret(k [secretSize]byte, id ID) [secretSize]byte {
	return [secretSize]byte(derive(k[:], nil, meetTag+string(id[:]), secretSize))
}

// blindKey is the key under which the stream stands in the DHT. Nobody without
// the stream's key can tell that they belong together.
func blindKey(key ed25519.PrivateKey, id ID) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(derive(key.Seed(), nil, blindTag+string(id[:]), ed25519.SeedSize))
}

// derive is HKDF with SHA-256 (RFC 5869).
func derive(secret, salt []byte, info string, size int) []byte {
	b, err := hkdf.Key(sha256.New, secret, salt, info, size)
	if err != nil {
		panic(err) // only for a size over 255 hashes, or a secret too short for FIPS mode
	}
	return b
}

// CanRead reports whether a viewer's keys follow from it.
func (p *Private) CanRead() bool { return p.Secret != [secretSize]byte{} }

// ForRelays returns what a relay needs: it finds the stream and cannot read it.
func (p Private) ForRelays() Private {
	p.Secret = [secretSize]byte{}
	return p
}

// BlindID is the name of the stream in the DHT and in the first word between
// two peers; it says nothing of the publisher or the stream's name.
func (p *Private) BlindID() ID {
	return sha256.Sum256(append([]byte(blindIDTag), p.BlindKey[:]...))
}

// String hides the secrets, for logs.
func (p Private) String() string { return "private(" + p.BlindID().String()[:8] + ")" }

// GoString hides the secrets from %#v.
func (p Private) GoString() string { return p.String() }

// Seal encrypts what one peer shows another to whoever has the link of stream
// id; context binds it to the two and to the moment. The result begins with its nonce.
func (p *Private) Seal(id ID, plain, context []byte) []byte {
	return newGCM(derive(p.Meet[:], nil, openTag+string(id[:]), secretSize), true).Seal(nil, nil, plain, context)
}

// Unseal is the opposite of Seal. The error says nothing of why.
func (p *Private) Unseal(id ID, sealed, context []byte) ([]byte, error) {
	plain, err := newGCM(derive(p.Meet[:], nil, openTag+string(id[:]), secretSize), true).Open(nil, nil, sealed, context)
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

// newGCM returns AES-GCM with a key of 16 or 32 bytes; with random, nonces are
// drawn and stand before what is sealed.
func newGCM(key []byte, random bool) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err == nil {
		var a cipher.AEAD
		if random {
			a, err = cipher.NewGCMWithRandomNonce(block)
		} else {
			a, err = cipher.NewGCM(block)
		}
		if err == nil {
			return a
		}
	}
	panic(err) // the sizes are constants of this package
}

// appendFragment appends what stands behind the # of a link.
func (p *Private) appendFragment(b []byte) []byte {
	if p.CanRead() {
		b = append(b, "#k="...)
		b = base64.RawURLEncoding.AppendEncode(b, p.Secret[:])
	} else {
		b = append(b, "#r="...)
		b = base64.RawURLEncoding.AppendEncode(b, p.Meet[:])
	}
	b = append(b, "&b="...)
	return base64.RawURLEncoding.AppendEncode(b, p.BlindKey[:])
}

// parseFragment reads the fragment of the link of stream id, which begins at
// byte at of the link.
func parseFragment(fragment string, at int, id ID) (*Private, *TextError) {
	params, te := splitParams(fragment, at)
	if te != nil {
		return nil, te
	}
	var p Private
	seen := map[string]bool{}
	for _, f := range params {
		if f.key != "k" && f.key != "r" && f.key != "b" {
			continue
		}
		if seen[f.key] {
			return nil, &TextError{"link", f.keyAt, fmt.Sprintf("parameter %s is there twice", f.key)}
		}
		seen[f.key] = true
		v, te := parseKey(f.value, f.at)
		if te != nil {
			te.Reason = map[string]string{"k": "secret", "r": "meeting secret", "b": "blinded key"}[f.key] + te.Reason[len("public key"):]
			return nil, te
		}
		switch f.key {
		case "k":
			p.Secret = [secretSize]byte(v)
			p.Meet = meetSecret(p.Secret, id)
		case "r":
			p.Meet = [secretSize]byte(v)
		case "b":
			p.BlindKey = [publicKeySize]byte(v)
		}
	}
	switch end := at + len(fragment); {
	case seen["k"] == seen["r"] || p.Meet == [secretSize]byte{}:
		return nil, &TextError{"link", end, "a private link has k (a viewer's secret) or r (a relay's) behind the #; it may be cut short"}
	case !seen["b"]:
		return nil, &TextError{"link", end, "cut short: parameter b (the blinded key) is missing behind the #"}
	}
	return &p, nil
}

// objectKey is the key of one group's objects.
func (p *Private) objectKey(content []byte, id ID, epoch, group uint64) []byte {
	info := append([]byte(objectTag), id[:]...)
	info = binary.BigEndian.AppendUint64(info, epoch)
	info = binary.BigEndian.AppendUint64(info, group)
	return derive(content, p.Secret[:], string(info), secretSize)
}
