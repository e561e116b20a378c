package stream

// This file answers: what does a user pass on so that others can watch?

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// LinkScheme is what every link begins with.
const LinkScheme = "braidway://"

const linkVersion = "1"

// Link is the share link of a stream. As text it is
//
//	braidway://<id>?v=1&pk=<public key, base64url>&name=<name>&addr=<multiaddr>&addr=…
//
// and of a private stream #k=<secret>&b=<blinded key>, or #r=… for relays: what
// stands behind the # is a secret.
type Link struct {
	ID        ID                // always NewID(PublicKey, Name)
	PublicKey ed25519.PublicKey // the publisher's
	Name      string            // see CheckName
	Addrs     []string          // text multiaddrs of peers to ask first, not looked into
	Private   *Private          // nil: everyone may watch
}

// NewLink returns the link of the stream that the owner of pub publishes as
// name. The error names the value that is outside its range.
func NewLink(pub ed25519.PublicKey, name string, addrs []string) (Link, error) {
	if len(pub) != publicKeySize {
		return Link{}, fmt.Errorf("stream: link: public key of %d bytes, an ed25519 key has %d", len(pub), publicKeySize)
	}
	if err := CheckName(name); err != nil {
		return Link{}, err
	}
	if len(addrs) > MaxLinkAddrs {
		return Link{}, fmt.Errorf("stream: link: %d addresses, allowed is up to %d", len(addrs), MaxLinkAddrs)
	}
	for _, a := range addrs {
		if reason := addrMistake(a); reason != "" {
			return Link{}, fmt.Errorf("stream: link: address %q: %s", a, reason)
		}
	}
	return Link{
		ID: NewID(pub, name), PublicKey: bytes.Clone(pub), Name: name, Addrs: append([]string(nil), addrs...),
	}, nil
}

func addrMistake(a string) string {
	if len(a) > MaxAddr {
		return fmt.Sprintf("%d bytes, allowed is 1 to %d", len(a), MaxAddr)
	}
	if !strings.HasPrefix(a, "/") {
		return "not a multiaddr: it does not begin with /"
	}
	for i := range len(a) {
		if a[i] <= ' ' || a[i] > '~' {
			return fmt.Sprintf("byte %#x at byte %d, allowed is visible ASCII", a[i], i)
		}
	}
	return ""
}

// String returns the link as text, which ParseLink reads back.
func (l Link) String() string {
	var b strings.Builder
	b.WriteString(LinkScheme + l.ID.String() + "?v=" + linkVersion + "&pk=")
	b.WriteString(base64.RawURLEncoding.EncodeToString(l.PublicKey))
	b.WriteString("&name=")
	escape(&b, l.Name)
	for _, a := range l.Addrs {
		b.WriteString("&addr=")
		escape(&b, a)
	}
	if l.Private != nil {
		b.Write(l.Private.appendFragment(nil))
	}
	return b.String()
}

// Redacted is String without the secret of a private stream, for logs.
func (l Link) Redacted() string {
	secret := l.Private != nil
	l.Private = nil
	if secret {
		return l.String() + "#…"
	}
	return l.String()
}

// escape percent-encodes all but RFC 3986's unreserved characters, / and :.
func escape(b *strings.Builder, s string) {
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/:", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(b, "%%%02X", c)
		}
	}
}

// linkParam is one key=value of a link, not yet decoded; at is where value begins.
type linkParam struct {
	key, value string
	keyAt, at  int
	bare       bool // no = after the key
}

