package braidway

// This file answers: what can a program see of its peer? A part of the admin
// API's answer, under the same JSON names.

import (
	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/measure"
)

// State of a peer at one moment.
type State struct {
	Peer           string        `json:"peer"`            // its libp2p id
	Addrs          []string      `json:"addrs"`           // where others may reach it
	DHTNodes       int           `json:"dht_nodes"`       // known to its DHT node
	ConnectedPeers int           `json:"connected_peers"` // of all kinds
	Draining       bool          `json:"draining"`
	Streams        []StreamState `json:"streams"`
}

// Roles of a peer in a stream.
const (
	RolePublisher = "publisher"
	RoleRelay     = "relay"
	RoleViewer    = "viewer"
)

// StreamState is one stream of a State. Peers are libp2p ids where known, else
// 16 hexadecimal digits.
type StreamState struct {
	ID         string          `json:"id"`
	Role       string          `json:"role"`               // publisher, relay or viewer
	Standing   string          `json:"standing,omitempty"` // of a publisher: active, standby, fenced or ended
	Started    bool            `json:"started"`            // the stream is there
	Waiting    string          `json:"waiting,omitempty"`  // it is not: what was tried to find it
	Epoch      uint64          `json:"epoch"`              // the publisher's term
	Position   uint64          `json:"position"`           // Seq below which nothing is missing
	Edge       uint64          `json:"edge"`               // one past the highest Seq heard of
	Slots      int             `json:"slots"`              // room for children, in all stripes together
	SlotsUsed  int             `json:"slots_used"`
	Neighbours int             `json:"neighbours"` // peers with an open exchange
	Stripes    []StripeState   `json:"stripes"`
	Measures   *measure.Report `json:"measures,omitempty"` // of a viewer
}

// StripeState is one stripe of a StreamState.
type StripeState struct {
	Stripe   int      `json:"stripe"`
	Parent   string   `json:"parent,omitempty"`
	Path     []string `json:"path"` // from the publisher down to this peer
	Standbys []string `json:"standbys"`
	Children []string `json:"children"`
	State    string   `json:"state"` // fed, silent, starved or none
}

// State describes the peer and its streams.
func (p *Peer) State() State {
	in := p.node.State()
	st := State{Peer: in.Peer, Addrs: in.Addrs, DHTNodes: in.DHT, ConnectedPeers: in.Peers, Draining: in.Draining, Streams: []StreamState{}}
	for i := range in.Streams {
		st.Streams = append(st.Streams, streamState(&in.Streams[i]))
	}
	return st
}

func streamState(in *node.StreamState) StreamState {
	st := StreamState{ID: in.ID, Role: in.Role, Standing: in.Standing, Started: in.Started, Waiting: in.Waiting, Epoch: in.Epoch,
		Position: in.Position, Edge: in.Edge, Slots: in.Slots, SlotsUsed: in.Used, Neighbours: in.Neighbour, Stripes: []StripeState{}}
	if r, ok := in.Measures.(measure.Report); ok {
		st.Measures = &r
	}
	for _, t := range in.Stripes {
		st.Stripes = append(st.Stripes, StripeState{Stripe: t.Stripe, Parent: t.Parent, Path: t.Path, Standbys: t.Standbys, Children: t.Children, State: t.State})
	}
	return st
}
