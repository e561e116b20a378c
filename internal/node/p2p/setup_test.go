package p2p

// This file answers: what do the tests of this package share?

import (
	"context"
	"crypto/ed25519"
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/braidway/braidway/stream"

	"github.com/libp2p/go-libp2p/core/peer"
)

// TestMain fails the run when goroutines of closed hosts are left.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	if f := flag.Lookup("test.fuzz"); f != nil && f.Value.String() != "" {
		os.Exit(code) // the fuzzer keeps goroutines of its own
	}
	deadline := time.Now().Add(20 * time.Second)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before && code == 0 {
		buf := make([]byte, 1<<20)
		fmt.Fprintf(os.Stderr, "%d goroutines are left, %d were there before:\n%s\n", n, before, buf[:runtime.Stack(buf, true)])
		code = 1
	}
	os.Exit(code)
}

// within is the context of one test.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newHost(t *testing.T, cfg HostConfig) *Host {
	t.Helper()
	if cfg.Key == nil {
		cfg.Key = newKey(t)
	}
	if cfg.Listen == nil {
		cfg.Listen = []string{"/ip4/127.0.0.1/udp/0/quic-v1"}
	}
	h, err := NewHost(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// node is a host in the DHT.
type node struct {
	*Host
	dht *DHT
	rv  *Rendezvous
}

func newNode(t *testing.T, mode Mode, boot ...peer.AddrInfo) *node {
	t.Helper()
	h := newHost(t, HostConfig{})
	d, err := NewDHT(h, DHTConfig{Mode: mode, Bootstrap: boot})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{Host: h, dht: d, rv: NewRendezvous(d)}
	t.Cleanup(n.leave)
	return n
}

// leave closes the DHT, not the host.
func (n *node) leave() {
	_ = n.rv.Close()
	_ = n.dht.Close()
}

// newRing starts n server nodes, the first of which the others start from.
func newRing(t *testing.T, ctx context.Context, n int) []*node {
	t.Helper()
	nodes := []*node{newNode(t, ModeServer)}
	for len(nodes) < n {
		nodes = append(nodes, newNode(t, ModeServer, nodes[0].AddrInfo()))
	}
	for i, n := range nodes {
		if err := n.dht.WaitReady(ctx); err != nil {
			t.Fatalf("node %d: %v", i, err)
		}
	}
	return nodes
}

// publisher signs records of one stream.
type publisher struct {
	key  ed25519.PrivateKey
	peer peer.AddrInfo
}

func newPublisher(t *testing.T, h *Host) *publisher {
	return &publisher{key: h.Key(), peer: h.AddrInfo()}
}

const testName = "test"

func (p *publisher) id() stream.ID {
	return stream.NewID(p.key.Public().(ed25519.PublicKey), testName)
}

func (p *publisher) sign(t *testing.T, epoch uint64, issued time.Time, life time.Duration) []byte {
	t.Helper()
	r := stream.Record{
		Name: testName, Epoch: epoch, K: 4, Access: stream.AccessOpen,
		PublisherID: []byte(p.peer.ID), Issued: issued.Unix(), Expires: issued.Add(life).Unix(),
	}
	for _, a := range p.peer.Addrs {
		r.Addrs = append(r.Addrs, a.Bytes())
	}
	raw, err := stream.SignRecord(p.key, r)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// record is a record in force now.
func (p *publisher) record(t *testing.T, epoch uint64) []byte {
	t.Helper()
	return p.sign(t, epoch, time.Now(), 10*time.Minute)
}
