package p2p

// This file answers: who may have a stream? All ways of finding out are raced.

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/braidway/braidway/failover"
	"github.com/braidway/braidway/stream"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// Source is the way in which a candidate was found.
type Source uint8

// Sources of candidates, in the order in which Summary tells of them.
const (
	SourceLink     Source = iota // an address in the link
	SourceRecord                 // a publisher's address in the stream record
	SourceProvider               // a provider record in the DHT
	SourceMDNS                   // the local network; may not have the stream
)

// String names the source.
func (s Source) String() string {
	switch s {
	case SourceLink:
		return "link"
	case SourceRecord:
		return "stream record"
	case SourceProvider:
		return "DHT"
	case SourceMDNS:
		return "mDNS"
	}
	return fmt.Sprintf("source %d", uint8(s))
}

// Candidate is a peer that may have a stream.
type Candidate struct {
	peer.AddrInfo
	Source Source
}

const (
	// maxSeen bounds the candidates that a search remembers; later ones are
	// passed over.
	maxSeen = 1024
	// findQueue is how many candidates may wait to be taken.
	findQueue = 64
	// connectTimeout bounds Connect where its context does not.
	connectTimeout = 10 * time.Second
	// lookupTimeout bounds one look-up in the DHT.
	lookupTimeout = 20 * time.Second
	// lookupPause is the pause between look-ups that found somebody.
	lookupPause = 15 * time.Second
)

// FinderConfig names the ways of finding. Host is required.
type FinderConfig struct {
	Host *Host
	// Rendezvous looks in the DHT; nil: the DHT is not asked.
	Rendezvous *Rendezvous
	// MDNS knows the local network; nil: it is not asked.
	MDNS *MDNS
}

// Finder races the ways of finding peers that have a stream.
type Finder struct{ cfg FinderConfig }

// NewFinder returns a finder. It owns nothing of what cfg names.
func NewFinder(cfg FinderConfig) *Finder { return &Finder{cfg: cfg} }

// Search is one running search. Its methods may be called from any goroutine.
type Search struct {
	f      *Finder
	topic  Topic
	link   []peer.AddrInfo
	out    chan Candidate
	cancel context.CancelFunc
	count  *nodeCount

	mu        sync.Mutex
	seen      map[peer.ID]*seenPeer
	order     []peer.ID
	record    stream.Record
	raw       []byte
	recordErr error
	providers map[peer.ID]struct{}
}

// seenPeer is what a search knows of one candidate.
type seenPeer struct {
	info   peer.AddrInfo
	source Source
	failed bool // offer it again
	err    error
}

// Find starts to search for peers that have stream id, link being the peers
// that the link names. It goes on, repeating what found nobody and offering
// again who could not be reached, until ctx ends or Stop.
func (f *Finder) Find(ctx context.Context, id stream.ID, link []peer.AddrInfo) *Search {
	return f.find(ctx, Topic{ID: id}, link)
}

func (f *Finder) find(ctx context.Context, t Topic, link []peer.AddrInfo) *Search {
	ctx, cancel := context.WithCancel(ctx)
	s := &Search{
		f: f, topic: t, out: make(chan Candidate, findQueue), cancel: cancel, count: newNodeCount(),
		seen: make(map[peer.ID]*seenPeer), providers: make(map[peer.ID]struct{}),
	}
	for _, ai := range link[:min(len(link), stream.MaxLinkAddrs)] {
		if ai.ID != f.cfg.Host.ID() {
			s.link = append(s.link, ai)
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { s.known(ctx) })
	if m := f.cfg.MDNS; m != nil {
		stop := m.watch(func(ai peer.AddrInfo) { s.offerNow(ai, SourceMDNS) })
		context.AfterFunc(ctx, stop)
	}
	if f.cfg.Rendezvous != nil {
		wg.Go(func() { s.lookup(ctx, s.findProviders) })
		wg.Go(func() { s.lookup(ctx, s.findRecord) })
	}
	go func() {
		wg.Wait()
		s.mu.Lock() // offerNow must not send any more
		defer s.mu.Unlock()
		cancel()
		close(s.out)
		s.out = nil
	}()
	return s
}

// C returns the candidates as they are found; it is closed when the search has
// ended. A peer comes again when new addresses are found or after Failed.
func (s *Search) C() <-chan Candidate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out == nil {
		return closedCandidates
	}
	return s.out
}

var closedCandidates = func() chan Candidate {
	c := make(chan Candidate)
	close(c)
	return c
}()

// Stop ends the search.
func (s *Search) Stop() { s.cancel() }

// Record returns the best stream record found so far; false: none yet.
func (s *Search) Record() (rec stream.Record, raw []byte, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record, s.raw, s.raw != nil
}

