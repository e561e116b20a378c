package node

// Real nodes on the loopback interface.

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/stream"
)

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newNode(t *testing.T, key ed25519.PrivateKey, boot ...*Node) *Node {
	t.Helper()
	cfg := Config{NoMDNS: true, Host: p2p.HostConfig{Key: key, Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, AllowLoopback: true},
		DHT: p2p.DHTConfig{Mode: p2p.ModeServer}}
	for _, b := range boot {
		cfg.DHT.Bootstrap = append(cfg.DHT.Bootstrap, b.Host().AddrInfo())
	}
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

// sink collects what a player writes.
type sink struct {
	mu   sync.Mutex
	b    bytes.Buffer
	grew chan struct{}
}

func newSink() *sink { return &sink{grew: make(chan struct{}, 1)} }

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b.Write(p)
	select {
	case s.grew <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (s *sink) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.b.Bytes())
}

// waitFor waits until the sink's content satisfies ok.
func (s *sink) waitFor(t *testing.T, what string, ok func([]byte) bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for !ok(s.bytes()) {
		select {
		case <-s.grew:
		case <-limit:
			t.Fatalf("%s: not within 20 s; %d bytes: %.8q", what, len(s.bytes()), s.bytes())
		}
	}
}

type viewer struct {
	*Session
	player *Player
	out    *sink
	ended  chan error
}

func view(t *testing.T, n *Node, link stream.Link) *viewer {
	t.Helper()
	return takePart(t, n, link, SessionConfig{Role: RoleViewer})
}

// takePart joins a stream; what a viewer gets is in out.
func takePart(t *testing.T, n *Node, link stream.Link, cfg SessionConfig) *viewer {
	t.Helper()
	v := &viewer{out: newSink(), ended: make(chan error, 1)}
	if cfg.Role == RoleViewer {
		v.player = NewPlayer(v.out, time.Second)
		cfg.Observer = v.player
	}
	s, err := n.Join(link, cfg)
	if err != nil {
		t.Fatal(err)
	}
	v.Session = s
	if cfg.Role == RoleViewer {
		v.player.Attach(s)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			v.ended <- v.player.Run(ctx, s)
		}()
		t.Cleanup(func() { cancel(); <-done })
	}
	return v
}

