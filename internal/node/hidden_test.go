package node

// Viewers who do not want to be known.

import (
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"

	"github.com/braidway/braidway/internal/node/p2p"
)

// newHidden starts a node that is configured by hide.
func newHidden(t *testing.T, hide func(*Config), boot ...*Node) *Node {
	t.Helper()
	cfg := Config{NoMDNS: true, Host: p2p.HostConfig{Key: newKey(t), Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, AllowLoopback: true}}
	for _, b := range boot {
		cfg.DHT.Bootstrap = append(cfg.DHT.Bootstrap, b.host.AddrInfo())
	}
	hide(&cfg)
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

func TestAnUnlistedViewersAddressIsPassedOnToNobody(t *testing.T) {
	boot := newNode(t, newKey(t))
	p := publish(t, newNode(t, newKey(t), boot))
	go feed(t, p, 1, 60*time.Second)
	other := view(t, newNode(t, newKey(t), boot), p.Link())
	other.out.waitFor(t, "another viewer", has(1, 20_000))
	hidden := view(t, newHidden(t, func(c *Config) { c.Unlisted = true }, boot), p.Link())
	hidden.out.waitFor(t, "the unlisted viewer plays", has(1, 40_000))
	listed := view(t, newNode(t, newKey(t), boot), p.Link())
	listed.out.waitFor(t, "a listed viewer plays", has(1, 40_000))
	// The publisher names its children to each other: the listed one becomes known.
	store := other.node.host.Peerstore()
	waitUntil(t, "the listed viewer's address is passed on", 15*time.Second, func() bool { return len(store.Addrs(listed.node.host.ID())) > 0 })
	waitUntil(t, "the unlisted viewer was named as well", 15*time.Second, func() bool {
		_, known := other.book.lookup(hidden.self)
		return known
	})
	for name, n := range map[string]*Node{"a viewer": other.node, "a later viewer": listed.node, "the DHT node": boot} {
		if addrs := n.host.Peerstore().Addrs(hidden.node.host.ID()); len(addrs) > 0 && n.host.Network().Connectedness(hidden.node.host.ID()) == 0 {
			t.Errorf("%s knows %v of the unlisted viewer", name, addrs)
		}
		if raw := cardOf(n, hidden.node.host.ID()); len(raw) > 0 {
			t.Errorf("%s has a card of the unlisted viewer with addresses %v", name, raw)
		}
	}
	if addrs := hidden.node.host.Addrs(); len(addrs) > 0 {
		t.Errorf("the unlisted viewer advertises %v", addrs)
	}
}

// cardOf returns the addresses in the signed record that n has of p.
func cardOf(n *Node, p peer.ID) []string {
	var addrs []string
	for _, s := range n.Sessions() {
		raw := s.book.card(s.book.add(p))
		if raw == nil {
			continue
		}
		_, rec, err := record.ConsumeEnvelope(raw, peer.PeerRecordEnvelopeDomain)
		if err != nil {
			continue
		}
		for _, a := range rec.(*peer.PeerRecord).Addrs {
			addrs = append(addrs, a.String())
		}
	}
	return addrs
}

func TestAViewerThatPlaysOnlyViaARelayTalksToNobodyElse(t *testing.T) {
	boot := newNode(t, newKey(t))
	p := publish(t, newNode(t, newKey(t), boot))
	go feed(t, p, 1, 60*time.Second)
	rn := newNode(t, newKey(t), boot)
	relay := view(t, rn, p.Link())
	relay.out.waitFor(t, "the relay has the stream", has(1, 20_000))
	another := view(t, newNode(t, newKey(t), boot), p.Link())
	another.out.waitFor(t, "another viewer", has(1, 20_000))
	n := newHidden(t, func(c *Config) { c.Only = []peer.AddrInfo{rn.host.AddrInfo()} }, boot)
	// The link names the publisher, and the relay its siblings: it dials neither.
	v := view(t, n, p.Link())
	met := make(map[peer.ID]bool)
	had := func(b []byte) bool {
		for _, id := range n.host.Network().Peers() {
			met[id] = true
		}
		return has(1, 150_000)(b)
	}
	v.out.waitFor(t, "the stream by way of the relay", had)
	if len(met) != 1 || !met[rn.host.ID()] {
		t.Errorf("it met %v, and was to meet %v only", met, rn.host.ID())
	}
	for _, x := range []*Node{p.node, another.node, boot} {
		if len(x.host.Peerstore().Addrs(n.host.ID())) > 0 {
			t.Errorf("%v knows an address of it", x.host.ID())
		}
	}
	if st := v.player.Stats(); st.Missed > 0 {
		t.Errorf("missed %d", st.Missed)
	}
}
