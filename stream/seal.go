package stream

// This file answers: how are the payloads of a private stream encrypted by its
// publisher and decrypted by its viewers? Everyone between sees what is sealed.

import (
	"crypto/cipher"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
)

// Errors of sealed values, for errors.Is.
var (
	// ErrSealed: it was not sealed under this key, or it was changed.
	ErrSealed = errors.New("stream: cannot be unsealed")
	// ErrNoKey: the content secret under which it was sealed is not known: it is
	// not here yet, or the token does not reach it any more.
	ErrNoKey = errors.New("stream: the content secret is not known")
)

const (
	saltSize = 4
	// SealOverhead is how many bytes of payload a sealed one has more: number of
	// the content secret, salt, tag.
	SealOverhead = 4 + saltSize + tagSize
	// contentSize is the number of bytes of a content secret.
	contentSize = 16
	// keptContent bounds the content secrets that an Opener keeps: the newest
	// list names three, and at one rotation a minute these are five minutes more.
	keptContent = 8
)

// Content is a content secret with its number.
type Content struct {
	Number uint32
	Secret [contentSize]byte
}

// NewContent draws a content secret.
func NewContent(number uint32) Content {
	c := Content{Number: number}
	_, _ = crand.Read(c.Secret[:]) // never fails
	return c
}

// String hides the secret, for logs.
func (c Content) String() string { return fmt.Sprintf("content(%d)", c.Number) }

// GoString hides the secret from %#v.
func (c Content) GoString() string { return c.String() }

// groupCipher is the AEAD of one group under one content secret.
type groupCipher struct {
	epoch, group uint64
	number       uint32
	aead         cipher.AEAD
}

// is reports whether the cipher is that of the group.
func (g *groupCipher) is(h *Header, number uint32) bool {
	return g.aead != nil && g.epoch == h.Epoch && g.group == h.Group && g.number == number
}

// sealNonce is salt and Seq: under one key, no Seq comes twice.
func sealNonce(salt []byte, seq uint64) (n [nonceSize]byte) {
	copy(n[:], salt)
	binary.BigEndian.PutUint64(n[saltSize:], seq)
	return n
}

// sealContext is what a sealed payload is bound to: stream and header.
func sealContext(b []byte, id ID, h *Header) []byte {
	return appendHeader(append(b, id[:]...), h)
}

// Sealer encrypts for one publisher's term. It is owned by one goroutine.
type Sealer struct {
	private Private
	id      ID
	salt    [saltSize]byte
	content Content
	last    groupCipher
	context []byte
}

// NewSealer returns the sealer of a term, which begins with content.
func NewSealer(p Private, id ID, content Content) (*Sealer, error) {
	if !p.CanRead() {
		return nil, errors.New("stream: sealer: the link secret is not known")
	}
	s := &Sealer{private: p, id: id, content: content}
	_, _ = crand.Read(s.salt[:]) // never fails
	return s, nil
}

// Use makes content the secret of what is sealed from now on.
func (s *Sealer) Use(content Content) { s.content = content }

// Content returns the secret in use.
func (s *Sealer) Content() Content { return s.content }

// append appends the sealed payload of an object to b.
func (s *Sealer) append(b []byte, h *Header, payload []byte) []byte {
	if !s.last.is(h, s.content.Number) {
		key := s.private.objectKey(s.content.Secret[:], s.id, h.Epoch, h.Group)
		s.last = groupCipher{h.Epoch, h.Group, s.content.Number, newGCM(key, false)}
	}
	s.context = sealContext(s.context[:0], s.id, h)
	b = binary.BigEndian.AppendUint32(b, s.content.Number)
	b = append(b, s.salt[:]...)
	nonce := sealNonce(s.salt[:], h.Seq)
	return s.last.aead.Seal(b, nonce[:], payload, s.context)
}

// Opener decrypts for one viewer. Several goroutines may use it at once.
type Opener struct {
	private Private
	id      ID
	path    PathKeys

	mu      sync.Mutex
	known   []Content // the highest number last
	last    groupCipher
	context []byte
}

// NewOpener returns the opener of a viewer with the link's secrets and its
// token's keys. It knows no content secret before Learn.
func NewOpener(p Private, id ID, path PathKeys) (*Opener, error) {
	if !p.CanRead() {
		return nil, errors.New("stream: this link has no secret (#k=): it is a relay's")
	}
	return &Opener{private: p, id: id, path: path}, nil
}

// Learn takes the content secrets of an access list of the stream, if the
// viewer's keys reach them: else the error wraps ErrNoKey.
func (o *Opener) Learn(l *AccessList) error {
	found, err := l.unwrap(o.path)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := len(found) - 1; i >= 0; i-- {
		o.add(found[i])
	}
	return nil
}

// Add makes a content secret known that is not taken from a list.
func (o *Opener) Add(c Content) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.add(c)
}

// Contents returns the newest secrets, the newest first, as many as fit beside
// one more into an access list.
func (o *Opener) Contents() []Content {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []Content
	for i := len(o.known) - 1; i >= 0 && len(all) < MaxPrevious; i-- {
		all = append(all, o.known[i])
	}
	return all
}

func (o *Opener) add(c Content) {
	at := len(o.known)
	for i := range o.known {
		if o.known[i].Number == c.Number {
			if o.known[i] != c {
				o.known[i], o.last = c, groupCipher{}
			}
			return
		}
		if o.known[i].Number > c.Number {
			at = min(at, i)
		}
	}
	o.known = append(o.known, Content{})
	copy(o.known[at+1:], o.known[at:])
	o.known[at] = c
	if len(o.known) > keptContent {
		o.known = o.known[1:]
	}
}

// Open decrypts the payload of a verified object into dst[:0], which may be nil;
// that of one without Encrypted is returned as it is. The error is ErrNoKey or ErrSealed.
func (o *Opener) Open(dst []byte, p *Object) ([]byte, error) {
	if !p.Encrypted {
		return p.Payload, nil
	}
	if len(p.Payload) < SealOverhead {
		return nil, ErrSealed
	}
	number := binary.BigEndian.Uint32(p.Payload)
	salt, sealed := p.Payload[4:4+saltSize], p.Payload[4+saltSize:]
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.last.is(&p.Header, number) {
		at := -1
		for i := range o.known {
			if o.known[i].Number == number {
				at = i
			}
		}
		if at < 0 {
			return nil, fmt.Errorf("%w: number %d", ErrNoKey, number)
		}
		key := o.private.objectKey(o.known[at].Secret[:], o.id, p.Epoch, p.Group)
		o.last = groupCipher{p.Epoch, p.Group, number, newGCM(key, false)}
	}
	o.context = sealContext(o.context[:0], o.id, &p.Header)
	nonce := sealNonce(salt, p.Seq)
	plain, err := o.last.aead.Open(dst[:0], nonce[:], sealed, o.context)
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}
