package node

// This file answers: how does a session find its first peers, and more when
// it needs them?

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/braidway/braidway/failover"
	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/stream"
)

const (
	// locateParallel bounds the dials of a session that has nobody yet.
	locateParallel = 8
	// findTime is how long one search for candidates runs: two DHT look-ups.
	findTime = 6 * time.Second
	// notYetAgain and notYetCap bound when a peer that waits for the stream itself
	// is asked again.
	notYetAgain = 500 * time.Millisecond
	notYetCap   = 2 * time.Second
)

// Join takes part in the stream of a link, as relay or viewer. It returns at
// once; Started says when the stream is there, Tried what was tried until then.
func (n *Node) Join(link stream.Link, cfg SessionConfig) (*Session, error) {
	infos, err := linkAddrs(link)
	if err != nil {
		return nil, err
	}
	if cfg.Role != RoleRelay && cfg.Role != RoleViewer {
		return nil, fmt.Errorf("node: role %v cannot join", cfg.Role)
	}
	if link.Private != nil {
		if cfg.private, err = admission(link, cfg.Role, n.host.ID(), cfg.Token); err != nil {
			return nil, err
		}
		cfg.NoRelay = cfg.NoRelay || !mayServe(cfg.private.own.Rights)
	}
	s, err := n.newSession(link.ID, cfg)
	if err != nil {
		return nil, err
	}
	if len(n.cfg.Only) > 0 {
		infos = n.cfg.Only
	}
	s.wg.Add(1)
	go s.locate(infos)
	return s, nil
}

// locate asks candidates for the stream until one has it.
func (s *Session) locate(infos []peer.AddrInfo) {
	defer s.wg.Done()
	search := s.node.finder.FindTopic(s.ctx, s.topic(), infos)
	defer search.Stop()
	s.mu.Lock()
	s.summary = search.Summary
	s.mu.Unlock()
	// The core finds the link's peers again when it needs them.
	for _, ai := range infos {
		s.book.candidate(ai, overlay.SourceLink)
	}
	limit := make(chan struct{}, locateParallel)
	var found []overlay.Candidate
	for {
		select {
		case c, ok := <-search.C():
			if !ok {
				return
			}
			found = append(found, s.book.candidate(c.AddrInfo, source(c.Source)))
			if s.running() {
				s.post(item{ev: overlay.Event{Kind: overlay.EvCandidates, Candidates: found}})
				found = found[:0:0]
				continue
			}
			s.wg.Add(1)
			go func() {
				defer s.wg.Done()
				s.ask(search, c, limit)
			}()
		case <-s.isUp:
			if len(found) > 0 {
				s.post(item{ev: overlay.Event{Kind: overlay.EvCandidates, Candidates: found}})
				found = nil
			}
			select {
			case <-s.started:
				return
			case <-time.After(findTime):
				return // from now on the core asks
			case <-s.ctx.Done():
				return
			}
		case <-s.ctx.Done():
			return
		}
	}
}

// ask opens an exchange with a candidate, and asks again while it waits itself.
func (s *Session) ask(search *p2p.Search, c p2p.Candidate, limit chan struct{}) {
	rng := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	again := failover.Backoff{Base: notYetAgain, Cap: notYetCap, Floor: notYetAgain / 5}
	for {
		select {
		case limit <- struct{}{}:
		case <-s.ctx.Done():
			return
		}
		err := s.askOnce(search, c)
		<-limit
		if !errors.Is(err, errNotYet) {
			if err != nil {
				search.Failed(c.ID, err)
			}
			return
		}
		select {
		case <-time.After(again.Next(rng)):
		case <-s.isUp:
			return
		case <-s.ctx.Done():
			return
		}
	}
}

func (s *Session) askOnce(search *p2p.Search, c p2p.Candidate) error {
	if s.running() {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, dialTimeout)
	defer cancel()
	if err := search.Connect(ctx, c); err != nil {
		return err
	}
	l, raw, err := s.dial(ctx, c.ID)
	if err != nil {
		return err
	}
	rec, err := s.keepRecord(raw)
	if err != nil {
		l.close(false)
		return err
	}
	// The exchange first: a core that began without it would dial this peer again.
	s.attach(l)
	return s.begin(rec)
}

func source(src p2p.Source) overlay.Source {
	switch src {
	case p2p.SourceLink:
		return overlay.SourceLink
	case p2p.SourceMDNS:
		return overlay.SourceLocal
	}
	return overlay.SourceDHT
}

// find searches for candidates in the background, one search at a time.
func (s *Session) find() {
	if !s.finding.CompareAndSwap(false, true) {
		return
	}
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		defer s.finding.Store(false)
		ctx, cancel := context.WithTimeout(s.ctx, findTime)
		defer cancel()
		search := s.node.finder.FindTopic(ctx, s.topic(), s.node.cfg.Only)
		defer search.Stop()
		for c := range search.C() {
			s.post(item{ev: overlay.Event{Kind: overlay.EvCandidates, Candidates: []overlay.Candidate{s.book.candidate(c.AddrInfo, source(c.Source))}}})
		}
	}()
}

// announce names this peer in the DHT as one that has the stream.
func (s *Session) announce() {
	if s.cfg.NoRelay || s.node.cfg.Unlisted {
		return
	}
	if err := s.node.rdv.ProvideTopic(s.ctx, s.topic()); err != nil {
		s.log.Warn("cannot announce the stream", "err", err)
	}
}

// topic is how the stream is looked for and announced.
func (s *Session) topic() p2p.Topic {
	if s.private == nil {
		return p2p.Topic{ID: s.id}
	}
	return p2p.Topic{ID: s.id, Private: &s.private.secrets}
}

// Tried tells in one line what was tried to find the stream.
func (s *Session) Tried() string {
	s.mu.Lock()
	f := s.summary
	s.mu.Unlock()
	if f == nil {
		return "nothing yet"
	}
	return f()
}
