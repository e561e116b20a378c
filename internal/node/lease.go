package node

// This file answers: who may publish a stream whose key several hold, and how
// does a standby know that it is its turn?
//
// The publisher renews its lease on a stream to each standby. A standby asks for
// it with a proof that it has the stream's key, follows the stream as a relay, and
// takes over when it hears neither of the lease nor of the stream for
// failover.LeaseSilence, or when the lease is released. What then makes the old
// publisher harmless is not the lease, which a frozen process believes to hold
// still, but the epoch: the new publisher's is higher, and peers take nothing of a
// lower one. Its record, which is signed, is passed on from peer to peer, so that
// the old publisher hears of it from whomever it meets first.

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/braidway/braidway/failover"
	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/stream"
)

const (
	// maxHeirs bounds the standbys of one publisher.
	maxHeirs = 8
	// handOverTime bounds the wait for a standby to take over from a publisher that leaves.
	handOverTime = 2 * time.Second
	// tellEvery is the pace at which a new publisher tries to reach the old one.
	tellEvery = 2 * time.Second
)

// LockedError says that another publisher holds the lease of the stream.
type LockedError struct {
	Holder  peer.ID
	Epoch   uint64
	Expires time.Duration // from now, unless it is renewed
}

// Error names the holder and what can be done.
func (e *LockedError) Error() string {
	return fmt.Sprintf("the stream is locked: peer %v publishes it under epoch %d, with a lease that expires in %v unless it is renewed; stop that publisher, or stand by for it (peer publish --standby)",
		e.Holder, e.Epoch, e.Expires.Round(time.Millisecond))
}

// FencedError says that another publisher has begun a higher epoch.
type FencedError struct {
	Holder peer.ID
	Epoch  uint64
}

// Error names the new publisher.
func (e *FencedError) Error() string {
	return fmt.Sprintf("another publisher has taken over: peer %v, under epoch %d; to come back as its standby, start with --standby", e.Holder, e.Epoch)
}

// nextEpoch returns an epoch higher than known. Its lowest bits are random, so
// that two who take over in the same millisecond do not take the same one.
func nextEpoch(now time.Time, known uint64, random uint32) uint64 {
	return min(max(uint64(now.UnixMilli())<<10|uint64(random%1024), known+1), stream.MaxEpoch)
}

// holder is a publisher as its record names it.
type holder struct {
	peer.AddrInfo
	epoch uint64
	rec   stream.Record
}

// holderOf returns who the record says publishes.
func holderOf(rec stream.Record) (h holder, err error) {
	h.ID, err = peer.IDFromBytes(rec.PublisherID)
	h.epoch, h.rec = rec.Epoch, rec
	for _, b := range rec.Addrs {
		if a, err := ma.NewMultiaddrBytes(b); err == nil {
			h.Addrs = append(h.Addrs, a)
		}
	}
	return h, err
}

// heir is a standby of this publisher.
type heir struct {
	peer    peer.ID
	release chan struct{} // closed: it is to go on
}

// lease returns the publisher's word about its lease; false: it holds none.
func (p *Publication) lease() (leaseWord, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.builder == nil || p.err != nil {
		return leaseWord{}, false
	}
	return leaseWord{state: leaseLocked, epoch: p.epoch, wait: failover.LeaseSilence, raw: p.session.rawRecord()}, true
}

// serveHeir renews the lease for a standby, until it leaves or takes over.
func (p *Publication) serveHeir(st network.Stream) {
	h := &heir{peer: st.Conn().RemotePeer(), release: make(chan struct{})}
	if !p.addHeir(h) {
		_ = st.Close()
		return
	}
	defer p.removeHeir(h)
	_ = st.SetDeadline(time.Time{})
	left := make(chan struct{})
	go func() { // a standby says nothing more
		defer close(left)
		_, _ = io.Copy(io.Discard, io.LimitReader(st, 1))
	}()
	tick := time.NewTicker(failover.LeaseRenew)
	defer tick.Stop()
	for {
		word, ok := p.lease()
		select {
		case <-tick.C:
		case <-h.release:
			word.state, ok = leaseReleased, true
		case <-left:
			_ = st.Reset()
			return
		case <-p.ctx.Done():
			_ = st.Close()
			return
		}
		_ = st.SetWriteDeadline(time.Now().Add(failover.LeaseSilence))
		if !ok {
			word = leaseWord{state: leaseFree}
		}
		word.raw, word.wait = nil, failover.LeaseSilence+time.Duration(p.rank(h))*failover.LeaseSpread
		_, err := st.Write(word.append(nil))
		if err != nil || word.state != leaseLocked {
			_ = st.Close()
			return
		}
	}
}

