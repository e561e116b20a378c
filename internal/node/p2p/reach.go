package p2p

// This file answers: can others reach this host, and through which kind of NAT?

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"
)

// What is known of the ways in from outside, as the admin API spells it.
const (
	ReachPublic  = "public"  // somebody came from outside
	ReachPrivate = "private" // those who were asked to come could not
	ReachUnknown = "unknown" // nobody was asked, or too few have answered

	NATIndependent = "endpoint-independent" // holes can be punched
	NATDependent   = "endpoint-dependent"   // they cannot
	NATUnknown     = "unknown"
)

// Reachabilities are the values of Reach.Reachability.
var Reachabilities = []string{ReachPublic, ReachPrivate, ReachUnknown}

// Reach is what AutoNAT and the addresses that others have seen tell about a host.
type Reach struct {
	// Asked says whether the host looks for ways in at all (HostConfig.NAT).
	Asked bool `json:"asked"`
	// Assumed says that Reachability was told, not found out (HostConfig.Public).
	Assumed      bool     `json:"assumed,omitempty"`
	Reachability string   `json:"reachability"`            // public, private or unknown: AutoNAT, version 1
	Reached      []string `json:"reached,omitempty"`       // addresses that others have dialled back: AutoNAT, version 2
	NotReached   []string `json:"not_reached,omitempty"`   // those at which that failed
	NATUDP       string   `json:"nat_udp"`                 // endpoint-independent, endpoint-dependent or unknown
	NATTCP       string   `json:"nat_tcp"`                 // the same
	Circuits     int      `json:"circuits,omitempty"`      // addresses through others, for control traffic
	OutsidePeers int      `json:"outside_peers"`           // connected peers at public addresses: only they can tell
	Loopback     bool     `json:"loopback_only,omitempty"` // it listens on loopback only
}

// reachKeeper follows libp2p's events about reachability.
type reachKeeper struct {
	sub  event.Subscription
	done chan struct{}

	mu   sync.Mutex
	last Reach
}

// followReach begins to follow; close ends it.
func followReach(bus event.Bus, cfg *HostConfig) (*reachKeeper, error) {
	sub, err := bus.Subscribe([]any{new(event.EvtLocalReachabilityChanged), new(event.EvtHostReachableAddrsChanged), new(event.EvtNATDeviceTypeChanged)})
	if err != nil {
		return nil, err
	}
	k := &reachKeeper{sub: sub, done: make(chan struct{})}
	k.last = Reach{Asked: cfg.NAT && !cfg.packetOnly(), Assumed: cfg.Public, Reachability: ReachUnknown, NATUDP: NATUnknown, NATTCP: NATUnknown}
	go func() {
		defer close(k.done)
		for e := range sub.Out() {
			k.take(e)
		}
	}()
	return k, nil
}

func (k *reachKeeper) take(e any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch e := e.(type) {
	case event.EvtLocalReachabilityChanged:
		k.last.Reachability = map[network.Reachability]string{network.ReachabilityPublic: ReachPublic, network.ReachabilityPrivate: ReachPrivate}[e.Reachability]
		if k.last.Reachability == "" {
			k.last.Reachability = ReachUnknown
		}
	case event.EvtHostReachableAddrsChanged:
		k.last.Reached, k.last.NotReached = texts(e.Reachable), texts(e.Unreachable)
	case event.EvtNATDeviceTypeChanged:
		kind := map[network.NATDeviceType]string{network.NATDeviceTypeEndpointIndependent: NATIndependent, network.NATDeviceTypeEndpointDependent: NATDependent}[e.NatDeviceType]
		if kind == "" {
			kind = NATUnknown
		}
		if e.TransportProtocol == network.NATTransportUDP {
			k.last.NATUDP = kind
		} else {
			k.last.NATTCP = kind
		}
	}
}

func (k *reachKeeper) get() Reach {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.last
}

func (k *reachKeeper) close() {
	_ = k.sub.Close()
	<-k.done
}

func texts(addrs []ma.Multiaddr) []string {
	var list []string
	for _, a := range addrs {
		list = append(list, a.String())
	}
	return list
}

// Reach returns what is known so far of the ways to this host.
func (h *Host) Reach() Reach {
	r := h.reach.get()
	r.Loopback = true
	for _, a := range h.Addrs() {
		if isCircuit(a) {
			r.Circuits++
		}
		if reach(a) < 2 {
			r.Loopback = false
		}
	}
	for _, p := range h.Network().Peers() {
		for _, c := range h.Network().ConnsToPeer(p) {
			if a := c.RemoteMultiaddr(); reach(a) == 0 && !isCircuit(a) {
				r.OutsidePeers++
				break
			}
		}
	}
	return r
}

// Limits returns the limits in force.
func (h *Host) Limits() Limits { return h.limits }
