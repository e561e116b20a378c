package overlay

// This file answers: what is the state of a peer, and how does one event
// travel through it?

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/braidway/braidway/failover"
	"github.com/braidway/braidway/stream"
)

// never is the deadline of what is not due.
const never = time.Duration(1<<63 - 1)

// lastSeq is the highest Seq that a core takes: what it says about what lies
// beyond, edges and positions, must fit on the wire too, or its neighbours would
// ban it. (Found by FuzzCore.)
const lastSeq = stream.MaxSeq - 1<<32

// Peer is the core of one peer in one stream. It is owned by one loop.
//
// The order of its fields, and of those of stripe and neighbour, is that of
// their use: what an object or a beacon needs comes first and close together.
// A simulation of many peers waits for little else than memory.
type Peer struct {
	now  time.Duration
	out  []Action
	ids  []PeerID     // of nbrs: sorted
	nbrs []*neighbour // as ids

	// The timeline of the epoch.
	epoch   uint64
	edge    uint64        // one past the highest Seq known to exist
	edgeAt  time.Duration // since when
	sure    bool          // an object of epoch was verified; else it is a parent's claim
	started bool
	born    bool

	draining bool
	drained  bool
	stale    uint32                           // stripes whose entry in dues is to be computed anew
	dues     [stream.MaxStripes]time.Duration // Deadline's: when each stripe wants a Timeout
	due      time.Duration                    // what Deadline promised last

	findAt   time.Duration
	statusAt time.Duration
	trimAt   time.Duration // when idle neighbours are to go; never: there are few
	shufAt   time.Duration
	standAt  time.Duration
	braidAt  time.Duration
	repairAt time.Duration
	drainAt  time.Duration
	rollEnd  time.Duration // when answers to a roll call are due
	moves    []move
	moveAt   time.Duration // when the first of moves is due

	stripes []stripe
	have    *stream.SeqSet
	start   uint64 // first Seq taken
	startAt time.Duration
	pulls   []pull   // ours, unanswered
	parked  []parked // others', waiting for us
	budget  failover.Budget
	objSize int64 // moving average, bytes
	cfg     Config
	self    PeerID
	rng     *rand.Rand

	view       []known
	banned     []ban
	dials      failover.Bucket
	dialCost   float64       // tokens
	hollowNets []hollowNet   // the latest last
	broken     uint8         // words that peers did not keep, up to hollowLimit
	waryUntil  time.Duration // see wary
	confined   bool          // it reaches few of those whom it dials
	lookAt     time.Duration // it asks rendezvous again, though no stripe lacks a parent
	records    []record      // of those who are gone, oldest first
	late       time.Duration // behind most neighbours in all stripes; 0: not worth a word
	spare      spare         // what the uplink can give beside live objects
	find       failover.Backoff
	alarm      time.Duration // when a parent last fell silent or was lost
	heir       PeerID        // who is to publish after this publisher; 0: nobody
	// publishAt is when this peer took over from another publisher; 0: it did not.
	publishAt time.Duration
	rollAt    time.Duration // no roll call before
	slow      time.Duration // how late answers to it came just now
	rest      failover.Backoff
	restUntil time.Duration // it has given way to others until then
	lackAt    time.Duration // since when a stripe has no parent; never: none lacks one
	wholeAt   time.Duration // since when none does
	pushAt    time.Duration // no push-down for a worthier child before
	bornAt    time.Duration // of the first Step
	slots     int
	pressed   bool // the uplink is full
	stats     Counters

	nGroups int
	nMarks  int
	groups  [groupMemory]uint64
	marks   [markCount]mark // when the edge passed which Seq
}

// Counters are totals since New.
type Counters struct {
	Switches, Moves, Suspects, Cancels, Hedges, Repairs, Loops, Refused, Pushed, Stalls int
}

const (
	groupMemory = 16
	markCount   = 64
	allStale    = 1<<stream.MaxStripes - 1
)

// mark remembers when the edge first reached seq.
type mark struct {
	seq uint64
	at  time.Duration
}

