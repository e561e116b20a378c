package overlay

// This file answers: what can the core ask its runtime to do? Actions are its only output.

import "time"

// ActionKind tells which fields of an Action are set.
type ActionKind uint8

// The closed set of actions.
const (
	// ActSend: send Msg to Peer on the control exchange.
	ActSend ActionKind = iota + 1
	// ActForward: write object (Epoch, Seq) to child Peer on the data stream of
	// Stripe; behind live objects when Backfill.
	ActForward
	// ActServe: write object (Epoch, Seq) to Peer as the answer to a pull.
	ActServe
	// ActBeacon: tell child Peer on the data stream of Stripe that everything
	// below Seq was sent.
	ActBeacon
	// ActOpen: open the data stream of Stripe to child Peer.
	ActOpen
	// ActClose: close the data stream of Stripe to child Peer.
	ActClose
	// ActDeliver: object (Epoch, Seq) is new: keep it, play it.
	ActDeliver
	// ActStart: the stream is taken from Seq, a group's first object, on.
	ActStart
	// ActEpoch: a higher epoch has begun; objects of lower ones are over.
	ActEpoch
	// ActConnect: open a control exchange with Peer.
	ActConnect
	// ActDisconnect: close what is open to Peer.
	ActDisconnect
	// ActBan: close what is open to Peer and refuse it for Wait.
	ActBan
	// ActFind: ask rendezvous for candidates.
	ActFind
	// ActDrained: the last child has left, or the drain's time is over.
	ActDrained
	// ActTrace: a typed trace event, for metrics, logs and tests.
	ActTrace
)

// Action is one thing to do. It is a plain value: which fields are set depends on Kind.
type Action struct {
	Kind     ActionKind
	Stripe   uint8
	Backfill bool
	Trace    Trace
	Peer     PeerID
	Epoch    uint64
	Seq      uint64
	Wait     time.Duration
	Msg      Message
}

// Trace is the kind of a trace event.
type Trace uint8

// Trace events; Peer, Stripe, Seq and Wait of the action say more.
const (
	TraceJoin     Trace = iota + 1 // Stripe is taken from Peer, first time
	TraceSwitch                    // parent replaced by Peer after silence or loss; Wait is the time since suspicion
	TraceMove                      // parent replaced by Peer for a better path
	TraceSuspect                   // parent Peer is silent for Wait
	TraceCancel                    // suspected parent Peer came back
	TraceHedge                     // Seq objects pulled from Peer while its parent is suspect
	TraceRepair                    // Seq objects pulled from Peer
	TraceStarved                   // parent Peer is alive but stands still
	TraceOrphan                    // Stripe has no parent
	TraceGone                      // parent Peer was given up after Wait of silence
	TraceLoop                      // Peer would have closed a loop
	TraceRefuse                    // subscription of Peer refused; Seq is the code
	TraceAccept                    // Peer is a child now
	TracePush                      // child Peer was asked to move for a newcomer
	TraceStall                     // the peer itself was stopped for Wait
	TraceBudget                    // a pull was not sent for want of tokens
	TraceYield                     // all stripes were given back for Wait: there is too little upload
	TracePublish                   // this peer is the publisher from now on
	TraceWithheld                  // parent Peer says that it sends what it does not; it is left
	TraceExcess                    // Peer sends more messages than anybody needs: one was passed over
)

var traceNames = [...]string{
	TraceJoin: "join", TraceSwitch: "switch", TraceMove: "move", TraceSuspect: "suspect",
	TraceCancel: "cancel", TraceHedge: "hedge", TraceRepair: "repair", TraceStarved: "starved",
	TraceOrphan: "orphan", TraceGone: "gone", TraceLoop: "loop", TraceRefuse: "refuse",
	TraceAccept: "accept", TracePush: "push", TraceStall: "stall", TraceBudget: "budget", TraceYield: "yield", TracePublish: "publish",
	TraceWithheld: "withheld", TraceExcess: "excess",
}

// String returns the trace event's name in logs and metrics.
func (t Trace) String() string {
	if int(t) < len(traceNames) && traceNames[t] != "" {
		return traceNames[t]
	}
	return "unknown"
}
