package node

// This file answers: what do operators hear of as it happens, and what is counted
// of it?

import (
	"log/slog"
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/braidway/braidway/overlay"
)

// Events of the runtime, beside the core's own (overlay.Trace).
const (
	eventRefused  = "refused"   // Peer has turned this peer down; Code says why
	eventGoAway   = "goaway"    // neighbour Peer leaves within Wait
	eventEpoch    = "epoch"     // the stream goes on under a higher Epoch
	eventDrain    = "drain"     // this peer leaves within Wait
	eventDrained  = "drained"   // nothing holds it any more
	eventLocked   = "locked"    // not published: Peer holds the lease, which expires in Wait
	eventStandby  = "standby"   // this publisher stands by for Peer
	eventHeir     = "heir"      // Peer stands by for this publisher
	eventHeirGone = "heir_gone" // Peer no longer does
	eventRelease  = "release"   // the lease is given up: Peer is to take over
	eventTakeover = "takeover"  // this publisher goes on in the place of Peer
	eventFenced   = "fenced"    // this publisher's term is over: Peer has begun a higher Epoch
	eventPressed  = "pressed"   // children wait behind the uplink: nobody is let in
	eventShrink   = "shrink"    // that lasted: slots were given up, Seq are left
	eventSlots    = "slots"     // there is room for Seq children now
	eventAccess   = "access"    // the private stream's access list is Seq from now on
	eventCutOff   = "cutoff"    // the token of neighbour Peer was revoked or has expired
	// eventEquivocation: the publisher's key has signed two objects Seq of Epoch.
	eventEquivocation = "equivocation"
	// eventInput is in input.go.
)

var runtimeEvents = []string{eventRefused, eventGoAway, eventEpoch, eventDrain, eventDrained, eventLocked, eventStandby, eventHeir,
	eventHeirGone, eventRelease, eventTakeover, eventFenced, eventPressed, eventShrink, eventSlots, eventAccess, eventCutOff, eventEquivocation, eventInput}

// TraceEvent is one event of the admin API's event stream.
type TraceEvent struct {
	Time   time.Time `json:"time"`
	Stream string    `json:"stream"`
	Event  string    `json:"event"`
	Peer   string    `json:"peer,omitempty"`
	Code   string    `json:"code,omitempty"`
	Stripe int       `json:"stripe"`
	Epoch  uint64    `json:"epoch"`
	Seq    uint64    `json:"seq"`
	WaitMS float64   `json:"wait_ms"`
	Text   string    `json:"text,omitempty"`
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// traceCounts counts events by name. The names are fixed: it is only read.
type traceCounts map[string]*atomic.Int64

func newTraceCounts() traceCounts {
	c := make(traceCounts)
	for t := overlay.Trace(1); t.String() != overlay.Trace(0).String(); t++ {
		c[t.String()] = new(atomic.Int64)
	}
	for _, name := range runtimeEvents {
		c[name] = new(atomic.Int64)
	}
	return c
}

// emit counts an event of the runtime and tells those who listen.
func (n *Node) emit(e TraceEvent) {
	if c := n.traces[e.Event]; c != nil {
		c.Add(1)
	}
	if !n.events.idle() {
		e.Time = time.Now()
		n.events.Send(e)
	}
}

func (s *Session) emit(e TraceEvent) {
	if !s.node.events.idle() {
		e.Stream = s.id.String()
	}
	s.node.emit(e)
}

// traced takes an event of the core.
func (s *Session) traced(a *overlay.Action) {
	if s.cfg.Observer != nil {
		s.cfg.Observer.Traced(s.Now(), a.Trace, a)
	}
	if a.Trace == overlay.TraceYield {
		s.log.Warn("there is too little upload for everyone, and this peer gives less than it takes: it waits; add upload, or come back later", "wait", a.Wait)
	}
	if s.log.Enabled(s.ctx, slog.LevelDebug) {
		s.log.Debug(a.Trace.String(), "peer", s.Name(a.Peer), "stripe", a.Stripe, "seq", a.Seq, "wait", a.Wait)
	}
	e := TraceEvent{Event: a.Trace.String(), Stripe: int(a.Stripe), Epoch: a.Epoch, Seq: a.Seq, WaitMS: milliseconds(a.Wait)}
	if !s.node.events.idle() { // else nobody reads the words
		if a.Peer != 0 {
			e.Peer = s.Name(a.Peer)
		}
		if a.Trace == overlay.TraceRefuse {
			e.Code = overlay.Code(a.Seq).String()
		}
	}
	s.emit(e)
}

// heard notes what a neighbour's message means to operators.
func (s *Session) heard(l *link, m overlay.Message) {
	s.count.refusedBy.message(m)
	switch m := m.(type) {
	case overlay.Refuse:
		s.emit(TraceEvent{Event: eventRefused, Peer: l.peer.String(), Code: m.Code.String(), Stripe: int(m.Stripe), WaitMS: milliseconds(m.Wait)})
	case overlay.GoAway:
		if m.Stripe == overlay.AllStripes {
			s.emit(TraceEvent{Event: eventGoAway, Peer: l.peer.String(), WaitMS: milliseconds(m.Wait)})
		}
	}
}

// The codes with which subscriptions and objects of a pull are refused.
var (
	subscriptionCodes = []overlay.Code{overlay.CodeBusy, overlay.CodeNotYet, overlay.CodeLoop, overlay.CodeGoingAway}
	objectCodes       = []overlay.Code{overlay.CodeBusy, overlay.CodeNotYet, overlay.CodeGone}
)

// refusals counts what was refused in one direction, by code.
type refusals struct {
	subscriptions, objects [overlay.CodeGone + 1]atomic.Int64
}

func (r *refusals) message(m overlay.Message) {
	switch m := m.(type) {
	case overlay.Refuse:
		r.subscriptions[m.Code].Add(1)
	case overlay.Miss:
		r.objects[m.Code].Add(int64(bits.OnesCount32(m.Bits)))
	}
}

// TurnedDown returns how often this peer's subscriptions were refused with code.
func (s *Session) TurnedDown(code overlay.Code) int64 {
	return s.count.refusedBy.subscriptions[code].Load()
}

// byCode returns the refused subscriptions; nil: there are none.
func (r *refusals) byCode() map[string]int64 {
	var m map[string]int64
	for _, code := range subscriptionCodes {
		if n := r.subscriptions[code].Load(); n > 0 {
			if m == nil {
				m = make(map[string]int64)
			}
			m[code.String()] = n
		}
	}
	return m
}

// Events returns a channel of all sessions' trace events, until stop is called.
// Who does not read fast enough misses some.
func (n *Node) Events() (c <-chan TraceEvent, stop func()) { return n.events.Listen() }
