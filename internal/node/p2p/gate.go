package p2p

// This file answers: how does a peer talk to chosen peers only?

import (
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// gate lets through what goes to or comes from the peers in it.
type gate map[peer.ID]struct{}

var _ connmgr.ConnectionGater = gate{}

func newGate(only []peer.ID) gate {
	g := make(gate, len(only))
	for _, p := range only {
		g[p] = struct{}{}
	}
	return g
}

func (g gate) has(p peer.ID) bool {
	_, ok := g[p]
	return ok
}

// InterceptPeerDial implements connmgr.ConnectionGater.
func (g gate) InterceptPeerDial(p peer.ID) bool { return g.has(p) }

// InterceptAddrDial implements connmgr.ConnectionGater.
func (g gate) InterceptAddrDial(p peer.ID, _ ma.Multiaddr) bool { return g.has(p) }

// InterceptAccept implements connmgr.ConnectionGater: who it is shows later.
func (g gate) InterceptAccept(network.ConnMultiaddrs) bool { return true }

// InterceptSecured implements connmgr.ConnectionGater.
func (g gate) InterceptSecured(_ network.Direction, p peer.ID, _ network.ConnMultiaddrs) bool {
	return g.has(p)
}

// InterceptUpgraded implements connmgr.ConnectionGater.
func (g gate) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
