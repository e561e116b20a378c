package node

// This file answers: what does a peer process consist of? One host, its DHT
// node and its ways of finding others, shared by the sessions of its streams.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/stream"
)

// Errors of who takes part in what, for errors.Is.
var (
	// ErrClosed: the node was closed.
	ErrClosed = errors.New("node: closed")
	// ErrTakesPart: the node takes part in this stream already.
	ErrTakesPart = errors.New("node: takes part in this stream already")
)

// Config of a node. Only Host.Key is required.
type Config struct {
	Host p2p.HostConfig
	DHT  p2p.DHTConfig
	// NoMDNS leaves the local network alone.
	NoMDNS bool
	// UploadLimit bounds what children are sent, bit/s; 0: measured.
	UploadLimit int64
	// MaxChildren bounds the children in any one stripe; 0: only the upload does.
	MaxChildren int
	// Unlisted leaves others no address of this peer that they could pass on: it
	// listens on nothing, is announced nowhere and answers nobody in the DHT.
	Unlisted bool
	// Only are the only peers that this one talks to, whatever links and others
	// name; it is unlisted then, and asks neither the DHT nor the local network.
	Only []peer.AddrInfo
	// Window is how long objects are kept for children and repairs, at least
	// 10 s; 0: 20 s. It is most of a session's memory.
	Window time.Duration
	// Log takes what operators want to know; nil: nothing is logged.
	Log *slog.Logger
}

// Node is a peer: a host with its sessions.
type Node struct {
	cfg    Config
	log    *slog.Logger
	host   *p2p.Host
	dht    *p2p.DHT
	rdv    *p2p.Rendezvous
	mdns   *p2p.MDNS
	finder *p2p.Finder
	ctx    context.Context
	cancel context.CancelFunc
	events Hub[TraceEvent]
	traces traceCounts
	began  time.Time
	checks checkKeeper
	// readers of the admin API's events.
	readers atomic.Int32

	mu       sync.Mutex
	sessions map[stream.ID]*Session
	blinded  map[stream.ID]*Session // private ones, by their blinded ids
	bans     map[peer.ID]time.Time
	draining bool
	closed   bool
}

// New starts a host and joins the DHT. Errors are those of p2p.NewHost and p2p.NewDHT.
func New(cfg Config) (*Node, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.DHT.Log == nil {
		cfg.DHT.Log = cfg.Log
	}
	if cfg.Window == 0 {
		cfg.Window = windowAge
	}
	if cfg.Window < leastWindow {
		return nil, fmt.Errorf("node: Config.Window is %v, allowed is %v and more, or 0 for %v", cfg.Window, leastWindow, windowAge)
	}
	cfg.Host.Upload = cfg.UploadLimit
	if cfg.hide(); len(cfg.Only) > maxOnly {
		return nil, fmt.Errorf("node: Config.Only names %d peers, allowed are up to %d", len(cfg.Only), maxOnly)
	}
	h, err := p2p.NewHost(cfg.Host)
	if err != nil {
		return nil, err
	}
	d, err := p2p.NewDHT(h, cfg.DHT)
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	n := &Node{cfg: cfg, log: cfg.Log, host: h, dht: d, rdv: p2p.NewRendezvous(d),
		began: time.Now(), traces: newTraceCounts(), sessions: make(map[stream.ID]*Session),
		blinded: make(map[stream.ID]*Session), bans: make(map[peer.ID]time.Time)}
	if !cfg.NoMDNS {
		n.mdns = p2p.StartMDNS(h, nil, cfg.Log)
	}
	find := p2p.FinderConfig{Host: h, Rendezvous: n.rdv, MDNS: n.mdns}
	if len(cfg.Only) > 0 {
		find.Rendezvous = nil
	}
	n.finder = p2p.NewFinder(find)
	n.ctx, n.cancel = context.WithCancel(context.Background())
	for proto, handle := range n.handlers() {
		h.SetStreamHandler(proto, handle)
	}
	return n, nil
}

// maxOnly bounds Config.Only; each is tried at every search.
const maxOnly = stream.MaxLinkAddrs

// hide turns Unlisted and Only into what host, DHT and local network do.
func (c *Config) hide() {
	if len(c.Only) > 0 {
		c.Unlisted = true
		c.DHT.Bootstrap = nil
		for _, ai := range c.Only {
			c.Host.Only = append(c.Host.Only, ai.ID)
		}
	}
	if c.Unlisted {
		c.NoMDNS, c.DHT.Mode, c.Host.NoListen, c.Host.NAT, c.Host.RelayService = true, p2p.ModeClient, true, false, false
	}
}

// handlers are who answers which protocol.
func (n *Node) handlers() map[protocol.ID]network.StreamHandler {
	return map[protocol.ID]network.StreamHandler{ControlProtocol: n.handleControl, ControlProtocol1: n.handleControl,
		DataProtocol: n.handleData, LeaseProtocol: n.handleLease, PrivateProtocol: n.handlePrivate}
}

// Host returns the libp2p host.
func (n *Node) Host() *p2p.Host { return n.host }

