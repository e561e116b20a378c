package braidway_test

// This file answers: does what another program gets hold what is promised to it?

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/braidway/braidway"
	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/internal/node/token"
	"github.com/braidway/braidway/internal/testnet"
)

func start(t *testing.T, tune func(*braidway.Config)) *braidway.Peer {
	t.Helper()
	cfg := braidway.Config{Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, NoMDNS: true}
	if tune != nil {
		tune(&cfg)
	}
	p, err := braidway.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func publish(t *testing.T, p *braidway.Peer, cfg braidway.PublishConfig) *braidway.Publication {
	t.Helper()
	s, err := p.Publish(soon(t), "test", cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMPEGTSArrivesByteForByteFromAGroupOn(t *testing.T) {
	clip, err := os.ReadFile("internal/media/clip/clip.ts")
	if err != nil {
		t.Fatal(err)
	}
	clip = clip[:len(clip)/188/4*188]
	a, b := start(t, nil), start(t, nil)
	show := publish(t, a, braidway.PublishConfig{})
	half := len(clip) / 2
	if n, err := io.Copy(show, bytes.NewReader(clip[:half])); err != nil || n != int64(half) {
		t.Fatal(n, err)
	}
	view, err := b.Watch(soon(t), show.Link(), braidway.WatchConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := show.Write(clip[half:]); err != nil {
		t.Fatal(err)
	}
	if err := show.End(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(view)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) < len(clip)-half || !bytes.HasSuffix(clip, got) || got[0] != 0x47 {
		t.Fatalf("%d bytes that are not the end of the %d published", len(got), len(clip))
	}
	r := view.Report()
	if r.Continuity == nil || *r.Continuity != 1 || r.BytesUnique == nil || *r.BytesUnique < int64(len(got)) {
		t.Errorf("report %+v", r)
	}
	if _, err := show.Write([]byte{0x47}); !errors.Is(err, braidway.ErrEnded) {
		t.Errorf("after the end: %v", err)
	}
	if err := show.End(); !errors.Is(err, braidway.ErrEnded) {
		t.Errorf("a second end: %v", err)
	}
}

func TestARelayThatDrainsHandsItsViewerOver(t *testing.T) {
	a := start(t, nil)
	show := publish(t, a, braidway.PublishConfig{Raw: true})
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for tick := time.NewTicker(10 * time.Millisecond); ; {
			select {
			case <-tick.C:
				_, _ = show.Write([]byte("0123456789"))
			case <-stop:
				return
			}
		}
	}()
	relay := start(t, nil)
	done := make(chan error, 1)
	go func() { done <- relay.Relay(context.Background(), show.Link()) }()
	until(t, "the relay has the stream", func() bool { s := relay.State().Streams; return len(s) == 1 && s[0].Started })
	// The viewer knows the relay alone: it begins there.
	link := show.Link()[:strings.Index(show.Link(), "&addr=")] + "&addr=" + relay.Addrs()[0]
	viewer := start(t, nil)
	view, err := viewer.Watch(soon(t), link, braidway.WatchConfig{})
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() { _, err := io.Copy(io.Discard, view); read <- err }()
	until(t, "the viewer has the stream", func() bool { return viewer.State().Streams[0].Started })
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := relay.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if s := relay.State(); !s.Draining || s.Streams[0].SlotsUsed != 0 {
		t.Errorf("drained: %+v", s)
	}
	if err := relay.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, braidway.ErrClosed) {
		t.Errorf("Relay of a closed peer: %v", err)
	}
	until(t, "the viewer hangs from the publisher", func() bool {
		for _, s := range viewer.State().Streams[0].Stripes {
			if s.Parent != a.ID() {
				return false
			}
		}
		return true
	})
	if err := view.Close(); err != nil {
		t.Error(err)
	}
	if err := <-read; !errors.Is(err, braidway.ErrClosed) {
		t.Errorf("reading a closed viewer: %v", err)
	}
	if len(viewer.State().Streams) != 0 {
		t.Error("a closed viewer takes part")
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func TestWhatIsNotAllowedIsNamedWithItsRange(t *testing.T) {
	a := start(t, nil)
	for _, c := range []struct {
		is   error
		says []string
		do   func() error
	}{
		{braidway.ErrConfig, []string{"Config.Key", "5 bytes", "64"}, func() error { return created(braidway.Config{Key: make(ed25519.PrivateKey, 5)}) }},
		{braidway.ErrConfig, []string{"Config.Listen", "nonsense", "/ip4/"}, func() error { return created(braidway.Config{Listen: []string{"nonsense"}}) }},
		{braidway.ErrConfig, []string{"Config.Bootstrap", "/p2p/"}, func() error { return created(braidway.Config{Bootstrap: []string{"/ip4/127.0.0.1/tcp/1"}}) }},
		{braidway.ErrConfig, []string{"Config.UploadLimit", "-1", "10^12"}, func() error { return created(braidway.Config{UploadLimit: -1}) }},
		{braidway.ErrConfig, []string{"Config.MaxChildren", "70000", "65535"}, func() error { return created(braidway.Config{MaxChildren: 70000}) }},
		{braidway.ErrConfig, []string{"name"}, func() error { return published(a, "", braidway.PublishConfig{}) }},
		{braidway.ErrConfig, []string{"PublishConfig.Stripes", "17", "1 to 16"}, func() error { return published(a, "x", braidway.PublishConfig{Stripes: 17}) }},
		{braidway.ErrConfig, []string{"PublishConfig.Pace", "Raw"}, func() error { return published(a, "x", braidway.PublishConfig{Raw: true, Pace: true}) }},
		{braidway.ErrConfig, []string{"PublishConfig.ContentType"}, func() error { return published(a, "x", braidway.PublishConfig{ContentType: "video\n"}) }},
		{braidway.ErrConfig, []string{"PublishConfig.Bitrate", "-5"}, func() error { return published(a, "x", braidway.PublishConfig{Bitrate: -5}) }},
		{braidway.ErrConfig, []string{"WatchConfig.Buffer", "1ms", "100ms to 30s"}, func() error { return watched(a, "", braidway.WatchConfig{Buffer: time.Millisecond}) }},
		{braidway.ErrLink, nil, func() error { return watched(a, "https://example.com", braidway.WatchConfig{}) }},
		{braidway.ErrLink, nil, func() error { return a.Relay(context.Background(), "braidway://x") }},
	} {
		err := c.do()
		if !errors.Is(err, c.is) {
			t.Errorf("%v is not %v", err, c.is)
			continue
		}
		for _, s := range c.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%q does not name %q", err, s)
			}
		}
	}
}

func created(cfg braidway.Config) error {
	p, err := braidway.New(cfg)
	if err == nil {
		_ = p.Close()
	}
	return err
}

func published(p *braidway.Peer, name string, cfg braidway.PublishConfig) error {
	s, err := p.Publish(context.Background(), name, cfg)
	if err == nil {
		_ = s.Close()
	}
	return err
}

func watched(p *braidway.Peer, link string, cfg braidway.WatchConfig) error {
	v, err := p.Watch(context.Background(), link, cfg)
	if err == nil {
		_ = v.Close()
	}
	return err
}

// A private stream is published by the peer command; here by what that is made of.
func TestAPrivateStreamIsWatchedWithItsTokenAlone(t *testing.T) {
	key, err := braidway.LoadKey(filepath.Join(t.TempDir(), "stream.key"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.New(node.Config{NoMDNS: true, Host: p2p.HostConfig{Key: key, Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	ledger := token.Ledger{File: filepath.Join(t.TempDir(), "tokens")}
	show, err := n.Publish(soon(t), node.PublishConfig{Name: "test", Private: &node.PrivateConfig{Ledger: ledger.File}})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end) && show.StartGroup(nil) == nil; time.Sleep(200 * time.Millisecond) {
			_, _ = show.Write(bytes.Repeat([]byte("x"), 5000))
		}
	}()
	tok, err := ledger.Add(token.Token{Stream: show.ID(), Rights: token.Watch | token.Relay, Issued: time.Now(), Expires: time.Now().Add(time.Hour)}, "")
	if err != nil {
		t.Fatal(err)
	}
	credential, err := token.Issue(key, tok)
	if err != nil {
		t.Fatal(err)
	}
	link := show.Link().String()
	for _, tokens := range [][]string{nil, {"eyJ"}} {
		p := start(t, func(c *braidway.Config) { c.Tokens = tokens })
		if err := watched(p, link, braidway.WatchConfig{}); !errors.Is(err, braidway.ErrDenied) || !strings.Contains(err.Error(), "Config.Tokens") {
			t.Errorf("tokens %q: %v", tokens, err)
		}
	}
	v, err := start(t, func(c *braidway.Config) { c.Tokens = []string{"eyJ", credential.Text()} }).Watch(soon(t), link, braidway.WatchConfig{})
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 20_000)
	if _, err := io.ReadFull(v, b); err != nil || len(bytes.Trim(b, "x")) > 0 {
		t.Errorf("%v, %d bytes that were not published", err, len(bytes.Trim(b, "x")))
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
}

func TestErrorsThatAProgramMayDecideBy(t *testing.T) {
	key, err := braidway.LoadKey(filepath.Join(t.TempDir(), "stream.key"))
	if err != nil {
		t.Fatal(err)
	}
	a := start(t, nil)
	b := start(t, func(c *braidway.Config) { c.Bootstrap = a.Addrs() })
	show := publish(t, a, braidway.PublishConfig{Key: key})

	if _, err := show.Write(bytes.Repeat([]byte("no MPEG-TS"), 200)); !errors.Is(err, braidway.ErrFormat) || !strings.Contains(err.Error(), "PublishConfig.Raw") {
		t.Errorf("not MPEG-TS: %v", err)
	}
	if err := show.StartGroup(nil); !errors.Is(err, braidway.ErrConfig) {
		t.Errorf("StartGroup without Raw: %v", err)
	}
	if err := published(a, "test", braidway.PublishConfig{Key: key}); !errors.Is(err, braidway.ErrLocked) && !errors.Is(err, braidway.ErrTakesPart) {
		t.Errorf("published twice by one peer: %v", err)
	}
	// Others are locked out from when the DHT has the record: whoever knows the name alone finds it.
	name, _, _ := strings.Cut(show.Link(), "&addr=")
	c := start(t, func(c *braidway.Config) { c.Bootstrap = a.Addrs() })
	go func() { _ = c.Relay(context.Background(), name) }()
	testnet.WaitFor(t, "the stream is found", 20*time.Second, func() bool {
		st := c.State()
		return len(st.Streams) == 1 && st.Streams[0].Neighbours > 0
	})
	_ = c.Close()
	if err := published(b, "test", braidway.PublishConfig{Key: key}); !errors.Is(err, braidway.ErrLocked) || !strings.Contains(err.Error(), a.ID()) {
		t.Errorf("published by two: %v", err)
	}
	if err := watched(a, show.Link(), braidway.WatchConfig{}); !errors.Is(err, braidway.ErrTakesPart) {
		t.Errorf("watched by its publisher: %v", err)
	}
	_ = show.Close()
	if _, err := show.Write(nil); !errors.Is(err, braidway.ErrClosed) {
		t.Errorf("written after Close: %v", err)
	}
	if !errors.Is(show.Err(), braidway.ErrClosed) {
		t.Errorf("Err after Close: %v", show.Err())
	}
	// Nobody has it any more, and at its address nobody knows it.
	if err := watched(b, show.Link(), braidway.WatchConfig{Timeout: 300 * time.Millisecond}); !errors.Is(err, braidway.ErrNotFound) {
		t.Errorf("watched when it is gone: %v", err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("the window was closed")
	time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
	if _, err := b.Watch(ctx, show.Link(), braidway.WatchConfig{Timeout: -1}); !errors.Is(err, why) {
		t.Errorf("a context that ended: %v", err)
	}
	_ = b.Close()
	if err := published(b, "other", braidway.PublishConfig{}); !errors.Is(err, braidway.ErrClosed) {
		t.Errorf("published by a closed peer: %v", err)
	}
	busy, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	_, port, _ := net.SplitHostPort(busy.LocalAddr().String())
	if err := created(braidway.Config{Listen: []string{"/ip4/127.0.0.1/udp/" + port + "/quic-v1"}, NoMDNS: true}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a port that is taken: %v", err)
	}
}

func TestTheLifeOfAPublicationIsItsContext(t *testing.T) {
	a := start(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	show, err := a.Publish(ctx, "test", braidway.PublishConfig{Raw: true})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	until(t, "the publication is gone", func() bool { return len(a.State().Streams) == 0 })
	if _, err := show.Write([]byte("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("written after its context: %v", err)
	}
	if err := published(a, "test", braidway.PublishConfig{Raw: true}); err != nil {
		t.Errorf("published again: %v", err)
	}
}