// rank returns how many standbys are to take over before h.
func (p *Publication) rank(h *heir) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, slices.Index(p.heirs, h))
}

func (p *Publication) addHeir(h *heir) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.heirs) >= maxHeirs || p.err != nil {
		return false
	}
	p.heirs = append(p.heirs, h)
	p.node.host.Protect(h.peer, "lease")
	p.nameHeir()
	p.log.Info("a standby publisher follows", "peer", h.peer)
	p.session.emit(TraceEvent{Event: eventHeir, Peer: h.peer.String(), Epoch: p.epoch})
	return true
}

func (p *Publication) removeHeir(h *heir) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heirs = slices.DeleteFunc(p.heirs, func(o *heir) bool { return o == h })
	p.node.host.Unprotect(h.peer, "lease")
	p.session.emit(TraceEvent{Event: eventHeirGone, Peer: h.peer.String(), Epoch: p.epoch})
	if !p.leaving { // else the children are on their way to it
		p.nameHeir()
	}
}

// nameHeir tells the core who is to go on after this publisher; p.mu is held.
func (p *Publication) nameHeir() {
	ev := overlay.Event{Kind: overlay.EvHeir}
	if len(p.heirs) > 0 {
		ev.Peer = p.session.book.add(p.heirs[0].peer)
	}
	s := p.session
	go s.post(item{ev: ev})
}

// standing reports how this publisher stands, and who stands by for it.
func (p *Publication) standing() (standing string, heirs []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range p.heirs {
		heirs = append(heirs, h.peer.String())
	}
	var fenced *FencedError
	switch {
	case errors.As(p.err, &fenced):
		return StandingFenced, heirs
	case p.err != nil:
		return StandingEnded, heirs
	case p.builder == nil:
		return StandingStandby, heirs
	}
	return StandingActive, heirs
}

// handOver lets a standby go on, and waits until it does; without one it does nothing.
func (p *Publication) handOver(ctx context.Context) {
	p.mu.Lock()
	var h *heir
	if len(p.heirs) > 0 && p.builder != nil && p.err == nil && !p.leaving {
		h = p.heirs[0]
		close(h.release)
	}
	p.leaving = true
	p.mu.Unlock()
	if h == nil {
		return
	}
	p.log.Info("the standby publisher is asked to take over", "peer", h.peer)
	p.session.emit(TraceEvent{Event: eventRelease, Peer: h.peer.String(), Epoch: p.epoch})
	select {
	case <-p.fenced:
	case <-time.After(handOverTime):
		p.log.Warn("the standby publisher did not take over", "peer", h.peer, "within", handOverTime)
	case <-ctx.Done():
	}
}

// findHolder looks for who publishes the stream. h is the publisher of the highest
// epoch that it heard of, which may be gone; held says that it is there.
func (n *Node) findHolder(ctx context.Context, link stream.Link, cfg *PublishConfig) (h holder, held *LockedError) {
	id, topic := link.ID, p2p.Topic{ID: link.ID, Private: link.Private}
	ask := newQuestion(topic, cfg.Key, false)
	wait := knownWait
	if cfg.Standby {
		wait = standbyWait
	}
	look, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if len(n.cfg.DHT.Bootstrap) > 0 {
		_ = n.dht.WaitReady(look)
	}
	better := func(rec stream.Record) bool {
		next, err := holderOf(rec)
		if err == nil && next.epoch > h.epoch {
			h, held = next, n.asksHolder(ctx, next, ask) // with a time of its own: the look may have used all of its
		}
		return held != nil
	}
	if rec, _, err := n.rdv.RecordOf(look, topic); err == nil && better(rec) || !cfg.Standby {
		return h, held
	}
	around, stop := context.WithTimeout(look, aroundWait)
	defer stop()
	search := n.finder.FindTopic(around, topic, nil)
	defer search.Stop()
	for c := range search.C() {
		if search.Connect(around, c) != nil {
			continue
		}
		w, _, _, err := askLease(ctx, n.host, c.AddrInfo, ask)
		if err != nil {
			search.Failed(c.ID, err)
			continue
		}
		if rec, err := stream.ParseRecord(w.raw); err == nil && rec.ID() == id && better(rec) {
			break
		}
	}
	return h, held
}