// stripe is one stripe's state.
type stripe struct {
	parent  PeerID // 0: none
	since   uint64 // from where on parent sends
	next    uint64 // lowest Seq of the stripe not received or given up
	front   uint64 // one past the highest Seq of the stripe received
	prog    failover.Progress
	live    uint64        // one past the highest Seq of the stripe that a parent passed down
	held    uint64        // one past the highest Seq of the stripe that is or was here: front may be a claim
	starved time.Duration // since when, 0: not
	trust   trust         // in parent, as measured
	episode episode

	children []child
	sentAt   time.Duration
	kinAt    time.Duration // when Kin may be sent; never: nothing to say
	holeAt   time.Duration
	try      attempt
	leave    time.Duration // the parent asked to be left by then; 0: no
	leaveAt  time.Duration // when that is tried again
	old      PeerID        // replaced parent that still sends until the new one is abreast
	// oldUntil is when old is left in any case; oldPath is its path.
	oldUntil time.Duration
	oldPath  []PeerID
	fresh    bool // nothing came from parent yet
	orphan   bool // had a parent and lost it
	cut      bool // had one, for which it was a child too many

	path     []PeerID
	standbys []PeerID
	siblings []PeerID      // other children of the parent
	uncles   []PeerID      // siblings of the parent
	lag      time.Duration // behind the live edge, a moving average
	dead     PeerID        // the parent that was lost, or the one that is suspect
}

// attempt is the one subscription in flight of a stripe.
type attempt struct {
	to     PeerID
	at     time.Duration // when it is given up
	why    reason
	since  time.Duration
	latest bool
}

type reason uint8

const (
	whyNone reason = iota
	whyJoin
	whySwitch
	whyMove
)

// episode is one silence of one parent: a single timer owns all its retries.
type episode struct {
	on    bool
	since time.Duration
	next  time.Duration
	tries uint8
	wait  failover.Backoff
}

// child is a subscriber of one stripe.
type child struct {
	id       PeerID
	start    uint64
	since    time.Duration
	behind   uint8         // children that it had in this stripe when it came
	stranded bool          // it found nobody else
	away     time.Duration // asked to move until then; 0: not
	paused   bool          // nothing is sent to it: it is said to be dead
	unsent   uint64        // from where on, if paused
	told     uint64        // fingerprint of the Kin that it has; 0: none
}

// New returns the core of peer self. rng is the only source of randomness.
func New(cfg Config, self PeerID, rng *rand.Rand) (*Peer, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if self == 0 || rng == nil {
		return nil, fmt.Errorf("overlay: a peer needs an id other than zero and a source of randomness")
	}
	p := &Peer{
		cfg: cfg, self: self, rng: rng,
		stripes: make([]stripe, cfg.Stripes),
		have:    stream.NewSeqSet(cfg.Window),
		budget:  failover.NewBudget(cfg.HedgeShare, firstBudget, 2*firstBudget),
		find:    failover.Backoff{Base: 300 * time.Millisecond, Cap: 2 * time.Second, Floor: 50 * time.Millisecond},
		slots:   cfg.Slots,
		rest:    newRest(),
		dials:   failover.NewBucket(dialRate, dialBurst), dialCost: 1,
		objSize: 1500,
	}
	for s := range p.stripes {
		p.stripes[s].kinAt = never
	}
	if cfg.Publisher {
		p.epoch, p.started, p.sure = cfg.Epoch, true, true
		for s := range p.stripes {
			p.stripes[s].path = []PeerID{self}
		}
	}
	p.repairAt, p.drainAt, p.trimAt, p.rollEnd, p.lackAt, p.moveAt, p.lookAt = never, never, never, never, never, never, never
	p.stale = allStale
	p.measureSpare()
	return p, nil
}

