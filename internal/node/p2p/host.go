package p2p

// This file answers: how does this peer listen, dial and present itself?

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	circuit "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/quic-go/quic-go"
	"go.uber.org/fx"
)

// HostConfig says how a host listens and what it offers. Only Key is required.
type HostConfig struct {
	// Key is the peer's identity.
	Key ed25519.PrivateKey
	// Listen are multiaddrs; every one must work. Empty: QUIC and TCP on free
	// ports of all interfaces, where those of one IP version may fail.
	Listen []string
	// NoListen listens on nothing: the host can be reached over connections that
	// it opened itself, and tells nobody an address.
	NoListen bool
	// Only, unless empty, are the only peers that the host talks to.
	Only []peer.ID
	// Version is what identify tells others, as braidway/<version>; "" means "dev".
	Version string
	// Limits of resources.
	Limits Limits
	// Upload is what the host may send, bit/s; 0: nobody said. A part of it goes to
	// handshakes with who dials (failover.NewHandshakes), and no more.
	Upload int64
	// NAT looks for ways in from outside: port mapping, AutoNAT, hole punching,
	// and reservations with relays when the host is not reachable. It is left
	// out of hosts with Fault or ListenPacket, whose other sockets it would bypass.
	NAT bool
	// RelayService lends circuits to others once the host is known to be
	// public, limited to what control traffic needs.
	RelayService bool
	// Public says that the host is known to be reachable from everywhere: for
	// a bootstrap node, which has nobody yet to tell it so.
	Public bool
	// AllowLoopback advertises loopback addresses beside others. Without it
	// they are advertised only when there are no others.
	AllowLoopback bool
	// Fault, when set, can cut the host off. Such a host has no TCP: TCP
	// addresses in Listen are passed over.
	Fault *Fault
	// ListenPacket, when set, opens the host's UDP sockets (a simulated
	// network); such a host has no TCP either.
	ListenPacket func(network string, laddr *net.UDPAddr) (net.PacketConn, error)
	// Metrics registers libp2p's own metrics; nil: none are kept.
	Metrics prometheus.Registerer
}

// Host is a libp2p host with the project's settings.
type Host struct {
	host.Host
	key    ed25519.PrivateKey
	fault  *Fault
	door   *door
	reach  *reachKeeper
	limits Limits
}

// ListenError says that an address cannot be listened on.
type ListenError struct {
	Addr string
	Err  error
}

// Error names the address, the cause and the fix.
func (e *ListenError) Error() string {
	fix := "name an address such as /ip4/0.0.0.0/udp/4001/quic-v1"
	cause := e.Err.Error()
	switch {
	case errors.Is(e.Err, syscall.EADDRINUSE):
		cause, fix = "address already in use", "stop the program that has this port, choose another port, or port 0 for a free one"
	case errors.Is(e.Err, syscall.EACCES):
		cause, fix = "permission denied", "choose a port above 1023, or run with the right to use lower ones"
	case errors.Is(e.Err, syscall.EADDRNOTAVAIL):
		cause, fix = "no interface of this machine has this address", "choose an address of this machine, or 0.0.0.0 for all"
	case errors.Is(e.Err, swarm.ErrNoTransport):
		cause, fix = "not QUIC or TCP", "name an address such as /ip4/0.0.0.0/udp/4001/quic-v1 or /ip4/0.0.0.0/tcp/4001"
	}
	return fmt.Sprintf("p2p: cannot listen on %s: %s: %s", e.Addr, cause, fix)
}

// Unwrap returns the cause, such as syscall.EADDRINUSE.
func (e *ListenError) Unwrap() error { return e.Err }

var defaultListen = []string{
	"/ip4/0.0.0.0/udp/0/quic-v1", "/ip4/0.0.0.0/tcp/0",
	"/ip6/::/udp/0/quic-v1", "/ip6/::/tcp/0",
}

