// Package token is who may take part in a private stream: capability tokens that
// the stream's key signs, and the ledger of those that were issued.
//
// # What it promises
//
//   - A token is a JSON Web Token with EdDSA and nothing else: the algorithm is
//     not chosen by what the token says (RFC 8725).
//   - A credential is a token with the keys of its holder. The keys decrypt the
//     stream; they are kept apart from the token, since that is shown to others.
//   - No two tokens of a stream have one number, as long as they are issued with
//     one ledger.
package token

// This file answers: what is a token, and is it in force?

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/braidway/braidway/stream"
)

const (
	// Max is the most bytes of a token; one with every claim has about 420.
	Max = 1024
	// MaxCredential is the most bytes of a token with its keys.
	MaxCredential = Max + 1 + (stream.PathKeysSize*8+5)/6
	// Skew is how far the clocks of issuer and reader may differ.
	Skew = time.Minute
	// MaxLife is the longest life of a token (guess: a season's ticket).
	MaxLife = 366 * 24 * time.Hour

	tokenType = "braidway+jwt"
	separator = "~"
)

// Errors of tokens, for errors.Is.
var (
	// ErrInvalid: it is no token of this stream, for this peer.
	ErrInvalid = errors.New("token: not valid")
	// ErrExpired: its time is over.
	ErrExpired = errors.New("token: has expired")
)

// Rights are what a token lets its holder do.
type Rights uint8

// The rights.
const (
	// Watch: take the stream and read it.
	Watch Rights = 1 << iota
	// Relay: take the stream and hand it on.
	Relay
	// Publish: a publisher or its standby, which has the stream's key.
	Publish
)

var rightNames = []string{"watch", "relay", "publish"}

// String lists the rights, separated by spaces, as the claim scope does.
func (r Rights) String() string {
	var names []string
	for i, name := range rightNames {
		if r&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// ParseRights reads rights separated by spaces or commas; unknown ones are an error.
func ParseRights(s string) (r Rights, err error) {
	for _, name := range strings.FieldsFunc(s, func(c rune) bool { return c == ' ' || c == ',' }) {
		at := slices.Index(rightNames, name)
		if at < 0 {
			return 0, fmt.Errorf("token: unknown right %q; known are %s", name, strings.Join(rightNames, ", "))
		}
		r |= 1 << at
	}
	if r == 0 {
		return 0, fmt.Errorf("token: no right; give some of %s", strings.Join(rightNames, ", "))
	}
	return r, nil
}

// Token is what a token says.
type Token struct {
	Stream  stream.ID
	Number  uint16  // 0 is the publisher's own
	Peer    peer.ID // the only one that may show it; empty: whoever has it
	Rights  Rights
	Issued  time.Time // to the second
	Expires time.Time
}

// claims are those of PROTOCOL.md, section 8.
type claims struct {
	Scope string `json:"scope"`
	jwt.RegisteredClaims
}

// Sign encodes and signs a token with the stream's key. The error names what is
// outside its range.
func Sign(key ed25519.PrivateKey, t Token) (string, error) {
	if life := t.Expires.Sub(t.Issued); life <= 0 || life > MaxLife {
		return "", fmt.Errorf("token: life of %v, allowed is 1s to %v", life, MaxLife)
	}
	if t.Rights == 0 || t.Rights.String() == "" {
		return "", errors.New("token: no right")
	}
	if t.Peer != "" {
		if _, err := peer.IDFromBytes([]byte(t.Peer)); err != nil {
			return "", fmt.Errorf("token: peer: %w", err)
		}
	}
	c := claims{Scope: t.Rights.String(), RegisteredClaims: jwt.RegisteredClaims{
		Audience: jwt.ClaimStrings{t.Stream.String()}, ID: strconv.Itoa(int(t.Number)),
		IssuedAt: jwt.NewNumericDate(t.Issued), ExpiresAt: jwt.NewNumericDate(t.Expires)}}
	if t.Peer != "" {
		c.Subject = t.Peer.String()
	}
	j := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c)
	j.Header["typ"] = tokenType
	text, err := j.SignedString(key)
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	if len(text) > Max {
		return "", fmt.Errorf("token: %d bytes, allowed are %d", len(text), Max)
	}
	return text, nil
}

// Verify reads a token and checks that the owner of pub signed it for stream id,
// that peer from may show it, and that it is in force at now. It does not know
// who is revoked. Errors wrap [ErrInvalid] or [ErrExpired]; with the latter, the
// token is returned too.
func Verify(text string, pub ed25519.PublicKey, id stream.ID, from peer.ID, now time.Time) (Token, error) {
	t, err := Read(text, pub)
	switch {
	case err != nil:
		return Token{}, err
	case t.Stream != id:
		return Token{}, fmt.Errorf("%w: it is for stream %v, not for %v", ErrInvalid, t.Stream, id)
	case t.Peer != "" && t.Peer != from:
		return Token{}, fmt.Errorf("%w: it is bound to peer %v, and %v shows it", ErrInvalid, t.Peer, from)
	case t.Issued.After(now.Add(Skew)):
		return Token{}, fmt.Errorf("%w: issued at %s, which is in the future; check the clock", ErrInvalid, t.Issued.UTC().Format(time.RFC3339))
	case !t.InForce(now):
		return t, fmt.Errorf("%w: at %s", ErrExpired, t.Expires.UTC().Format(time.RFC3339))
	}
	return t, nil
}

// InForce reports whether the token has not expired at now.
func (t *Token) InForce(now time.Time) bool { return now.Before(t.Expires.Add(Skew)) }

// Read reads a token that the owner of pub signed, whatever its stream, peer and
// time are.
func Read(text string, pub ed25519.PublicKey) (Token, error) {
	invalid := func(err error) (Token, error) { return Token{}, fmt.Errorf("%w: %w", ErrInvalid, err) }
	if len(text) > Max {
		return Token{}, fmt.Errorf("%w: %d bytes, allowed are %d", ErrInvalid, len(text), Max)
	}
	if len(pub) != ed25519.PublicKeySize {
		return Token{}, fmt.Errorf("%w: public key of %d bytes", ErrInvalid, len(pub))
	}
	var c claims
	j, err := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation()).
		ParseWithClaims(text, &c, func(*jwt.Token) (any, error) { return pub, nil })
	if err != nil {
		return invalid(err)
	}
	number, err := strconv.ParseUint(c.ID, 10, 16)
	switch {
	case j.Header["typ"] != tokenType:
		return Token{}, fmt.Errorf("%w: its type is %v, not %s", ErrInvalid, j.Header["typ"], tokenType)
	case err != nil:
		return Token{}, fmt.Errorf("%w: jti %q is not 0 to %d", ErrInvalid, c.ID, stream.MaxTokens-1)
	case len(c.Audience) != 1 || c.IssuedAt == nil || c.ExpiresAt == nil:
		return Token{}, fmt.Errorf("%w: aud, iat or exp is missing", ErrInvalid)
	}
	t := Token{Number: uint16(number), Issued: c.IssuedAt.Time, Expires: c.ExpiresAt.Time}
	if life := t.Expires.Sub(t.Issued); life <= 0 || life > MaxLife {
		return Token{}, fmt.Errorf("%w: life of %v, allowed is 1s to %v", ErrInvalid, life, MaxLife)
	}
	if t.Stream, err = stream.ParseID(c.Audience[0]); err != nil {
		return invalid(err)
	}
	if t.Rights, err = ParseRights(c.Scope); err != nil {
		return invalid(err)
	}
	if c.Subject != "" {
		if t.Peer, err = peer.Decode(c.Subject); err != nil {
			return invalid(err)
		}
	}
	return t, nil
}

