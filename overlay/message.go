package overlay

// This file answers: what do two peers say to each other about one stream?
// PROTOCOL.md gives the bytes, wire.go writes and reads them.

import "time"

// Message is the closed set of control messages.
type Message interface{ kind() byte }

// Hello opens a control exchange; both sides send it first.
// The receiver may subscribe once it has it.
type Hello struct {
	Publisher bool   // the sender makes the stream
	Draining  bool   // the sender is leaving and takes no children
	Slots     uint16 // room for children in all stripes together; 0: never a parent
	Epoch     uint64 // 0: the sender has nothing of the stream yet
	Edge      uint64 // one past the highest Seq the sender has seen
}

// Subscribe asks the receiver to become parent of the sender in one stripe.
// It is answered by Accept or Refuse.
type Subscribe struct {
	Stripe uint8
	Latest bool   // start at the receiver's latest group instead of From
	Urgent bool   // the sender's parent just died: slots kept in reserve may be used
	Epoch  uint64 // the sender's epoch; 0: none yet
	From   uint64 // first Seq wanted
	// Have are the objects from there on that need not come: bit i is From + i·k.
	Have uint64
	// Lost is the parent that the sender lost in this stripe; 0: none. If it is
	// a silent child of the receiver, the sender inherits its place.
	Lost PeerID
	// Behind are the children that the sender has in this stripe: who carries others
	// is let in first.
	Behind uint8
}

// stranded says that the sender plays, but never had a parent in this stripe:
// it finds none.
func (m Subscribe) stranded() bool { return m.Urgent && m.Lost == 0 && !m.Latest }

// Accept makes the sender parent of the receiver. Objects follow on the data stream.
type Accept struct {
	Stripe uint8
	Epoch  uint64
	Start  uint64   // first Seq that will come
	Path   []PeerID // from the publisher down to the sender
}

// Code says why something was refused.
type Code uint8

// Codes of Refuse and Miss.
const (
	CodeBusy      Code = iota + 1 // full: try the alternatives, or again after Wait
	CodeNotYet                    // nothing there yet; the request is parked and answered on arrival
	CodeLoop                      // the receiver is on the sender's path
	CodeGoingAway                 // the sender is leaving
	CodeGone                      // asked for what is no longer kept
)

// String returns the code's name as PROTOCOL.md spells it.
func (c Code) String() string {
	switch c {
	case CodeBusy:
		return "BUSY"
	case CodeNotYet:
		return "NOT_YET"
	case CodeLoop:
		return "LOOP"
	case CodeGoingAway:
		return "GOING_AWAY"
	case CodeGone:
		return "GONE"
	}
	return "UNKNOWN"
}

// Refuse answers a Subscribe that is not accepted (now).
type Refuse struct {
	Stripe       uint8
	Code         Code
	Wait         time.Duration // when to try again; millisecond resolution
	Alternatives []PeerID
}

// Unsubscribe ends the sender's subscription; the receiver stops sending at once.
type Unsubscribe struct{ Stripe uint8 }

// Path tells children that the path of their parent, the sender, changed.
type Path struct {
	Stripe uint8
	Path   []PeerID // from the publisher down to the sender
}

// Kin names to a child the peers to keep as standbys: the sender's other
// children, and the sender's own siblings.
type Kin struct {
	Stripe   uint8
	Siblings []PeerID
	Uncles   []PeerID
}

// Watch asks the receiver to be standby of the sender in the stripes of Mask
// (bit i is stripe i): its Status then carries paths for them.
type Watch struct{ Mask uint32 }

// Status tells a neighbour how the sender stands; sent on change and now and then.
type Status struct {
	Draining bool
	Confined bool   // the sender reaches few of those whom it dials
	Open     bool   // confined peers reach the sender
	Free     uint16 // free slots in all stripes together
	Epoch    uint64
	Edge     uint64
	Stripes  []StripeStatus
}

// MaxChildrenTold is the most children of a stripe that a Status tells of.
const MaxChildrenTold = 127

// StripeStatus is one stripe of a Status.
type StripeStatus struct {
	Stripe   uint8
	Fed      bool     // the sender has a parent there that is not in doubt
	Depth    uint8    // length of the path; 0: none
	Children uint8    // living children of the sender there, up to MaxChildrenTold
	Position uint64   // everything below it was received, given up, or missing for long
	Path     []PeerID // only for watched stripes; from the publisher down to the sender
}

// Pull asks for single objects: Seq First + i·k for every set bit i.
// Each is answered by the object or by Miss.
type Pull struct {
	Epoch uint64
	First uint64
	Bits  uint32
}

// Miss answers those objects of a Pull that the sender does not send now.
// With CodeNotYet they are parked and sent on arrival.
type Miss struct {
	Code  Code
	Wait  time.Duration // when the sender expects to have them
	Epoch uint64
	First uint64
	Bits  uint32
}

// AllStripes in GoAway.Stripe means the sender leaves altogether.
const AllStripes = 0xff

// GoAway asks a child to move, in one stripe or all, within Wait; the sender
// serves it until then. Also the first word of a drain.
type GoAway struct {
	Stripe       uint8
	Wait         time.Duration
	Alternatives []PeerID
}

// Shuffle exchanges a sample of known peers (HyParView, DSN 2007); the
// receiver of one with Reply unset answers with one that has it set.
type Shuffle struct {
	Reply bool
	Peers []PeerID
}

const (
	kindHello byte = iota + 1
	kindSubscribe
	kindAccept
	kindRefuse
	kindUnsubscribe
	kindPath
	kindKin
	kindWatch
	kindStatus
	kindPull
	kindMiss
	kindGoAway
	kindShuffle
	kindSubscribeBehind // how a Subscribe is written whose Behind is not 0
)

func (Hello) kind() byte       { return kindHello }
func (Subscribe) kind() byte   { return kindSubscribe }
func (Accept) kind() byte      { return kindAccept }
func (Refuse) kind() byte      { return kindRefuse }
func (Unsubscribe) kind() byte { return kindUnsubscribe }
func (Path) kind() byte        { return kindPath }
func (Kin) kind() byte         { return kindKin }
func (Watch) kind() byte       { return kindWatch }
func (Status) kind() byte      { return kindStatus }
func (Pull) kind() byte        { return kindPull }
func (Miss) kind() byte        { return kindMiss }
func (GoAway) kind() byte      { return kindGoAway }
func (Shuffle) kind() byte     { return kindShuffle }
