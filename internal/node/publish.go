package node

// This file answers: how does a publisher's stream come into the network, and
// how does one publisher follow another?

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
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
	// maxRecordAddrs of the publisher in record and link.
	maxRecordAddrs = 8
)

// PublishConfig says what is published.
type PublishConfig struct {
	Name        string // see stream.CheckName
	Stripes     int    // k; 0 means 4
	ContentType string
	Bitrate     uint64 // bit/s; 0: not known
	Align       int    // pieces are multiples of it: 188 for MPEG-TS
	// Key is the stream's; nil: the host's.
	Key ed25519.PrivateKey
	// Standby follows another publisher of the stream, where there is one, and
	// takes over when that is gone. Without it, another publisher is a *LockedError.
	Standby bool
}

// Publication is a stream that this node publishes, or stands by to publish.
// StartGroup and Write take its bytes at all times; an active publisher's go out
// within stream.FlushInterval.
type Publication struct {
	node   *Node
	cfg    PublishConfig
	key    ed25519.PrivateKey
	link   stream.Link
	log    *slog.Logger
	rng    *rand.Rand // govern's
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	higher chan stream.Record // of another publisher; the latest
	done   chan struct{}      // closed when err is set

	mu       sync.Mutex
	session  *Session
	builder  *stream.Builder // nil: it stands by
	kept     backlog
	epoch    uint64
	sequence uint64
	heirs    []*heir
	leaving  bool
	fenced   chan struct{} // closed when another publisher has ended this term
	err      error
}

// Publish begins a stream under a higher epoch than any known one, or stands by
// for who publishes it now.
func (n *Node) Publish(ctx context.Context, cfg PublishConfig) (*Publication, error) {
	if cfg.Stripes == 0 {
		cfg.Stripes = 4
	}
	if cfg.Key == nil {
		cfg.Key = n.host.Key()
	}
	link, err := stream.NewLink(pubOf(cfg.Key), cfg.Name, nil)
	if err != nil {
		return nil, err
	}
	p := &Publication{node: n, cfg: cfg, key: cfg.Key, link: link, log: n.log.With("stream", link.ID.String()[:8]),
		rng: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), higher: make(chan stream.Record, 1), done: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(n.ctx)
	h, held := n.findHolder(ctx, link.ID, &cfg)
	if held != nil && !cfg.Standby {
		n.emit(TraceEvent{Event: eventLocked, Stream: link.ID.String(), Peer: held.Holder.String(), Epoch: held.Epoch, WaitMS: milliseconds(held.Expires)})
		return nil, held
	}
	if err := p.open(); err != nil {
		return nil, err
	}
	if held == nil && (!cfg.Standby || h.epoch == 0) { // else another standby may have the place of h: it listens
		err = p.lead(h.epoch)
	}
	if err != nil {
		p.session.Close()
		return nil, err
	}
	p.wg.Add(2)
	go p.flushLoop()
	go p.govern(h)
	return p, nil
}

