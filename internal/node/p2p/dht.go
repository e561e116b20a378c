package p2p

// This file answers: how does this peer take part in the DHT, and how does it
// get into it?

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/braidway/braidway/failover"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p-kad-dht/records"
	"github.com/libp2p/go-libp2p-kbucket/peerdiversity"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// DHTPrefix is the prefix of the DHT's protocol ids, which keeps it apart from
// all other DHTs.
const DHTPrefix protocol.ID = "/braidway"

// Mode says whether a peer answers others in the DHT.
type Mode uint8

// Modes of a DHT.
const (
	// ModeAuto answers unless the host is found to be unreachable.
	ModeAuto Mode = iota
	// ModeServer always answers: for bootstrap nodes.
	ModeServer
	// ModeClient only asks.
	ModeClient
)

const (
	// providerLife is how long a node keeps a provider without hearing from it.
	// Viewers stay 506 s on average, so of one-hour records 88 % are dead.
	providerLife = 6 * time.Minute
	// recordLife is the same for stream records, whatever their own expiry.
	recordLife = 30 * time.Minute
	// bootstrapTimeout bounds the dial to one bootstrap node.
	bootstrapTimeout = 10 * time.Second
	// bootstrapCheck is how often a filled routing table is looked at.
	bootstrapCheck = 10 * time.Second
)

// DHTConfig says how to take part in the DHT. The zero value is a node of
// [ModeAuto] that knows nobody yet.
type DHTConfig struct {
	Mode Mode
	// Bootstrap are nodes to start from, dialled until one answers and again
	// whenever the routing table is empty.
	Bootstrap []peer.AddrInfo
	// Log takes warnings; nil: none.
	Log *slog.Logger
	// Now is the clock for the expiry of records; nil: time.Now.
	Now func() time.Time
	// NoRefresh leaves the routing table to what bootstrapping and traffic
	// bring, without look-ups of its own that connect everybody with everybody:
	// for very many nodes in one process.
	NoRefresh bool
}

// DHT is a node of Braidway's DHT.
type DHT struct {
	host  *Host
	kad   *dht.IpfsDHT
	valid recordValidator
	log   *slog.Logger
	boot  []peer.AddrInfo

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	grown    chan struct{} // closed and replaced when the routing table grows
	bootErrs map[peer.ID]error
}

// NewDHT joins the DHT with host h. It returns before anybody was reached.
// Close it before the host.
func NewDHT(h *Host, cfg DHTConfig) (*DHT, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	mode, ok := map[Mode]dht.ModeOpt{ModeAuto: dht.ModeAutoServer, ModeServer: dht.ModeServer, ModeClient: dht.ModeClient}[cfg.Mode]
	if !ok {
		return nil, fmt.Errorf("p2p: DHTConfig.Mode is %d, allowed is ModeAuto, ModeServer or ModeClient", cfg.Mode)
	}
	d := &DHT{
		host:     h,
		valid:    recordValidator{now: cfg.Now},
		log:      cfg.Log,
		boot:     slices.Clone(cfg.Bootstrap),
		grown:    make(chan struct{}),
		bootErrs: make(map[peer.ID]error),
	}
	d.boot = slices.DeleteFunc(d.boot, func(ai peer.AddrInfo) bool { return ai.ID == h.ID() })
	d.ctx, d.cancel = context.WithCancel(context.Background())
	sub, err := h.EventBus().Subscribe([]any{new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerProtocolsUpdated)})
	if err != nil {
		d.cancel()
		return nil, fmt.Errorf("p2p: starting the DHT: %w", err)
	}
	opts := []dht.Option{
		dht.Mode(mode),
		dht.ProtocolPrefix(DHTPrefix),
		dht.Validator(record.NamespacedValidator{recordNamespace: d.valid, blindNamespace: blindValidator{d.valid}}),
		dht.ValueDatastore(newStore(maxStoredRecords)),
		dht.ProviderDatastore(newStore(maxStoredProviders)),
		dht.MaxRecordAge(recordLife),
		dht.ValueGCInterval(recordLife / 6),
		dht.ProviderManagerOpts(
			records.ProvideValidity(providerLife),
			records.ProviderAddrTTL(providerLife),
			records.CleanupInterval(providerLife/3),
		),
		dht.RoutingTablePeerDiversityFilter(diversity{dht.NewRTPeerDiversityFilter(h.Host, 3, 40)}),
		// No address or query filter: peers on one machine and on one LAN find
		// each other here as well as those on the Internet. No bootstrap peers
		// either: d.bootstrap owns those dials.
	}
	if cfg.NoRefresh {
		opts = append(opts, dht.DisableAutoRefresh())
	}
	d.kad, err = dht.New(h.Host, opts...)
	if err != nil {
		d.cancel()
		return nil, errors.Join(fmt.Errorf("p2p: starting the DHT: %w", err), sub.Close())
	}
	d.wg.Go(func() { d.watch(sub) })
	if len(d.boot) > 0 {
		d.wg.Go(d.bootstrap)
	}
	return d, nil
}

