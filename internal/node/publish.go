package node

// This file answers: how does a publisher's stream come into the network?

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/stream"
)

const (
	// recordLife and recordRenew: a record of a dead publisher is gone soon,
	// and a living one's survives two failed renewals.
	recordLife  = 10 * time.Minute
	recordRenew = 2 * time.Minute
	// knownWait bounds the look for an earlier term's record.
	knownWait = time.Second
	// maxRecordAddrs of the publisher in record and link.
	maxRecordAddrs = 8
)

// PublishConfig says what is published. The publisher's key is the host's.
type PublishConfig struct {
	Name        string // see stream.CheckName
	Stripes     int    // k; 0 means 4
	ContentType string
	Bitrate     uint64 // bit/s; 0: not known
	Align       int    // pieces are multiples of it: 188 for MPEG-TS
	Observer    Observer
}

// Publication is a stream that this node publishes. StartGroup and Write take
// its bytes; they go out within stream.FlushInterval.
type Publication struct {
	*Session
	link stream.Link
	cfg  PublishConfig

	mu       sync.Mutex
	builder  *stream.Builder
	epoch    uint64
	sequence uint64
	ended    bool
}

// Publish begins a stream under a higher epoch than any known one.
func (n *Node) Publish(ctx context.Context, cfg PublishConfig) (*Publication, error) {
	if cfg.Stripes == 0 {
		cfg.Stripes = 4
	}
	key := n.host.Key()
	link, err := stream.NewLink(pubOf(key), cfg.Name, nil)
	if err != nil {
		return nil, err
	}
	s, err := n.newSession(link.ID, SessionConfig{Role: RolePublisher, Observer: cfg.Observer})
	if err != nil {
		return nil, err
	}
	p := &Publication{Session: s, link: link, cfg: cfg, epoch: uint64(time.Now().UnixMilli())}
	if n.dht.Size() > 0 {
		lookCtx, cancel := context.WithTimeout(ctx, knownWait)
		if rec, _, err := n.rdv.Record(lookCtx, link.ID); err == nil && rec.Epoch >= p.epoch && rec.Epoch < stream.MaxEpoch {
			p.epoch = rec.Epoch + 1
		}
		cancel()
	}
	p.builder, err = stream.NewBuilder(stream.BuilderConfig{Key: key, ID: link.ID, Epoch: p.epoch, Stripes: cfg.Stripes, Align: cfg.Align})
	if err == nil {
		err = p.renew()
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	s.wg.Add(2)
	go p.flushLoop()
	go p.renewLoop()
	return p, nil
}

// Epoch returns the publisher's term.
func (p *Publication) Epoch() uint64 { return p.epoch }

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
	rec := stream.Record{Name: p.cfg.Name, Epoch: p.epoch, Sequence: p.sequence, K: uint8(p.cfg.Stripes),
		ContentType: p.cfg.ContentType, Bitrate: p.cfg.Bitrate, Access: stream.AccessOpen,
		PublisherID: []byte(p.node.host.ID()), Issued: now, Expires: now + int64(recordLife/time.Second)}
	for _, a := range p.node.host.AddrInfo().Addrs {
		if len(rec.Addrs) < maxRecordAddrs && len(a.Bytes()) <= stream.MaxAddr {
			rec.Addrs = append(rec.Addrs, a.Bytes())
		}
	}
	p.sequence++
	raw, err := stream.SignRecord(p.node.host.Key(), rec)
	if err != nil {
		return fmt.Errorf("stream record: %w", err)
	}
	return p.learnRecord(raw)
}

// renewLoop keeps the record in the DHT.
func (p *Publication) renewLoop() {
	defer p.wg.Done()
	p.announce()
	for {
		ctx, cancel := context.WithCancel(p.ctx)
		if err := p.node.rdv.Publish(ctx, p.rawRecord()); err != nil && p.ctx.Err() == nil {
			p.log.Warn("cannot publish the stream record", "err", err)
		}
		select {
		case <-time.After(recordRenew):
			cancel()
		case <-p.ctx.Done():
			cancel()
			return
		}
		if err := p.renew(); err != nil {
			p.log.Warn("cannot renew the stream record", "err", err)
		}
	}
}

// StartGroup begins a group: a decoder can start with what is written next,
// after preamble, which is played only there.
func (p *Publication) StartGroup(preamble []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.builder.StartGroup(preamble)
}

// Write adds bytes to the stream.
func (p *Publication) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.builder.Write(b)
}

// End ends the stream: viewers play what there is, then stop.
func (p *Publication) End() {
	p.mu.Lock()
	p.ended = true
	p.builder.End()
	p.mu.Unlock()
	p.flush()
}

// flush signs what was written and hands it to the core.
func (p *Publication) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		objects, err := p.builder.Flush(time.Now().UnixMicro())
		if err != nil {
			if !errors.Is(err, stream.ErrEnded) {
				p.log.Error("cannot cut the stream", "err", err)
			}
			return
		}
		for i := range objects {
			o := &objects[i]
			p.post(item{obj: o, ev: overlay.Event{Kind: overlay.EvObject, Peer: p.self, Stripe: uint8(o.Stripe(p.cfg.Stripes)), Flags: o.Flags,
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
			p.flush()
		case <-p.ctx.Done():
			return
		}
	}
}
