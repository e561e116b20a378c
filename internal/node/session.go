package node

// This file answers: how is the core of one stream driven? By one goroutine
// that owns it: events come in through one queue, actions go out to links.

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	crand "crypto/rand"
	"encoding/binary"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/braidway/braidway/failover"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/stream"
)

const (
	// eventQueue bounds the events that wait for the loop; readers wait then,
	// and QUIC's flow control passes that on.
	eventQueue = 1024
	// windowBytes and windowAge bound what is kept for children and repairs:
	// 20 s of 25 Mbit/s.
	windowBytes = 64 << 20
	windowAge   = 20 * time.Second
	leastWindow = 10 * time.Second // DESIGN
	// coreWindow is the span of Seqs that the core keeps in mind.
	coreWindow = 1 << 14
	// childQueueAge bounds what waits for one child in one stripe.
	childQueueAge = 2 * time.Second
	// childQueue bounds it in bytes: 2 s of a 16 Mbit/s stripe.
	childQueue = 4 << 20
)

// Role says what a peer does with a stream.
type Role uint8

// Roles.
const (
	RolePublisher Role = iota + 1
	RoleRelay
	RoleViewer
)

// String returns the role as the admin API spells it.
func (r Role) String() string {
	return [...]string{"", "publisher", "relay", "viewer"}[min(r, RoleViewer)]
}

// Observer is told what happens to a stream, by the session's loop: it must
// not block. Times are of the session's clock (Session.Now).
type Observer interface {
	// Started: the stream is taken from Seq first of epoch on; again with a
	// higher first shortly after, or with a higher epoch.
	Started(now time.Duration, epoch, first uint64)
	// Delivered: a new verified object is here, in any order.
	Delivered(now time.Duration, o *stream.Parsed)
	// Traced: the core did something worth counting.
	Traced(now time.Duration, t overlay.Trace, a *overlay.Action)
}

// Core is what decides for a session: an *overlay.Peer.
type Core interface {
	Step(now time.Duration, ev overlay.Event, out []overlay.Action) []overlay.Action
	Deadline() time.Duration
	Used() int
	Snapshot() overlay.Snapshot
	Standings() []overlay.Standing
}

// item is one thing for the loop to handle.
type item struct {
	ev   overlay.Event
	link *link // from which it came, when it came from a neighbour
	obj  *stream.Parsed
	fn   func() // instead of an event: run it in the loop
}

// Session is one stream at one peer.
type Session struct {
	node     *Node
	id       stream.ID
	cfg      SessionConfig
	private  *privacy // nil: everyone may take part
	self     overlay.PeerID
	log      *slog.Logger
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	in       chan item
	book     *book
	count    counters
	verifier *stream.Verifier
	began    time.Time
	stripes  int           // set before running
	isUp     chan struct{} // closed when the loop runs
	started  chan struct{} // closed when the stream is taken
	drained  chan struct{}
	loopEnd  chan struct{}

	mu      sync.Mutex
	closed  bool
	links   map[overlay.PeerID]*link
	dialing map[peer.ID]time.Time
	record  stream.Record
	raw     []byte
	summary func() string

	// Owned by the loop.
	core    Core
	window  *stream.Window
	out     []overlay.Action
	dirty   []*sender
	current *stream.Parsed
	slots   slotKeeper
	ages    ages
	finding atomic.Bool
	proof   *EquivocationState

	role atomic.Uint32
	pub  *Publication // whose session it is; nil: nobody's
}

// SessionConfig says how to take part in a stream.
type SessionConfig struct {
	Role    Role
	NoRelay bool          // take no children
	Buffer  time.Duration // playout buffer; 0 means 1 s
	// Standby takes no children until the session publishes.
	Standby bool
	// Observer may be nil.
	Observer Observer
	// Token is the credential for a private stream, as peer token issue prints it.
	Token string
	// Superseded, if set, is told of records of a higher epoch than was known. It must not block.
	Superseded func(stream.Record)
	// Around puts something around the core; nil: nothing. Tests make hostile peers of it.
	Around func(core *overlay.Peer, self overlay.PeerID) Core

	private *privacy
}

// Role returns what the peer does with the stream at present.
func (s *Session) Role() Role { return Role(s.role.Load()) }

// Now returns the session's clock: time since it began.
func (s *Session) Now() time.Duration { return time.Since(s.began) }

// ID returns the stream's id.
func (s *Session) ID() stream.ID { return s.id }

