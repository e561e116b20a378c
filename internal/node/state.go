package node

// This file answers: what does a peer count, and how does it describe itself
// to operators?

import (
	"crypto/ed25519"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/braidway/braidway/overlay"
)

// counters of one session, in bytes unless said otherwise.
type counters struct {
	objects   atomic.Int64 // received, verified
	unique    atomic.Int64 // of these, delivered
	auth      atomic.Int64 // of these, signatures and proofs
	control   atomic.Int64 // received: messages, cards, beacons
	outData   atomic.Int64
	outCtl    atomic.Int64
	delivered atomic.Int64 // objects
	rejected  atomic.Int64 // objects that did not verify or parse
	malformed atomic.Int64 // messages that did not parse
	dropped   atomic.Int64 // groups dropped for children that did not keep up
}

func (c *counters) sentData(n int)    { c.outData.Add(int64(n)) }
func (c *counters) sentControl(n int) { c.outCtl.Add(int64(n)) }

// Totals are what a session received so far, in bytes unless said otherwise.
type Totals struct {
	Received  int64 // objects, repeated ones too, and control
	Unique    int64 // objects, once
	Auth      int64 // signatures and proofs in Unique
	Control   int64
	Sent      int64 // objects sent
	Delivered int64 // objects
	Rejected  int64 // objects that did not verify or parse
}

// Totals returns what was received so far.
func (s *Session) Totals() Totals {
	c := &s.count
	return Totals{Received: c.objects.Load() + c.control.Load(), Unique: c.unique.Load(), Auth: c.auth.Load(),
		Control: c.control.Load(), Sent: c.outData.Load(), Delivered: c.delivered.Load(), Rejected: c.rejected.Load()}
}

// Snapshot returns the core's state; false: the session does not run.
func (s *Session) Snapshot() (snap overlay.Snapshot, ok bool) {
	if !s.running() {
		return snap, false
	}
	ok = s.Do(func() { snap = s.core.Snapshot() })
	return snap, ok
}

// State is the answer of the admin API.
type State struct {
	Peer    string        `json:"peer"`
	Addrs   []string      `json:"addrs"`
	DHT     int           `json:"dht_nodes"`
	Peers   int           `json:"connected_peers"`
	Streams []StreamState `json:"streams"`
}

// StreamState is one stream of a State. Peers are libp2p ids where known,
// else 16 hexadecimal digits.
type StreamState struct {
	ID        string        `json:"id"`
	Role      string        `json:"role"`
	Standby   bool          `json:"standby,omitempty"`            // it publishes when the publisher is gone
	Publisher string        `json:"publisher,omitempty"`          // as the stream's record says
	Heirs     []string      `json:"standby_publishers,omitempty"` // of this publisher
	Started   bool          `json:"started"`
	Epoch     uint64        `json:"epoch"`
	Position  uint64        `json:"position"`
	Edge      uint64        `json:"edge"`
	Slots     int           `json:"slots"`
	Used      int           `json:"slots_used"`
	Known     int           `json:"known_peers"`
	Neighbour int           `json:"neighbours"`
	Stripes   []StripeState `json:"stripes"`
	Measures  any           `json:"measures,omitempty"`
}

// StripeState is one stripe of a StreamState.
type StripeState struct {
	Stripe   int      `json:"stripe"`
	Parent   string   `json:"parent,omitempty"`
	Path     []string `json:"path"`
	Standbys []string `json:"standbys"`
	Children []string `json:"children"`
	Fed      bool     `json:"fed"`
	Lacking  bool     `json:"lacking_standby"`
}

// measured is implemented by observers that have a viewer's report.
type measured interface{ Measures() any }

// State describes the node and its sessions.
func (n *Node) State() State {
	st := State{Peer: n.host.ID().String(), DHT: n.dht.Size(), Peers: n.connectedPeers(), Streams: []StreamState{}}
	for _, a := range n.host.P2PAddrs() {
		st.Addrs = append(st.Addrs, a.String())
	}
	for _, s := range n.Sessions() {
		st.Streams = append(st.Streams, s.state())
	}
	return st
}

