package stack

// This file answers: how does go-libp2p-pubsub's gossipsub, as it comes, carry
// the same stream? The baseline that many would take first.

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"google.golang.org/protobuf/proto"

	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/sim"
	"github.com/braidway/braidway/stream"
)

const (
	gossipTopic = "stack"
	// contacts is how many living hosts a newcomer is told of and connects
	// with; gossipsub wants 6 in its mesh, at most 12. It has no discovery of
	// its own: here it is perfect.
	contacts = 10
	// inbox bounds the messages that wait for a subscriber: 6 s of the stream.
	// With pubsub's 32, it would drop what comes in a burst.
	inbox = 512
)

// gossip runs gossipsub with its defaults: one topic, one message for each
// object, verified by everybody before it goes on, as Braidway does.
type gossip struct {
	set    *sim.Settings
	seed   uint64
	wire   *wire
	link   stream.Link
	cancel context.CancelFunc
	writer sync.WaitGroup
	source gossipSource

	mu   sync.Mutex
	rng  *rand.Rand
	here map[int]peer.AddrInfo
	home *gossipHost
}

// gossipHost is a host in the topic.
type gossipHost struct {
	host   *p2p.Host
	topic  *pubsub.Topic
	cancel context.CancelFunc
	meter  *meter
}

// start brings host i into the topic.
func (g *gossip) start(i int) (*gossipHost, error) {
	h, err := p2p.NewHost(hostConfig(g.wire, g.seed, i))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	gh := &gossipHost{host: h, cancel: cancel, meter: &meter{stream: g.link.ID, mesh: make(map[peer.ID]overlay.PeerID)}}
	fail := func(err error) (*gossipHost, error) {
		gh.close()
		return nil, fmt.Errorf("gossipsub: %w", err)
	}
	ps, err := pubsub.NewGossipSub(ctx, h, pubsub.WithRawTracer(gh.meter), pubsub.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return fail(err)
	}
	verifier, err := stream.NewVerifier(keyOf(g.seed, 0).Public().(ed25519.PublicKey), g.link.ID)
	if err != nil {
		return fail(err)
	}
	err = ps.RegisterTopicValidator(gossipTopic, func(_ context.Context, _ peer.ID, m *pubsub.Message) bool {
		o, err := stream.ParseObject(m.Data)
		if err != nil || verifier.Verify(&o) != nil {
			return false
		}
		m.ValidatorData = &o
		return true
	})
	if err != nil {
		return fail(err)
	}
	if gh.topic, err = ps.Join(gossipTopic); err != nil {
		return fail(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.here[i] = h.AddrInfo()
	return gh, nil
}

func (h *gossipHost) close() {
	h.cancel()
	_ = h.host.Close()
}

func (g *gossip) publish() (err error) {
	g.here, g.rng = make(map[int]peer.AddrInfo), rand.New(rand.NewPCG(g.seed, 21))
	key := keyOf(g.seed, 0)
	if g.link, err = stream.NewLink(key.Public().(ed25519.PublicKey), "stack", nil); err != nil {
		return err
	}
	if g.home, err = g.start(0); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	g.source.topic = g.home.topic
	g.source.builder, err = stream.NewBuilder(stream.BuilderConfig{Key: key, ID: g.link.ID, Epoch: 1, Stripes: g.set.Stripes})
	if err != nil {
		return err
	}
	g.writer.Go(func() { write(ctx, g.set, &g.source) })
	return nil
}

// gossipSource publishes what is written at once.
type gossipSource struct {
	topic   *pubsub.Topic
	mu      sync.Mutex
	builder *stream.Builder
}

// StartGroup implements sink.
func (s *gossipSource) StartGroup(preamble []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.builder.StartGroup(preamble)
}

// Write implements sink.
func (s *gossipSource) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.builder.Write(b)
	if err != nil {
		return n, err
	}
	objects, err := s.builder.Flush(time.Now().UnixMicro())
	for i := range objects {
		if err := s.topic.Publish(context.Background(), objects[i].Wire); err != nil {
			return n, err
		}
	}
	return n, err
}

func (g *gossip) made() uint64 {
	g.source.mu.Lock()
	defer g.source.mu.Unlock()
	return g.source.builder.Next()
}

// known draws hosts for a newcomer, in an order that the seed decides.
func (g *gossip) known(i int) []peer.AddrInfo {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []peer.AddrInfo
	for k := range i {
		if ai, ok := g.here[k]; ok {
			all = append(all, ai)
		}
	}
	g.rng.Shuffle(len(all), func(a, b int) { all[a], all[b] = all[b], all[a] })
	return all[:min(len(all), contacts)]
}

func (g *gossip) forget(i int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.here, i)
}