// Self returns the peer's short id in the stream.
func (s *Session) Self() overlay.PeerID { return s.self }

// Started returns a channel that is closed when the stream's first group is taken.
func (s *Session) Started() <-chan struct{} { return s.started }

// Drained returns a channel that is closed when a drain has ended.
func (s *Session) Drained() <-chan struct{} { return s.drained }

func (s *Session) running() bool {
	select {
	case <-s.isUp:
		return true
	default:
		return false
	}
}

func (s *Session) rawRecord() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.raw
}

// Record returns the best stream record known; false: none yet.
func (s *Session) Record() (stream.Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record, s.raw != nil
}

// learnRecord keeps a better record, and begins with the first. One of a higher
// epoch is passed on, so that a publisher that is fenced off hears of it.
func (s *Session) learnRecord(raw []byte) error {
	rec, err := s.keepRecord(raw)
	if err != nil {
		return err
	}
	return s.begin(rec)
}

// tellRecord brings a neighbour whose record is raw the one that is known here,
// where that is of a higher epoch.
func (s *Session) tellRecord(l *link, raw []byte) {
	theirs, err := stream.ParseRecord(raw)
	s.mu.Lock()
	ours, own := s.record, s.raw
	s.mu.Unlock()
	if !l.old && err == nil && theirs.Epoch < ours.Epoch {
		l.out.push(queued{frame: appendFrame(nil, frameRecord, own)}, false)
		l.out.flush()
	}
}

// passRecord sends a record to all neighbours that know what to do with it.
func (s *Session) passRecord(raw []byte) { s.passFrame(frameRecord, raw) }

// passFrame sends a frame to all neighbours but those of the older version, the loop's.
func (s *Session) passFrame(kind byte, raw []byte) {
	frame := appendFrame(nil, kind, raw)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		if !l.old {
			l.out.push(queued{frame: frame}, false)
			s.dirty = append(s.dirty, l.out)
		}
	}
}

// keepRecord checks a record and keeps it when it is better than what is known.
func (s *Session) keepRecord(raw []byte) (stream.Record, error) {
	rec, err := stream.ParseRecord(raw)
	if err != nil {
		return rec, err
	}
	if rec.ID() != s.id {
		return rec, fmt.Errorf("record of stream %v instead of %v", rec.ID(), s.id)
	}
	if err := rec.Check(time.Now().Unix()); err != nil {
		return rec, err
	}
	switch {
	case s.private != nil && rec.Access != stream.AccessToken:
		return rec, fmt.Errorf("stream %v is private, and its record says otherwise", s.id)
	case s.private == nil && rec.Access == stream.AccessToken:
		return rec, fmt.Errorf("stream %v is private: its whole link is needed, with what stands behind the #", s.id)
	case s.private == nil && rec.Access != stream.AccessOpen:
		return rec, fmt.Errorf("stream %v asks for access of kind %d, which this version does not know: a newer one is needed", s.id, rec.Access)
	}
	s.mu.Lock()
	old, known := s.record, s.raw != nil
	if !known || rec.Better(old) {
		s.record, s.raw = rec, raw
	}
	s.mu.Unlock()
	if known && rec.Epoch > old.Epoch {
		s.log.Info("another publisher's term has begun", "epoch", rec.Epoch)
		if s.running() {
			go s.post(item{fn: func() { s.passRecord(raw) }})
		}
		if s.cfg.Superseded != nil {
			s.cfg.Superseded(rec)
		}
	}
	return rec, nil
}

// begin makes the core and starts the loop, once.
func (s *Session) begin(rec stream.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running() || s.closed {
		return nil
	}
	var seed [16]byte
	if _, err := crand.Read(seed[:]); err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(binary.LittleEndian.Uint64(seed[:8]), binary.LittleEndian.Uint64(seed[8:])))
	s.stripes = int(rec.K)
	s.slots = newSlotKeeper(s.node.cfg.UploadLimit, s.cfg.NoRelay, s.stripes, rec.Bitrate)
	cfg := overlay.Config{Publisher: s.Role() == RolePublisher, Standby: s.cfg.Standby, Stripes: s.stripes, Slots: s.slots.now(),
		MaxChildren: s.node.cfg.MaxChildren, Buffer: s.cfg.Buffer, Window: coreWindow, Epoch: rec.Epoch}
	if cfg.Publisher {
		cfg.Standby = false
	}
	core, err := overlay.New(cfg, s.self, rng)
	if err != nil {
		return err
	}
	if s.verifier, err = stream.NewVerifier(rec.PublicKey, s.id); err != nil {
		return err
	}
	if s.core = core; s.cfg.Around != nil {
		s.core = s.cfg.Around(core, s.self)
	}
	s.window = stream.NewWindow(windowBytes, s.node.cfg.Window)
	s.window.Reset(rec.Epoch)
	close(s.isUp)
	s.wg.Add(1)
	go s.loop()
	return nil
}