// asksHolder asks h whether it publishes; nil: it does not, or does not answer.
func (n *Node) asksHolder(ctx context.Context, h holder, ask question) *LockedError {
	from := n.host
	if h.ID == n.host.ID() {
		// The same key, so the same peer id: an earlier term of this peer, or
		// another machine with its key. Whom one cannot dial as oneself is asked
		// under another name.
		if !n.elsewhere(h.Addrs) {
			return nil
		}
		_, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			return nil
		}
		if from, err = p2p.NewHost(p2p.HostConfig{Key: key}); err != nil {
			return nil
		}
		defer func() { _ = from.Close() }()
	}
	w, _, _, err := askLease(ctx, from, h.AddrInfo, ask)
	if err != nil || w.state != leaseLocked {
		return nil
	}
	return &LockedError{Holder: h.ID, Epoch: w.epoch, Expires: w.wait}
}

// elsewhere says whether addrs has an address that is not this host's.
func (n *Node) elsewhere(addrs []ma.Multiaddr) bool {
	return slices.ContainsFunc(addrs, func(a ma.Multiaddr) bool { return !ma.Contains(n.host.Addrs(), a) })
}

// leaseWatch is a failover.Lease for several goroutines.
type leaseWatch struct {
	mu    sync.Mutex
	began time.Time
	lease failover.Lease
	last  time.Time // when an object came
	endOf uint64    // the epoch in which the publisher ended the stream; 0: it did not
}

func newLeaseWatch() *leaseWatch { return &leaseWatch{began: time.Now(), lease: failover.NewLease(0)} }

func (l *leaseWatch) renew(wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lease.Renew(time.Since(l.began), min(wait, maxHeirs*failover.LeaseSpread+failover.LeaseSilence))
}

func (l *leaseWatch) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lease.Release()
}

// over reports whether it is the standby's turn, and whether the stream has ended.
func (l *leaseWatch) over() (turn, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lease.Check(time.Since(l.began)), l.endOf != 0
}

// seen returns when the last object came; zero: none has.
func (l *leaseWatch) seen() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// Started implements Observer.
func (l *leaseWatch) Started(time.Duration, uint64, uint64) {}

// Traced implements Observer.
func (l *leaseWatch) Traced(time.Duration, overlay.Trace, *overlay.Action) {}

// Delivered implements Observer: by whatever path an object comes, somebody publishes.
func (l *leaseWatch) Delivered(_ time.Duration, o *stream.Parsed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = time.Now()
	l.lease.Alive(time.Since(l.began))
	switch {
	case o.Flags == stream.FlagEnd:
		l.endOf = o.Epoch
	case o.Epoch > l.endOf: // of the same epoch, others may come after it
		l.endOf = 0
	}
}

// follow keeps a lease stream to the publisher open and notes what it brings,
// until ctx ends. It returns a record of a higher epoch when it hears of one.
func (p *Publication) follow(ctx context.Context, h holder, lease *leaseWatch) (next stream.Record) {
	pause := failover.Backoff{Base: 50 * time.Millisecond, Cap: 300 * time.Millisecond}
	for ctx.Err() == nil {
		w, st, r, err := askLease(ctx, p.node.host, h.AddrInfo, newQuestion(p.session.topic(), p.cfg.Key, true))
		if err == nil {
			stop := context.AfterFunc(ctx, func() { _ = st.Reset() })
			for err == nil {
				switch w.state {
				case leaseLocked:
					lease.renew(w.wait)
					pause.Reset()
				case leaseReleased:
					lease.release()
					stop()
					_ = st.Close()
					return next
				case leaseFree:
					if rec, e := stream.ParseRecord(w.raw); e == nil && rec.ID() == p.link.ID && rec.Epoch > h.epoch {
						_ = st.Close()
						stop()
						return rec
					}
				}
				w, err = readLeaseWord(r)
			}
			stop()
			_ = st.Reset()
		}
		select {
		case <-time.After(pause.Next(p.rng)):
		case <-ctx.Done():
		}
	}
	return next
}

// tellOld brings the new publisher's record to the old one, which may wake up, or
// be cut off, and believe that it still holds the lease.
func (p *Publication) tellOld(ctx context.Context, old holder) {
	s := p.session
	for end := time.Now().Add(recordLife); time.Now().Before(end); {
		pause := tellEvery
		s.node.host.Peerstore().AddAddrs(old.ID, old.Addrs, recordLife)
		if l, raw, err := s.dial(ctx, old.ID); err == nil {
			s.attach(l)
			s.tellRecord(l, raw)
			pause = 10 * tellEvery // it may not have read it
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return
		}
	}
}
