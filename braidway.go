package braidway

// This file answers: how does a program start a peer, and how does it leave?

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/internal/node/p2p"
)

// Config of a peer. The zero value is a peer with a new identity on free ports
// of all interfaces, that finds others by links and on the local network.
type Config struct {
	// Key is the identity, and the key of what the peer publishes; nil: a new
	// one each time. See LoadKey.
	Key ed25519.PrivateKey
	// Listen are multiaddrs, as /ip4/0.0.0.0/udp/4001/quic-v1; every one must
	// work. Empty: QUIC and TCP on free ports of all interfaces.
	Listen []string
	// Bootstrap are multiaddrs of DHT nodes to start from; they end in /p2p/<id>.
	// Empty: links and the local network must do.
	Bootstrap []string
	// UploadLimit bounds what children are sent, bit/s, up to 10^12; 0: measured.
	UploadLimit int64
	// MaxChildren bounds the children in any one stripe, 0 to 65535; 0: only the
	// upload does.
	MaxChildren int
	// Tokens let the peer into private streams, whole links of which are given to
	// Watch and Relay: what peer token issue printed, one for each stream.
	Tokens []string
	// NoMDNS leaves the local network alone.
	NoMDNS bool
	// NoNAT looks for no ways in from outside (port mapping, AutoNAT, hole
	// punching, circuits). A peer that listens on loopback alone never does.
	NoNAT bool
	// Log takes what operators want to know; nil: nothing is logged.
	Log *slog.Logger
}

// LoadKey reads the ed25519 key in file, and makes one there, with mode 0600,
// when there is none. A program that publishes keeps its key, or its link
// changes each time.
func LoadKey(file string) (ed25519.PrivateKey, error) {
	key, _, err := p2p.LoadOrCreateKey(file)
	return key, err
}

// Peer takes part in streams. Its methods may be called from several
// goroutines at once.
type Peer struct {
	node   *node.Node
	tokens []string
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
}

// New starts a peer. Call Close at the end.
func New(cfg Config) (*Peer, error) {
	switch {
	case cfg.Key != nil && len(cfg.Key) != ed25519.PrivateKeySize:
		return nil, outside("Config.Key", fmt.Sprintf("%d bytes", len(cfg.Key)), fmt.Sprintf("%d, or nil", ed25519.PrivateKeySize))
	case cfg.UploadLimit < 0 || cfg.UploadLimit > 1e12:
		return nil, outside("Config.UploadLimit", cfg.UploadLimit, "0 to 10^12 bit/s")
	case cfg.MaxChildren < 0 || cfg.MaxChildren > 65535:
		return nil, outside("Config.MaxChildren", cfg.MaxChildren, "0 to 65535")
	}
	local := len(cfg.Listen) > 0
	for _, a := range cfg.Listen {
		if _, err := ma.NewMultiaddr(a); err != nil {
			return nil, as(ErrConfig, fmt.Errorf("Config.Listen %q: %w; write for example /ip4/0.0.0.0/udp/4001/quic-v1", a, err))
		}
		local = local && (strings.HasPrefix(a, "/ip4/127.") || strings.HasPrefix(a, "/ip6/::1/"))
	}
	if cfg.Key == nil {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		cfg.Key = key
	}
	nc := node.Config{NoMDNS: cfg.NoMDNS, UploadLimit: cfg.UploadLimit, MaxChildren: cfg.MaxChildren, Log: cfg.Log,
		Host: p2p.HostConfig{Key: cfg.Key, Listen: cfg.Listen, NAT: !local && !cfg.NoNAT, RelayService: !local && !cfg.NoNAT, AllowLoopback: true}}
	for _, a := range cfg.Bootstrap {
		ai, err := peer.AddrInfoFromString(a)
		if err != nil {
			return nil, as(ErrConfig, fmt.Errorf("Config.Bootstrap %q: %w; write for example /ip4/192.0.2.1/udp/4001/quic-v1/p2p/12D3…", a, err))
		}
		nc.DHT.Bootstrap = append(nc.DHT.Bootstrap, *ai)
	}
	n, err := node.New(nc)
	if err != nil {
		return nil, public(err)
	}
	p := &Peer{node: n, tokens: slices.Clone(cfg.Tokens)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p, nil
}

// ID returns the peer's libp2p id, as text.
func (p *Peer) ID() string { return p.node.Host().ID().String() }

// Addrs returns the multiaddrs at which others may reach the peer; they end in
// its id, and serve as Config.Bootstrap of others.
func (p *Peer) Addrs() []string {
	var all []string
	for _, a := range p.node.Host().P2PAddrs() {
		all = append(all, a.String())
	}
	return all
}

// drainTime is how long children have where ctx of Drain has no deadline: the
// default of the peer command.
const drainTime = 5 * time.Second

// Drain asks the children in all streams to move, and returns when they have,
// or when ctx ends, with its error. A publisher hands the stream over to a standby
// where it has one. Close comes after it.
func (p *Peer) Drain(ctx context.Context) error {
	wait := drainTime
	if at, ok := ctx.Deadline(); ok {
		wait = max(0, time.Until(at))
	}
	p.node.Drain(ctx, wait)
	return ctx.Err()
}

// Close leaves everything at once: publications, viewers and relays end with
// ErrClosed.
func (p *Peer) Close() error {
	p.cancel()
	return p.node.Close()
}