// post hands an item to the loop; it waits while the loop is behind.
func (s *Session) post(it item) {
	select {
	case s.in <- it:
	case <-s.ctx.Done():
	}
}

// Do runs fn in the session's loop and waits for it; false: the session ended first.
func (s *Session) Do(fn func()) bool {
	done := make(chan struct{})
	s.post(item{fn: func() { fn(); close(done) }})
	select {
	case <-done:
		return true
	case <-s.loopEnd:
		return false
	case <-s.ctx.Done():
		return false
	}
}

// loop owns the core.
func (s *Session) loop() {
	defer s.wg.Done()
	defer close(s.loopEnd)
	timer := time.NewTimer(0)
	defer timer.Stop()
	keep := time.NewTicker(failover.UplinkLook)
	defer keep.Stop()
	for {
		select {
		case it := <-s.in:
			s.handle(it)
			for n := len(s.in); n > 0; n-- { // what is ready together is written together
				s.handle(<-s.in)
			}
		case <-timer.C:
		case <-keep.C:
			s.window.Expire(s.Now())
			s.keepAccess(time.Now())
			s.fitSlots()
		case <-s.ctx.Done():
			return
		}
		for range 4 {
			if s.core.Deadline() > s.Now() {
				break
			}
			s.step(overlay.Event{Kind: overlay.EvTimeout})
		}
		for _, q := range s.dirty {
			q.flush()
		}
		s.dirty = s.dirty[:0]
		timer.Reset(max(s.core.Deadline()-s.Now(), time.Millisecond/2))
	}
}

func (s *Session) handle(it item) {
	if it.fn != nil {
		it.fn()
		return
	}
	if it.link != nil {
		s.mu.Lock()
		current := s.links[it.link.id] == it.link
		if current && it.ev.Kind == overlay.EvDisconnected {
			delete(s.links, it.link.id)
		}
		s.mu.Unlock()
		if !current {
			return // of an exchange that was replaced
		}
		if it.ev.Kind == overlay.EvDisconnected {
			it.link.close(false)
		}
	}
	if s.current = it.obj; it.obj != nil {
		s.compare(it.obj)
	}
	s.step(it.ev)
	s.current = nil
}

func (s *Session) step(ev overlay.Event) {
	s.out = s.core.Step(s.Now(), ev, s.out[:0])
	for i := range s.out {
		s.act(&s.out[i])
	}
}

func (s *Session) linkTo(id overlay.PeerID) *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.links[id]
}

// act does what the core asks for.
func (s *Session) act(a *overlay.Action) {
	switch a.Kind {
	case overlay.ActSend:
		if l := s.linkTo(a.Peer); l != nil {
			s.send(l, a.Msg)
		}
	case overlay.ActForward, overlay.ActServe, overlay.ActBeacon:
		s.write(a)
	case overlay.ActOpen:
		if l := s.linkTo(a.Peer); l != nil {
			if old := l.data[a.Stripe]; old != nil {
				old.reset()
			}
			l.data[a.Stripe] = s.open(l, a.Stripe)
		}
	case overlay.ActClose:
		if l := s.linkTo(a.Peer); l != nil && l.data[a.Stripe] != nil {
			l.data[a.Stripe].close()
			l.data[a.Stripe] = nil
		}
	case overlay.ActDeliver:
		s.deliver()
	case overlay.ActStart:
		select {
		case <-s.started:
		default:
			close(s.started)
			s.announce()
		}
		if s.cfg.Observer != nil {
			s.cfg.Observer.Started(s.Now(), a.Epoch, a.Seq)
		}
		if s.window.Epoch() != a.Epoch {
			s.window.Reset(a.Epoch)
		}
	case overlay.ActEpoch:
		s.window.Reset(a.Epoch)
		s.emit(TraceEvent{Event: eventEpoch, Epoch: a.Epoch, Seq: a.Seq})
	case overlay.ActConnect:
		s.connect(a.Peer)
	case overlay.ActDisconnect, overlay.ActBan:
		s.disconnect(a)
	case overlay.ActFind:
		s.find()
	case overlay.ActDrained:
		select {
		case <-s.drained:
		default:
			close(s.drained)
			s.emit(TraceEvent{Event: eventDrained})
		}
	case overlay.ActTrace:
		s.traced(a)
	}
}