// NewHost starts a host. An address that cannot be listened on is a
// *[ListenError]. Close the host to end it.
func NewHost(cfg HostConfig) (*Host, error) {
	cfg.Limits = cfg.Limits.withDefaults()
	if err := cfg.Limits.validate(); err != nil {
		return nil, err
	}
	if len(cfg.Key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("p2p: HostConfig.Key has %d bytes, must have %d", len(cfg.Key), ed25519.PrivateKeySize)
	}
	var addrs []ma.Multiaddr
	var strict bool
	if !cfg.NoListen {
		var err error
		if addrs, strict, err = cfg.listenAddrs(); err != nil {
			return nil, err
		}
	}
	h := &Host{key: cfg.Key, fault: cfg.Fault, limits: cfg.Limits}
	var self atomic.Pointer[Host] // for autorelay, which may ask before New returns
	opts, err := cfg.options(h, &self)
	if err != nil {
		return nil, err
	}
	if h.Host, err = libp2p.New(opts...); err != nil {
		return nil, fmt.Errorf("p2p: starting the host: %w", err)
	}
	if h.reach, err = followReach(h.EventBus(), &cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("p2p: following reachability: %w", err), h.Host.Close())
	}
	self.Store(h)
	// Listening one by one: libp2p is content when one of several works, and
	// does not return why the others failed.
	var failed []error
	for _, a := range addrs {
		if err := listen(h.Network(), a); err != nil {
			failed = append(failed, &ListenError{Addr: a.String(), Err: err})
		}
	}
	if len(failed) > 0 && (strict || len(failed) == len(addrs)) {
		return nil, errors.Join(failed[0], h.Close())
	}
	return h, nil
}

// Refused returns how many connections from outside were turned away because
// more came than the upload bears.
func (h *Host) Refused() int64 { return h.door.refused.Load() }

// packetOnly says whether all sockets of the host go through our hands.
func (cfg *HostConfig) packetOnly() bool { return cfg.Fault != nil || cfg.ListenPacket != nil }

// listenAddrs parses Listen; strict when the user chose the addresses.
func (cfg *HostConfig) listenAddrs() (addrs []ma.Multiaddr, strict bool, err error) {
	list := cfg.Listen
	if strict = len(list) > 0; !strict {
		list = defaultListen
	}
	for _, s := range list {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			return nil, strict, &ListenError{Addr: s, Err: fmt.Errorf("not a multiaddr (%w)", err)}
		}
		if _, err := a.ValueForProtocol(ma.P_TCP); err == nil && cfg.packetOnly() {
			continue
		}
		addrs = append(addrs, a)
	}
	if len(addrs) == 0 {
		return nil, strict, errors.New("p2p: nothing to listen on: a host with Fault or ListenPacket listens on QUIC only, name a /quic-v1 address")
	}
	return addrs, strict, nil
}

