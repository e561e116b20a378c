package p2p

// This file answers: is a stream found by every way there is, and does the
// summary tell what was tried when it is not?

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// take waits for the first candidate that suits.
func take(t *testing.T, ctx context.Context, s *Search, suits func(Candidate) bool) Candidate {
	t.Helper()
	for {
		select {
		case c, ok := <-s.C():
			if !ok {
				t.Fatalf("the search has ended: %s", s.Summary())
			}
			if suits(c) {
				return c
			}
		case <-ctx.Done():
			t.Fatalf("not found: %s", s.Summary())
		}
	}
}

func TestEveryWayOfFindingEmitsItsCandidates(t *testing.T) {
	ctx := within(t, 20*time.Second)
	ring := newRing(t, ctx, 3)
	pub := newPublisher(t, ring[1].Host)
	if err := ring[1].rv.Publish(ctx, pub.record(t, 1)); err != nil {
		t.Fatal(err)
	}
	if err := ring[2].rv.Provide(ctx, pub.id()); err != nil {
		t.Fatal(err)
	}
	viewer := newNode(t, ModeClient, ring[0].AddrInfo())
	linked, near := newHost(t, HostConfig{}), newHost(t, HostConfig{})
	m := &MDNS{self: viewer.ID()}
	f := NewFinder(FinderConfig{Host: viewer.Host, Rendezvous: viewer.rv, MDNS: m})
	s := f.Find(ctx, pub.id(), []peer.AddrInfo{viewer.AddrInfo(), linked.AddrInfo()})
	defer s.Stop()
	m.HandlePeerFound(near.AddrInfo())

	want := map[peer.ID]Source{
		linked.ID():  SourceLink,
		near.ID():    SourceMDNS,
		ring[1].ID(): SourceRecord,
		ring[2].ID(): SourceProvider,
	}
	for len(want) > 0 {
		c := take(t, ctx, s, func(Candidate) bool { return true })
		if source, ok := want[c.ID]; !ok || source != c.Source {
			t.Fatalf("candidate %s by %s", c.ID, c.Source)
		}
		delete(want, c.ID)
		if err := s.Connect(ctx, c); err != nil {
			t.Fatalf("by %s: %v", c.Source, err)
		}
	}
	if rec, raw, ok := s.Record(); !ok || rec.ID() != pub.id() || len(raw) == 0 {
		t.Fatal("no record kept")
	}
	s.Stop()
	for range s.C() { // ends
	}
}

