package p2p

// This file answers: how many connections, streams and bytes of memory may a
// host use, in all and for each other peer?

import (
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/x/rate"
	"github.com/pbnjay/memory"
)

// Limits of a host's resources. The zero value is right for a relay of video;
// libp2p's own defaults are not: they allow 8 connections and 0.2 new ones a
// second from one address, which a household or an office behind a NAT exceeds.
type Limits struct {
	// Conns is the most connections, in [16, 65536]; 0 means 1024 (guess: 200
	// children, their standbys, and the DHT's).
	Conns int
	// Streams is the most streams over all connections, in [256, 1<<20]; 0
	// means 16 for each connection (guess: k = 4 with parity in two streams).
	Streams int
	// Memory is the most bytes that connections and streams may reserve, in
	// [64 MiB, 1 TiB]; 0 means a quarter of the machine's, at least 256 MiB.
	Memory int64
	// ConnsPerIP is the most connections from one public IPv4 address or IPv6
	// /56, in [1, Conns]; 0 means an eighth of Conns. Loopback and private
	// addresses are not limited.
	ConnsPerIP int
}

func (l Limits) withDefaults() Limits {
	if l.Conns == 0 {
		l.Conns = 1024
	}
	if l.Streams == 0 {
		l.Streams = 16 * l.Conns
	}
	if l.Memory == 0 {
		l.Memory = max(256<<20, int64(memory.TotalMemory()/4))
	}
	if l.ConnsPerIP == 0 {
		l.ConnsPerIP = max(1, l.Conns/8)
	}
	return l
}

func (l Limits) validate() error {
	bad := func(name string, v int64, lo, hi int64) error {
		return fmt.Errorf("p2p: Limits.%s is %d, allowed is %d to %d", name, v, lo, hi)
	}
	switch {
	case l.Conns < 16 || l.Conns > 65536:
		return bad("Conns", int64(l.Conns), 16, 65536)
	case l.Streams < 256 || l.Streams > 1<<20:
		return bad("Streams", int64(l.Streams), 256, 1<<20)
	case l.Memory < 64<<20 || l.Memory > 1<<40:
		return bad("Memory", l.Memory, 64<<20, 1<<40)
	case l.ConnsPerIP < 1 || l.ConnsPerIP > l.Conns:
		return bad("ConnsPerIP", int64(l.ConnsPerIP), 1, int64(l.Conns))
	}
	return nil
}

// concrete turns the limits into libp2p's.
func (l Limits) concrete() rcmgr.ConcreteLimitConfig {
	scaling := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&scaling)
	conns, streams := rcmgr.LimitVal(l.Conns), rcmgr.LimitVal(l.Streams)
	system := rcmgr.ResourceLimits{
		Conns: conns, ConnsInbound: conns, ConnsOutbound: conns,
		Streams: streams, StreamsInbound: streams, StreamsOutbound: streams,
		Memory: rcmgr.LimitVal64(l.Memory),
	}
	// One peer is a parent, a child or both in every stripe of a few streams.
	perPeer := min(streams, 512)
	return rcmgr.PartialLimitConfig{
		System: system,
		// Connections and streams not yet negotiated: a crowd arrives at once.
		Transient: rcmgr.ResourceLimits{
			Conns: max(conns/2, 16), ConnsInbound: max(conns/2, 16), ConnsOutbound: max(conns/2, 16),
			Streams: max(streams/4, 128), StreamsInbound: max(streams/4, 128), StreamsOutbound: max(streams/4, 128),
			Memory: rcmgr.LimitVal64(l.Memory / 4),
		},
		ProtocolDefault: rcmgr.ResourceLimits{
			Streams: streams, StreamsInbound: streams, StreamsOutbound: streams,
			Memory: rcmgr.LimitVal64(l.Memory),
		},
		ProtocolPeerDefault: rcmgr.ResourceLimits{
			Streams: perPeer, StreamsInbound: perPeer / 2, StreamsOutbound: perPeer / 2,
		},
		PeerDefault: rcmgr.ResourceLimits{
			Streams: 2 * perPeer, StreamsInbound: perPeer, StreamsOutbound: perPeer,
		},
	}.Build(scaling.AutoScale())
}

// nearNetworks are those in which addresses say nothing about who is behind them.
var nearNetworks = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("fc00::/7"),
	netip.MustParsePrefix("fe80::/10"),
}

func isNear(a netip.Addr) bool {
	a = a.Unmap()
	for _, p := range nearNetworks {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func newResourceManager(l Limits, metrics bool) (network.ResourceManager, error) {
	var near4, near6 []rcmgr.NetworkPrefixLimit
	var free []rate.PrefixLimit
	for _, p := range nearNetworks {
		free = append(free, rate.PrefixLimit{Prefix: p}) // no rate: unlimited
		limit := rcmgr.NetworkPrefixLimit{Network: p, ConnCount: math.MaxInt}
		if p.Addr().Is4() {
			near4 = append(near4, limit)
		} else {
			near6 = append(near6, limit)
		}
	}
	// From one address, all its connections may come within a moment, and be
	// renewed within about a minute.
	perIP := rate.Limit{RPS: math.Max(1, float64(l.ConnsPerIP)/60), Burst: l.ConnsPerIP}
	opts := []rcmgr.Option{
		rcmgr.WithNetworkPrefixLimit(near4, near6),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: l.ConnsPerIP}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: l.ConnsPerIP}, {PrefixLength: 48, ConnCount: l.Conns}},
		),
		rcmgr.WithConnRateLimiters(&rate.Limiter{
			NetworkPrefixLimits: free,
			SubnetRateLimiter: rate.SubnetLimiter{
				IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: perIP}},
				IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: perIP}},
				GracePeriod:      time.Minute,
			},
		}),
	}
	if !metrics {
		opts = append(opts, rcmgr.WithMetricsDisabled())
	}
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(l.concrete()), opts...)
}

// relayResources fit what goes over a circuit here: the exchange before a hole
// is punched, membership and look-ups; never a stream.
func relayResources() relay.Resources {
	r := relay.DefaultResources()
	r.Limit = &relay.RelayLimit{Duration: 5 * time.Minute, Data: 1 << 20} // guess
	r.MaxReservations = 256
	r.MaxReservationsPerIP = 16
	return r
}
