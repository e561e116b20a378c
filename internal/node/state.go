package node

// This file answers: what does a peer count, and how does it describe itself
// to operators?

import (
	"crypto/ed25519"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/braidway/braidway/internal/node/p2p"
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
	unread    atomic.Int64 // objects that could not be decrypted
	// equivocations are objects that verified and differ from the one kept under their number.
	equivocations atomic.Int64
	dropped       atomic.Int64 // groups dropped for children that did not keep up
	refused       refusals     // subscriptions and objects, to others
	refusedBy     refusals     // by others
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

// inside is what the session's loop owns.
type inside struct {
	overlay.Snapshot
	standings []overlay.Standing
	pressed   bool
	troubles  int     // how often slots were given up
	bitrate   float64 // of the stream, bit/s
	limited   bool    // the upload's limit is known
	off       bool    // it takes no children
	age       time.Duration
	aged      bool // age is known
	proof     *EquivocationState
}

func (s *Session) inside() (in inside, ok bool) {
	if !s.running() {
		return in, false
	}
	ok = s.Do(func() {
		in = inside{Snapshot: s.core.Snapshot(), standings: s.core.Standings(), pressed: s.slots.line.Pressed(), troubles: s.slots.line.Troubles,
			bitrate: s.slots.bitrate, limited: s.slots.limit > 0, off: s.slots.off, proof: s.proof}
		in.age, in.aged = s.ages.least(s.Now())
	})
	return in, ok
}

// Snapshot returns the core's state; false: the session does not run.
func (s *Session) Snapshot() (overlay.Snapshot, bool) {
	in, ok := s.inside()
	return in.Snapshot, ok
}

// State is the answer of the admin API.
type State struct {
	Peer     string        `json:"peer"`
	Version  string        `json:"version"`
	UptimeS  float64       `json:"uptime_s"`
	Addrs    []string      `json:"addrs"`
	Reach    p2p.Reach     `json:"reach"`
	DHT      int           `json:"dht_nodes"`
	Peers    int           `json:"connected_peers"`
	Draining bool          `json:"draining"`
	Streams  []StreamState `json:"streams"`
}

// How a publisher stands.
const (
	StandingActive  = "active"  // its objects go out
	StandingStandby = "standby" // it goes on when the publisher is gone
	StandingFenced  = "fenced"  // another one has begun a higher epoch
	StandingEnded   = "ended"   // the stream has ended, or this publisher failed
)

var standings = []string{StandingActive, StandingStandby, StandingFenced, StandingEnded}

// StreamState is one stream of a State. Peers are libp2p ids where known,
// else 16 hexadecimal digits.
type StreamState struct {
	ID        string           `json:"id"`
	Role      string           `json:"role"`
	Standing  string           `json:"standing,omitempty"`           // of a publisher
	Standby   bool             `json:"standby,omitempty"`            // Standing is standby
	Publisher string           `json:"publisher,omitempty"`          // as the stream's record says
	Heirs     []string         `json:"standby_publishers,omitempty"` // of this publisher
	Started   bool             `json:"started"`
	Waiting   string           `json:"waiting,omitempty"`  // not started: what was tried to find the stream
	Resting   bool             `json:"resting,omitempty"`  // it gave its stripes back: there is too little upload for everyone
	Confined  bool             `json:"confined,omitempty"` // it reaches few of those whom it dials
	Open      bool             `json:"open,omitempty"`     // confined peers reach it
	Epoch     uint64           `json:"epoch"`
	Position  uint64           `json:"position"`
	Edge      uint64           `json:"edge"`
	Bitrate   float64          `json:"bitrate_bps"`      // of the stream, measured; a guess at first
	AgeMS     *float64         `json:"age_ms,omitempty"` // of the youngest object in the last minute, by this machine's clock
	Received  int64            `json:"received_bytes"`   // objects, repeated ones too, and control
	Unique    int64            `json:"unique_bytes"`     // objects received for the first time
	Sent      int64            `json:"sent_bytes"`       // objects and control
	Slots     int              `json:"slots"`
	Used      int              `json:"slots_used"`
	Pressed   bool             `json:"pressed"`       // children wait behind the uplink: nobody is let in
	Troubles  int              `json:"slot_troubles"` // how often slots were given up for that
	Known     int              `json:"known_peers"`
	Neighbour int              `json:"neighbours"`
	Levels    []LevelState     `json:"levels"` // of the neighbours
	Stripes   []StripeState    `json:"stripes"`
	Refused   map[string]int64 `json:"refused,omitempty"`    // subscriptions, by code
	RefusedBy map[string]int64 `json:"refused_by,omitempty"` // this peer's, by others
	Rejected  int64            `json:"rejected"`             // objects that did not verify or parse
	Counts    CountState       `json:"counts"`
	// Equivocation: the publisher's key has signed two objects under one number.
	Equivocation *EquivocationState `json:"equivocation,omitempty"`
	Lately       any                `json:"lately,omitempty"`   // of a viewer: Lately
	Measures     any                `json:"measures,omitempty"` // of a viewer: a report so far
	Input        *InputState        `json:"input,omitempty"`    // of this publisher
}

// LevelState is how one neighbour stands.
type LevelState struct {
	Peer    string  `json:"peer"`
	Level   string  `json:"level"` // healthy, suspect, gone, starved or wary
	Leaving bool    `json:"leaving,omitempty"`
	RTT     float64 `json:"rtt_ms"` // when it was met
}

// CountState are totals of one stream since the peer joined it.
type CountState struct {
	Suspects int `json:"suspects"` // parents that fell silent
	Cancels  int `json:"cancels"`  // of these, came back before they were replaced
	Switches int `json:"switches"`
	Moves    int `json:"moves"`
	Pushed   int `json:"pushed"` // children that were asked to move
	Stalls   int `json:"stalls"` // how often this peer itself was stopped
}

// States of a stripe.
const (
	stripeFed     = "fed"
	stripeSilent  = "silent"  // its parent is suspect
	stripeStarved = "starved" // its parent is alive but stands still
	stripeNone    = "none"    // it has no parent
)

var stripeStates = []string{stripeFed, stripeSilent, stripeStarved, stripeNone}

func stripeState(t *overlay.StripeSnapshot) string {
	switch {
	case t.Starved:
		return stripeStarved
	case t.Fed:
		return stripeFed
	case t.Parent != 0:
		return stripeSilent
	}
	return stripeNone
}

// StripeState is one stripe of a StreamState.
type StripeState struct {
	Stripe   int      `json:"stripe"`
	Parent   string   `json:"parent,omitempty"`
	Path     []string `json:"path"`
	Standbys []string `json:"standbys"`
	Children []string `json:"children"`
	Fed      bool     `json:"fed"`
	State    string   `json:"state"`                // fed, silent, starved or none
	Silence  float64  `json:"silence_ms,omitempty"` // of a silent parent
	Lacking  bool     `json:"lacking_standby"`
}

// measured is implemented by observers that have a viewer's report.
type measured interface {
	Measures() any
	Lately() Lately
}

// State describes the node and its sessions.
func (n *Node) State() State {
	st := State{Peer: n.host.ID().String(), DHT: n.dht.Size(), Peers: n.connectedPeers(), Draining: n.Draining(), Streams: []StreamState{},
		Version: n.version(), UptimeS: time.Since(n.began).Seconds(), Reach: n.host.Reach()}
	for _, a := range n.host.P2PAddrs() {
		st.Addrs = append(st.Addrs, a.String())
	}
	for _, s := range n.Sessions() {
		st.Streams = append(st.Streams, s.state())
	}
	slices.SortFunc(st.Streams, func(a, b StreamState) int { return strings.Compare(a.ID, b.ID) })
	return st
}

func (s *Session) state() StreamState {
	c := &s.count
	st := StreamState{ID: s.id.String(), Role: s.Role().String(), Levels: []LevelState{}, Stripes: []StripeState{}, Received: c.objects.Load() + c.control.Load(),
		Unique: c.unique.Load(), Sent: c.outData.Load() + c.outCtl.Load(), Rejected: c.rejected.Load()}
	if m, ok := s.cfg.Observer.(measured); ok {
		st.Measures, st.Lately = m.Measures(), m.Lately()
	}
	if rec, ok := s.Record(); ok {
		if h, err := holderOf(rec); err == nil {
			st.Publisher = h.ID.String()
		}
	}
	if s.pub != nil {
		st.Standing, st.Heirs = s.pub.standing()
		st.Standby = st.Standing == StandingStandby
		st.Input = s.pub.input()
	}
	snap, ok := s.inside()
	if !snap.Started {
		st.Waiting = s.Tried()
	}
	if !ok {
		return st
	}
	st.Pressed, st.Troubles, st.Bitrate, st.Equivocation = snap.pressed, snap.troubles, snap.bitrate, snap.proof
	if snap.aged {
		age := milliseconds(snap.age)
		st.AgeMS = &age
	}
	st.Refused, st.RefusedBy = c.refused.byCode(), c.refusedBy.byCode()
	st.Resting, st.Confined, st.Open = snap.Resting, snap.Confined, snap.Open
	k := snap.Counters
	st.Counts = CountState{Suspects: k.Suspects, Cancels: k.Cancels, Switches: k.Switches, Moves: k.Moves, Pushed: k.Pushed, Stalls: k.Stalls}
	st.Started, st.Epoch, st.Position, st.Edge = snap.Started, snap.Epoch, snap.Position, snap.Edge
	st.Slots, st.Used, st.Known, st.Neighbour = snap.Slots, snap.Used, snap.Known, len(snap.Neighbours)
	for _, n := range snap.standings {
		st.Levels = append(st.Levels, LevelState{Peer: s.Name(n.ID), Level: n.Level.String(), Leaving: n.Leaving, RTT: milliseconds(n.RTT)})
	}
	for _, t := range snap.Stripes {
		v := StripeState{Stripe: t.Stripe, Path: s.names(t.Path), Standbys: s.names(t.Standbys), Children: s.names(t.Children), Fed: t.Fed, State: stripeState(&t), Lacking: t.Lacking}
		if v.State == stripeSilent {
			v.Silence = milliseconds(t.Silence)
		}
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

func pubOf(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }
