package p2p

// This file answers: how is a stream looked up in the DHT, and how many nodes
// took part in that?

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"

	"github.com/braidway/braidway/stream"

	"github.com/ipfs/go-cid"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	"github.com/multiformats/go-multihash"
)

const (
	// recordQuorum is the number of nodes whose record is compared before a
	// look-up ends early (guess: one may lie by silence, one by an old record).
	recordQuorum = 3
	// DefaultProviders is how many providers a look-up returns at most when not told.
	DefaultProviders = 20
)

// ErrNobody says that no DHT node answered.
var ErrNobody = errors.New("p2p: no DHT node answered")

var errClosed = errors.New("p2p: the rendezvous is closed")

// ErrNoRecord says that the nodes that answered have no record of the stream.
var ErrNoRecord = errors.New("p2p: the DHT has no record of this stream")

// contentID is the key of a stream's providers: its id is a SHA-256 already.
func contentID(id stream.ID) cid.Cid {
	mh, err := multihash.Encode(id[:], multihash.SHA2_256)
	if err != nil {
		panic(err) // 32 bytes are the length of SHA-256
	}
	return cid.NewCidV1(cid.Raw, mh)
}

// FindProviders looks for other peers that have stream id, and sends each once
// as it is found, at most limit (0: [DefaultProviders]). The channel is closed
// when the look-up ends or ctx does; it need not be read to its end.
func (r *Rendezvous) FindProviders(ctx context.Context, id stream.ID, limit int) <-chan peer.AddrInfo {
	return r.findProviders(ctx, id, limit, newNodeCount())
}

func (r *Rendezvous) findProviders(ctx context.Context, id stream.ID, limit int, count *nodeCount) <-chan peer.AddrInfo {
	if limit <= 0 {
		limit = DefaultProviders
	}
	out := make(chan peer.AddrInfo, limit)
	ctx, cancel := context.WithCancel(ctx)
	detach := context.AfterFunc(r.ctx, cancel)
	q, stop := counted(ctx, count)
	// One more, since this peer may itself be among them.
	found := r.d.kad.FindProvidersAsync(q, contentID(id), limit+1)
	go func() { // ends with r.ctx
		defer close(out)
		defer detach()
		defer cancel()
		defer stop()
		seen := make(map[peer.ID]bool)
		for ai := range found {
			if ai.ID == r.d.host.ID() || seen[ai.ID] || len(seen) == limit {
				continue
			}
			if len(ai.Addrs) == 0 {
				ai = r.d.host.Peerstore().PeerInfo(ai.ID)
			}
			if len(ai.Addrs) > 0 {
				seen[ai.ID] = true
				out <- ai // has room for limit
			}
		}
	}()
	return out
}

// Record returns the best record of stream id that the DHT has, parsed and as
// it was signed. Errors are [ErrNobody], [ErrNoRecord] or the context's.
func (r *Rendezvous) Record(ctx context.Context, id stream.ID) (stream.Record, []byte, error) {
	return r.findRecord(ctx, Topic{ID: id}, newNodeCount())
}

func (r *Rendezvous) findRecord(ctx context.Context, t Topic, count *nodeCount) (rec stream.Record, raw []byte, err error) {
	if raw, err = r.findValue(ctx, t.recordKey(), count); err != nil {
		return rec, nil, err
	}
	return t.parse(r.d.valid, raw)
}

// findValue returns the best record under a key, as it stands in the DHT.
func (r *Rendezvous) findValue(ctx context.Context, key string, count *nodeCount) (raw []byte, err error) {
	outer := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.ctx, cancel)()
	q, stop := counted(ctx, count)
	found, err := r.d.kad.SearchValue(q, key, dht.Quorum(recordQuorum))
	if err == nil {
		for b := range found { // each better than the one before
			raw = b
		}
	}
	stop()
	switch {
	case raw != nil:
		err = nil
	case outer.Err() != nil:
		err = outer.Err()
	case r.ctx.Err() != nil:
		err = errClosed
	default:
		err = ErrNoRecord
		if _, n := count.get(); n == 0 {
			err = ErrNobody
		}
	}
	return raw, err
}

// Probe looks for the nodes nearest to a random key, as every announcement does,
// and returns how many nodes were asked and how many answered.
func (d *DHT) Probe(ctx context.Context) (asked, answered int, err error) {
	var id stream.ID
	if _, err := rand.Read(id[:]); err != nil {
		return 0, 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	count := newNodeCount()
	q, stop := counted(ctx, count)
	_, err = d.kad.GetClosestPeers(q, RecordKey(id))
	stop()
	asked, answered = count.get()
	return asked, answered, err
}

// nodeCount counts the nodes that took part in look-ups. It may be read while
// they run.
type nodeCount struct {
	mu       sync.Mutex
	asked    map[peer.ID]struct{}
	answered map[peer.ID]struct{}
}

// maxCounted bounds a nodeCount: a search of hours asks some thousand nodes.
const maxCounted = 4096

func newNodeCount() *nodeCount {
	return &nodeCount{asked: make(map[peer.ID]struct{}), answered: make(map[peer.ID]struct{})}
}

// get returns how many nodes were asked, and how many of them answered.
func (c *nodeCount) get() (asked, answered int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.asked), len(c.answered)
}

func (c *nodeCount) add(e *routing.QueryEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.asked) >= maxCounted {
		return
	}
	switch e.Type {
	case routing.SendingQuery, routing.DialingPeer:
		c.asked[e.ID] = struct{}{}
	case routing.PeerResponse:
		c.asked[e.ID], c.answered[e.ID] = struct{}{}, struct{}{}
	}
}

// counted returns a context for one DHT operation, whose nodes are added to c.
// stop must be called when the operation is over; then all are counted.
func counted(ctx context.Context, c *nodeCount) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ctx, events := routing.RegisterForQueryEvents(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for e := range events {
			c.add(e)
		}
	}()
	return ctx, func() {
		cancel()
		<-done
	}
}