// Step handles one event at time now (since any fixed start, never going back)
// and returns out with the actions appended, in the order in which the runtime must do them.
func (p *Peer) Step(now time.Duration, ev Event, out []Action) []Action {
	p.out = out
	if now > p.now {
		p.now = now
	}
	if !p.born {
		p.born, p.bornAt = true, p.now
	}
	p.stale |= p.touches(&ev)
	if p.due != 0 && p.now-p.due >= stallLimit {
		p.noticeStall(&ev)
	}
	switch ev.Kind {
	case EvObject:
		p.object(&ev)
	case EvBeacon:
		p.beacon(&ev)
	case EvTimeout:
		p.timeout()
	case EvMessage:
		p.message(ev.Peer, ev.Msg)
	case EvConnected:
		p.connected(ev.Peer, ev.RTT, ev.Subnet)
	case EvDisconnected:
		p.lost(ev.Peer)
	case EvCandidates:
		p.candidates(ev.Candidates)
	case EvBad:
		p.ban(ev.Peer)
	case EvSlots:
		p.slots, p.pressed = int(max(0, ev.Slots)), ev.Pressed
		p.measureSpare()
		p.shed()
	case EvSlow:
		p.slowChild(ev.Peer, int(ev.Stripe))
	case EvDrain:
		p.drain(ev.Wait)
	case EvPublish:
		p.publish(ev.Epoch)
	case EvHeir:
		p.heir = ev.Peer
		p.kinChanged()
	}
	out, p.out = p.out, nil
	return out
}

// touches returns the stripes whose part of the deadline ev may change.
func (p *Peer) touches(ev *Event) uint32 {
	switch ev.Kind {
	case EvObject:
		return 1 << p.stripeOf(ev.Seq)
	case EvBeacon:
		return 1 << (ev.Stripe % stream.MaxStripes)
	default:
		return allStale
	}
}

// Deadline returns when Step wants an EvTimeout, on Step's clock.
func (p *Peer) Deadline() time.Duration {
	if p.stale != 0 {
		for i := range p.stripes {
			if p.stale&(1<<i) != 0 {
				p.dues[i] = p.stripeDue(i)
			}
		}
		p.stale = 0
	}
	d := min(p.statusAt, p.trimAt, p.shufAt, p.standAt, p.braidAt, p.repairAt, p.drainAt, p.rollEnd, p.moveAt, p.lookAt)
	for _, at := range p.dues[:len(p.stripes)] {
		d = min(d, at)
	}
	p.due = max(d, p.now) // what was due before this call cannot be late because of a stop
	return d
}

// stripeDue returns when stripe i wants a Timeout.
func (p *Peer) stripeDue(i int) time.Duration {
	s := &p.stripes[i]
	d := s.kinAt
	if s.parent == 0 && !p.cfg.Publisher {
		d = min(d, p.findAt)
	}
	if len(s.children) > 0 && !p.drained {
		d = min(d, s.sentAt+p.cfg.Beacon)
	}
	if s.try.to != 0 {
		d = min(d, s.try.at)
	}
	if s.leave != 0 {
		d = min(d, s.leaveAt)
	}
	if s.episode.on {
		d = min(d, s.episode.next)
	} else if s.parent != 0 {
		d = min(d, s.prog.SuspectAt(p.progress()))
	}
	return d
}

func (p *Peer) timeout() {
	if p.now >= p.rollEnd {
		p.endRoll()
	}
	for s := range p.stripes {
		p.beaconTick(s)
		p.watchParent(s)
		p.expireAttempt(s)
		p.leaveTick(s)
		p.settleMove(s)
		p.kinTick(s)
	}
	if p.now >= p.moveAt {
		p.makeMoves()
	}
	if p.now >= p.repairAt {
		p.repair()
	}
	if p.now >= p.standAt {
		p.standAt = p.now + p.jitter(standbyEvery)
		p.chooseStandbys()
		p.yield()
	}
	if p.now >= p.braidAt {
		p.braidAt = p.now + p.jitter(braidEvery)
		p.braid()
	}
	if p.now >= p.statusAt {
		p.statusAt = p.now + p.jitter(statusEvery)
		p.sendStatus()
		p.dropSilent()
		p.shed()
		p.measureSpare()
	}
	if p.now >= p.trimAt {
		p.trim()
	}
	if p.now >= p.shufAt {
		p.shufAt = p.now + p.jitter(shuffleEvery)
		if p.lackingReserve() > 0 {
			p.shufAt = p.now + p.jitter(scarceEvery)
		}
		p.shuffle()
	}
	if p.now >= p.findAt && !p.cfg.Publisher && p.wantsParents() {
		p.seek()
	}
	if p.now >= p.lookAt {
		p.lookAt = never
		if p.deceived() && !p.resting() && !p.draining {
			p.seek()
			p.lookAt = p.findAt
		}
	}
	if p.now >= p.drainAt {
		p.finishDrain()
	}
}

