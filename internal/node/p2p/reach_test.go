package p2p

import (
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"
)

func TestWhatLibp2pFindsOutAboutTheWaysInIsKept(t *testing.T) {
	h, err := NewHost(HostConfig{Key: newKey(t), Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	if r := h.Reach(); r.Asked || r.Reachability != ReachUnknown || r.NATUDP != NATUnknown || !r.Loopback {
		t.Errorf("at first: %+v", r)
	}
	addr := ma.StringCast("/ip4/198.51.100.7/udp/4001/quic-v1")
	for _, e := range []any{
		event.EvtLocalReachabilityChanged{Reachability: network.ReachabilityPrivate},
		event.EvtHostReachableAddrsChanged{Unreachable: []ma.Multiaddr{addr}},
		event.EvtNATDeviceTypeChanged{TransportProtocol: network.NATTransportUDP, NatDeviceType: network.NATDeviceTypeEndpointDependent},
		event.EvtNATDeviceTypeChanged{TransportProtocol: network.NATTransportTCP, NatDeviceType: network.NATDeviceTypeEndpointIndependent},
	} {
		h.reach.take(e)
	}
	r := h.Reach()
	if r.Reachability != ReachPrivate || len(r.NotReached) != 1 || r.NotReached[0] != addr.String() || r.NATUDP != NATDependent || r.NATTCP != NATIndependent {
		t.Errorf("%+v", r)
	}
}

func TestABootstrapNodeIsTakenToBePublic(t *testing.T) {
	h, err := NewHost(HostConfig{Key: newKey(t), Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, Public: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	for end := time.Now().Add(10 * time.Second); h.Reach().Reachability != ReachPublic; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("libp2p's event does not arrive: %+v", h.Reach())
		}
	}
	if !h.Reach().Assumed {
		t.Error("it does not say that nobody has tried")
	}
}