func (n *Node) version() string {
	if n.cfg.Host.Version == "" {
		return "dev"
	}
	return n.cfg.Host.Version
}

// DHT returns the DHT node.
func (n *Node) DHT() *p2p.DHT { return n.dht }

// Close leaves everything at once: sessions, DHT, host.
func (n *Node) Close() error {
	n.mu.Lock()
	n.closed = true
	all := n.all()
	n.mu.Unlock()
	var wg sync.WaitGroup
	for _, s := range all {
		if s.pub != nil {
			wg.Go(s.pub.Close)
		} else {
			wg.Go(s.Close)
		}
	}
	wg.Wait()
	n.cancel()
	for proto := range n.handlers() {
		n.host.RemoveStreamHandler(proto)
	}
	if n.mdns != nil {
		_ = n.mdns.Close()
	}
	return errors.Join(n.rdv.Close(), n.dht.Close(), n.host.Close())
}

// Drain hands the children of all sessions over, at most for wait.
func (n *Node) Drain(ctx context.Context, wait time.Duration) {
	n.mu.Lock()
	n.draining = true
	all := n.all()
	n.mu.Unlock()
	var wg sync.WaitGroup
	for _, s := range all {
		wg.Go(func() { _ = s.Drain(ctx, wait) })
	}
	wg.Wait()
}

// Draining reports whether Drain was called.
func (n *Node) Draining() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.draining
}

// all returns the sessions; n.mu is held.
func (n *Node) all() []*Session {
	all := make([]*Session, 0, len(n.sessions))
	for _, s := range n.sessions {
		all = append(all, s)
	}
	return all
}

// Sessions returns the streams that the node takes part in.
func (n *Node) Sessions() []*Session {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.all()
}

// session returns the session of a stream by its id, private ones too.
func (n *Node) session(id stream.ID) *Session {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sessions[id]
}

// openSession is session for who asks without a token: for them, private ones are not there.
func (n *Node) openSession(id stream.ID) *Session {
	if s := n.session(id); s != nil && s.private == nil {
		return s
	}
	return nil
}

// blindSession returns the session of a private stream by its blinded id.
func (n *Node) blindSession(id stream.ID) *Session {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.blinded[id]
}

func (n *Node) forget(s *Session) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.sessions[s.id] == s {
		delete(n.sessions, s.id)
		if s.private != nil {
			delete(n.blinded, s.private.secrets.BlindID())
		}
	}
}

// maxBannedPeers bounds the bans; one more forgets those that are over.
const maxBannedPeers = 1024

func (n *Node) ban(p peer.ID, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.bans) >= maxBannedPeers {
		for id, until := range n.bans {
			if time.Now().After(until) || len(n.bans) >= maxBannedPeers {
				delete(n.bans, id)
			}
		}
	}
	n.bans[p] = time.Now().Add(d)
	n.log.Warn("peer banned", "peer", p, "for", d)
}

func (n *Node) banned(p peer.ID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Now().Before(n.bans[p])
}

// newSession registers a session that does not run yet.
func (n *Node) newSession(id stream.ID, cfg SessionConfig) (*Session, error) {
	s := &Session{node: n, id: id, cfg: cfg, private: cfg.private, self: ShortID(n.host.ID(), id), book: newBook(n.host, id),
		log: n.log.With("stream", id.String()[:8]), began: time.Now(), in: make(chan item, eventQueue),
		isUp: make(chan struct{}), started: make(chan struct{}), drained: make(chan struct{}), loopEnd: make(chan struct{}),
		links: make(map[overlay.PeerID]*link), dialing: make(map[peer.ID]time.Time)}
	s.role.Store(uint32(cfg.Role))
	s.book.add(n.host.ID())
	s.ctx, s.cancel = context.WithCancel(n.ctx)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, ErrClosed
	}
	if n.sessions[id] != nil {
		return nil, fmt.Errorf("%w: %v", ErrTakesPart, id)
	}
	n.sessions[id] = s
	if s.private != nil {
		n.blinded[s.private.secrets.BlindID()] = s
	}
	return s, nil
}

// linkAddrs turns a link's addresses into peers; those that are no multiaddrs
// of peers are an error that names them.
func linkAddrs(link stream.Link) ([]peer.AddrInfo, error) {
	var infos []peer.AddrInfo
	for _, a := range link.Addrs {
		m, err := ma.NewMultiaddr(a)
		if err != nil {
			return nil, fmt.Errorf("link: address %q: %w", a, err)
		}
		ai, err := peer.AddrInfoFromP2pAddr(m)
		if err != nil {
			return nil, fmt.Errorf("link: address %q: %w", a, err)
		}
		infos = append(infos, *ai)
	}
	return infos, nil
}

// connectedPeers is the number of open libp2p connections, for metrics.
func (n *Node) connectedPeers() int {
	c := 0
	for _, p := range n.host.Network().Peers() {
		if n.host.Network().Connectedness(p) == network.Connected {
			c++
		}
	}
	return c
}
