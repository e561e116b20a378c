package node

// This file answers: what do bytes from a stranger do to a running node, on
// each of its protocols?

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/stream"
)

// stranger is a host that says what it likes.
type stranger struct {
	host.Host
	f  *testing.F
	to peer.AddrInfo
}

// anew gets another identity: the one before was banned.
func (s *stranger) anew() {
	if s.Host != nil {
		_ = s.Close()
	}
	h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableRelay())
	if err != nil {
		s.f.Fatal(err)
	}
	s.Host = h
}

// say writes b on a stream of its own and reads until the node is done with it.
func (s *stranger) say(t *testing.T, proto protocol.ID, b []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.Connect(ctx, s.to); err != nil {
		t.Fatalf("the node is not reached any more: %v", err)
	}
	st, err := s.NewStream(ctx, s.to.ID, proto)
	if err != nil {
		t.Fatalf("no stream: %v", err)
	}
	defer func() { _ = st.Reset() }()
	_ = st.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = st.Write(b) // the node may be done before all of it is out
	_ = st.CloseWrite()
	if _, err := io.Copy(io.Discard, io.LimitReader(st, 1<<20)); ctx.Err() != nil {
		t.Fatalf("the node holds the stream for ever: %v", err)
	}
}

func FuzzStranger(f *testing.F) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	n, err := New(Config{NoMDNS: true, Host: p2p.HostConfig{Key: key, Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, AllowLoopback: true}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = n.Close() })
	pub, err := n.Publish(context.Background(), PublishConfig{Name: "test"})
	if err != nil {
		f.Fatal(err)
	}
	_, _ = pub.Write([]byte("something"))
	id, s := pub.ID(), pub.Session()

	protos := []protocol.ID{ControlProtocol, ControlProtocol1, DataProtocol, LeaseProtocol}
	opening := appendFrame(appendFrame(nil, frameOpen, id[:]), frameReady, nil)
	message := func(m overlay.Message) []byte {
		return appendFrame(bytes.Clone(opening), frameMessage, overlay.AppendMessage(nil, m))
	}
	f.Add(byte(0), opening)
	f.Add(byte(1), opening[:40])
	f.Add(byte(0), message(overlay.Hello{Slots: 3, Epoch: 1, Edge: 2}))
	f.Add(byte(1), message(overlay.Subscribe{Stripe: 1, Latest: true}))
	f.Add(byte(0), message(overlay.Subscribe{Stripe: 15}))
	f.Add(byte(0), message(overlay.Pull{Epoch: pub.Epoch(), Bits: 0xffffffff}))
	f.Add(byte(0), appendFrame(bytes.Clone(opening), frameCard, []byte("no card")))
	f.Add(byte(0), appendFrame(bytes.Clone(opening), frameRecord, s.rawRecord()))
	f.Add(byte(1), appendFrame(bytes.Clone(opening), frameRecord, s.rawRecord()))
	f.Add(byte(2), append(append([]byte(nil), id[:]...), 0, 0, 1, 2))
	f.Add(byte(2), append(append([]byte(nil), id[:]...), repairStripe, 1, 2))
	f.Add(byte(3), appendFrame(nil, frameAsk, append([]byte{0}, id[:]...)))
	f.Add(byte(3), appendFrame(nil, frameAsk, append(append([]byte{askToStandBy}, id[:]...), make([]byte, ed25519.SignatureSize)...)))
	f.Add(byte(3), []byte{0xff, 0xff, 0x7f})

	who := &stranger{f: f, to: n.Host().AddrInfo()}
	who.anew()
	f.Cleanup(func() { _ = who.Close() })
	f.Fuzz(func(t *testing.T, proto byte, b []byte) {
		if len(b) > 2*maxFrame {
			return
		}
		who.say(t, protos[int(proto)%len(protos)], b)
		done := make(chan bool, 1)
		go func() { done <- s.Do(func() {}) }()
		select {
		case ok := <-done:
			if !ok {
				t.Fatal("the stream's loop has ended")
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the stream's loop stands still")
		}
		if n.banned(who.ID()) {
			who.anew()
		}
		if g := runtime.NumGoroutine(); g > 2000 {
			t.Fatalf("%d goroutines", g)
		}
	})
}

func FuzzCard(f *testing.F) {
	n, err := New(Config{NoMDNS: true, Host: p2p.HostConfig{Key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, 32)), Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, AllowLoopback: true}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = n.Close() })
	other, err := New(Config{NoMDNS: true, Host: p2p.HostConfig{Key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32)), Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, AllowLoopback: true}})
	if err != nil {
		f.Fatal(err)
	}
	var id stream.ID
	theirs := newBook(other.host, id)
	theirs.add(other.host.ID())
	card := theirs.card(ShortID(other.host.ID(), id))
	if card == nil {
		f.Fatal("no card")
	}
	if err := other.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(card)
	f.Add(card[:len(card)/2])
	book := newBook(n.host, id)
	f.Fuzz(func(t *testing.T, b []byte) {
		was := len(book.peers)
		switch err := book.learn(b); {
		case err != nil && len(book.peers) != was:
			t.Fatal("somebody was learnt from what is no card")
		case err == nil && len(b) > maxCard:
			t.Fatal("over the limit")
		}
	})
}

// FuzzAsk holds the reader of questions about a lease against its writer.
func FuzzAsk(f *testing.F) {
	var id stream.ID
	f.Add(append([]byte{0}, id[:]...))
	f.Add(append(append([]byte{askToStandBy}, id[:]...), make([]byte, ed25519.SignatureSize)...))
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := parseAsk(body)
		if err == nil && !bytes.Equal(a.append(nil), body) {
			t.Fatalf("%x is read as %+v", body, a)
		}
	})
}