// Connect connects to a candidate, with hole punching if it is behind a
// circuit, and remembers the error for Summary.
func (s *Search) Connect(ctx context.Context, c Candidate) error {
	h := s.f.cfg.Host
	ctx, cancel := context.WithTimeout(network.WithAllowLimitedConn(ctx, "braidway find"), connectTimeout)
	defer cancel()
	err := h.Dial(ctx, c.AddrInfo)
	if err != nil {
		s.Failed(c.ID, err)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.seen[c.ID]; e != nil {
		e.err = nil
	}
	return nil
}

// Failed says that a candidate was of no use: not reachable, or without the
// stream. It is offered again after a while.
func (s *Search) Failed(p peer.ID, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.seen[p]; e != nil {
		e.failed, e.err = true, err
	}
}

// offerNow hands a candidate out unless it was before. A full queue drops it:
// the sources repeat themselves.
func (s *Search) offerNow(ai peer.AddrInfo, source Source) {
	if ai.ID == s.f.cfg.Host.ID() || len(ai.Addrs) == 0 {
		return
	}
	ai.Addrs = ai.Addrs[:min(len(ai.Addrs), maxPeerAddrs)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out == nil {
		return
	}
	e := s.seen[ai.ID]
	switch {
	case e == nil && len(s.seen) == maxSeen:
		return
	case e != nil:
		fresh := false
		addrs := e.info.Addrs
		for _, a := range ai.Addrs {
			if !slices.ContainsFunc(addrs, a.Equal) && len(addrs) < maxPeerAddrs {
				addrs, fresh = append(addrs[:len(addrs):len(addrs)], a), true
			}
		}
		if !fresh && !e.failed {
			return
		}
		ai.Addrs = addrs
	}
	select {
	case s.out <- Candidate{AddrInfo: ai, Source: source}:
	default:
		return
	}
	if e == nil {
		e = &seenPeer{source: source}
		s.seen[ai.ID] = e
		s.order = append(s.order, ai.ID)
	}
	e.info, e.failed = ai, false
}

// known owns the repetition of what needs no look-up: the link, the record's
// addresses and the local network.
func (s *Search) known(ctx context.Context) {
	retry := failover.Backoff{Base: time.Second, Cap: 8 * time.Second, Floor: 500 * time.Millisecond}
	rng := newRand()
	for {
		for _, ai := range s.link {
			s.offerNow(ai, SourceLink)
		}
		if rec, _, ok := s.Record(); ok {
			if ai, ok := recordAddrs(rec); ok {
				s.offerNow(ai, SourceRecord)
			}
		}
		if m := s.f.cfg.MDNS; m != nil {
			for _, ai := range m.Peers() {
				s.offerNow(ai, SourceMDNS)
			}
		}
		if !sleep(ctx, retry.Next(rng)) {
			return
		}
	}
}

// lookup owns the repetition of one kind of look-up. A grown routing table
// repeats it at once when it has found nobody.
func (s *Search) lookup(ctx context.Context, find func(context.Context) bool) {
	retry := failover.Backoff{Base: 500 * time.Millisecond, Cap: 10 * time.Second, Floor: 50 * time.Millisecond}
	rng := newRand()
	for {
		grown := s.f.cfg.Rendezvous.d.whenGrown()
		short, cancel := context.WithTimeout(ctx, lookupTimeout)
		found := find(short)
		cancel()
		wait := jitter(rng, lookupPause)
		if found {
			retry.Reset()
			grown = nil
		} else {
			wait = retry.Next(rng)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-grown:
			// Perhaps it is the publisher that came; what it announces takes a moment.
			retry.Reset()
			sleep(ctx, 50*time.Millisecond)
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil || s.f.cfg.Rendezvous.ctx.Err() != nil {
			return
		}
	}
}

func (s *Search) findProviders(ctx context.Context) bool {
	found := false
	for ai := range s.f.cfg.Rendezvous.findProviders(ctx, s.topic.key(), 0, s.count) {
		found = true
		s.mu.Lock()
		if len(s.providers) < maxSeen {
			s.providers[ai.ID] = struct{}{}
		}
		s.mu.Unlock()
		s.offerNow(ai, SourceProvider)
	}
	return found
}

func (s *Search) findRecord(ctx context.Context) bool {
	rec, raw, err := s.f.cfg.Rendezvous.findRecord(ctx, s.topic, s.count)
	s.mu.Lock()
	s.recordErr = err
	if err == nil && (s.raw == nil || rec.Better(s.record)) {
		s.record, s.raw = rec, raw
	}
	s.mu.Unlock()
	if err != nil {
		return false
	}
	if ai, ok := recordAddrs(rec); ok {
		s.offerNow(ai, SourceRecord)
	}
	return true
}

// recordAddrs returns the publisher's addresses in a record, which are checked
// for nothing but their number and length so far.
func recordAddrs(rec stream.Record) (peer.AddrInfo, bool) {
	id, err := peer.IDFromBytes(rec.PublisherID)
	if err != nil {
		return peer.AddrInfo{}, false
	}
	ai := peer.AddrInfo{ID: id}
	for _, b := range rec.Addrs {
		if a, err := ma.NewMultiaddrBytes(b); err == nil {
			ai.Addrs = append(ai.Addrs, a)
		}
	}
	return ai, len(ai.Addrs) > 0
}