func (s *Session) state() StreamState {
	st := StreamState{ID: s.id.String(), Role: s.Role().String(), Stripes: []StripeState{}}
	if m, ok := s.cfg.Observer.(measured); ok {
		st.Measures = m.Measures()
	}
	if rec, ok := s.Record(); ok {
		if h, err := holderOf(rec); err == nil {
			st.Publisher = h.ID.String()
		}
	}
	if s.pub != nil {
		st.Standby, st.Heirs = s.pub.standing()
	}
	snap, ok := s.Snapshot()
	if !ok {
		return st
	}
	st.Started, st.Epoch, st.Position, st.Edge = snap.Started, snap.Epoch, snap.Position, snap.Edge
	st.Slots, st.Used, st.Known, st.Neighbour = snap.Slots, snap.Used, snap.Known, len(snap.Neighbours)
	for _, t := range snap.Stripes {
		v := StripeState{Stripe: t.Stripe, Path: s.names(t.Path), Standbys: s.names(t.Standbys), Children: s.names(t.Children), Fed: t.Fed, Lacking: t.Lacking}
		if t.Parent != 0 {
			v.Parent = s.Name(t.Parent)
		}
		st.Stripes = append(st.Stripes, v)
	}
	return st
}

// Name returns the libp2p id behind a short id where it is known, else 16 hexadecimal digits.
func (s *Session) Name(id overlay.PeerID) string {
	if p, ok := s.book.lookup(id); ok {
		return p.String()
	}
	const hex = "0123456789abcdef"
	b := make([]byte, 16)
	for i := range b {
		b[i] = hex[id>>(60-4*i)&15]
	}
	return string(b)
}

func (s *Session) names(ids []overlay.PeerID) []string {
	v := make([]string, 0, len(ids))
	for _, id := range ids {
		v = append(v, s.Name(id))
	}
	return v
}

// TraceEvent is one event of the admin API's event stream.
type TraceEvent struct {
	Time   time.Time `json:"time"`
	Stream string    `json:"stream"`
	Event  string    `json:"event"`
	Peer   string    `json:"peer,omitempty"`
	Stripe int       `json:"stripe"`
	Epoch  uint64    `json:"epoch"`
	Seq    uint64    `json:"seq"`
	WaitMS float64   `json:"wait_ms"`
}

// traceCounts counts trace events by kind.
type traceCounts struct{ by [64]atomic.Int64 }

func (s *Session) traced(a *overlay.Action) {
	s.node.traces.by[a.Trace&63].Add(1)
	if s.cfg.Observer != nil {
		s.cfg.Observer.Traced(s.Now(), a.Trace, a)
	}
	if s.log.Enabled(s.ctx, slog.LevelDebug) {
		s.log.Debug(a.Trace.String(), "peer", s.Name(a.Peer), "stripe", a.Stripe, "seq", a.Seq, "wait", a.Wait)
	}
	if s.node.events.idle() {
		return
	}
	e := TraceEvent{Time: time.Now(), Stream: s.id.String(), Event: a.Trace.String(), Stripe: int(a.Stripe), Epoch: a.Epoch, Seq: a.Seq,
		WaitMS: float64(a.Wait.Microseconds()) / 1000}
	if a.Peer != 0 {
		e.Peer = s.Name(a.Peer)
	}
	s.node.events.send(e)
}

// eventHub hands trace events to whoever listens; a slow listener misses some.
type eventHub struct {
	mu   sync.Mutex
	subs map[chan TraceEvent]struct{}
	n    atomic.Int32
}

func (h *eventHub) idle() bool { return h.n.Load() == 0 }

func (h *eventHub) send(e TraceEvent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.subs {
		select {
		case c <- e:
		default:
		}
	}
}

// listen returns a channel of events, until stop is called.
func (h *eventHub) listen() (c chan TraceEvent, stop func()) {
	c = make(chan TraceEvent, 256)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subs == nil {
		h.subs = make(map[chan TraceEvent]struct{})
	}
	h.subs[c] = struct{}{}
	h.n.Add(1)
	return c, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.subs, c)
		h.n.Add(-1)
	}
}

// Events returns a channel of all sessions' trace events, until stop is called.
// Who does not read fast enough misses some.
func (n *Node) Events() (c <-chan TraceEvent, stop func()) { return n.events.listen() }

func pubOf(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }
