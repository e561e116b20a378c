package node

// This file answers: how does a publisher's stream come into the network?

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/stream"
)

// maxRecordAddrs of the publisher in record and link.
const maxRecordAddrs = 8

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
	// Input says how what feeds the publication stands; nil: it is not known. It is
	// called by the admin API.
	Input func() InputState
	// Private encrypts the stream and lets those in who have a token; nil:
	// everyone may watch.
	Private *PrivateConfig
}

// Publication is a stream that this node publishes, or stands by to publish.
// StartGroup and Write take its bytes at all times; an active publisher's go out
// within stream.FlushInterval.
type Publication struct {
	node   *Node
	cfg    PublishConfig
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
	skip     bool // what comes before the next group is the rest of one that was not begun
	epoch    uint64
	sequence uint64
	heirs    []*heir
	leaving  bool
	issuer   *issuer       // nil: everyone may watch
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
	if cfg.Private != nil {
		c := *cfg.Private
		if err := c.check(); err != nil {
			return nil, err
		}
		cfg.Private = &c
		secrets, err := stream.NewPrivate(cfg.Key, link.ID)
		if err != nil {
			return nil, err
		}
		link.Private = &secrets
	}
	p := &Publication{node: n, cfg: cfg, link: link, log: n.log.With("stream", link.ID.String()[:8]),
		rng: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), higher: make(chan stream.Record, 1), done: make(chan struct{})}
	if cfg.Private != nil {
		p.issuer = &issuer{cfg: *cfg.Private}
		if _, err := p.issuer.readLedger(link.ID, time.Now()); err != nil {
			return nil, err
		}
	}
	h, held := n.findHolder(ctx, link, &cfg)
	if held != nil && !cfg.Standby {
		n.emit(TraceEvent{Event: eventLocked, Stream: link.ID.String(), Peer: held.Holder.String(), Epoch: held.Epoch, WaitMS: milliseconds(held.Expires)})
		return nil, held
	}
	p.ctx, p.cancel = context.WithCancel(n.ctx)
	if err := p.open(); err != nil {
		p.cancel()
		return nil, err
	}
	if held == nil && (!cfg.Standby || h.epoch == 0) { // else another standby may have the place of h: it listens
		err = p.lead(h.epoch)
	}
	if err != nil {
		p.cancel()
		p.session.Close()
		return nil, err
	}
	if p.issuer != nil {
		p.wg.Add(1)
		go p.keepPrivate()
	}
	p.wg.Add(2)
	go p.flushLoop()
	go p.govern(h)
	return p, nil
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

// StartGroup begins a group: a decoder can start with what is written next,
// after preamble, which is played only there.
func (p *Publication) StartGroup(preamble []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.err != nil:
		return p.err
	case p.builder == nil:
		p.kept.startGroup(time.Now(), p.seen(), preamble)
		return nil
	}
	p.skip = false
	return p.builder.StartGroup(preamble)
}

// seen returns when the last object of the other publisher came; p.mu is held.
func (p *Publication) seen() time.Time { return p.session.cfg.Observer.(*leaseWatch).seen() }

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
	case p.skip:
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
