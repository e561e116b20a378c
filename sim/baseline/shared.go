package baseline

// This file answers: whom is this peer connected with, whom could it ask, and
// which objects does it have? All four systems keep these the same way.

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/stream"
)

// Messages of the baselines are structs of their own that embed the interface
// overlay.Message, which is nil in them. Its method is unexported, so this is
// the only way for another package to satisfy it; nobody calls the method:
// baselines switch on the type, and their driver asks for Size, the bytes
// that the message would take: one for the kind, numbers as varints of
// typical length, peer ids of 8.
type sized interface {
	overlay.Message
	Size() int
}

const (
	idSize, seqSize = 8, 4

	findFirst, findMost = time.Second, 3 * time.Second // between look-ups, doubling
	idleTime            = 3 * time.Second              // an open link that nothing holds is closed
	dialTime            = 10 * time.Second             // the driver's time-out, and more
	dialPatience        = 1500 * time.Millisecond      // then others are dialled beside it
	bookSize, seenSize  = 64, 256
)

// link is a connection, or a dial under way.
type link struct {
	id    overlay.PeerID
	up    bool
	ours  bool // dialled from here
	hold  int  // what it is needed for; 0: nothing
	rtt   time.Duration
	heard time.Duration // last sign of life
	sent  time.Duration
}

// base is what all systems have.
type base struct {
	cfg     Config
	self    overlay.PeerID
	rng     *rand.Rand
	now     time.Duration
	due     time.Duration
	out     []overlay.Action
	drained bool

	links []*link
	book  []overlay.PeerID // candidates, next first
	seen  []overlay.PeerID // candidates since the last look-up, taken from the book or in it
	found time.Duration    // when the last look-up was asked for
	wait  time.Duration    // until the next
	root  overlay.PeerID   // whom the link names: the publisher

	have  *stream.SeqSet
	asked []request // by Seq modulo its length, that of have
	epoch uint64
	begun bool
}

// request is an object asked for and when to give up waiting for it.
type request struct {
	seq   uint64
	until time.Duration
}

func (b *base) do(a overlay.Action) { b.out = append(b.out, a) }

func (b *base) send(l *link, m sized) {
	l.sent = b.now
	b.do(overlay.Action{Kind: overlay.ActSend, Peer: l.id, Msg: m})
}

// give sends the object seq as kind says.
func (b *base) give(kind overlay.ActionKind, l *link, seq uint64, backfill bool) {
	l.sent = b.now
	b.do(overlay.Action{Kind: kind, Peer: l.id, Stripe: b.stripe(seq), Epoch: b.epoch, Seq: seq, Backfill: backfill})
}

func (b *base) trace(t overlay.Trace, peer overlay.PeerID, stripe int, seq uint64, wait time.Duration) {
	b.do(overlay.Action{Kind: overlay.ActTrace, Trace: t, Peer: peer, Stripe: uint8(stripe), Epoch: b.epoch, Seq: seq, Wait: wait})
}

func (b *base) stripe(seq uint64) uint8 { return uint8(seq % uint64(b.cfg.Stripes)) }

// spread returns d, give or take half, so that peers do not act in step.
func (b *base) spread(d time.Duration) time.Duration {
	return d/2 + time.Duration(b.rng.Int64N(int64(d)))
}

// Links.

func (b *base) link(id overlay.PeerID) *link {
	for _, l := range b.links {
		if l.id == id {
			return l
		}
	}
	return nil
}

func (b *base) add(id overlay.PeerID, ours bool) *link {
	l := &link{id: id, ours: ours, heard: b.now, sent: b.now}
	b.links = append(b.links, l)
	return l
}

func (b *base) dial(id overlay.PeerID) *link {
	b.do(overlay.Action{Kind: overlay.ActConnect, Peer: id})
	return b.add(id, true)
}

// forget takes l, which is closed, out of links.
func (b *base) forget(l *link) {
	l.up = false
	if i := slices.Index(b.links, l); i >= 0 {
		b.links = slices.Delete(b.links, i, i+1)
	}
}