func TestTheSummaryTellsWhatWasTriedAndHowEachAddressFailed(t *testing.T) {
	ctx := within(t, 20*time.Second)
	ring := newRing(t, ctx, 2)
	gone := newHost(t, HostConfig{Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	target := gone.AddrInfo()
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	h := newHost(t, HostConfig{Listen: []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}})
	d, err := NewDHT(h, DHTConfig{Mode: ModeClient, Bootstrap: []peer.AddrInfo{ring[0].AddrInfo()}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	r := NewRendezvous(d)
	defer func() { _ = r.Close() }()
	s := NewFinder(FinderConfig{Host: h, Rendezvous: r, MDNS: &MDNS{}}).Find(ctx, newPublisher(t, h).id(), []peer.AddrInfo{target})
	defer s.Stop()
	fromLink := func(c Candidate) bool { return c.Source == SourceLink }
	c := take(t, ctx, s, fromLink)
	if err := s.Connect(ctx, c); err == nil {
		t.Fatal("connected to nobody")
	}
	// Who could not be reached is offered again.
	c = take(t, ctx, s, fromLink)
	if err := s.Connect(ctx, c); err == nil || strings.Contains(err.Error(), "backoff") {
		t.Fatalf("second dial: %v", err)
	}
	for answered := 0; answered == 0; _, answered = s.count.get() {
		if !sleep(ctx, 10*time.Millisecond) {
			t.Fatal("no DHT node answers")
		}
	}
	sum := s.Summary()
	for _, want := range []string{
		"DHT: ", "nodes asked, ", "answered, no stream record, no providers",
		"mDNS: 0 peers", "link: …", target.Addrs[0].String(), "connection refused",
	} {
		if !strings.Contains(sum, want) {
			t.Errorf("%q lacks %q", sum, want)
		}
	}
	if strings.Contains(sum, "\n") {
		t.Errorf("more than one line: %q", sum)
	}
}

func TestWithoutDHTNodesTheSummarySaysWhy(t *testing.T) {
	ctx := within(t, 10*time.Second)
	gone := newHost(t, HostConfig{Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	boot := gone.AddrInfo()
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	h := newHost(t, HostConfig{Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	d, err := NewDHT(h, DHTConfig{Bootstrap: []peer.AddrInfo{boot}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	r := NewRendezvous(d)
	defer func() { _ = r.Close() }()
	s := NewFinder(FinderConfig{Host: h, Rendezvous: r}).Find(ctx, newPublisher(t, h).id(), nil)
	defer s.Stop()
	for len(d.BootstrapErrors()) == 0 {
		if !sleep(ctx, 10*time.Millisecond) {
			t.Fatal("no bootstrap error")
		}
	}
	sum := s.Summary()
	for _, want := range []string{"no node known", boot.Addrs[0].String(), "connection refused", "mDNS: not used", "link: no addresses"} {
		if !strings.Contains(sum, want) {
			t.Errorf("%q lacks %q", sum, want)
		}
	}
}

func TestASearchThatBeginsBeforeThePublisherFindsIt(t *testing.T) {
	ctx := within(t, 20*time.Second)
	ring := newRing(t, ctx, 3)
	pub := newPublisher(t, ring[1].Host)
	viewer := newNode(t, ModeClient, ring[0].AddrInfo())
	s := NewFinder(FinderConfig{Host: viewer.Host, Rendezvous: viewer.rv}).Find(ctx, pub.id(), nil)
	defer s.Stop()
	for answered := 0; answered == 0; _, answered = s.count.get() { // it has asked in vain
		if !sleep(ctx, 10*time.Millisecond) {
			t.Fatal("no DHT node answers")
		}
	}
	if err := ring[1].rv.Publish(ctx, pub.record(t, 1)); err != nil {
		t.Fatal(err)
	}
	take(t, ctx, s, func(c Candidate) bool { return c.ID == ring[1].ID() })
}

func TestASearchIsBoundedWhateverIsFound(t *testing.T) {
	ctx := within(t, 20*time.Second)
	h := newHost(t, HostConfig{})
	s := NewFinder(FinderConfig{Host: h}).Find(ctx, newPublisher(t, h).id(), nil)
	defer s.Stop()
	var many []ma.Multiaddr
	for i := range 100 {
		many = append(many, ma.StringCast(fmt.Sprintf("/ip4/192.0.2.1/udp/%d/quic-v1", i+1)))
	}
	for i := range 3 * maxSeen {
		s.offerNow(peer.AddrInfo{ID: peer.ID(fmt.Sprint("peer ", i)), Addrs: many}, SourceProvider)
		for range 2 { // new addresses of a known peer
			s.offerNow(peer.AddrInfo{ID: peer.ID(fmt.Sprint("peer ", i)), Addrs: many[50:]}, SourceMDNS)
		}
		select {
		case c := <-s.C():
			if len(c.Addrs) > maxPeerAddrs {
				t.Fatalf("%d addresses", len(c.Addrs))
			}
		default:
		}
	}
	if len(s.seen) > maxSeen {
		t.Fatalf("%d peers remembered", len(s.seen))
	}
	s.Failed("peer 0", errors.New("full"))
	if sum := s.Summary(); len(sum) > 32<<10 || !strings.Contains(sum, "more peers") {
		t.Fatalf("summary of %d bytes", len(sum))
	}
}

func TestMDNSRemembersABoundedNumberOfOthers(t *testing.T) {
	h := newHost(t, HostConfig{})
	var told int
	m := &MDNS{self: h.ID(), found: []func(peer.AddrInfo){func(peer.AddrInfo) { told++ }}}
	m.HandlePeerFound(h.AddrInfo()) // itself
	m.HandlePeerFound(peer.AddrInfo{ID: "no address"})
	if told != 0 || len(m.Peers()) != 0 {
		t.Fatalf("told %d, remembered %d", told, len(m.Peers()))
	}
	stop := m.watch(func(peer.AddrInfo) { told++ })
	for i := range maxMDNSPeers + 10 {
		m.HandlePeerFound(peer.AddrInfo{ID: peer.ID(fmt.Sprint(i)), Addrs: h.Addrs()})
	}
	stop()
	m.HandlePeerFound(peer.AddrInfo{ID: "last", Addrs: h.Addrs()})
	if peers := m.Peers(); len(peers) != maxMDNSPeers || peers[0].ID != "last" {
		t.Fatalf("remembered %d, the latest %s", len(peers), peers[0].ID)
	}
	if want := 2*(maxMDNSPeers+10) + 1; told != want {
		t.Fatalf("told %d, want %d", told, want)
	}
}

func TestMDNSThatCannotStartIsOnlyAWarning(t *testing.T) {
	h := newHost(t, HostConfig{})
	if err := h.Network().Close(); err != nil { // no addresses to announce
		t.Fatal(err)
	}
	m := StartMDNS(h, nil, nil)
	if m.Err() == nil {
		t.Fatal("started without an address")
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	s := NewFinder(FinderConfig{Host: h, MDNS: m}).Find(t.Context(), newPublisher(t, h).id(), nil)
	defer s.Stop()
	if sum := s.Summary(); !strings.Contains(sum, "mDNS: did not start") {
		t.Fatal(sum)
	}
}