// noticeStall excuses all parents: the peer itself was stopped, since nobody
// came when something was due. What was made meanwhile no parent owes, as its queue
// may have given it up; and as much may be pulled, as by one who has just come. ev is
// what it notices it by.
func (p *Peer) noticeStall(ev *Event) {
	late := p.now - p.due
	p.due = 0 // once, however much has come meanwhile: until the runtime asks for the deadline again
	p.stale = allStale
	p.stats.Stalls++
	p.trace(TraceStall, 0, 0, 0, late)
	made := uint64(p.spare.stream * late.Seconds())
	p.budget.Grant(int(min(made, firstBudget)))
	for i := range p.stripes {
		s := &p.stripes[i]
		if s.parent != 0 {
			s.prog.Excuse(p.now)
			s.trust = trust{from: max(s.trust.from, max(s.front, p.edge)+made), paid: s.trust.paid, broken: s.trust.broken}
		}
		if s.try.to != 0 {
			s.try.at += late
		}
		if s.episode.on {
			s.episode.next = max(s.episode.next, p.now+confirmTime)
		}
	}
	for _, n := range p.nbrs {
		n.heard = max(n.heard, p.now-statusEvery)
		if n.asked != 0 {
			n.asked = p.now
		}
		if late > leftTo && p.isChild(n.id) && !n.missing && (ev.Kind != EvDisconnected || ev.Peer != n.id) {
			p.miss(n)
			p.callOn(n)
		}
	}
}

// leftTo is after how long a peer that was stopped has to take its children for gone,
// until they are heard of: they find other parents sooner. (Found by simulation: relays
// that came back after 10 s said how many hung from them, as orphans whose rescue is
// urgent; the publisher sent them the past ahead of all others, who took it for dead.)
const leftTo = 500 * time.Millisecond

// message hands a control message to its owner.
func (p *Peer) message(from PeerID, m Message) {
	n := p.neighbour(from)
	if n == nil {
		return
	}
	p.spoke(n)
	if !p.allows(n, m) {
		return
	}
	switch m := m.(type) {
	case Hello:
		p.hello(n, m)
	case Subscribe:
		p.subscribe(n, m, 0)
	case Accept:
		p.accepted(n, m)
	case Refuse:
		p.refused(n, m)
	case Unsubscribe:
		p.unsubscribe(n, m)
	case Path:
		p.pathChanged(n, m)
	case Kin:
		p.kin(n, m)
	case Watch:
		n.watching = m.Mask
		p.tell(n)
	case Status:
		p.status(n, m)
	case Pull:
		p.pulled(n, m)
	case Miss:
		p.missed(n, m)
	case GoAway:
		p.goAway(n, m)
	case Shuffle:
		p.shuffled(n, m)
	}
}

func (p *Peer) progress() failover.ProgressConfig {
	return failover.ProgressConfig{
		Detector:  p.cfg.Detector,
		StarveLag: uint64(6 * p.cfg.Stripes), StarveTime: starveTime,
	}
}

// jitter spreads d over [d/2, 3d/2), so that peers do not act in step.
func (p *Peer) jitter(d time.Duration) time.Duration {
	return d/2 + time.Duration(p.rng.Int64N(int64(d)))
}

func (p *Peer) send(to PeerID, m Message) {
	p.out = append(p.out, Action{Kind: ActSend, Peer: to, Msg: m})
}

func (p *Peer) trace(t Trace, peer PeerID, s int, seq uint64, wait time.Duration) {
	p.out = append(p.out, Action{Kind: ActTrace, Trace: t, Peer: peer, Stripe: uint8(s), Epoch: p.epoch, Seq: seq, Wait: wait})
}

func (p *Peer) stripeOf(seq uint64) int { return int(seq % uint64(p.cfg.Stripes)) }