// hangUp closes l. A dial under way cannot be called off: its link stays until
// the dial ends, held by nothing.
func (b *base) hangUp(l *link) {
	l.hold = 0
	if l.up {
		b.do(overlay.Action{Kind: overlay.ActDisconnect, Peer: l.id})
		b.forget(l)
	}
}

// sweep closes what nothing holds.
func (b *base) sweep() {
	for i := len(b.links) - 1; i >= 0; i-- {
		if l := b.links[i]; l.hold == 0 && b.now-l.heard > idleTime {
			if b.hangUp(l); b.now-l.heard > dialTime {
				b.forget(l)
			}
		}
	}
}

// leave closes everything: this peer is gone.
func (b *base) leave() {
	for _, l := range slices.Clone(b.links) {
		b.hangUp(l)
	}
	b.drained = true
	b.do(overlay.Action{Kind: overlay.ActDrained})
}

// Discovery.

// learn puts ids that were not seen since the last look-up at the end of the book.
func (b *base) learn(ids ...overlay.PeerID) { b.note(len(b.book), ids) }

// prefer puts them at its beginning.
func (b *base) prefer(ids ...overlay.PeerID) { b.note(0, ids) }

func (b *base) note(at int, ids []overlay.PeerID) {
	for _, id := range ids {
		if id == b.self || id == 0 || len(b.seen) == seenSize || len(b.book) == bookSize || slices.Contains(b.seen, id) {
			continue
		}
		b.seen = append(b.seen, id)
		b.book = slices.Insert(b.book, at, id)
		at++
	}
}

// next takes the next candidate from the book; 0: there is none.
func (b *base) next() overlay.PeerID {
	if len(b.book) == 0 {
		return 0
	}
	id := b.book[0]
	b.book = slices.Delete(b.book, 0, 1)
	return id
}

// find asks for candidates, at growing intervals until settled.
func (b *base) find() {
	if b.found > 0 && b.now < b.found+b.wait {
		return
	}
	if b.found > 0 {
		b.wait = min(2*b.wait, findMost)
	}
	b.found, b.seen = max(b.now, 1), append(b.seen[:0], b.book...)
	b.do(overlay.Action{Kind: overlay.ActFind})
}

// settled lets the next search begin with a look-up at once.
func (b *base) settled() { b.found, b.wait = 0, b.spread(findFirst) }

// Objects.

// begin takes the stream from first, a group's first object, on.
func (b *base) begin(epoch, first uint64) {
	kind := overlay.ActStart
	if b.begun {
		kind = overlay.ActEpoch
	}
	b.begun, b.epoch = true, epoch
	b.have.Reset(first)
	clear(b.asked)
	b.do(overlay.Action{Kind: kind, Epoch: epoch, Seq: first})
}

// take reports whether the object is new, and delivers it. A stream that has
// not begun begins with the object's group, if that comes whole, else with the
// next; so does a higher epoch.
func (b *base) take(ev *overlay.Event, whole bool) bool {
	if ev.Epoch < b.epoch {
		return false
	}
	if !b.begun || ev.Epoch > b.epoch {
		first := ev.GroupFirst
		if !b.begun && !whole && ev.Seq != first {
			first += b.cfg.Group
		}
		b.begin(ev.Epoch, first)
	}
	if !b.have.Add(ev.Seq) {
		return false
	}
	b.do(overlay.Action{Kind: overlay.ActDeliver, Peer: ev.Peer, Stripe: b.stripe(ev.Seq), Epoch: ev.Epoch, Seq: ev.Seq})
	return true
}

// holds reports whether seq is here and not yet too old to be sent on.
func (b *base) holds(seq uint64) bool { return b.begun && seq >= b.have.Base() && b.have.Has(seq) }

// request returns the place where the asking for seq is noted.
func (b *base) request(seq uint64) *request {
	if b.asked == nil {
		b.asked = make([]request, b.have.Capacity())
	}
	return &b.asked[seq%uint64(len(b.asked))]
}

// edge is one past the highest object that came; what came before is given up, so it is never below Base.
func (b *base) edge() uint64 {
	if m, ok := b.have.Max(); ok {
		return max(m+1, b.have.Base())
	}
	return b.have.Base()
}

// group returns the first Seq of the group of seq.
func (b *base) group(seq uint64) uint64 { return seq - seq%b.cfg.Group }
