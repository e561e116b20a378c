package stack

// This file answers: how does a live peer, as users run it, take part in a run?

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/braidway/braidway/failover"
	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/measure"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/sim"
	"github.com/braidway/braidway/stream"
)

// serverEvery is how many viewers there are for each that serves the DHT beside
// the bootstrap node. The cost of a run is its connections, and everybody
// connects with nearly all servers of a small DHT.
const serverEvery = 64

// braidway runs live peers.
type braidway struct {
	set  *sim.Settings
	seed uint64
	wire *wire

	boot, home *node.Node
	pub        *node.Publication
	writer     sync.WaitGroup
	cancel     context.CancelFunc
}

// keyOf makes host i's identity, and with it its home stripe, part of the seed.
func keyOf(seed uint64, i int) ed25519.PrivateKey {
	b := binary.BigEndian.AppendUint64([]byte("braidway stack"), seed)
	h := sha256.Sum256(binary.BigEndian.AppendUint64(b, uint64(i)))
	return ed25519.NewKeyFromSeed(h[:])
}

// hostConfig puts host i on the wire.
func hostConfig(w *wire, seed uint64, i int) p2p.HostConfig {
	return p2p.HostConfig{Key: keyOf(seed, i), Version: "stack",
		Listen:       []string{fmt.Sprintf("/ip4/%s/udp/4001/quic-v1", addrOf(i))},
		ListenPacket: func(_ string, laddr *net.UDPAddr) (net.PacketConn, error) { return w.open(i, laddr), nil }}
}

func (b *braidway) node(i int, slots int) (*node.Node, error) {
	cfg := node.Config{NoMDNS: true, Window: 10 * time.Second, Host: hostConfig(b.wire, b.seed, i), Log: slog.New(slog.DiscardHandler),
		DHT: p2p.DHTConfig{Mode: p2p.ModeClient, NoRefresh: true}}
	if i == bootIndex || i%serverEvery == 0 {
		cfg.DHT.Mode = p2p.ModeServer
	}
	if slots > 0 {
		cfg.UploadLimit = Upload(b.set, slots)
	}
	if b.boot != nil {
		cfg.DHT.Bootstrap = []peer.AddrInfo{b.boot.Host().AddrInfo()}
	}
	return node.New(cfg)
}

func (b *braidway) publish() (err error) {
	if b.boot, err = b.node(bootIndex, 0); err != nil {
		return err
	}
	if b.home, err = b.node(0, b.wire.lines.Line(0).Slots); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	b.pub, err = b.home.Publish(ctx, node.PublishConfig{Name: "stack", Stripes: b.set.Stripes, Bitrate: uint64(b.set.Bitrate())})
	if err != nil {
		return err
	}
	b.writer.Go(func() { write(ctx, b.set, b.pub) })
	return nil
}

// pace says in which pieces, how often and how large the stream is written so
// that the live publisher, which cuts what it has every FlushInterval, makes
// objects of the size and number that are set.
func pace(set *sim.Settings) (pieces int, every time.Duration, payload int, err error) {
	const smallest = 1024 // below it the publisher does not divide what it cuts
	if payload, err = Payload(set); err != nil {
		return 0, 0, 0, err
	}
	if pieces = (set.Stripes + 1) / 2; payload < smallest {
		pieces = 1
	}
	every = time.Duration(float64(pieces) / set.Objects * float64(time.Second))
	switch rate := float64(pieces) / stream.FlushInterval.Seconds(); {
	case payload < 1 || payload > stream.MaxPayload:
		overhead := set.ObjectSize - payload
		return 0, 0, 0, fmt.Errorf("stack: object-size is %d, the full stack allows %d to %d", set.ObjectSize, overhead+1, stream.MaxPayload+overhead)
	case every < stream.FlushInterval-time.Microsecond:
		return 0, 0, 0, fmt.Errorf("stack: objects is %v; a live publisher of %d stripes makes at most %v of %d bytes in a second", set.Objects, set.Stripes, rate, set.ObjectSize)
	}
	return pieces, every, payload, nil
}

// Upload is the limit, bit/s, at which a live peer has so many slots. The half
// keeps what is measured of the stream from rounding one away.
func Upload(set *sim.Settings, slots int) int64 {
	return int64((float64(slots) + 0.5) / float64(set.Stripes) * set.Bitrate() * failover.StreamOverhead)
}

// Payload is how many bytes of an encoded object of the set size are the
// stream's own; less than one when the size has no room for any.
func Payload(set *sim.Settings) (int, error) {
	overhead, err := objectOverhead(set)
	return set.ObjectSize - overhead, err
}