func publish(t *testing.T, n *Node) *Publication {
	t.Helper()
	p, err := n.Publish(context.Background(), PublishConfig{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// feed writes d of a stream of 400 kbit/s, a group a second, each with its mark first.
func feed(t *testing.T, p *Publication, mark byte, d time.Duration) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i := range int(d / (20 * time.Millisecond)) {
		if i%50 == 0 {
			if err := p.StartGroup(nil); err != nil {
				t.Error(err)
				return
			}
		}
		if _, err := p.Write(bytes.Repeat([]byte{mark}, 1000)); err != nil {
			t.Error(err)
			return
		}
		<-tick.C
	}
}

func has(mark byte, n int) func([]byte) bool {
	return func(b []byte) bool { return bytes.Count(b, []byte{mark}) >= n }
}

func bare(l stream.Link) stream.Link {
	l.Addrs = nil
	return l
}

func TestAViewerThatComesFirstPlaysAndFollowsARestartedPublisher(t *testing.T) {
	boot := newNode(t, newKey(t))
	key := newKey(t)
	link, err := stream.NewLink(pubOf(key), "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	v := view(t, newNode(t, newKey(t), boot), link)
	w := view(t, newNode(t, newKey(t), boot), link)
	first := newNode(t, key, boot)
	p := publish(t, first)
	go feed(t, p, 1, 3*time.Second)
	for _, x := range []*viewer{v, w} {
		x.out.waitFor(t, "the first publisher's bytes", has(1, 40_000))
	}
	old := p.Epoch()
	if err := first.Close(); err != nil {
		t.Log(err)
	}
	p = publish(t, newNode(t, key, boot))
	if p.Epoch() <= old {
		t.Errorf("epoch %d after %d", p.Epoch(), old)
	}
	go feed(t, p, 2, 30*time.Second)
	for _, x := range []*viewer{v, w} {
		x.out.waitFor(t, "the restarted publisher's bytes", has(2, 40_000))
		if b := x.out.bytes(); bytes.Contains(b, []byte{2, 1}) {
			t.Error("the terms are interleaved")
		}
	}
}

func TestWithoutItsDHTNodesAStreamGoesOnAndALinkIsEnough(t *testing.T) {
	a := newNode(t, newKey(t))
	b := newNode(t, newKey(t), a)
	p := publish(t, newNode(t, newKey(t), a, b))
	go feed(t, p, 1, 30*time.Second)
	v := view(t, newNode(t, newKey(t), a, b), bare(p.Link()))
	v.out.waitFor(t, "found through the DHT", has(1, 10_000))
	for _, n := range []*Node{a, b} {
		if err := n.Close(); err != nil {
			t.Log(err)
		}
	}
	had := len(v.out.bytes())
	v.out.waitFor(t, "plays on without a DHT", has(1, had+100_000))
	if st := v.player.Stats(); st.Missed > 0 || st.Stalls > 0 {
		t.Errorf("missed %d, stalled %d times", st.Missed, st.Stalls)
	}
	// The newcomer has no bootstrap node, only the link.
	w := view(t, newNode(t, newKey(t)), p.Link())
	w.out.waitFor(t, "a newcomer with the link", has(1, 50_000))
}

func TestTheEndIsPlayedAndSaid(t *testing.T) {
	p := publish(t, newNode(t, newKey(t)))
	v := view(t, newNode(t, newKey(t)), p.Link())
	go func() {
		<-v.Started()
		feed(t, p, 3, time.Second)
		p.End()
	}()
	go feed(t, p, 1, 500*time.Millisecond)
	select {
	case err := <-v.ended:
		if err != ErrEnded { //nolint:errorlint // it is returned as it is
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no end")
	}
	if !has(3, 50_000)(v.out.bytes()) {
		t.Errorf("%d bytes", len(v.out.bytes()))
	}
}

// newcomer is a host that has opened an exchange with n about a stream.
func newcomer(t *testing.T, n *Node, id stream.ID) (*p2p.Host, network.Stream) {
	t.Helper()
	h, err := p2p.NewHost(p2p.HostConfig{Key: newKey(t), Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, AllowLoopback: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Connect(context.Background(), n.Host().AddrInfo()); err != nil {
		t.Fatal(err)
	}
	ctl, err := h.NewStream(context.Background(), n.Host().ID(), ControlProtocol)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = ctl.Write(appendFrame(nil, frameOpen, id[:]))
	buf := make([]byte, 4096)
	if _, err := ctl.Read(buf); err != nil {
		t.Fatal(err)
	}
	_, _ = ctl.Write(appendFrame(nil, frameReady, nil))
	if _, err := ctl.Read(buf); err != nil { // its Hello: the link is there
		t.Fatal(err)
	}
	return h, ctl
}

func TestWhoSendsWhatDoesNotVerifyIsBannedAndTheStreamGoesOn(t *testing.T) {
	p := publish(t, newNode(t, newKey(t)))
	go feed(t, p, 1, 30*time.Second)
	n := newNode(t, newKey(t))
	v := view(t, n, p.Link())
	v.out.waitFor(t, "the stream", has(1, 20_000))
	for name, attack := range map[string]func(t *testing.T, h *p2p.Host, ctl network.Stream){
		"an object changed on the way, as a repair": func(t *testing.T, h *p2p.Host, _ network.Stream) {
			var wire []byte
			p.Session().Do(func() {
				if _, high, ok := p.Session().window.Range(); ok {
					o, _ := p.Session().window.Get(p.epoch, high-1)
					wire = bytes.Clone(o.Wire)
				}
			})
			wire[len(wire)/2] ^= 1
			st, err := h.NewStream(context.Background(), n.Host().ID(), DataProtocol)
			if err != nil {
				t.Error(err)
				return
			}
			id := p.ID()
			_, _ = st.Write(appendObjectFrame(append(id[:], repairStripe), wire))
		},
		"a message that does not parse": func(_ *testing.T, _ *p2p.Host, ctl network.Stream) {
			_, _ = ctl.Write(appendFrame(nil, frameMessage, []byte{99, 1, 2}))
		},
		"a frame over the limit": func(_ *testing.T, _ *p2p.Host, ctl network.Stream) {
			_, _ = ctl.Write([]byte{0xff, 0xff, 0xff, 0x7f})
		},
		"a card that nobody signed": func(_ *testing.T, _ *p2p.Host, ctl network.Stream) {
			_, _ = ctl.Write(appendFrame(nil, frameCard, []byte("me")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, ctl := newcomer(t, n, p.ID())
			defer func() { _ = h.Close() }()
			attack(t, h, ctl)
			gone := make(chan struct{})
			go func() { _, _ = io.Copy(io.Discard, ctl); close(gone) }()
			select {
			case <-gone:
			case <-time.After(10 * time.Second):
				t.Fatal("the liar keeps its exchange")
			}
			if !n.banned(h.ID()) {
				t.Error("the liar is not banned")
			}
		})
	}
	had := bytes.Count(v.out.bytes(), []byte{1})
	v.out.waitFor(t, "the stream goes on", has(1, had+50_000))
	if st := v.player.Stats(); st.Missed > 0 {
		t.Errorf("missed %d objects", st.Missed)
	}
	if objects, messages := v.Totals().Rejected, v.count.malformed.Load(); objects != 1 || messages != 3 {
		t.Errorf("%d objects and %d messages were rejected, want 1 and 3", objects, messages)
	}
}

func TestACutOffRelayIsReplacedUnseen(t *testing.T) {
	boot := newNode(t, newKey(t))
	pubCfg := Config{NoMDNS: true, MaxChildren: 1, Host: p2p.HostConfig{Key: newKey(t), Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, AllowLoopback: true},
		DHT: p2p.DHTConfig{Mode: p2p.ModeServer, Bootstrap: []peer.AddrInfo{boot.Host().AddrInfo()}}}
	pn, err := New(pubCfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pn.Close() })
	p := publish(t, pn)
	go feed(t, p, 1, 60*time.Second)
	type relay struct {
		*viewer
		fault *p2p.Fault
	}
	var relays []relay
	for range 6 {
		f := &p2p.Fault{}
		cfg := pubCfg
		cfg.Host.Key, cfg.Host.Fault, cfg.MaxChildren = newKey(t), f, 3
		n, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Cut(); _ = n.Close() })
		relays = append(relays, relay{view(t, n, p.Link()), f})
	}
	for _, r := range relays {
		plays := has(1, 60_000)
		r.out.waitFor(t, "every relay plays and has its parents", func(b []byte) bool { return plays(b) && braided(r.viewer) })
	}
	victim, most := 0, -1
	var before []stream.PlayoutStats // a start in a crowd may stall
	for i, r := range relays {
		if s, ok := r.Snapshot(); ok && s.Used > most {
			victim, most = i, s.Used
		}
		before = append(before, r.player.Stats())
	}
	relays[victim].fault.Cut()
	for i, r := range relays {
		if i == victim {
			continue
		}
		r.out.waitFor(t, "the survivors play on", has(1, len(r.out.bytes())+100_000))
		if st := r.player.Stats(); st.Missed > before[i].Missed || st.Stalls > before[i].Stalls {
			t.Errorf("relay %d missed and stalled: before %+v, after %+v", i, before[i], st)
		}
	}
}

// braided says whether v has a parent in every stripe.
func braided(v *viewer) bool {
	s, ok := v.Snapshot()
	return ok && !slices.ContainsFunc(s.Stripes, func(t overlay.StripeSnapshot) bool { return t.Parent == 0 })
}

func TestAStreamWithUnknownAccessIsLeftAlone(t *testing.T) {
	key := newKey(t)
	n := newNode(t, newKey(t))
	link, err := stream.NewLink(pubOf(key), "private", nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := n.newSession(link.ID, SessionConfig{Role: RoleRelay})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Now().Unix()
	raw, err := stream.SignRecord(key, stream.Record{Name: "private", Epoch: 1, K: 4, Access: 1, PublisherID: []byte("x"), Issued: now, Expires: now + 60})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.learnRecord(raw); err == nil || s.running() {
		t.Errorf("learnRecord says %v, and the session runs: %v", err, s.running())
	}
}