// deliver keeps the object that the loop is handling, and shows it to the observer.
func (s *Session) deliver() {
	o := s.current
	if o == nil {
		return
	}
	now := s.Now()
	s.window.Add(now, *o)
	s.slots.received(o)
	s.count.unique.Add(int64(len(o.Wire)))
	s.count.auth.Add(int64(o.AuthSize()))
	s.count.delivered.Add(1)
	if s.pub == nil {
		s.ages.add(now, time.Duration(time.Now().UnixMicro()-o.Time)*time.Microsecond)
	}
	if s.cfg.Observer != nil {
		s.cfg.Observer.Delivered(now, o)
	}
}

// write queues an object or a beacon for a child, or an answer to a pull.
func (s *Session) write(a *overlay.Action) {
	l := s.linkTo(a.Peer)
	if l == nil {
		return
	}
	q := l.fix
	if a.Kind == overlay.ActServe {
		if q == nil || q.dead() {
			q = s.open(l, repairStripe)
			l.fix = q
		}
	} else if q = l.data[a.Stripe]; q == nil {
		return
	}
	f := queued{at: time.Now(), epoch: a.Epoch}
	if a.Kind == overlay.ActBeacon {
		f.epoch = 0
		f.frame = appendBeaconFrame(nil, a.Epoch, a.Seq)
	} else {
		o := s.current
		if o == nil || o.Seq != a.Seq || o.Epoch != a.Epoch {
			p, ok := s.window.Get(a.Epoch, a.Seq)
			if !ok {
				return
			}
			o = &p
		}
		f.group = o.Group
		f.wire = o.Wire
	}
	if !q.push(f, a.Backfill) && a.Kind == overlay.ActForward {
		s.count.dropped.Add(1)
		s.slots.slow(a.Peer)
		peer, stripe := a.Peer, a.Stripe
		go s.post(item{ev: overlay.Event{Kind: overlay.EvSlow, Peer: peer, Stripe: stripe}, link: l})
	}
	s.dirty = append(s.dirty, q)
}

// open starts the data stream of a stripe to a neighbour.
func (s *Session) open(l *link, stripe uint8) *sender {
	q := newSender(childQueue, childQueueAge)
	head := append(append(make([]byte, 0, dataHeader), s.id[:]...), stripe)
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		q.run(s.ctx, func(ctx context.Context) (network.Stream, error) {
			ctx, cancel := context.WithTimeout(ctx, dialTimeout)
			defer cancel()
			return s.node.host.NewStream(network.WithNoDial(ctx, "data"), l.peer, DataProtocol)
		}, head, s.count.sentData)
	}()
	q.flush()
	return q
}

// send queues a control message, after the cards of the peers that it names.
func (s *Session) send(l *link, m overlay.Message) {
	s.count.refused.message(m)
	for _, id := range mentioned(m) {
		if _, ok := l.cards[id]; ok || id == l.id || id == s.self {
			continue
		}
		if raw := s.book.card(id); raw != nil {
			if len(l.cards) > maxBook {
				clear(l.cards)
			}
			l.cards[id] = struct{}{}
			l.out.push(queued{frame: appendFrame(nil, frameCard, raw)}, false)
		}
	}
	if l.old {
		m = forVersion1(m)
	}
	body := overlay.AppendMessage(nil, m)
	if !l.out.push(queued{frame: appendFrame(make([]byte, 0, len(body)+4), frameMessage, body)}, false) {
		l.close(false) // it does not even read control messages
	}
	s.dirty = append(s.dirty, l.out)
}

// forVersion1 leaves out of m what version 1 cannot read.
func forVersion1(m overlay.Message) overlay.Message {
	switch m := m.(type) {
	case overlay.Subscribe:
		m.Behind = 0
		return m
	case overlay.Status:
		m.Confined, m.Open = false, false
		m.Stripes = slices.Clone(m.Stripes)
		for i := range m.Stripes {
			m.Stripes[i].Children = 0
		}
		return m
	}
	return m
}