// objectOverhead is what an encoded object has around its payload, bytes.
func objectOverhead(set *sim.Settings) (int, error) {
	key := keyOf(0, 0)
	link, err := stream.NewLink(key.Public().(ed25519.PublicKey), "stack", nil)
	if err != nil {
		return 0, err
	}
	b, err := stream.NewBuilder(stream.BuilderConfig{Key: key, ID: link.ID, Epoch: 1 << 40, Stripes: set.Stripes})
	if err != nil {
		return 0, err
	}
	pieces := (set.Stripes + 1) / 2
	if _, err := b.Write(make([]byte, pieces*1500)); err != nil {
		return 0, err
	}
	objects, err := b.Flush(1 << 50)
	if err != nil || len(objects) == 0 {
		return 0, errors.Join(err, errors.New("stack: nothing was cut"))
	}
	return len(objects[0].Wire) - len(objects[0].Payload), nil
}

// sink takes a stream, as node.Publication does.
type sink interface {
	StartGroup(preamble []byte) error
	Write([]byte) (int, error)
}

// write makes the stream, until ctx ends. Between two flushes, so that no flush
// ever finds two pieces of time.
func write(ctx context.Context, set *sim.Settings, to sink) {
	pieces, every, payload, err := pace(set)
	if err != nil {
		return // Fits has looked
	}
	buf := make([]byte, pieces*payload)
	group := max(1, int(set.Objects*set.Group.Seconds()/float64(pieces)+0.5))
	start := time.Now().Add(stream.FlushInterval / 2)
	for n := 0; ; n++ {
		select {
		case <-time.After(time.Until(start.Add(time.Duration(n) * every))):
		case <-ctx.Done():
			return
		}
		if n%group == 0 {
			_ = to.StartGroup(nil)
		}
		_, _ = to.Write(buf)
	}
}

func (b *braidway) made() uint64 {
	snap, _ := b.pub.Session().Snapshot()
	return snap.Edge
}

func (b *braidway) close() {
	if b.cancel != nil {
		b.cancel()
	}
	b.writer.Wait()
	for _, n := range []*node.Node{b.home, b.boot} {
		if n != nil {
			_ = n.Close()
		}
	}
}

// liveViewer is a node with a player. It is the session's observer, to hear
// what the player does not ask for.
type liveViewer struct {
	*node.Player
	began   time.Time
	node    *node.Node
	session *node.Session
	cancel  context.CancelFunc
	playing sync.WaitGroup
	closing sync.Once

	mu    sync.Mutex
	parts []parting
}

// join starts a viewer who knows the stream's link, as the publisher gives it out.
func (b *braidway) join(i int, line Line) (viewer, error) {
	n, err := b.node(i, line.Slots)
	if err != nil {
		return nil, err
	}
	v := &liveViewer{Player: node.NewPlayer(nil, b.set.Buffer), node: n, began: time.Now()}
	v.session, err = n.Join(b.pub.Link(), node.SessionConfig{Role: node.RoleViewer, NoRelay: line.Slots == 0, Buffer: b.set.Buffer, Observer: v})
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	v.Attach(v.session)
	ctx, cancel := context.WithCancel(context.Background())
	v.cancel = cancel
	v.playing.Go(func() { _ = v.Run(ctx, v.session) })
	return v, nil
}

// Traced implements node.Observer.
func (v *liveViewer) Traced(now time.Duration, t overlay.Trace, a *overlay.Action) {
	v.Player.Traced(now, t, a)
	if t == overlay.TraceGone {
		v.mu.Lock()
		v.parts = append(v.parts, parting{time.Now(), a.Peer, int(a.Stripe)})
		v.mu.Unlock()
	}
}

func (v *liveViewer) gaveUp() []parting {
	v.mu.Lock()
	defer v.mu.Unlock()
	p := v.parts
	v.parts = nil
	return p
}

func (v *liveViewer) id() overlay.PeerID     { return v.session.Self() }
func (v *liveViewer) restart()               { v.Restart() }
func (v *liveViewer) report() measure.Report { return v.Report() }
func (v *liveViewer) stalls() uint64         { return v.Stats().Stalls }
func (v *liveViewer) position() uint64       { return v.Stats().Position }

func (v *liveViewer) gap(from, to time.Duration) time.Duration { return v.GapBetween(from, to, true) }

func (v *liveViewer) look() (place, bool) {
	snap, ok := v.session.Snapshot()
	if !ok {
		return place{}, false
	}
	p := place{paths: make(map[int][]overlay.PeerID), children: snap.Used}
	for _, s := range snap.Stripes {
		if s.Parent != 0 {
			p.paths[s.Stripe] = s.Path
			p.depths = append(p.depths, len(s.Path)-1)
		}
		if len(s.Children) > 0 {
			p.interior++
		}
		if s.Lacking {
			p.lacking++
		}
	}
	return p, true
}

func (v *liveViewer) drain(ctx context.Context) { v.node.Drain(ctx, 5*time.Second) }

func (v *liveViewer) close() {
	v.closing.Do(func() {
		v.cancel()
		v.playing.Wait()
		_ = v.node.Close()
	})
}
