package node

// This file answers: how does one publisher's term follow another's?

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/braidway/braidway/failover"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/stream"
)

const (
	// recordLife and recordRenew: a record of a dead publisher is gone soon, and a
	// living one's survives some failed renewals. A new record goes out before the
	// announcement of the old one would renew itself.
	recordLife  = 10 * time.Minute
	recordRenew = 80 * time.Second
	// knownWait bounds the look for an earlier term's record, standbyWait that
	// of a standby for the publisher that it is to follow; aroundWait is the part
	// of it for asking around where the DHT has no record.
	knownWait   = time.Second
	standbyWait = 3 * time.Second
	aroundWait  = 500 * time.Millisecond
)

// open makes a session that stands by; lead makes it publish.
func (p *Publication) open() error {
	watch := newLeaseWatch()
	cfg := SessionConfig{Role: RoleRelay, Standby: true, Observer: watch, Superseded: p.superseded}
	if p.issuer != nil {
		var err error
		if cfg.private, err = p.grant(); err != nil {
			return err
		}
	}
	s, err := p.node.newSession(p.link.ID, cfg)
	if err != nil {
		return err
	}
	s.pub = p
	p.mu.Lock()
	defer p.mu.Unlock()
	p.session, p.fenced = s, make(chan struct{})
	return nil
}

// superseded is told of records of a higher epoch.
func (p *Publication) superseded(rec stream.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if rec.Epoch <= p.epoch { // its own
		return
	}
	select {
	case <-p.higher:
	default:
	}
	p.higher <- rec
}

// lead begins a term of this publisher, under a higher epoch than known.
func (p *Publication) lead(known uint64) error {
	s := p.session
	if snap, ok := s.Snapshot(); ok {
		known = max(known, snap.Epoch)
	}
	if rec, ok := s.Record(); ok {
		known = max(known, rec.Epoch)
		p.cfg.Stripes = int(rec.K)
	}
	epoch := nextEpoch(time.Now(), known, rand.Uint32())
	p.mu.Lock()
	sealer, err := p.beginTerm()
	p.mu.Unlock()
	if err != nil {
		return err
	}
	builder, err := stream.NewBuilder(stream.BuilderConfig{Key: p.cfg.Key, ID: p.link.ID, Epoch: epoch, Stripes: p.cfg.Stripes, Align: p.cfg.Align, Seal: sealer})
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.epoch, p.sequence = epoch, 0
	p.mu.Unlock()
	s.role.Store(uint32(RolePublisher))
	if err := p.renew(); err != nil {
		return err
	}
	s.Do(func() { s.step(overlay.Event{Kind: overlay.EvPublish, Epoch: epoch}) }) // where the session stood by
	p.mu.Lock()
	defer p.mu.Unlock()
	p.builder = builder
	groups := p.kept.from(time.Now(), p.seen())
	p.skip = len(groups) == 0 && p.kept.fed
	for _, g := range groups {
		_ = builder.StartGroup(g.preamble) // an empty builder takes what a backlog holds
		for _, k := range g.pieces {
			_, _ = builder.Write(k.data)
			p.cut(k.at)
		}
	}
	p.kept = backlog{}
	s.announce()
	return nil
}

// govern runs the terms, one after another.
func (p *Publication) govern(h holder) {
	defer p.wg.Done()
	for {
		p.mu.Lock()
		active := p.builder != nil
		p.mu.Unlock()
		var err error
		if active {
			h, err = p.reign()
		} else {
			h, err = p.standBy(h)
		}
		if err != nil {
			p.fail(err)
			return
		}
		if p.ctx.Err() != nil {
			return
		}
	}
}

// fail ends the publication.
func (p *Publication) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
		close(p.done)
	}
}

// reign keeps the record in the DHT until another publisher's term begins, which
// it returns: then this one's is over, and it stands by or ends.
func (p *Publication) reign() (h holder, err error) {
	for {
		ctx, cancel := context.WithCancel(p.ctx)
		if err := p.announce(ctx); err != nil && p.ctx.Err() == nil {
			p.log.Warn("cannot publish the stream record", "err", err)
		}
		select {
		case <-time.After(recordRenew - recordRenew/10 + rand.N(recordRenew/5)):
			cancel()
		case rec := <-p.higher:
			cancel()
			return p.abdicate(rec)
		case <-p.ctx.Done():
			cancel()
			return h, nil
		}
		p.lookAround()
		if err := p.renew(); err != nil {
			p.log.Warn("cannot renew the stream record", "err", err)
		}
	}
}