// ParseLink reads a link. It refuses what it does not understand, except
// parameters that it does not know, which a later version may add. A + in a
// value is a space, as in web forms. The error is a *[TextError] with the
// position of the mistake in s.
func ParseLink(s string) (Link, error) {
	bad := func(off int, format string, args ...any) (Link, error) {
		return Link{}, &TextError{What: "link", Offset: off, Reason: fmt.Sprintf(format, args...)}
	}
	if len(s) > MaxLink {
		return bad(MaxLink, "%d bytes, allowed is up to %d", len(s), MaxLink)
	}
	if !strings.HasPrefix(s, LinkScheme) {
		if strings.HasPrefix(LinkScheme, s) {
			return bad(len(s), "cut short: a link begins with %s", LinkScheme)
		}
		return bad(0, "wrong scheme: a link begins with %s", LinkScheme)
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7f {
			return bad(i, "character %q is not allowed in a link", rune(c))
		}
	}
	front, fragment, private := strings.Cut(s, "#")
	if at := strings.IndexByte(fragment, '#'); at >= 0 {
		return bad(len(front)+1+at, "a second # is not allowed in a link")
	}
	idText, query, found := strings.Cut(front[len(LinkScheme):], "?")
	idEnd := len(LinkScheme) + len(idText)
	params, te := splitParams(query, idEnd+1)
	if te != nil {
		return Link{}, te
	}
	// The version first: whatever else looks wrong may be right in another one.
	for _, p := range params {
		if p.key == "v" && !p.bare && p.value != "" && p.value != linkVersion {
			return bad(p.at, "unknown version %q, known is %s; a newer program may read it", p.value, linkVersion)
		}
	}
	var l Link
	id, err := ParseID(idText)
	if err != nil {
		var te *TextError
		if errors.As(err, &te) {
			return bad(len(LinkScheme)+te.Offset, "id: %s", te.Reason)
		}
		return bad(len(LinkScheme), "id: %v", err)
	}
	if !found {
		return bad(len(front), "cut short: after the id come ?v=%s and the stream's key and name", linkVersion)
	}
	l.ID = id
	nameAt, seen := 0, map[string]bool{}
	for i, p := range params {
		if p.key != "v" && p.key != "pk" && p.key != "name" && p.key != "addr" {
			if i == len(params)-1 && p.bare && (strings.HasPrefix("name", p.key) || strings.HasPrefix("addr", p.key)) {
				return bad(p.at, "cut short: parameter %q", p.key)
			}
			continue
		}
		if seen[p.key] && p.key != "addr" {
			return bad(p.keyAt, "parameter %s is there twice", p.key)
		}
		seen[p.key] = true
		if p.value == "" {
			return bad(p.at, "cut short: parameter %s has no value", p.key)
		}
		value, te := unescape(p.value, p.at)
		if te != nil {
			return Link{}, te
		}
		switch p.key {
		case "pk":
			if l.PublicKey, te = parseKey(p.value, p.at); te != nil {
				return Link{}, te
			}
		case "name":
			if err := CheckName(value); err != nil {
				return bad(p.at, "%s", strings.TrimPrefix(err.Error(), "stream: "))
			}
			l.Name, nameAt = value, p.at
		case "addr":
			if len(l.Addrs) == MaxLinkAddrs {
				return bad(p.keyAt, "too many addresses, allowed is up to %d", MaxLinkAddrs)
			}
			if reason := addrMistake(value); reason != "" {
				return bad(p.at, "address: %s", reason)
			}
			l.Addrs = append(l.Addrs, value)
		}
	}
	for _, key := range []string{"v", "pk", "name"} {
		if !seen[key] {
			return bad(len(front), "cut short: parameter %s is missing", key)
		}
	}
	if NewID(l.PublicKey, l.Name) != l.ID {
		return bad(nameAt, "key and name do not give the id: one of them was changed or cut short")
	}
	if private {
		if l.Private, te = parseFragment(fragment, len(front)+1, l.ID); te != nil {
			return Link{}, te
		}
	}
	return l, nil
}

// splitParams splits a query that begins at byte at of the link.
func splitParams(query string, at int) ([]linkParam, *TextError) {
	if query == "" {
		return nil, nil
	}
	if n := strings.Count(query, "&") + 1; n > MaxLinkParams {
		return nil, &TextError{"link", at, fmt.Sprintf("too many parameters: %d, allowed is up to %d", n, MaxLinkParams)}
	}
	var params []linkParam
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			return nil, &TextError{"link", at, "cut short: empty parameter"}
		}
		key, value, found := strings.Cut(part, "=")
		p := linkParam{key: key, value: value, keyAt: at, at: at + len(key), bare: !found}
		if found {
			p.at++
		}
		params = append(params, p)
		at += len(part) + 1
	}
	return params, nil
}

// unescape decodes a value that begins at byte at of the link.
func unescape(v string, at int) (string, *TextError) {
	if strings.IndexByte(v, '%') < 0 && strings.IndexByte(v, '+') < 0 {
		return v, nil
	}
	b := make([]byte, 0, len(v))
	for i := 0; i < len(v); i++ {
		c := v[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if i+2 >= len(v) {
				return "", &TextError{"link", at + i, fmt.Sprintf("bad percent-escape: %q is cut short", v[i:])}
			}
			hi, lo := unhex(v[i+1]), unhex(v[i+2])
			if hi > 15 || lo > 15 {
				return "", &TextError{"link", at + i, fmt.Sprintf("bad percent-escape: %q", v[i:i+3])}
			}
			c, i = hi<<4|lo, i+2
		}
		b = append(b, c)
	}
	return string(b), nil
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}

// keyText is the number of characters of a public key in base64url without padding.
const keyText = (publicKeySize*8 + 5) / 6

func parseKey(v string, at int) (ed25519.PublicKey, *TextError) {
	if len(v) < keyText {
		return nil, &TextError{"link", at + len(v), fmt.Sprintf("public key cut short: %d of %d characters", len(v), keyText)}
	}
	if len(v) > keyText {
		return nil, &TextError{"link", at + keyText, fmt.Sprintf("public key of %d characters, one has %d", len(v), keyText)}
	}
	key, err := base64.RawURLEncoding.Strict().DecodeString(v)
	if err != nil || len(key) != publicKeySize {
		off := 0
		var e base64.CorruptInputError
		if errors.As(err, &e) {
			off = int(e)
		}
		return nil, &TextError{"link", at + off, "public key is not base64url"}
	}
	return key, nil
}