// join starts a viewer.
func (g *gossip) join(i int, _ Line) (viewer, error) {
	v := newListener(g.set.Buffer)
	h, err := g.start(i)
	if err != nil {
		return nil, err
	}
	v.host, v.self, v.forget = h, node.ShortID(h.host.ID(), g.link.ID), func() { g.forget(i) }
	ctx, cancel := context.WithCancel(context.Background())
	v.cancel = cancel
	sub, err := h.topic.Subscribe(pubsub.WithBufferSize(inbox))
	if err != nil {
		v.close()
		return nil, fmt.Errorf("gossipsub: %w", err)
	}
	for _, ai := range g.known(i) {
		v.jobs.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			_ = h.host.Connect(ctx, ai)
		})
	}
	v.jobs.Go(func() {
		for {
			m, err := sub.Next(ctx)
			if err != nil {
				return
			}
			if o, ok := m.ValidatorData.(*stream.Parsed); ok {
				v.object(o)
			}
		}
	})
	v.jobs.Go(func() { v.play(ctx) })
	return v, nil
}

func (g *gossip) close() {
	if g.cancel != nil {
		g.cancel()
	}
	g.writer.Wait()
	if g.home != nil {
		g.home.close()
	}
}

// meter counts what a host receives, and knows its mesh.
type meter struct {
	stream stream.ID

	mu       sync.Mutex
	received int64 // bytes of RPCs
	messages int64 // of these, the objects', repeated ones too
	mesh     map[peer.ID]overlay.PeerID
}

var _ pubsub.RawTracer = (*meter)(nil)

// RecvRPC implements pubsub.RawTracer.
func (m *meter) RecvRPC(rpc *pubsub.RPC) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.received += int64(proto.Size(&rpc.RPC))
	for _, msg := range rpc.GetPublish() {
		m.messages += int64(len(msg.GetData()))
	}
}

// Graft implements pubsub.RawTracer.
func (m *meter) Graft(p peer.ID, _ string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mesh[p] = node.ShortID(p, m.stream)
}

// Prune implements pubsub.RawTracer.
func (m *meter) Prune(p peer.ID, _ string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.mesh, p)
}

// OnClosedOutboundStream implements pubsub.RawTracer.
func (m *meter) OnClosedOutboundStream(p peer.ID) { m.Prune(p, "") }

// The rest of pubsub.RawTracer is of no interest.

// OnNewOutboundStream implements pubsub.RawTracer.
func (*meter) OnNewOutboundStream(peer.ID, protocol.ID) {}

// Join implements pubsub.RawTracer.
func (*meter) Join(string) {}

// Leave implements pubsub.RawTracer.
func (*meter) Leave(string) {}

// ValidateMessage implements pubsub.RawTracer.
func (*meter) ValidateMessage(*pubsub.Message) {}

// DeliverMessage implements pubsub.RawTracer.
func (*meter) DeliverMessage(*pubsub.Message) {}

// RejectMessage implements pubsub.RawTracer.
func (*meter) RejectMessage(*pubsub.Message, string) {}

// DuplicateMessage implements pubsub.RawTracer.
func (*meter) DuplicateMessage(*pubsub.Message) {}

// ThrottlePeer implements pubsub.RawTracer.
func (*meter) ThrottlePeer(peer.ID) {}

// SendRPC implements pubsub.RawTracer.
func (*meter) SendRPC(*pubsub.RPC, peer.ID) {}

// SendRPCCompleted implements pubsub.RawTracer.
func (*meter) SendRPCCompleted(*pubsub.RPC, peer.ID, time.Duration) {}

// DropRPC implements pubsub.RawTracer.
func (*meter) DropRPC(*pubsub.RPC, peer.ID) {}

// UndeliverableMessage implements pubsub.RawTracer.
func (*meter) UndeliverableMessage(*pubsub.Message) {}
