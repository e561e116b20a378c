package p2p

// This file answers: who else of the project is on the local network?

import (
	"log/slog"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
)

// MDNSService is the service that peers announce on the local network.
const MDNSService = "_braidway._udp"

const (
	// maxMDNSPeers bounds the remembered peers: more than a local network of
	// viewers has; the oldest give way.
	maxMDNSPeers = 256
	// maxPeerAddrs bounds the addresses that are taken of one found peer.
	maxPeerAddrs = 16
)

// MDNS announces the host on the local network and remembers who else is there.
type MDNS struct {
	self    peer.ID
	service mdns.Service
	err     error

	mu     sync.Mutex
	closed bool
	peers  []peer.AddrInfo // oldest first
	found  []func(peer.AddrInfo)
}

// StartMDNS starts mDNS for h and calls found, which may be nil, for every peer
// that answers, from several goroutines and perhaps more than once. That mDNS
// cannot start (no multicast, no network) is a warning in log and in
// [MDNS.Err], not an error. A [Fault] of the host does not reach mDNS.
func StartMDNS(h *Host, found func(peer.AddrInfo), log *slog.Logger) *MDNS {
	m := &MDNS{self: h.ID()}
	if found != nil {
		m.found = append(m.found, found)
	}
	m.service = mdns.NewMdnsService(h.Host, MDNSService, m)
	if m.err = m.service.Start(); m.err != nil && log != nil {
		log.Warn("mDNS did not start: peers on the local network are not found by it", "err", m.err)
	}
	return m
}

// Err returns why mDNS did not start, or nil.
func (m *MDNS) Err() error { return m.err }

// Peers returns the remembered peers, the latest first.
func (m *MDNS) Peers() []peer.AddrInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := slices.Clone(m.peers)
	slices.Reverse(out)
	return out
}

// HandlePeerFound is called by libp2p.
func (m *MDNS) HandlePeerFound(ai peer.AddrInfo) {
	if ai.ID == m.self || len(ai.Addrs) == 0 {
		return
	}
	ai.Addrs = slices.Clone(ai.Addrs[:min(len(ai.Addrs), maxPeerAddrs)])
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return
	}
	m.peers = slices.DeleteFunc(m.peers, func(o peer.AddrInfo) bool { return o.ID == ai.ID })
	if len(m.peers) == maxMDNSPeers {
		m.peers = slices.Delete(m.peers, 0, 1)
	}
	m.peers = append(m.peers, ai)
	calls := slices.Clone(m.found)
	m.mu.Unlock()
	for _, f := range calls {
		if f != nil {
			f(ai)
		}
	}
}

// watch also calls f for peers that are found from now on, until stop.
func (m *MDNS) watch(f func(peer.AddrInfo)) (stop func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.found, func(g func(peer.AddrInfo)) bool { return g == nil })
	if i < 0 {
		i = len(m.found)
		m.found = append(m.found, nil)
	}
	m.found[i] = f
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.found[i] = nil
	}
}

// Close takes the host's announcement back and stops.
func (m *MDNS) Close() error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	return m.service.Close()
}
