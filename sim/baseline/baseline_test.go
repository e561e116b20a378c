package baseline

// The in-memory network: cores of one system against each other in virtual
// time, with random delays and silent deaths, and what must always hold.

import (
	"container/heap"
	"encoding/binary"
	"flag"
	"hash"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/braidway/braidway/overlay"
)

const (
	testStripes = 4
	testObjects = 80
	testGroup   = 80
	testBuffer  = 5 * time.Second
	testFlush   = 25 * time.Millisecond
)

var otherSeeds = flag.Uint64("seeds", 0, "added to the seeds of all tests")

type testNet struct {
	t      *testing.T
	system string
	rng    *rand.Rand
	now    time.Duration
	queue  netQueue
	order  uint64
	peers  map[overlay.PeerID]*testPeer
	ids    []overlay.PeerID
	pub    *testPeer
	epoch  uint64
	made   []time.Duration // of this epoch, by Seq
	trace  hash.Hash64
}

type testPeer struct {
	id      overlay.PeerID
	cfg     Config
	core    Core
	dead    bool
	drained bool
	frozen  bool
	held    []netEvent
	timer   time.Duration
	links   map[overlay.PeerID]uint64 // to the connection's number
	lastTo  map[overlay.PeerID]time.Duration
	epoch   uint64
	start   uint64
	started time.Duration
	got     map[uint64]time.Duration
	sent    int // objects, since it was last looked at
	came    int
	bytes   int // of messages
	last    time.Duration
	maxGap  time.Duration
	traces  map[overlay.Trace]int
}

type netEvent struct {
	at       time.Duration
	order    uint64
	to, from overlay.PeerID
	conn     uint64 // the event is void on another; 0: any
	ev       overlay.Event
	timer    bool
	fn       func()
}

type netQueue []*netEvent

