package node

// This file answers: how does the publisher of a private stream let viewers in
// and out, and when does it change the key?

import (
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/braidway/braidway/internal/node/token"
	"github.com/braidway/braidway/stream"
)

const (
	// DefaultRotate is how often the content secret changes without a cause
	// (guess: what a secret that leaks alone gives away is bounded by it).
	DefaultRotate = 10 * time.Minute
	// LeastRotate and MostRotate bound that pace.
	LeastRotate = 10 * time.Second
	MostRotate  = 24 * time.Hour
	// contentDelay is how long a new content secret is known before it is used:
	// an access list takes some round trips to all viewers.
	contentDelay = 2 * time.Second
	// ledgerLook is how often the ledger is looked at: a part of the 10 s within
	// which a revoked viewer is cut off.
	ledgerLook = time.Second
)

// PrivateConfig says how a stream is kept private.
type PrivateConfig struct {
	// Ledger is the file of the tokens; revocations are read from it while the
	// stream goes on. Empty: none is read.
	Ledger string
	// Rotate is how often the content secret changes, LeastRotate to MostRotate;
	// 0 means DefaultRotate.
	Rotate time.Duration
}

func (c *PrivateConfig) check() error {
	if c.Rotate == 0 {
		c.Rotate = DefaultRotate
	}
	if c.Rotate < LeastRotate || c.Rotate > MostRotate {
		return fmt.Errorf("node: PrivateConfig.Rotate is %v, allowed is %v to %v, or 0 for %v", c.Rotate, LeastRotate, MostRotate, DefaultRotate)
	}
	return nil
}

// issuer is the publisher's part in access to its stream. Publication.mu guards it.
type issuer struct {
	cfg      PrivateConfig
	contents []stream.Content // the newest first
	sealer   *stream.Sealer   // nil: this publisher is not active
	useAt    time.Time        // when the newest is to be used; zero: it is
	rotateAt time.Time
	sequence uint64 // of the last list that was signed
	revoked  []uint16
	looked   fileState
}

// fileState tells whether a file has changed.
type fileState struct {
	size int64
	at   time.Time
}

// grant makes the publisher's own token, bound to this peer, and its part in the
// private stream.
func (p *Publication) grant() (*privacy, error) {
	now := time.Now().Truncate(time.Second)
	c, err := token.Issue(p.cfg.Key, token.Token{Stream: p.link.ID, Number: 0, Peer: p.node.host.ID(),
		Rights: token.Watch | token.Relay | token.Publish, Issued: now.Add(-token.Skew), Expires: now.Add(token.MaxLife - 2*token.Skew)})
	if err != nil {
		return nil, err
	}
	_, t, err := token.ParseCredential(c.Text(), p.link.PublicKey)
	if err != nil {
		return nil, err
	}
	return newPrivacy(p.link, p.node.host.ID(), c, t)
}

// beginTerm makes the sealer of a term that begins, and signs an access list
// before anything else is said. What a publisher before it used is used until
// the new secret is known. p.mu is held.
func (p *Publication) beginTerm() (*stream.Sealer, error) {
	i := p.issuer
	if i == nil {
		return nil, nil
	}
	i.contents = p.session.private.opener.Contents()
	if _, err := i.readLedger(p.link.ID, time.Now()); err != nil { // it was readable when the publication began
		p.log.Error("revocations are as they were: the ledger cannot be read", "err", err)
	}
	first := len(i.contents) == 0
	if err := p.rotate(time.Now()); err != nil {
		return nil, err
	}
	use := i.contents[0]
	if first {
		i.useAt = time.Time{}
	} else {
		use = i.contents[1]
	}
	var err error
	i.sealer, err = stream.NewSealer(p.session.private.secrets, p.link.ID, use)
	return i.sealer, err
}

