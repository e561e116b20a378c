package node

// This file answers: what does a session of a private stream know beyond others,
// and whom does it let in? PROTOCOL.md, section 8, is the same in words.

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/braidway/braidway/internal/node/token"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/stream"
)

// ErrDenied says that this peer's token lets it take part no more.
var ErrDenied = errors.New("access denied")

// keyWait is how long a viewer waits for a content secret that is not here yet:
// the access list travels beside the objects, and may be a hop behind.
const keyWait = 2 * time.Second

// privacy is a session's part in a private stream.
type privacy struct {
	secrets stream.Private
	id      stream.ID
	pub     ed25519.PublicKey
	self    peer.ID
	shown   string // the token that is shown to others
	own     token.Token
	opener  *stream.Opener // nil: it does not read the stream

	mu      sync.Mutex
	list    *stream.AccessList // nil: none yet
	raw     []byte
	changed chan struct{} // closed and replaced when the list does
	denied  chan struct{} // closed when the own token counts no more
	why     error
}

func newPrivacy(link stream.Link, self peer.ID, c token.Credential, own token.Token) (*privacy, error) {
	v := &privacy{secrets: *link.Private, id: link.ID, pub: link.PublicKey, self: self, shown: c.Token, own: own,
		changed: make(chan struct{}), denied: make(chan struct{})}
	if c.Keys != nil && link.Private.CanRead() {
		var err error
		if v.opener, err = stream.NewOpener(*link.Private, link.ID, *c.Keys); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// admission checks the credential of a peer that joins a private stream.
func admission(link stream.Link, role Role, self peer.ID, credential string) (*privacy, error) {
	if credential == "" {
		return nil, fmt.Errorf("%w: the stream is private: give the token that its publisher issued (--token FILE, or BRAIDWAY_TOKEN)", ErrDenied)
	}
	c, t, err := token.ParseCredential(credential, link.PublicKey)
	if err == nil {
		_, err = token.Verify(c.Token, link.PublicKey, link.ID, self, time.Now())
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w; ask the stream's publisher for a new one", ErrDenied, err)
	case role == RoleViewer && t.Rights&token.Watch == 0:
		return nil, fmt.Errorf("%w: the token has the rights %q, and to play needs watch", ErrDenied, t.Rights)
	case role == RoleViewer && !link.Private.CanRead():
		return nil, fmt.Errorf("%w: this link is a relay's (#r=): a viewer's has the key of the stream (#k=)", ErrDenied)
	case role == RoleRelay && t.Rights&(token.Relay|token.Publish) == 0:
		return nil, fmt.Errorf("%w: the token has the rights %q, and to relay needs relay", ErrDenied, t.Rights)
	}
	return newPrivacy(link, self, c, t)
}

// mayServe reports whether a token with rights makes a parent.
func mayServe(r token.Rights) bool { return r&(token.Relay|token.Publish) != 0 }

// check returns the token that peer from shows, if it is in force.
func (v *privacy) check(text string, from peer.ID) (token.Token, error) {
	t, err := token.Verify(text, v.pub, v.id, from, time.Now())
	if err == nil && v.revoked(&t) {
		err = fmt.Errorf("%w: token %d is revoked", token.ErrInvalid, t.Number)
	}
	return t, err
}

func (v *privacy) revoked(t *token.Token) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.list != nil && v.list.HasRevoked(t.Number)
}

// lists returns the access list, parsed and as it was signed; nil: none is known.
func (v *privacy) lists() (*stream.AccessList, []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.list, v.raw
}

// learn keeps a newer list and takes its content secret. new is false for one
// that is known, or older.
func (v *privacy) learn(raw []byte) (l *stream.AccessList, fresh bool, err error) {
	if _, have := v.lists(); slices.Equal(have, raw) {
		return nil, false, nil
	}
	if l, err = stream.ParseAccessList(raw, v.pub); err != nil {
		return nil, false, err
	}
	if l.ID != v.id {
		return nil, false, fmt.Errorf("access list of stream %v instead of %v", l.ID, v.id)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.list != nil && l.Sequence <= v.list.Sequence {
		return l, false, nil
	}
	v.list, v.raw = l, slices.Clone(raw)
	if l.HasRevoked(v.own.Number) {
		v.deny(fmt.Errorf("%w: token %d was revoked by the stream's publisher", ErrDenied, v.own.Number))
	} else if v.opener != nil {
		if err := v.opener.Learn(l); err != nil {
			v.deny(fmt.Errorf("%w: %w", ErrDenied, err))
		}
	}
	close(v.changed)
	v.changed = make(chan struct{})
	return l, true, nil
}

// deny ends this peer's part; v.mu is held.
func (v *privacy) deny(why error) {
	if v.why == nil {
		v.why = why
		close(v.denied)
	}
}

// expire denies once the own token has expired.
func (v *privacy) expire(now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.own.InForce(now) {
		v.deny(fmt.Errorf("%w: the token has expired at %s; ask the stream's publisher for a new one", ErrDenied, v.own.Expires.UTC().Format(time.RFC3339)))
	}
}

// Names of what is sealed, first in what it is bound to.
const (
	contextOpen    = "open"
	contextWelcome = "welcome"
)

// sealContext binds what is sealed to who sends it to whom; nonce is the open's,
// which a welcome answers.
func sealContext(what string, from, to peer.ID, nonce []byte) []byte {
	b := []byte(what)
	for _, p := range []peer.ID{from, to} {
		b = append(binary.AppendUvarint(b, uint64(len(p))), p...)
	}
	return append(b, nonce...)
}

const (
	nonceSize = 12
	// maxOpen is the most bytes of a private open: blinded id, nonce, sealed token.
	maxOpen = len(stream.ID{}) + nonceSize + token.Max + 16
)

// open returns the body of the first frame to peer p, and its nonce.
func (v *privacy) open(p peer.ID) (body, nonce []byte) {
	id := v.secrets.BlindID()
	sealed := v.secrets.Seal(v.id, []byte(v.shown), sealContext(contextOpen, v.self, p, nil))
	return append(id[:], sealed...), sealed[:nonceSize]
}

// opened returns the token in the first frame of peer p, and its nonce.
func (v *privacy) opened(body []byte, p peer.ID) (t token.Token, nonce []byte, err error) {
	sealed := body[len(stream.ID{}):]
	text, err := v.secrets.Unseal(v.id, sealed, sealContext(contextOpen, p, v.self, nil))
	if err != nil {
		return t, nil, err
	}
	t, err = v.check(string(text), p)
	return t, sealed[:nonceSize], err
}

// welcome returns what follows the status in the answer to peer p.
func (v *privacy) welcome(p peer.ID, nonce, record []byte) []byte {
	plain := append(binary.AppendUvarint(nil, uint64(len(v.shown))), v.shown...)
	return v.secrets.Seal(v.id, append(plain, record...), sealContext(contextWelcome, v.self, p, nonce))
}

// welcomed returns the token and the record in the answer of peer p.
func (v *privacy) welcomed(sealed []byte, p peer.ID, nonce []byte) (t token.Token, record []byte, err error) {
	plain, err := v.secrets.Unseal(v.id, sealed, sealContext(contextWelcome, p, v.self, nonce))
	if err != nil {
		return t, nil, err
	}
	n, at := binary.Uvarint(plain)
	if at <= 0 || n > token.Max || n > uint64(len(plain)-at) {
		return t, nil, fmt.Errorf("%w: no token in the welcome", errFrame)
	}
	t, err = v.check(string(plain[at:at+int(n)]), p)
	return t, plain[at+int(n):], err
}

// judged is what a neighbour's message may say: who may not relay has no slots,
// and only a publisher is one.
func judged(m overlay.Message, r token.Rights) overlay.Message {
	switch m := m.(type) {
	case overlay.Hello:
		m.Publisher = m.Publisher && r&token.Publish != 0
		if !mayServe(r) {
			m.Slots = 0
		}
		return m
	case overlay.Status:
		if !mayServe(r) {
			m.Free = 0
		}
		return m
	}
	return m
}

// Denied is closed when this peer's token lets it take part no more: DeniedFor
// says why. Nil for a stream that is not private.
func (s *Session) Denied() <-chan struct{} {
	if s.private == nil {
		return nil
	}
	return s.private.denied
}

// DeniedFor returns why this peer may take part no more: it wraps ErrDenied. Nil:
// it may.
func (s *Session) DeniedFor() error {
	if s.private == nil {
		return nil
	}
	s.private.mu.Lock()
	defer s.private.mu.Unlock()
	return s.private.why
}

// learnAccess takes an access list that a neighbour, or nil the publisher itself,
// brings, passes a newer one on, and parts with those whose tokens it revokes.
func (s *Session) learnAccess(raw []byte) error {
	l, fresh, err := s.private.learn(raw)
	if err != nil || !fresh {
		return err
	}
	s.log.Info("a new access list", "sequence", l.Sequence, "revoked", len(l.Revoked), "content", l.Number())
	s.emit(TraceEvent{Event: eventAccess, Seq: l.Sequence})
	if s.running() {
		s.post(item{fn: func() {
			s.cutOff(raw, time.Now())
			s.passFrame(frameAccess, raw)
		}})
	}
	return nil
}

// cutOff ends the exchanges with those whose tokens count no more, the loop's;
// with raw, they are told first.
func (s *Session) cutOff(raw []byte, now time.Time) {
	var out []*link
	s.mu.Lock()
	for _, l := range s.links {
		if !l.token.InForce(now) || s.private.revoked(&l.token) {
			out = append(out, l)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(out, func(a, b *link) int { return int(min(max(int64(a.id>>1)-int64(b.id>>1), -1), 1)) })
	for _, l := range out {
		s.log.Info("a neighbour's token counts no more", "peer", l.peer, "token", l.token.Number)
		s.emit(TraceEvent{Event: eventCutOff, Peer: l.peer.String()})
		s.mu.Lock()
		if s.links[l.id] == l {
			delete(s.links, l.id)
		}
		s.mu.Unlock()
		l.closeData()
		if raw != nil {
			l.out.push(queued{frame: appendFrame(nil, frameAccess, raw)}, false)
		}
		l.close(true)
		s.step(overlay.Event{Kind: overlay.EvDisconnected, Peer: l.id})
	}
}

// keepAccess looks at what has expired, the loop's.
func (s *Session) keepAccess(now time.Time) {
	if s.private != nil {
		s.private.expire(now)
		s.cutOff(nil, now)
	}
}

// plain returns the payload of an object as it is to be played. The error wraps stream.ErrNoKey or stream.ErrSealed.
func (s *Session) plain(o *stream.Parsed) ([]byte, error) {
	if !o.Encrypted {
		return o.Payload, nil
	}
	if s.private == nil || s.private.opener == nil {
		return nil, stream.ErrNoKey
	}
	return s.private.opener.Open(nil, &o.Object)
}

// accessChanged is closed when the next access list is learnt.
func (s *Session) accessChanged() <-chan struct{} {
	if s.private == nil {
		return nil
	}
	s.private.mu.Lock()
	defer s.private.mu.Unlock()
	return s.private.changed
}