// Credential is what a holder has: the token, which it shows to other peers, and
// with the right to watch the keys, which it shows to nobody.
type Credential struct {
	Token string
	Keys  *stream.PathKeys // nil: none
}

// String hides the credential, for logs.
func (c Credential) String() string { return "credential" }

// GoString hides the credential from %#v.
func (c Credential) GoString() string { return c.String() }

// Text returns the credential as its holder keeps it.
func (c Credential) Text() string {
	if c.Keys == nil {
		return c.Token
	}
	return c.Token + separator + base64.RawURLEncoding.EncodeToString(c.Keys.Keys[:])
}

// ParseCredential reads what Text wrote, white space around it passed over, and
// checks the token's signature with pub.
func ParseCredential(text string, pub ed25519.PublicKey) (Credential, Token, error) {
	if len(text) > 2*MaxCredential {
		return Credential{}, Token{}, fmt.Errorf("%w: %d bytes, allowed are %d", ErrInvalid, len(text), MaxCredential)
	}
	c := Credential{}
	var keys string
	var found bool
	c.Token, keys, found = strings.Cut(strings.TrimSpace(text), separator)
	t, err := Read(c.Token, pub)
	if err != nil {
		return Credential{}, Token{}, err
	}
	if found {
		b, err := base64.RawURLEncoding.Strict().DecodeString(keys)
		if err != nil || len(b) != stream.PathKeysSize {
			return Credential{}, Token{}, fmt.Errorf("%w: the keys behind the %s are damaged or cut short: %d bytes, there are %d", ErrInvalid, separator, len(b), stream.PathKeysSize)
		}
		c.Keys = &stream.PathKeys{Token: t.Number, Keys: [stream.PathKeysSize]byte(b)}
	}
	if t.Rights&Watch != 0 && c.Keys == nil {
		return Credential{}, Token{}, fmt.Errorf("%w: a token to watch with has keys behind a %s, this one has none: give it whole", ErrInvalid, separator)
	}
	return c, t, nil
}

// Issue signs a token and adds its holder's keys.
func Issue(key ed25519.PrivateKey, t Token) (Credential, error) {
	text, err := Sign(key, t)
	if err != nil {
		return Credential{}, err
	}
	c := Credential{Token: text}
	if t.Rights&Watch != 0 {
		k := stream.NewKeyTree(key, t.Stream).Path(t.Number)
		c.Keys = &k
	}
	return c, nil
}