// Close leaves the DHT. The host and its connections stay.
func (d *DHT) Close() error {
	d.cancel()
	// Ours first: kad-dht must not be asked for a refresh while it closes.
	d.wg.Wait()
	return d.kad.Close()
}

// Size returns the number of nodes in the routing table.
func (d *DHT) Size() int { return d.kad.RoutingTable().Size() }

// BootstrapNodes returns how many nodes the DHT starts from.
func (d *DHT) BootstrapNodes() int { return len(d.boot) }

// Value returns the best valid value under a key, as it stands in the DHT.
func (d *DHT) Value(ctx context.Context, key string) ([]byte, error) { return d.kad.GetValue(ctx, key) }

// BootstrapErrors returns why bootstrap nodes could not be reached when last
// tried, each with its address; empty when all of them could.
func (d *DHT) BootstrapErrors() []error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, ai := range d.boot {
		if err := d.bootErrs[ai.ID]; err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// WaitReady waits until the routing table has a node, or ctx ends.
func (d *DHT) WaitReady(ctx context.Context) error {
	for {
		grown := d.whenGrown()
		if d.Size() > 0 {
			return nil
		}
		select {
		case <-grown:
		case <-d.ctx.Done():
			return errors.New("p2p: the DHT was closed")
		case <-ctx.Done():
			return errors.Join(append([]error{fmt.Errorf("p2p: no DHT node reached: %w", ctx.Err())}, d.BootstrapErrors()...)...)
		}
	}
}

// whenGrown returns a channel that is closed when the routing table next grows.
func (d *DHT) whenGrown() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.grown
}

// watch tells when the routing table has grown. A new peer is in it only after
// it has answered a first query, so each arrival is followed by a few looks.
func (d *DHT) watch(sub event.Subscription) {
	defer func() { _ = sub.Close() }()
	const first, last = 10 * time.Millisecond, 3 * time.Second
	size, delay := 0, first
	timer := time.NewTimer(delay)
	defer timer.Stop()
	for {
		select {
		case <-d.ctx.Done():
			return
		case _, ok := <-sub.Out():
			if !ok {
				return
			}
			delay = first
		case <-timer.C:
			delay *= 2
		}
		now := d.Size()
		if now > size {
			d.mu.Lock()
			close(d.grown)
			d.grown = make(chan struct{})
			d.mu.Unlock()
		}
		size = now
		if delay <= last {
			timer.Reset(delay)
		}
	}
}

// bootstrap owns the dials to the bootstrap nodes.
func (d *DHT) bootstrap() {
	retry := failover.Backoff{Base: 500 * time.Millisecond, Cap: 15 * time.Second, Floor: 50 * time.Millisecond}
	rng := newRand()
	for {
		wait := bootstrapCheck
		if d.Size() == 0 {
			if d.dialBootstrap() {
				d.kad.RefreshRoutingTable()
			}
			wait = retry.Next(rng)
		} else {
			retry.Reset()
		}
		if !sleep(d.ctx, wait) {
			return
		}
	}
}

// dialBootstrap dials all bootstrap nodes at once, and says whether one answered.
func (d *DHT) dialBootstrap() bool {
	results := make(chan bool, len(d.boot))
	for _, ai := range d.boot {
		d.wg.Go(func() {
			ctx, cancel := context.WithTimeout(d.ctx, bootstrapTimeout)
			defer cancel()
			d.host.clearBackoff(ai.ID)
			err := d.host.Connect(ctx, ai)
			if err != nil && d.ctx.Err() == nil {
				err = fmt.Errorf("bootstrap node %s: %w", ai.ID, err)
				d.log.Warn("bootstrap node not reached", "peer", ai.ID, "err", err)
			}
			d.mu.Lock()
			d.bootErrs[ai.ID] = err
			d.mu.Unlock()
			results <- err == nil
		})
	}
	for range d.boot {
		if <-results {
			return true // the others go on and report when they are done
		}
	}
	return false
}

// diversity is kad-dht's limit of nodes from one network, which does not say
// anything about nodes on loopback and private addresses.
type diversity struct {
	peerdiversity.PeerIPGroupFilter
}

// Allow lets every node on such an address in.
func (f diversity) Allow(g peerdiversity.PeerGroupInfo) bool {
	for _, a := range f.PeerAddresses(g.Id) {
		if near(a) {
			return true
		}
	}
	return f.PeerIPGroupFilter.Allow(g)
}

func near(a ma.Multiaddr) bool {
	ip, err := manet.ToIP(a)
	if err != nil {
		return false
	}
	addr, ok := netip.AddrFromSlice(ip)
	return ok && isNear(addr)
}

func newRand() *rand.Rand { return rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) }

// sleep waits for d; false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// jitter returns d, up to a fifth more or less.
func jitter(rng *rand.Rand, d time.Duration) time.Duration {
	return d - d/5 + time.Duration(rng.Int64N(int64(d/5*2)+1))
}