func listen(n network.Network, a ma.Multiaddr) error {
	// libp2p listens on TCP with SO_REUSEPORT, so a second process of the same
	// user would get the port too, and half of the connections. Ask without it first.
	if netw, hostport, err := manet.DialArgs(a); err == nil && (netw == "tcp4" || netw == "tcp6") {
		l, err := net.Listen(netw, hostport)
		if err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	// Listen of the network gives the cause as text only.
	if s, ok := n.(interface{ AddListenAddr(ma.Multiaddr) error }); ok {
		return s.AddListenAddr(a)
	}
	return n.Listen(a)
}

func (cfg *HostConfig) options(h *Host, self *atomic.Pointer[Host]) ([]libp2p.Option, error) {
	key, err := Libp2pKey(cfg.Key)
	if err != nil {
		return nil, err
	}
	version := cfg.Version
	if version == "" {
		version = "dev"
	}
	rm, err := newResourceManager(cfg.Limits, cfg.Metrics != nil)
	if err != nil {
		return nil, fmt.Errorf("p2p: resource limits: %w", err)
	}
	h.door = newDoor(rm, cfg.Upload)
	// Trim well below the hard limit, so that newcomers find room.
	cm, err := connmgr.NewConnManager(cfg.Limits.Conns*6/10, cfg.Limits.Conns*8/10, connmgr.WithGracePeriod(30*time.Second))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("p2p: connection manager: %w", err), rm.Close())
	}
	opts := []libp2p.Option{
		libp2p.Identity(key),
		libp2p.UserAgent("braidway/" + version),
		libp2p.ProtocolVersion("braidway/1"),
		libp2p.ResourceManager(h.door),
		libp2p.ConnectionManager(cm),
		libp2p.EnableRelay(),
		libp2p.NoListenAddrs,
		libp2p.Transport(libp2pquic.NewTransport),
		libp2p.Security(noise.ID, noise.New),
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport),
		libp2p.AddrsFactory(advertised(cfg.AllowLoopback)),
	}
	if cfg.Metrics != nil {
		opts = append(opts, libp2p.PrometheusRegisterer(cfg.Metrics))
	} else {
		opts = append(opts, libp2p.DisableMetrics())
	}
	if cfg.packetOnly() {
		opts = append(opts, libp2p.QUICReuse(cfg.quicConns))
	} else {
		opts = append(opts, libp2p.Transport(tcp.NewTCPTransport))
	}
	if cfg.NAT && !cfg.packetOnly() {
		opts = append(opts,
			libp2p.NATPortMap(),
			libp2p.EnableNATService(),
			libp2p.EnableAutoNATv2(),
			libp2p.EnableHolePunching(),
			libp2p.EnableAutoRelayWithPeerSource(func(ctx context.Context, n int) <-chan peer.AddrInfo {
				return relayCandidates(self.Load(), n)
			}, autorelay.WithMinInterval(30*time.Second)),
		)
	}
	if len(cfg.Only) > 0 {
		opts = append(opts, libp2p.ConnectionGater(newGate(cfg.Only)))
	}
	if cfg.Public {
		opts = append(opts, libp2p.ForceReachabilityPublic())
	}
	if cfg.RelayService {
		opts = append(opts, libp2p.EnableRelayService(relay.WithResources(relayResources())))
	}
	return opts, nil
}

// quicConns is libp2p's own constructor, but for where its sockets come from.
func (cfg *HostConfig) quicConns(reset quic.StatelessResetKey, token quic.TokenGeneratorKey, rm network.ResourceManager, lc fx.Lifecycle) (*quicreuse.ConnManager, error) {
	open := cfg.ListenPacket
	var opts []quicreuse.Option
	if open == nil {
		open = func(network string, laddr *net.UDPAddr) (net.PacketConn, error) {
			return net.ListenUDP(network, laddr)
		}
	} else {
		// The kernel's routes say nothing about a network that is not its own.
		src := new(lastSource)
		inner := open
		open = func(network string, laddr *net.UDPAddr) (net.PacketConn, error) {
			src.ip.Store(&laddr.IP)
			return inner(network, laddr)
		}
		opts = append(opts, quicreuse.OverrideSourceIPSelector(func() (quicreuse.SourceIPSelector, error) { return src, nil }))
	}
	opts = append(opts,
		quicreuse.OverrideListenUDP(func(network string, laddr *net.UDPAddr) (net.PacketConn, error) {
			c, err := open(network, laddr)
			if err != nil || cfg.Fault == nil {
				return c, err
			}
			return cfg.Fault.wrap(c), nil
		}),
		// As in libp2p: the resource manager sees a connection before its handshake.
		quicreuse.ConnContext(func(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
			addr, err := quicreuse.ToQuicMultiaddr(info.RemoteAddr, quic.Version1)
			if err != nil {
				addr = nil
			}
			scope, err := rm.OpenConnection(network.DirInbound, false, addr)
			if err != nil {
				return ctx, err
			}
			ctx = network.WithConnManagementScope(ctx, scope)
			context.AfterFunc(ctx, scope.Done)
			return ctx, nil
		}),
		quicreuse.VerifySourceAddress(rm.VerifySourceAddress),
	)
	cm, err := quicreuse.NewConnManager(reset, token, opts...)
	if err != nil {
		return nil, err
	}
	lc.Append(fx.StopHook(cm.Close))
	return cm, nil
}