// rotate draws a new content secret and tells everyone; p.mu is held.
func (p *Publication) rotate(now time.Time) error {
	i := p.issuer
	number := uint32(now.Unix())
	if len(i.contents) > 0 {
		number = max(number, i.contents[0].Number+1)
	}
	if l, _ := p.session.private.lists(); l != nil {
		number = max(number, l.Number()+1)
		for _, t := range l.Revoked { // of a publisher before, perhaps with another ledger
			i.revoke(t)
		}
	}
	contents := append([]stream.Content{stream.NewContent(number)}, i.contents...)
	i.contents = contents[:min(len(contents), 1+stream.MaxPrevious)]
	i.useAt, i.rotateAt = now.Add(contentDelay), now.Add(i.cfg.Rotate)
	return p.signAccess(now)
}

// signAccess signs the list and passes it on; p.mu is held.
func (p *Publication) signAccess(now time.Time) error {
	i := p.issuer
	i.sequence = max(i.sequence+1, uint64(now.UnixMilli()))
	if l, _ := p.session.private.lists(); l != nil {
		i.sequence = max(i.sequence, l.Sequence+1)
	}
	raw, err := stream.SignAccessList(p.cfg.Key, stream.AccessList{ID: p.link.ID, Sequence: i.sequence, Issued: now.Unix(), Revoked: i.revoked}, i.contents)
	if err != nil {
		return fmt.Errorf("access list: %w", err)
	}
	return p.session.learnAccess(raw)
}

// revoke adds a token; false: it is there, or there is no room.
func (i *issuer) revoke(t uint16) bool {
	at, found := slices.BinarySearch(i.revoked, t)
	if found || t == 0 || len(i.revoked) == stream.MaxRevoked {
		return false
	}
	i.revoked = slices.Insert(i.revoked, at, t)
	return true
}

// readLedger takes revocations from the ledger, and forgets those of tokens that
// have expired. changed says that there are new ones.
func (i *issuer) readLedger(id stream.ID, now time.Time) (changed bool, err error) {
	if i.cfg.Ledger == "" {
		return false, nil
	}
	var state fileState
	if info, err := os.Stat(i.cfg.Ledger); err == nil {
		state = fileState{info.Size(), info.ModTime()}
	}
	if state == i.looked {
		return false, nil
	}
	list, err := token.Ledger{File: i.cfg.Ledger}.Read(id)
	if err != nil {
		return false, err
	}
	i.looked = state
	for _, e := range list {
		if !now.Before(e.Expires.Add(2 * token.Skew)) {
			if at, found := slices.BinarySearch(i.revoked, e.Number); found {
				i.revoked = slices.Delete(i.revoked, at, at+1)
			}
		}
	}
	for _, t := range token.Revoked(list, now) {
		changed = i.revoke(t) || changed
	}
	return changed, nil
}

// Revoke revokes tokens of a private stream by number, for as long as this
// publisher runs; the ledger is where it lasts.
func (p *Publication) Revoke(numbers ...uint16) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.issuer == nil {
		return fmt.Errorf("node: stream %v is not private", p.link.ID)
	}
	changed := false
	for _, t := range numbers {
		changed = p.issuer.revoke(t) || changed
	}
	if !changed || p.builder == nil {
		return nil
	}
	return p.rotate(time.Now())
}

// keepPrivate looks at the ledger and at the clock, while the publication lasts.
func (p *Publication) keepPrivate() {
	defer p.wg.Done()
	tick := time.NewTicker(ledgerLook)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-p.ctx.Done():
			return
		}
		p.mu.Lock()
		err := p.lookPrivate(time.Now())
		p.mu.Unlock()
		if err != nil {
			p.log.Error("access to the private stream is not as it should be", "err", err)
		}
	}
}

// lookPrivate does what is due; p.mu is held.
func (p *Publication) lookPrivate(now time.Time) error {
	i := p.issuer
	if p.builder == nil || p.err != nil {
		return nil
	}
	if !i.useAt.IsZero() && !now.Before(i.useAt) {
		i.sealer.Use(i.contents[0])
		i.useAt = time.Time{}
	}
	changed, err := i.readLedger(p.link.ID, now)
	if err != nil {
		return err
	}
	l, _ := p.session.private.lists()
	switch {
	case changed || !now.Before(i.rotateAt):
		return p.rotate(now)
	case l != nil && l.Sequence != i.sequence: // another publisher's, whose term is over
		for _, t := range l.Revoked {
			i.revoke(t)
		}
		return p.signAccess(now)
	}
	return nil
}
