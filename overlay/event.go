package overlay

// This file answers: what can happen to a peer? Events are the only input of the core.

import (
	"time"

	"github.com/braidway/braidway/stream"
)

// PeerID names a peer inside one stream: the first 8 bytes, big endian, of
// SHA-256(libp2p peer id ‖ stream id). Its top bits are the peer's home stripe (Home).
// Zero is no peer.
type PeerID uint64

// Home returns the stripe, of k, in which peer id prefers to have children:
// the top bits of the id, scaled so that k need not be a power of two.
func Home(id PeerID, k int) int {
	hi := uint64(id) >> 32
	return int(hi * uint64(k) >> 32)
}

// EventKind tells which fields of an Event are set.
type EventKind uint8

// The closed set of events.
const (
	// EvTimeout: the time that Deadline named has come.
	EvTimeout EventKind = iota + 1
	// EvObject: a verified object arrived from Peer (Peer == self: the publisher made it).
	// Sets Epoch, Seq, Group, GroupFirst, Size, Flags; Repair when it answers a pull.
	EvObject
	// EvBeacon: Peer, a parent, has sent everything it has in Stripe below Seq.
	EvBeacon
	// EvMessage: Msg arrived from Peer on the control exchange.
	EvMessage
	// EvConnected: the control exchange with Peer is open; RTT is the first estimate,
	// Subnet that of its address (see Candidate).
	EvConnected
	// EvDisconnected: the connection to Peer failed, was refused or closed.
	EvDisconnected
	// EvCandidates: rendezvous found Candidates.
	EvCandidates
	// EvBad: Peer sent something that does not verify or parse. It is banned.
	EvBad
	// EvSlots: the room for children changed to Slots in all stripes together;
	// Pressed: the uplink is full, and hardly a pull is to be answered.
	EvSlots
	// EvSlow: child Peer does not keep up in Stripe: its queue gave up a group.
	EvSlow
	// EvDrain: leave gently until now+Wait.
	EvDrain
	// EvPublish: this peer, until now a relay, publishes the stream under Epoch.
	EvPublish
	// EvHeir: Peer is to publish the stream when this publisher is gone; zero: nobody is.
	EvHeir
)

// Event is one thing that happened. It is a plain value: which fields are set
// depends on Kind. Payload bytes never enter the core.
type Event struct {
	Kind       EventKind
	Peer       PeerID
	Stripe     uint8
	Repair     bool
	Pressed    bool
	Flags      stream.Flags
	Size       int32 // wire bytes of the object
	Subnet     uint32
	Slots      int32
	Epoch      uint64
	Seq        uint64
	Group      uint64
	GroupFirst uint64
	RTT        time.Duration
	Wait       time.Duration
	Msg        Message
	Candidates []Candidate
}

// Candidate is a peer that rendezvous, a neighbour or the link named.
type Candidate struct {
	Peer PeerID
	// Subnet groups peers that probably share a network or an owner; zero is
	// unknown or local and is not limited.
	Subnet uint32
	// Source says who named it.
	Source Source
}

// Source says where a candidate came from; lower is trusted sooner.
type Source uint8

// Sources of candidates.
const (
	SourceLink Source = iota
	SourceLocal
	SourceVouched // named by one whom the link names
	SourceDHT
	SourcePeer
)