// lastSource answers with the address that was last listened on.
type lastSource struct{ ip atomic.Pointer[net.IP] }

// PreferredSourceIPForDestination implements quicreuse.SourceIPSelector.
func (s *lastSource) PreferredSourceIPForDestination(*net.UDPAddr) (net.IP, error) {
	if ip := s.ip.Load(); ip != nil {
		return *ip, nil
	}
	return nil, errors.New("p2p: not listening yet")
}

// advertised keeps loopback addresses to itself when there are others.
func advertised(loopback bool) func([]ma.Multiaddr) []ma.Multiaddr {
	return func(all []ma.Multiaddr) []ma.Multiaddr {
		if loopback {
			return all
		}
		wide := slices.DeleteFunc(slices.Clone(all), manet.IsIPLoopback)
		if len(wide) == 0 {
			return all
		}
		return wide
	}
}

// relayCandidates offers connected peers that lend circuits.
func relayCandidates(h *Host, n int) <-chan peer.AddrInfo {
	var found []peer.AddrInfo
	if h != nil {
		for _, p := range h.Network().Peers() {
			if len(found) == n {
				break
			}
			if ok, err := h.Peerstore().SupportsProtocols(p, circuit.ProtoIDv2Hop); err == nil && len(ok) > 0 {
				found = append(found, h.Peerstore().PeerInfo(p))
			}
		}
	}
	out := make(chan peer.AddrInfo, len(found))
	for _, ai := range found {
		out <- ai
	}
	close(out)
	return out
}

// Key returns the host's identity.
func (h *Host) Key() ed25519.PrivateKey { return h.key }

// AddrInfo returns the host's id and the addresses that it advertises, those
// that lead furthest first: links and records have room for a few only.
func (h *Host) AddrInfo() peer.AddrInfo {
	ai := *host.InfoFromHost(h.Host)
	slices.SortStableFunc(ai.Addrs, func(a, b ma.Multiaddr) int { return reach(a) - reach(b) })
	return ai
}

// reach is 0 for an address that leads here from everywhere, 1 from the local
// network, 2 from this machine.
func reach(a ma.Multiaddr) int {
	switch {
	case manet.IsIPLoopback(a):
		return 2
	case manet.IsPublicAddr(a), isCircuit(a):
		return 0
	}
	return 1
}

func isCircuit(a ma.Multiaddr) bool {
	_, err := a.ValueForProtocol(ma.P_CIRCUIT)
	return err == nil
}

// P2PAddrs returns the advertised addresses with the peer id, as others need
// them to connect.
func (h *Host) P2PAddrs() []ma.Multiaddr {
	ai := h.AddrInfo()
	addrs, err := peer.AddrInfoToP2pAddrs(&ai)
	if err != nil {
		return nil // only for an id that is not one
	}
	return addrs
}

// Protect keeps the connection manager from trimming connections to p, for the
// reason named by tag, until Unprotect with the same tag.
func (h *Host) Protect(p peer.ID, tag string) { h.ConnManager().Protect(p, tag) }

// Unprotect ends Protect.
func (h *Host) Unprotect(p peer.ID, tag string) { h.ConnManager().Unprotect(p, tag) }

// clearBackoff makes libp2p forget that it failed to dial p, for callers that
// own the retries: else they learn "dial backoff" instead of the cause.
func (h *Host) clearBackoff(p peer.ID) {
	if n, ok := h.Network().(interface{ Backoff() *swarm.DialBackoff }); ok {
		n.Backoff().Clear(p)
	}
}

// Close closes all connections and sockets. A frozen host is cut first, so
// that closing never waits for a thaw.
func (h *Host) Close() error {
	if h.fault != nil {
		h.fault.close()
	}
	err := h.Host.Close()
	h.reach.close()
	return err
}