// announce puts the record into the DHT, sealed where the stream is private.
func (p *Publication) announce(ctx context.Context) error {
	raw := p.session.rawRecord()
	if p.issuer == nil {
		return p.node.rdv.Publish(ctx, raw)
	}
	sealed, err := stream.SealRecord(p.cfg.Key, raw)
	if err != nil {
		return err
	}
	return p.node.rdv.PublishSealed(ctx, sealed)
}

// lookAround looks in the DHT whether another publisher's term has begun, of which
// no neighbour has told.
func (p *Publication) lookAround() {
	ctx, cancel := context.WithTimeout(p.ctx, knownWait)
	defer cancel()
	if rec, _, err := p.node.rdv.RecordOf(ctx, p.session.topic()); err == nil {
		p.superseded(rec)
	}
}

// abdicate ends this publisher's term: it makes no object more, and stands by
// for the new one when it was started to.
func (p *Publication) abdicate(rec stream.Record) (h holder, err error) {
	if h, err = holderOf(rec); err != nil {
		return h, err
	}
	p.mu.Lock()
	p.builder = nil
	leaving := p.leaving
	close(p.fenced)
	p.mu.Unlock()
	p.log.Warn("fenced off: another publisher has begun a higher epoch", "peer", h.ID, "epoch", h.epoch)
	p.session.emit(TraceEvent{Event: eventFenced, Peer: h.ID.String(), Epoch: h.epoch})
	if !p.cfg.Standby || leaving { // it serves those who have not moved until it is closed
		return h, &FencedError{Holder: h.ID, Epoch: h.epoch}
	}
	p.session.Close()
	return h, p.open()
}

// standBy follows the publisher h until it is this one's turn, or another
// publisher has taken over.
func (p *Publication) standBy(h holder) (next holder, err error) {
	p.log.Info("standing by", "publisher", h.ID, "epoch", h.epoch)
	s := p.session
	s.emit(TraceEvent{Event: eventStandby, Peer: h.ID.String(), Epoch: h.epoch})
	watch := s.cfg.Observer.(*leaseWatch)
	watch.renew(standbyWait) // until it is heard of: it takes time to join
	s.wg.Add(1)
	go s.locate([]peer.AddrInfo{h.AddrInfo})
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	var followed sync.WaitGroup
	defer followed.Wait()
	defer cancel()
	followed.Go(func() {
		if rec := p.follow(ctx, h, watch); rec.Epoch > 0 {
			p.superseded(rec)
		}
	})
	tick := time.NewTicker(failover.LeaseRenew / 3)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case rec := <-p.higher:
			if rec.Epoch <= h.epoch || string(rec.PublisherID) == string(p.node.host.ID()) {
				continue
			}
			if h, err = holderOf(rec); err == nil {
				p.log.Info("another standby has taken over", "publisher", h.ID, "epoch", h.epoch)
			}
			return h, err
		case <-p.ctx.Done():
			return h, nil
		}
		turn, ended := watch.over()
		switch {
		case ended:
			return h, ErrEnded
		case turn:
			if err := p.lead(h.epoch); err != nil {
				return h, err
			}
			p.log.Warn("taking over: the publisher is silent, or has released its lease", "publisher", h.ID, "epoch", p.Epoch())
			s.emit(TraceEvent{Event: eventTakeover, Peer: h.ID.String(), Epoch: p.Epoch()})
			s.wg.Go(func() { p.tellOld(s.ctx, h) })
			return h, nil
		}
	}
}

// renew signs the record anew.
func (p *Publication) renew() error {
	now := time.Now().Unix()
	p.mu.Lock()
	rec := stream.Record{Name: p.cfg.Name, Epoch: p.epoch, Sequence: p.sequence, K: uint8(p.cfg.Stripes),
		ContentType: p.cfg.ContentType, Bitrate: p.cfg.Bitrate, Access: stream.AccessOpen,
		PublisherID: []byte(p.node.host.ID()), Issued: now, Expires: now + int64(recordLife/time.Second)}
	p.sequence++
	if p.issuer != nil {
		rec.Access = stream.AccessToken
	}
	p.mu.Unlock()
	for _, a := range p.node.host.AddrInfo().Addrs {
		if len(rec.Addrs) < maxRecordAddrs && len(a.Bytes()) <= stream.MaxAddr {
			rec.Addrs = append(rec.Addrs, a.Bytes())
		}
	}
	raw, err := stream.SignRecord(p.cfg.Key, rec)
	if err != nil {
		return fmt.Errorf("stream record: %w", err)
	}
	return p.session.learnRecord(raw)
}