func (q netQueue) Len() int { return len(q) }
func (q netQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q netQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *netQueue) Push(x any)   { *q = append(*q, x.(*netEvent)) }
func (q *netQueue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

func (n *testNet) push(e netEvent) {
	n.order++
	e.order = n.order
	heap.Push(&n.queue, &e)
}

func (n *testNet) at(d time.Duration, fn func()) { n.push(netEvent{at: n.now + d, fn: fn}) }

// delay is 2 to 40 ms by pair, and up to 10 ms of jitter.
func (n *testNet) delay(a, b overlay.PeerID) time.Duration {
	return 2*time.Millisecond + time.Duration((uint64(a)^uint64(b))%39)*time.Millisecond + time.Duration(n.rng.Int64N(int64(10*time.Millisecond)))
}

func (n *testNet) add(publisher bool, slots int) *testPeer {
	cfg := Config{Publisher: publisher, Stripes: testStripes, Slots: slots, Objects: testObjects, Group: testGroup, Buffer: testBuffer}
	id := overlay.PeerID(n.rng.Uint64() | 1)
	core, err := New(n.system, cfg, id, rand.New(rand.NewPCG(n.rng.Uint64(), 2)))
	if err != nil {
		n.t.Fatal(err)
	}
	p := &testPeer{id: id, cfg: cfg, core: core, timer: math.MaxInt64, links: map[overlay.PeerID]uint64{}, lastTo: map[overlay.PeerID]time.Duration{},
		got: map[uint64]time.Duration{}, traces: map[overlay.Trace]int{}}
	n.peers[id] = p
	n.ids = append(n.ids, id)
	if publisher {
		n.pub, n.epoch, n.made = p, n.epoch+1, nil
		n.make(p)
	}
	n.arm(p)
	return p
}

// make makes 80 objects a second, two at a time.
func (n *testNet) make(p *testPeer) {
	n.at(testFlush, func() {
		if p.dead {
			return
		}
		for range 2 {
			seq := uint64(len(n.made))
			n.made = append(n.made, n.now)
			n.step(p, n.object(p.id, n.epoch, seq, false))
		}
		n.make(p)
	})
}

func (n *testNet) object(from overlay.PeerID, epoch, seq uint64, repair bool) overlay.Event {
	return overlay.Event{Kind: overlay.EvObject, Peer: from, Stripe: uint8(seq % testStripes), Repair: repair, Size: 2100,
		Epoch: epoch, Seq: seq, Group: seq / testGroup, GroupFirst: seq - seq%testGroup}
}

func (n *testNet) arm(p *testPeer) {
	if d := p.core.Deadline(); d < math.MaxInt64 && max(d, n.now) < p.timer {
		p.timer = max(d, n.now)
		n.push(netEvent{at: p.timer, to: p.id, timer: true})
	}
}

func (n *testNet) run(until time.Duration) {
	for len(n.queue) > 0 && n.queue[0].at <= until {
		e := *heap.Pop(&n.queue).(*netEvent)
		n.now = e.at
		if e.fn != nil {
			e.fn()
			continue
		}
		switch p := n.peers[e.to]; {
		case p == nil || p.dead:
		case p.frozen:
			p.held = append(p.held, e)
		default:
			n.handle(p, e)
		}
	}
	n.now = until
}

func (n *testNet) handle(p *testPeer, e netEvent) {
	if e.timer {
		if e.at != p.timer {
			return
		}
		if p.timer = math.MaxInt64; p.core.Deadline() > n.now {
			n.arm(p)
			return
		}
		n.step(p, overlay.Event{Kind: overlay.EvTimeout})
		return
	}
	switch e.ev.Kind {
	case overlay.EvConnected:
		p.links[e.ev.Peer] = e.conn
	case overlay.EvDisconnected:
		if e.conn != 0 && p.links[e.ev.Peer] != e.conn || e.conn == 0 && p.links[e.ev.Peer] != 0 {
			return
		}
		delete(p.links, e.ev.Peer)
	case overlay.EvObject, overlay.EvMessage:
		if p.links[e.from] != e.conn {
			return
		}
		if e.ev.Kind == overlay.EvObject {
			p.came++
		} else {
			size := e.ev.Msg.(interface{ Size() int }).Size()
			if p.bytes += size; size <= 0 {
				n.t.Errorf("%T has %d bytes", e.ev.Msg, size)
			}
		}
	}
	n.step(p, e.ev)
}

func (n *testNet) step(p *testPeer, ev overlay.Event) {
	for _, a := range p.core.Step(n.now, ev, nil) {
		n.act(p, &a)
	}
	n.arm(p)
}

// send delivers in order on each directed link.
func (n *testNet) send(p *testPeer, to overlay.PeerID, ev overlay.Event) {
	conn := p.links[to]
	if conn == 0 {
		n.t.Errorf("%v: %x sends to %x, with which it has no connection", n.now, p.id, to)
		return
	}
	at := max(n.now+n.delay(p.id, to), p.lastTo[to])
	p.lastTo[to] = at
	ev.Peer = p.id
	n.push(netEvent{at: at, to: to, from: p.id, conn: conn, ev: ev})
}

func (n *testNet) act(p *testPeer, a *overlay.Action) {
	var rec [34]byte
	binary.BigEndian.PutUint64(rec[0:], uint64(p.id))
	binary.BigEndian.PutUint64(rec[8:], uint64(a.Peer))
	binary.BigEndian.PutUint64(rec[16:], a.Seq)
	binary.BigEndian.PutUint64(rec[24:], uint64(n.now))
	rec[32], rec[33] = byte(a.Kind), byte(a.Trace)
	n.trace.Write(rec[:])
	switch a.Kind {
	case overlay.ActSend:
		n.send(p, a.Peer, overlay.Event{Kind: overlay.EvMessage, Msg: a.Msg})
	case overlay.ActForward, overlay.ActServe:
		if _, ok := p.got[a.Seq]; !ok || a.Epoch != p.epoch {
			n.t.Errorf("%v: %x sends %d of epoch %d, which it does not have", n.now, p.id, a.Seq, a.Epoch)
		}
		if a.Stripe != uint8(a.Seq%testStripes) {
			n.t.Errorf("object %d in stripe %d", a.Seq, a.Stripe)
		}
		p.sent++
		n.send(p, a.Peer, n.object(p.id, a.Epoch, a.Seq, a.Kind == overlay.ActServe))
	case overlay.ActDeliver:
		if _, twice := p.got[a.Seq]; twice {
			n.t.Errorf("%v: %x was delivered %d twice", n.now, p.id, a.Seq)
		}
		if a.Epoch != p.epoch || a.Seq < p.start {
			n.t.Errorf("%v: %x was delivered %d of epoch %d, before its start at %d of %d", n.now, p.id, a.Seq, a.Epoch, p.start, p.epoch)
		}
		p.got[a.Seq] = n.now
		p.maxGap = max(p.maxGap, n.now-p.last)
		p.last = n.now
	case overlay.ActStart, overlay.ActEpoch:
		if (a.Kind == overlay.ActStart) != (p.epoch == 0) || a.Epoch <= p.epoch || a.Seq%testGroup != 0 {
			n.t.Errorf("%v: %x, in epoch %d, begins epoch %d at %d by action %d", n.now, p.id, p.epoch, a.Epoch, a.Seq, a.Kind)
		}
		p.epoch, p.start = a.Epoch, a.Seq
		if p.started == 0 {
			p.started = n.now
		}
		p.last = n.now
		clear(p.got)
	case overlay.ActConnect:
		n.connect(p, a.Peer)
	case overlay.ActDisconnect:
		if conn := p.links[a.Peer]; conn != 0 {
			n.send(p, a.Peer, overlay.Event{Kind: overlay.EvDisconnected})
			delete(p.links, a.Peer)
		} else {
			n.t.Errorf("%v: %x hangs up on %x, with which it has no connection", n.now, p.id, a.Peer)
		}
	case overlay.ActFind:
		n.find(p)
	case overlay.ActDrained:
		p.drained = true
	case overlay.ActTrace:
		p.traces[a.Trace]++
	default:
		n.t.Errorf("action %d", a.Kind)
	}
}

// connect dials: the dead do not answer for 5 s; one in twenty pairs cannot.
func (n *testNet) connect(p *testPeer, to overlay.PeerID) {
	if p.links[to] != 0 || to == p.id {
		n.t.Errorf("%v: %x dials %x, with which it is connected", n.now, p.id, to)
	}
	failed := func() {
		n.push(netEvent{at: n.now + 5*time.Second, to: p.id, ev: overlay.Event{Kind: overlay.EvDisconnected, Peer: to}})
	}
	if (uint64(p.id)>>8^uint64(to)>>8)%20 == 0 && to != n.pub.id && p != n.pub {
		failed()
		return
	}
	rtt := 2 * n.delay(p.id, to)
	n.at(2*rtt, func() {
		q := n.peers[to]
		switch {
		case q == nil || q.dead || q.frozen || q.drained:
			failed()
		case p.dead || p.links[to] != 0:
		default:
			n.order++
			conn := n.order
			n.handle(q, netEvent{conn: conn, ev: overlay.Event{Kind: overlay.EvConnected, Peer: p.id, RTT: rtt}})
			n.handle(p, netEvent{conn: conn, ev: overlay.Event{Kind: overlay.EvConnected, Peer: to, RTT: rtt}})
		}
	})
}

// find names the publisher, then random peers with slots, the dead among them.
func (n *testNet) find(p *testPeer) {
	name := func(after time.Duration, from overlay.Source, ids ...overlay.PeerID) {
		var cs []overlay.Candidate
		for _, id := range ids {
			if id != p.id {
				cs = append(cs, overlay.Candidate{Peer: id, Source: from})
			}
		}
		n.push(netEvent{at: n.now + after, to: p.id, ev: overlay.Event{Kind: overlay.EvCandidates, Candidates: cs}})
	}
	name(time.Millisecond, overlay.SourceLink, n.pub.id)
	var ids []overlay.PeerID
	for range 12 {
		if q := n.peers[n.ids[n.rng.IntN(len(n.ids))]]; q.cfg.Slots > 0 && !slices.Contains(ids, q.id) {
			ids = append(ids, q.id)
		}
	}
	name(200*time.Millisecond+time.Duration(n.rng.Int64N(int64(600*time.Millisecond))), overlay.SourceDHT, ids...)
}

// viewers are those that watch.
func (n *testNet) viewers() (ps []*testPeer) {
	for _, id := range n.ids {
		if p := n.peers[id]; !p.dead && !p.drained && !p.cfg.Publisher {
			ps = append(ps, p)
		}
	}
	return ps
}

// busiest are the viewers that sent most objects since the last call.
func (n *testNet) busiest(count int) []*testPeer {
	ps := n.viewers()
	slices.SortStableFunc(ps, func(a, b *testPeer) int { return b.sent - a.sent })
	for _, p := range n.peers {
		p.sent = 0
	}
	return ps[:count]
}

// share is how much p got, within 5 s, of what was made in [from, to).
func (n *testNet) share(p *testPeer, from, to time.Duration) float64 {
	due, got := 0, 0
	for seq := int(p.start); seq < len(n.made); seq++ {
		if at := n.made[seq]; at >= from && at < to && at >= p.started {
			due++
			if came, ok := p.got[uint64(seq)]; ok && came <= at+5*time.Second {
				got++
			}
		}
	}
	if due == 0 || p.epoch != n.epoch {
		return 0
	}
	return float64(got) / float64(due)
}

// most fails unless every viewer got at least share of what was made in [from, to).
func (n *testNet) most(share float64, from, to time.Duration) {
	n.t.Helper()
	for _, p := range n.viewers() {
		if s := n.share(p, from, to); s < share {
			parent, depth, kids := p.core.Shape(0)
			n.t.Errorf("%v: %x (slots %d, started %v) has %.3f of %v to %v; parent %x, depth %d, %d children, traces %v",
				n.now, p.id, p.cfg.Slots, p.started, s, from, to, parent, depth, kids, p.traces)
		}
	}
}

// afterwards is the share that all must get once a failure is over. A mesh that
// pulls is slower for a while: its partners are new and their bandwidth unknown.
func afterwards(system string) float64 {
	if system == "mesh-pull" {
		return 0.9
	}
	return 0.99
}

func (n *testNet) trees() bool { return n.system == "single-tree" || n.system == "dual-path" }

// capacity fails where a tree has more children than slots, but for one that moves.
func (n *testNet) capacity() {
	n.t.Helper()
	for _, id := range n.ids {
		if p := n.peers[id]; !p.dead {
			if _, _, kids := p.core.Shape(0); kids > p.cfg.copies()+1 || kids > 0 && p.cfg.copies() == 0 {
				n.t.Errorf("%v: %x has %d children in %d slots", n.now, p.id, kids, p.cfg.Slots)
			}
		}
	}
}

func (n *testNet) report() {
	var startup, gap, control []time.Duration
	came, got, depth := 0, 0, 0
	traces := map[overlay.Trace]int{}
	for _, p := range n.viewers() {
		startup, gap = append(startup, p.started), append(gap, p.maxGap)
		control = append(control, time.Duration(p.bytes))
		came, got = came+p.came, got+len(p.got)
		for t, c := range p.traces {
			traces[t] += c
		}
		for s := range testStripes {
			_, d, _ := p.core.Shape(s)
			depth = max(depth, d)
		}
	}
	for _, v := range [][]time.Duration{startup, gap, control} {
		slices.Sort(v)
	}
	half := len(gap) / 2
	n.t.Logf("gap p50 %v max %v; control p50 %d B; objects came/got %.2f; depth %d; %v", gap[half], gap[len(gap)-1], control[half], float64(came)/float64(got), depth, traces)
}

// crowd is a publisher of four streams and viewers who join over 5 s; a fifth
// of them upload nothing, the others 2 to 4 streams.
func crowd(t *testing.T, system string, seed uint64, viewers int) *testNet {
	n := &testNet{t: t, system: system, rng: rand.New(rand.NewPCG(seed+*otherSeeds, 1)), peers: map[overlay.PeerID]*testPeer{}, trace: fnv.New64a()}
	n.add(true, 4*testStripes)
	for range viewers {
		n.at(time.Duration(n.rng.Int64N(int64(5*time.Second))), func() {
			slots := 0
			if n.rng.IntN(5) > 0 {
				slots = (2+n.rng.IntN(3))*testStripes + n.rng.IntN(testStripes)
			}
			n.add(false, slots)
		})
	}
	if n.trees() {
		var look func()
		look = func() { n.capacity(); n.at(50*time.Millisecond, look) }
		look()
	}
	return n
}

// each runs f for every system.
func each(t *testing.T, f func(t *testing.T, system string)) {
	for _, system := range Systems() {
		t.Run(system, func(t *testing.T) {
			t.Parallel()
			f(t, system)
		})
	}
}

func TestEveryViewerGetsNearlyEverythingWhenNothingFails(t *testing.T) {
	each(t, func(t *testing.T, system string) {
		n := crowd(t, system, 1, 60)
		n.run(23 * time.Second)
		n.report()
		for _, p := range n.viewers() {
			if p.started == 0 || p.started > 15*time.Second {
				t.Errorf("%x started at %v", p.id, p.started)
			}
		}
		n.most(0.99, 10*time.Second, 18*time.Second)
	})
}

func TestTheStreamComesBackAfterTheBusiestDieSilently(t *testing.T) {
	bounds := map[string]time.Duration{"single-tree": 6 * time.Second, "dual-path": 6 * time.Second, "mesh-pull": 6 * time.Second, "gossip": 2 * time.Second}
	each(t, func(t *testing.T, system string) {
		n := crowd(t, system, 2, 60)
		n.run(18 * time.Second)
		n.busiest(0)
		n.run(20 * time.Second)
		for _, p := range n.viewers() {
			p.maxGap = 0
		}
		for _, p := range n.busiest(6) {
			p.dead = true
		}
		n.run(36 * time.Second)
		n.report()
		for _, p := range n.viewers() {
			if p.maxGap > bounds[system] {
				t.Errorf("%x had nothing for %v", p.id, p.maxGap)
			}
		}
		n.most(afterwards(system), 27*time.Second, 31*time.Second)
	})
}

func TestTheFrozenComeBack(t *testing.T) {
	each(t, func(t *testing.T, system string) {
		n := crowd(t, system, 3, 40)
		n.run(18 * time.Second)
		for _, p := range n.busiest(3) {
			p.frozen = true
			n.at(5*time.Second, func() {
				held := p.held
				p.frozen, p.held = false, nil
				for _, e := range held {
					n.handle(p, e)
				}
				p.timer = math.MaxInt64
				n.arm(p)
			})
		}
		n.run(38 * time.Second)
		n.report()
		n.most(afterwards(system), 30*time.Second, 33*time.Second)
	})
}

func TestADrainingPeerIsMissedByNobody(t *testing.T) {
	each(t, func(t *testing.T, system string) {
		n := crowd(t, system, 4, 40)
		n.run(18 * time.Second)
		for _, p := range n.busiest(4) {
			n.step(p, overlay.Event{Kind: overlay.EvDrain, Wait: 5 * time.Second})
		}
		n.run(24 * time.Second)
		drained := 0
		for _, id := range n.ids {
			if n.peers[id].drained {
				drained++
			}
		}
		if drained != 4 {
			t.Errorf("%d of 4 drained", drained)
		}
		n.run(32 * time.Second)
		n.report()
		n.most(afterwards(system), 12*time.Second, 27*time.Second)
	})
}

func TestANewPublisherIsFollowed(t *testing.T) {
	each(t, func(t *testing.T, system string) {
		n := crowd(t, system, 5, 40)
		n.run(15 * time.Second)
		n.pub.dead = true
		n.run(18 * time.Second)
		n.add(true, 4*testStripes)
		n.run(42 * time.Second)
		n.report()
		n.most(afterwards(system), 34*time.Second, 37*time.Second)
	})
}

func TestTheSameSeedGivesTheSameTrace(t *testing.T) {
	each(t, func(t *testing.T, system string) {
		var sums [2]uint64
		for i := range sums {
			n := crowd(t, system, 6, 30)
			n.run(10 * time.Second)
			for _, p := range n.viewers()[:5] {
				p.dead = true
			}
			n.run(20 * time.Second)
			sums[i] = n.trace.Sum64()
		}
		if sums[0] != sums[1] {
			t.Errorf("traces %x and %x", sums[0], sums[1])
		}
	})
}

func TestBothPathsAreDisjointAndThereWhereThereIsRoom(t *testing.T) {
	n := crowd(t, "dual-path", 7, 60)
	n.run(40 * time.Second)
	room, lacking := [2]int{2, 2}, [2]int{} // the publisher's
	for _, p := range n.viewers() {
		c := p.core.(*machine).system.(*tree)
		room[c.home(p.id)] += p.cfg.copies()
		for i := range c.branches {
			if c.branches[i].route == nil {
				lacking[i]++
			}
		}
		for _, id := range c.branches[0].route {
			if id != n.pub.id && slices.Contains(c.branches[1].route, id) {
				t.Errorf("both paths of %x run through %x", p.id, id)
			}
		}
	}
	for i := range room {
		if short := max(0, len(n.viewers())-room[i]); lacking[i] > short {
			t.Errorf("%d viewers have no path in branch %d, which lacks room for %d", lacking[i], i, short)
		}
	}
}

func TestAConfigOutOfRangeIsRefusedByName(t *testing.T) {
	good := Config{Stripes: 4, Slots: 4, Objects: 80, Group: 80, Buffer: time.Second}
	for name, spoil := range map[string]func(*Config){
		"Stripes": func(c *Config) { c.Stripes = 0 }, "Slots": func(c *Config) { c.Slots = -1 },
		"Objects": func(c *Config) { c.Objects = math.NaN() }, "Group": func(c *Config) { c.Group = 0 },
		"Buffer": func(c *Config) { c.Buffer = time.Hour }, "Neighbours": func(c *Config) { c.Neighbours = -1 },
	} {
		cfg := good
		spoil(&cfg)
		if _, err := New("gossip", cfg, 1, rand.New(rand.NewPCG(1, 1))); err == nil || !slices.Contains([]string{"baseline: " + name}, err.Error()[:len("baseline: ")+len(name)]) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New("carrier pigeon", good, 1, rand.New(rand.NewPCG(1, 1))); err == nil {
		t.Error("an unknown system was made")
	}
}