// open makes a session that stands by; lead makes it publish.
func (p *Publication) open() error {
	watch := newLeaseWatch()
	s, err := p.node.newSession(p.link.ID, SessionConfig{Role: RoleRelay, Standby: true, Observer: watch, Superseded: p.superseded})
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
	builder, err := stream.NewBuilder(stream.BuilderConfig{Key: p.key, ID: p.link.ID, Epoch: epoch, Stripes: p.cfg.Stripes, Align: p.cfg.Align})
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
	if p.kept.usable(time.Now()) {
		_ = builder.StartGroup(p.kept.preamble) // an empty builder takes what a backlog holds
		for _, k := range p.kept.pieces {
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
		if err := p.node.rdv.Publish(ctx, p.session.rawRecord()); err != nil && p.ctx.Err() == nil {
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

// lookAround looks in the DHT whether another publisher's term has begun, of which
// no neighbour has told.
func (p *Publication) lookAround() {
	ctx, cancel := context.WithTimeout(p.ctx, knownWait)
	defer cancel()
	if rec, _, err := p.node.rdv.Record(ctx, p.link.ID); err == nil {
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
	watch.renew(0)
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

// Session returns the stream's session at this node; another one after the
// publisher has stepped back.
func (p *Publication) Session() *Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.session
}

// Active reports whether this publisher's objects go out; else it stands by.
func (p *Publication) Active() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.builder != nil
}

// ID returns the stream's id.
func (p *Publication) ID() stream.ID { return p.link.ID }

// Epoch returns the publisher's term; 0 if it never had one.
func (p *Publication) Epoch() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.epoch
}

// Done is closed when the publication has ended by itself; Err says why.
func (p *Publication) Done() <-chan struct{} { return p.done }

// Err returns why the publication ended: a *FencedError, ErrEnded when the
// publisher for which it stood by has ended the stream, or nil.
func (p *Publication) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Close ends the publication at once, and says no end of the stream.
func (p *Publication) Close() {
	p.cancel()
	p.wg.Wait()
	p.Session().Close()
}

// Link returns the share link with the host's present addresses.
func (p *Publication) Link() stream.Link {
	l := p.link
	for _, a := range p.node.host.P2PAddrs() {
		if len(l.Addrs) < maxRecordAddrs {
			l.Addrs = append(l.Addrs, a.String())
		}
	}
	return l
}

// renew signs the record anew.
func (p *Publication) renew() error {
	now := time.Now().Unix()
	p.mu.Lock()
	rec := stream.Record{Name: p.cfg.Name, Epoch: p.epoch, Sequence: p.sequence, K: uint8(p.cfg.Stripes),
		ContentType: p.cfg.ContentType, Bitrate: p.cfg.Bitrate, Access: stream.AccessOpen,
		PublisherID: []byte(p.node.host.ID()), Issued: now, Expires: now + int64(recordLife/time.Second)}
	p.sequence++
	p.mu.Unlock()
	for _, a := range p.node.host.AddrInfo().Addrs {
		if len(rec.Addrs) < maxRecordAddrs && len(a.Bytes()) <= stream.MaxAddr {
			rec.Addrs = append(rec.Addrs, a.Bytes())
		}
	}
	raw, err := stream.SignRecord(p.key, rec)
	if err != nil {
		return fmt.Errorf("stream record: %w", err)
	}
	return p.session.learnRecord(raw)
}

// StartGroup begins a group: a decoder can start with what is written next,
// after preamble, which is played only there.
func (p *Publication) StartGroup(preamble []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.err != nil:
		return p.err
	case p.builder == nil:
		p.kept.startGroup(time.Now(), preamble)
		return nil
	}
	return p.builder.StartGroup(preamble)
}

// Write adds bytes to the stream.
func (p *Publication) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.err != nil:
		return 0, p.err
	case p.builder == nil:
		p.kept.write(time.Now(), b)
		return len(b), nil
	}
	return p.builder.Write(b)
}

// End ends the stream: viewers play what there is, then stop. A standby only ends itself.
func (p *Publication) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.builder != nil {
		p.builder.End()
		p.cut(time.Now())
	}
}

// cut signs what was written and hands it to the core; p.mu is held.
func (p *Publication) cut(now time.Time) {
	for {
		objects, err := p.builder.Flush(now.UnixMicro())
		if err != nil {
			if !errors.Is(err, stream.ErrEnded) {
				p.log.Error("cannot cut the stream", "err", err)
			}
			return
		}
		s := p.session
		for i := range objects {
			o := &objects[i]
			s.post(item{obj: o, ev: overlay.Event{Kind: overlay.EvObject, Peer: s.self, Stripe: uint8(o.Stripe(p.cfg.Stripes)), Flags: o.Flags,
				Size: int32(len(o.Wire)), Epoch: o.Epoch, Seq: o.Seq, Group: o.Group, GroupFirst: o.GroupFirst}})
		}
		if p.builder.Pending() == 0 || len(objects) == 0 {
			return
		}
	}
}

func (p *Publication) flushLoop() {
	defer p.wg.Done()
	t := time.NewTicker(stream.FlushInterval)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			p.mu.Lock()
			if p.builder != nil {
				p.cut(time.Now())
			}
			p.mu.Unlock()
		case <-p.ctx.Done():
			return
		}
	}
}