// mentioned returns the peers in m that the receiver may want to dial.
func mentioned(m overlay.Message) []overlay.PeerID {
	tail := func(path []overlay.PeerID) []overlay.PeerID { return path[max(0, len(path)-3):] }
	switch m := m.(type) {
	case overlay.Accept:
		return tail(m.Path)
	case overlay.Path:
		return tail(m.Path)
	case overlay.Refuse:
		return m.Alternatives
	case overlay.GoAway:
		return m.Alternatives
	case overlay.Kin:
		return append(append([]overlay.PeerID(nil), m.Siblings...), m.Uncles...)
	case overlay.Shuffle:
		return m.Peers
	}
	return nil
}

// connect dials a peer in the background and reports how it went.
func (s *Session) connect(id overlay.PeerID) {
	p, ok := s.book.lookup(id)
	fail := func() { s.post(item{ev: overlay.Event{Kind: overlay.EvDisconnected, Peer: id}}) }
	if !ok {
		s.wg.Add(1)
		go s.awaitCard(id, fail)
		return
	}
	if s.node.banned(p) || p == s.node.host.ID() {
		go fail()
		return
	}
	s.mu.Lock()
	s.dialing[p] = time.Now()
	s.mu.Unlock()
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		l, raw, err := s.dial(s.ctx, p)
		s.mu.Lock()
		delete(s.dialing, p)
		has := s.links[id] != nil
		s.mu.Unlock()
		switch {
		case err == nil:
			if len(raw) > 0 {
				_ = s.learnRecord(raw)
			}
			s.attach(l)
			s.tellRecord(l, raw)
		case !has: // else the other side's exchange is used
			s.log.Debug("not connected", "peer", p, "err", err)
			fail()
		}
	}()
}

// cardWait is for how long a dial waits for the card of a peer that was named:
// who named it may learn it a moment later itself, and bring it with the next word.
const cardWait = time.Second

// awaitCard dials peer id once somebody has said who that is.
func (s *Session) awaitCard(id overlay.PeerID, fail func()) {
	defer s.wg.Done()
	tick := time.NewTicker(cardWait / 20)
	defer tick.Stop()
	for range 20 {
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
		if _, ok := s.book.lookup(id); ok {
			s.connect(id)
			return
		}
	}
	fail()
}

// disconnect ends an exchange; libp2p's connection goes too when the peer was
// silent or banned, since it may be dead.
func (s *Session) disconnect(a *overlay.Action) {
	p, ok := s.book.lookup(a.Peer)
	s.mu.Lock()
	l := s.links[a.Peer]
	delete(s.links, a.Peer)
	s.mu.Unlock()
	if l != nil {
		p, ok = l.peer, true
	}
	if ok && a.Kind == overlay.ActBan {
		s.node.ban(p, a.Wait) // before it can come back
	}
	if l != nil {
		l.close(false)
	}
	if !ok {
		return
	}
	s.node.host.Unprotect(p, "braidway")
	go func() { _ = s.node.host.Network().ClosePeer(p) }()
}

// Drain asks the children to move and waits until they have, at most wait.
func (s *Session) Drain(ctx context.Context, wait time.Duration) error {
	if !s.running() {
		return nil
	}
	s.emit(TraceEvent{Event: eventDrain, WaitMS: milliseconds(wait)})
	if s.pub != nil {
		s.pub.handOver(ctx)
	}
	s.post(item{ev: overlay.Event{Kind: overlay.EvDrain, Wait: wait}})
	select {
	case <-s.drained:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.loopEnd:
	}
	return nil
}

// Close leaves the stream at once; what is queued for neighbours has a short time to go out.
func (s *Session) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	links := make([]*link, 0, len(s.links))
	for _, l := range s.links {
		links = append(links, l)
	}
	s.mu.Unlock()
	if s.running() {
		s.Do(func() {
			for _, l := range links {
				l.close(true)
			}
		})
		limit := time.After(300 * time.Millisecond)
		for _, l := range links {
			select {
			case <-l.out.done:
			case <-limit:
			}
		}
	}
	s.cancel()
	for _, l := range links {
		_ = l.ctl.Reset()
		l.mu.Lock()
		for _, st := range l.in {
			_ = st.Reset()
		}
		l.mu.Unlock()
	}
	s.wg.Wait()
	s.node.forget(s)
}
