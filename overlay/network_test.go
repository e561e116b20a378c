package overlay

// The in-memory network: many cores, random delays, kills, freezes and
// partitions, and the invariants as oracles.

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/braidway/braidway/failover"
	"github.com/braidway/braidway/stream"
)

// testNet runs cores against each other in virtual time.
type testNet struct {
	t       rapid.TB // a test, or one schedule that rapid drew
	rng     *rand.Rand
	now     time.Duration
	queue   netQueue
	order   uint64
	peers   map[PeerID]*testPeer
	ids     []PeerID
	pub     PeerID
	trace   hash.Hash64
	stripes int
	delay   func(a, b PeerID) time.Duration
	cut     func(a, b PeerID) bool // true: nothing passes
	seq     uint64
	epoch   uint64
	paused  bool
	verbose PeerID
	instant int // events since the time last moved
}

type testPeer struct {
	id      PeerID
	core    *Peer
	dead    bool
	frozen  bool
	held    []netEvent
	timer   time.Duration
	links   map[PeerID]bool
	got     map[uint64]time.Duration // this epoch's objects, when delivered
	epoch   uint64
	born    time.Duration
	start   uint64
	started time.Duration
	bytes   int64 // objects received, all
	uniqueB int64
	control int64
	contig  uint64
	lastAdv time.Duration
	maxGap  time.Duration
	gapFrom time.Duration // gaps count from here on
	lastTo  map[PeerID]time.Duration
	out     []Action
	drained bool
	switch_ int
}

type netEvent struct {
	at    time.Duration
	order uint64
	to    PeerID
	from  PeerID
	ev    Event
	timer bool
	fn    func()
}

type netQueue []netEvent

func (q netQueue) Len() int { return len(q) }
func (q netQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q netQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *netQueue) Push(x any)   { *q = append(*q, x.(netEvent)) }
func (q *netQueue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

const testObject = 1500

func newTestNet(t rapid.TB, seed uint64, stripes int) *testNet {
	n := &testNet{t: t, rng: rand.New(rand.NewPCG(seed, 1)), peers: map[PeerID]*testPeer{}, trace: fnv.New64a(), stripes: stripes, epoch: 1}
	n.delay = func(a, b PeerID) time.Duration {
		// A fixed distance of 2 to 20 ms for each pair, and up to 4 ms of jitter.
		return 2*time.Millisecond + time.Duration((uint64(a)^uint64(b))%18)*time.Millisecond + time.Duration(n.rng.Int64N(int64(4*time.Millisecond)))
	}
	n.cut = func(a, b PeerID) bool { return false }
	return n
}

func (n *testNet) at(d time.Duration, fn func()) { n.push(netEvent{at: n.now + d, fn: fn}) }

func (n *testNet) push(e netEvent) {
	n.order++
	e.order = n.order
	heap.Push(&n.queue, e)
}

func (n *testNet) add(cfg Config) *testPeer {
	id := PeerID(n.rng.Uint64() | 1)
	return n.addAs(id, cfg)
}

func (n *testNet) addAs(id PeerID, cfg Config) *testPeer {
	cfg.Stripes = n.stripes
	core, err := New(cfg, id, rand.New(rand.NewPCG(n.rng.Uint64(), 2)))
	if err != nil {
		n.t.Fatal(err)
	}
	p := &testPeer{id: id, core: core, links: map[PeerID]bool{}, got: map[uint64]time.Duration{}, born: n.now, timer: never, lastTo: map[PeerID]time.Duration{}}
	n.peers[id] = p
	n.ids = append(n.ids, id)
	if cfg.Publisher {
		n.pub = id
	}
	n.arm(p)
	return p
}

// arm schedules the core's deadline.
func (n *testNet) arm(p *testPeer) {
	d := max(p.core.Deadline(), n.now)
	for i, due := range p.core.dues[:len(p.core.stripes)] {
		if anew := p.core.stripeDue(i); anew != due {
			n.t.Fatalf("%v: stripe %d of %x is due at %v, the deadline says %v", n.now, i, p.id, anew, due)
		}
	}
	if d < p.timer && d != never {
		p.timer = d
		n.push(netEvent{at: d, to: p.id, timer: true})
	}
}

func (n *testNet) run(until time.Duration) {
	for len(n.queue) > 0 && n.queue[0].at <= until {
		e := heap.Pop(&n.queue).(netEvent)
		if n.instant++; e.at > n.now {
			n.instant = 0
		}
		if n.now = e.at; n.instant > 100_000 {
			n.t.Fatalf("time stands still at %v: peer %x, timer %v, event %+v", n.now, e.to, e.timer, e.ev)
		}
		if e.fn != nil {
			e.fn()
			continue
		}
		p := n.peers[e.to]
		if p == nil || p.dead {
			continue
		}
		if p.frozen {
			p.held = append(p.held, e)
			continue
		}
		n.handle(p, e)
	}
	n.now = until
}

func (n *testNet) handle(p *testPeer, e netEvent) {
	if e.timer {
		if e.at != p.timer && p.timer > n.now {
			return
		}
		p.timer = never
		if p.core.Deadline() > n.now {
			n.arm(p)
			return
		}
		n.step(p, Event{Kind: EvTimeout})
		return
	}
	switch e.ev.Kind {
	case EvObject, EvBeacon, EvMessage:
		if e.from != p.id && !p.links[e.from] {
			return // the connection is gone
		}
		if e.ev.Kind == EvObject && e.from != p.id {
			p.bytes += testObject
		} else if e.ev.Kind == EvBeacon {
			p.control += 8
		} else if e.ev.Kind == EvMessage {
			b := AppendMessage(nil, e.ev.Msg)
			p.control += int64(len(b))
			m, err := ParseMessage(b)
			if err != nil {
				n.t.Fatalf("%T of %x does not parse: %v", e.ev.Msg, e.from, err)
			}
			e.ev.Msg = m
		}
	case EvConnected:
		p.links[e.ev.Peer] = true
	case EvDisconnected:
		delete(p.links, e.ev.Peer)
	}
	n.step(p, e.ev)
}

func (n *testNet) step(p *testPeer, ev Event) {
	p.out = p.core.Step(n.now, ev, p.out[:0])
	for _, a := range p.out {
		n.act(p, a)
	}
	n.arm(p)
}

// send delivers in order on each directed link.
func (n *testNet) send(p *testPeer, to PeerID, ev Event) {
	if n.cut(p.id, to) {
		return
	}
	at := max(n.now+n.delay(p.id, to), p.lastTo[to])
	p.lastTo[to] = at
	ev.Peer = p.id
	n.push(netEvent{at: at, to: to, from: p.id, ev: ev})
}

func (n *testNet) act(p *testPeer, a Action) {
	var rec [34]byte
	binary.BigEndian.PutUint64(rec[0:], uint64(p.id))
	binary.BigEndian.PutUint64(rec[8:], uint64(a.Peer))
	binary.BigEndian.PutUint64(rec[16:], a.Seq)
	binary.BigEndian.PutUint64(rec[24:], uint64(n.now))
	rec[32], rec[33] = byte(a.Kind), byte(a.Trace)
	n.trace.Write(rec[:])
	if n.verbose == p.id && a.Kind == ActTrace {
		fmt.Printf("%v %x %v peer %x stripe %d seq %d wait %v\n", n.now, p.id, a.Trace, a.Peer, a.Stripe, a.Seq, a.Wait)
	}
	switch a.Kind {
	case ActSend:
		n.send(p, a.Peer, Event{Kind: EvMessage, Msg: a.Msg})
	case ActForward, ActServe:
		g := n.groupOf(a.Seq)
		n.send(p, a.Peer, Event{Kind: EvObject, Stripe: a.Stripe, Repair: a.Kind == ActServe, Size: testObject, Epoch: a.Epoch, Seq: a.Seq, Group: g / groupLen, GroupFirst: g})
	case ActBeacon:
		n.send(p, a.Peer, Event{Kind: EvBeacon, Stripe: a.Stripe, Epoch: a.Epoch, Seq: a.Seq})
	case ActDeliver:
		n.deliver(p, a)
	case ActStart:
		p.start, p.contig = a.Seq, a.Seq
		if p.started == 0 {
			p.started = n.now
		}
		p.lastAdv = n.now
	case ActEpoch:
		p.epoch = a.Epoch
		clear(p.got)
	case ActConnect:
		q := n.peers[a.Peer]
		rtt := 2 * n.delay(p.id, a.Peer)
		if q == nil || q.dead || q.frozen || n.cut(p.id, a.Peer) {
			n.push(netEvent{at: n.now + 500*time.Millisecond, to: p.id, ev: Event{Kind: EvDisconnected, Peer: a.Peer}})
			return
		}
		if !p.links[a.Peer] {
			n.push(netEvent{at: n.now + rtt, to: q.id, ev: Event{Kind: EvConnected, Peer: p.id, RTT: rtt}})
			n.push(netEvent{at: n.now + rtt, to: p.id, ev: Event{Kind: EvConnected, Peer: q.id, RTT: rtt}})
		}
	case ActDisconnect, ActBan:
		if a.Kind == ActBan {
			n.t.Errorf("%v: %x bans %x", n.now, p.id, a.Peer)
		}
		delete(p.links, a.Peer)
		if q := n.peers[a.Peer]; q != nil && !q.dead && !n.cut(p.id, a.Peer) {
			n.push(netEvent{at: n.now + n.delay(p.id, a.Peer), to: q.id, ev: Event{Kind: EvDisconnected, Peer: p.id}})
		}
	case ActFind:
		n.find(p)
	case ActDrained:
		p.drained = true
	case ActTrace:
		if a.Trace == TraceSwitch {
			p.switch_++
		}
	}
}

// find is the rendezvous: a few random living peers that have slots, after 50 ms.
func (n *testNet) find(p *testPeer) {
	var cs []Candidate
	for range 6 {
		id := n.ids[n.rng.IntN(len(n.ids))]
		if q := n.peers[id]; id != p.id && !q.dead && q.core.slots > 0 {
			cs = append(cs, Candidate{Peer: id, Source: SourceDHT})
		}
	}
	n.push(netEvent{at: n.now + 50*time.Millisecond, to: p.id, ev: Event{Kind: EvCandidates, Candidates: cs}})
}

const groupLen = 80

func (n *testNet) groupOf(seq uint64) uint64 { return seq - seq%groupLen }

func (n *testNet) deliver(p *testPeer, a Action) {
	if _, twice := p.got[a.Seq]; twice {
		n.t.Errorf("%v: %x was delivered %d twice", n.now, p.id, a.Seq)
	}
	p.got[a.Seq] = n.now
	p.uniqueB += testObject
	was := p.contig
	for {
		if _, ok := p.got[p.contig]; !ok {
			break
		}
		p.contig++
	}
	if p.contig > was {
		if gap := n.now - p.lastAdv; p.lastAdv >= p.gapFrom && gap > p.maxGap {
			p.maxGap = gap
		}
		p.lastAdv = n.now
	}
}

// publish makes 80 objects a second, two at a time.
func (n *testNet) publish() {
	n.at(25*time.Millisecond, func() {
		p := n.peers[n.pub]
		if p == nil || p.dead {
			return
		}
		n.publish()
		if n.paused || p.frozen {
			return
		}
		for range 2 {
			g := n.groupOf(n.seq)
			n.handle(p, netEvent{from: p.id, ev: Event{Kind: EvObject, Peer: p.id, Stripe: uint8(n.seq % uint64(n.stripes)), Size: testObject, Epoch: n.epoch, Seq: n.seq, Group: g / groupLen, GroupFirst: g}})
			n.seq++
		}
	})
}

func (n *testNet) kill(p *testPeer) { p.dead = true }

func (n *testNet) freeze(p *testPeer, d time.Duration) {
	p.frozen = true
	n.at(d, func() {
		p.frozen = false
		held := p.held
		p.held = nil
		if p.dead {
			return
		}
		for _, e := range held {
			n.handle(p, e)
		}
		p.timer = never
		n.arm(p)
	})
}

func (n *testNet) alive() []*testPeer {
	var ps []*testPeer
	for _, id := range n.ids {
		if p := n.peers[id]; !p.dead && !p.frozen {
			ps = append(ps, p)
		}
	}
	return ps
}

// busiest returns the living relay with most children, the publisher apart.
func (n *testNet) busiest() *testPeer {
	var top *testPeer
	for _, p := range n.alive() {
		if p.id != n.pub && (top == nil || p.core.used() > top.core.used()) {
			top = p
		}
	}
	return top
}

// check walks all living peers: slots, loops, and a parent for every stripe.
func (n *testNet) check(whole bool) {
	n.t.Helper()
	for _, p := range n.alive() {
		s := p.core.Snapshot()
		// One place more for the urgent and for push-downs; and until as many have
		// moved, a child that was said to be dead may hold those that were given away.
		leaving := p.core.leaving()
		if beyond := s.Used - s.Slots - max(1, s.Slots/8); s.Used > 0 && (beyond > 4 || beyond-leaving > 0) {
			n.t.Errorf("%v: %x has %d children in %d slots, %d of which are to move", n.now, p.id, s.Used, s.Slots, leaving)
		}
		if !whole || p.id == n.pub {
			continue
		}
		for _, st := range s.Stripes {
			seen := map[PeerID]bool{}
			at := p
			for at.id != n.pub {
				if seen[at.id] {
					n.t.Errorf("%v: stripe %d of %x is in a loop", n.now, st.Stripe, p.id)
					break
				}
				seen[at.id] = true
				next := at.core.stripes[st.Stripe].parent
				if next == 0 || n.peers[next] == nil || n.peers[next].dead {
					n.t.Errorf("%v: stripe %d of %x hangs from %x, which has parent %x", n.now, st.Stripe, p.id, at.id, next)
					break
				}
				at = n.peers[next]
			}
		}
	}
}

func (n *testNet) lacking() (none, lacking int) {
	for _, p := range n.alive() {
		if p.id == n.pub {
			continue
		}
		for _, st := range p.core.Snapshot().Stripes {
			if len(st.Standbys) == 0 {
				none++
			}
			if st.Lacking {
				lacking++
			}
		}
	}
	return
}

func (n *testNet) quantile(f float64, of func(*testPeer) time.Duration) time.Duration {
	var v []time.Duration
	for _, p := range n.alive() {
		if p.id != n.pub {
			v = append(v, of(p))
		}
	}
	slices.Sort(v)
	if len(v) == 0 {
		return 0
	}
	return v[min(len(v)-1, int(f*float64(len(v))))]
}

func (n *testNet) redundancy() float64 {
	var all, unique int64
	for _, p := range n.alive() {
		if p.id != n.pub {
			all += p.bytes + p.control
			unique += p.uniqueB
		}
	}
	return float64(all-unique) / float64(unique)
}

// missing counts objects that a peer should have by now and does not.
func (n *testNet) missing(p *testPeer, behind time.Duration) int {
	m := 0
	if p.started == 0 {
		return 1 << 20
	}
	for q := p.start; q+uint64(behind/(12500*time.Microsecond)) < n.seq; q++ {
		if _, ok := p.got[q]; !ok {
			m++
		}
	}
	return m
}

// crowd is a publisher and peers that join over spread.
func crowd(t rapid.TB, seed uint64, peers, slots int, spread time.Duration) *testNet {
	n := newTestNet(t, seed, 4)
	n.add(Config{Publisher: true, Epoch: 1, Slots: 16})
	n.publish()
	for range peers {
		n.at(time.Duration(n.rng.Int64N(int64(spread))), func() {
			s := slots
			if n.rng.IntN(5) == 0 {
				s = 0
			}
			n.add(Config{Slots: s})
		})
	}
	return n
}

func TestANetworkFormsAndEveryPeerGetsEveryStripe(t *testing.T) {
	n := crowd(t, 1, 200, 8, 5*time.Second)
	n.run(20 * time.Second)
	n.check(true)
	for _, p := range n.alive() {
		if m := n.missing(p, time.Second); m > 0 && p.id != n.pub {
			t.Errorf("%x (born %v, started %v at %d) misses %d", p.id, p.born, p.started, p.start, m)
		}
	}
	none, lacking := n.lacking()
	t.Logf("start-up p50 %v p99 %v; gap p50 %v p99 %v; redundancy %.4f; without standby %d, lacking %d",
		n.quantile(.5, func(p *testPeer) time.Duration { return p.started - p.born }),
		n.quantile(.99, func(p *testPeer) time.Duration { return p.started - p.born }),
		n.quantile(.5, func(p *testPeer) time.Duration { return p.maxGap }),
		n.quantile(.99, func(p *testPeer) time.Duration { return p.maxGap }), n.redundancy(), none, lacking)
	if lacking > 0 {
		t.Errorf("%d stripes lack a standby that they could have", lacking)
	}
}

func TestSilentDeathsOfTheBusiestRelayAreAbsorbed(t *testing.T) {
	n := crowd(t, 2, 100, 8, 3*time.Second)
	n.run(15 * time.Second)
	for _, p := range n.alive() {
		p.gapFrom, p.maxGap = n.now, 0
	}
	for range 10 {
		n.kill(n.busiest())
		n.add(Config{Slots: 8})
		n.run(n.now + 3*time.Second)
	}
	n.check(true)
	lost := 0
	for _, p := range n.alive() {
		if m := n.missing(p, time.Second); m > 0 && p.id != n.pub {
			lost++
			t.Errorf("%x misses %d", p.id, m)
		}
	}
	t.Logf("gap p50 %v p99 %v max %v; redundancy %.4f", n.quantile(.5, func(p *testPeer) time.Duration { return p.maxGap }),
		n.quantile(.99, func(p *testPeer) time.Duration { return p.maxGap }), n.quantile(1, func(p *testPeer) time.Duration { return p.maxGap }), n.redundancy())
}

func TestFrozenRelaysAreReplacedAndComeBack(t *testing.T) {
	n := crowd(t, 3, 60, 8, 3*time.Second)
	n.run(12 * time.Second)
	for range 4 {
		n.freeze(n.busiest(), 10*time.Second)
		n.run(n.now + 4*time.Second)
	}
	n.run(n.now + 15*time.Second)
	n.check(true)
	for _, p := range n.alive() {
		if m := n.missing(p, 2*time.Second); m > 0 && p.id != n.pub && p.core.stats.Stalls == 0 {
			t.Errorf("%x, which was never frozen, misses %d", p.id, m)
		}
	}
}

func TestAPartitionHealsWithinABound(t *testing.T) {
	n := crowd(t, 4, 80, 8, 3*time.Second)
	n.run(12 * time.Second)
	split := map[PeerID]bool{}
	for i, id := range n.ids {
		split[id] = i%4 == 3 // the publisher is the first
	}
	n.cut = func(a, b PeerID) bool { return split[a] != split[b] }
	n.run(n.now + 5*time.Second)
	n.cut = func(a, b PeerID) bool { return false }
	n.run(n.now + 20*time.Second)
	n.check(true)
}

func TestHalfOfAllPeersDieAtOnce(t *testing.T) {
	n := crowd(t, 5, 300, 8, 5*time.Second)
	n.run(20 * time.Second)
	for _, p := range n.alive() {
		p.gapFrom, p.maxGap = n.now, 0
		if p.id != n.pub && n.rng.IntN(2) == 0 {
			n.kill(p)
		}
	}
	n.run(n.now + 15*time.Second)
	n.check(true)
	intact, all := 0, 0
	for _, p := range n.alive() {
		if p.id != n.pub {
			all++
			if n.missing(p, 2*time.Second) == 0 {
				intact++
			}
		}
	}
	t.Logf("%d of %d survivors miss nothing; gap p50 %v p99 %v", intact, all, n.quantile(.5, func(p *testPeer) time.Duration { return p.maxGap }),
		n.quantile(.99, func(p *testPeer) time.Duration { return p.maxGap }))
}

func TestAPausedStreamMakesNobodySwitch(t *testing.T) {
	n := crowd(t, 6, 60, 8, 2*time.Second)
	n.run(10 * time.Second)
	before := map[PeerID]int{}
	for _, p := range n.alive() {
		before[p.id] = p.switch_
	}
	n.paused = true
	n.run(n.now + 5*time.Second)
	n.paused = false
	n.run(n.now + 5*time.Second)
	for _, p := range n.alive() {
		if p.switch_ != before[p.id] {
			t.Errorf("%x switched %d times in a pause", p.id, p.switch_-before[p.id])
		}
	}
	n.check(true)
}

func TestARestartedPublisherGoesOnUnderAHigherEpoch(t *testing.T) {
	n := crowd(t, 7, 60, 8, 2*time.Second)
	n.run(10 * time.Second)
	old := n.peers[n.pub]
	n.kill(old)
	for _, p := range n.alive() {
		delete(p.links, old.id)
		n.push(netEvent{at: n.now + 3*time.Second, to: p.id, ev: Event{Kind: EvDisconnected, Peer: old.id}})
	}
	n.at(2*time.Second, func() {
		n.ids = slices.DeleteFunc(n.ids, func(id PeerID) bool { return id == old.id })
		n.epoch, n.seq = 2, 0
		n.addAs(old.id, Config{Publisher: true, Epoch: 2, Slots: 16})
		n.publish()
	})
	n.run(n.now + 20*time.Second)
	n.check(true)
	for _, p := range n.alive() {
		if p.id != n.pub && (p.core.epoch != 2 || n.missing(p, time.Second) > 0) {
			t.Errorf("%x has epoch %d and misses %d", p.id, p.core.epoch, n.missing(p, time.Second))
		}
	}
}

// A standby publisher follows the stream. The active one freezes; the standby takes
// over after the silence of a lease, and everybody gets every object of the new
// epoch, soon. The old publisher wakes up and goes on: nobody takes anything from it.
func TestAStandbyTakesOverAndTheOldPublisherIsFencedOff(t *testing.T) {
	for seed := range uint64(4) {
		n := crowd(t, 70+seed, 60, 8, 2*time.Second)
		old := n.peers[n.pub]
		standby := n.add(Config{Standby: true, Slots: 16, Buffer: 2 * time.Second})
		n.step(old, Event{Kind: EvHeir, Peer: standby.id})
		n.run(10 * time.Second)
		if used := standby.core.Used(); used > 0 {
			t.Errorf("seed %d: a standby has %d children", seed, used)
		}
		was := n.seq
		n.freeze(old, 6*time.Second)
		var at time.Duration
		n.at(failover.LeaseSilence, func() {
			at, n.pub, n.epoch, n.seq = n.now, standby.id, 2, 0
			n.step(standby, Event{Kind: EvPublish, Epoch: 2})
		})
		n.run(n.now + 2*time.Second)
		for _, p := range n.alive() {
			if p.core.epoch != 2 && p != old {
				t.Errorf("seed %d: %x is in epoch %d %v after the standby took over", seed, p.id, p.core.epoch, n.now-at)
			}
		}
		n.at(5*time.Second, func() { // awake, it makes what it would have made
			for q := was; q < was+40; q++ {
				n.handle(old, netEvent{from: old.id, ev: Event{Kind: EvObject, Peer: old.id, Stripe: uint8(q % 4), Size: testObject, Epoch: 1, Seq: q, GroupFirst: n.groupOf(q)}})
			}
		})
		n.run(n.now + 12*time.Second)
		n.kill(old) // fenced off, it ends
		n.run(n.now + 8*time.Second)
		n.check(true)
		for _, p := range n.alive() {
			if p.id != n.pub && (p.core.epoch != 2 || n.missing(p, time.Second) > 0) {
				t.Errorf("seed %d: %x has epoch %d and misses %d", seed, p.id, p.core.epoch, n.missing(p, time.Second))
			}
		}
	}
}

func TestAViewerThatComesBeforeThePublisherPlays(t *testing.T) {
	n := newTestNet(t, 8, 4)
	for range 5 {
		n.add(Config{Slots: 8})
	}
	n.run(5 * time.Second)
	n.add(Config{Publisher: true, Epoch: 1, Slots: 16})
	n.publish()
	n.run(20 * time.Second)
	n.check(true)
	for _, p := range n.alive() {
		if p.id != n.pub && n.missing(p, time.Second) > 0 {
			t.Errorf("%x started at %v misses %d", p.id, p.started, n.missing(p, time.Second))
		}
	}
}

func TestADrainingRelayLeavesUnnoticed(t *testing.T) {
	n := crowd(t, 9, 60, 8, 2*time.Second)
	n.run(12 * time.Second)
	for _, p := range n.alive() {
		p.gapFrom, p.maxGap = n.now, 0
	}
	p := n.busiest()
	n.step(p, Event{Kind: EvDrain, Wait: 5 * time.Second})
	left := never
	for end := n.now + 6*time.Second; n.now < end; n.run(n.now + 50*time.Millisecond) {
		if p.drained {
			left = min(left, n.now)
			n.kill(p)
		}
	}
	if left == never {
		t.Fatal("the relay was not drained")
	}
	for _, p := range n.alive() {
		if p.id != n.pub && n.missing(p, time.Second) > 0 {
			t.Errorf("%x misses %d", p.id, n.missing(p, time.Second))
		}
	}
	t.Logf("left after %v; gap max %v", left-12*time.Second, n.quantile(1, func(p *testPeer) time.Duration { return p.maxGap }))
	n.check(true)
}

// A second drain, late or early, changes nothing for a peer that has left.
func TestDrainingTwiceIsDrainingOnce(t *testing.T) {
	p, err := New(Config{Slots: 2}, 5, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	count := func(out []Action) (k int) {
		for _, a := range out {
			if a.Kind == ActDrained {
				k++
			}
		}
		return k
	}
	if k := count(p.Step(0, Event{Kind: EvDrain, Wait: time.Second}, nil)); k != 1 {
		t.Fatalf("a peer without children reports %d times that it is drained", k)
	}
	if k := count(p.Step(time.Millisecond, Event{Kind: EvDrain, Wait: time.Second}, nil)); k != 0 {
		t.Errorf("it reports it %d times more", k)
	}
	for now := time.Duration(0); now < 5*time.Second; {
		p.Step(now, Event{Kind: EvTimeout}, nil)
		d := p.Deadline()
		if d <= now {
			t.Fatalf("the deadline stays at %v", d)
		}
		now = d
	}
}

func TestTheSameSeedGivesTheSameTrace(t *testing.T) {
	sum := func(seed uint64) uint64 {
		n := crowd(t, seed, 60, 8, 2*time.Second)
		n.run(8 * time.Second)
		n.kill(n.busiest())
		n.run(12 * time.Second)
		return n.trace.Sum64()
	}
	if a, b := sum(11), sum(11); a != b {
		t.Errorf("hashes %x and %x", a, b)
	}
	if sum(11) == sum(12) {
		t.Error("two seeds give one hash")
	}
}

func BenchmarkStepObject(b *testing.B) {
	p, _ := New(Config{Slots: 8}, 5, rand.New(rand.NewPCG(1, 1)))
	var out []Action
	out = p.Step(0, Event{Kind: EvConnected, Peer: 9, RTT: time.Millisecond}, out[:0])
	out = p.Step(0, Event{Kind: EvMessage, Peer: 9, Msg: Hello{Publisher: true, Slots: 8, Epoch: 1}}, out[:0])
	for s := range 4 {
		out = p.Step(0, Event{Kind: EvMessage, Peer: 9, Msg: Accept{Stripe: uint8(s), Epoch: 1, Path: []PeerID{9}}}, out[:0])
	}
	for id := range PeerID(2) {
		out = p.Step(0, Event{Kind: EvConnected, Peer: 100 + id}, out[:0])
		for s := range 4 {
			out = p.Step(0, Event{Kind: EvMessage, Peer: 100 + id, Msg: Subscribe{Stripe: uint8(s), Latest: true}}, out[:0])
		}
	}
	if !p.started || p.used() != 8-1 && p.used() != 8 {
		b.Logf("children: %d", p.used())
	}
	b.ReportAllocs()
	now := time.Duration(0)
	for seq := uint64(0); b.Loop(); seq++ {
		now += 12500 * time.Microsecond
		out = p.Step(now, Event{Kind: EvObject, Peer: 9, Size: 1500, Epoch: 1, Seq: seq, Group: seq / 80, GroupFirst: seq - seq%80}, out[:0])
		if seq > stream.MaxSeq {
			b.Fatal("too long")
		}
	}
}

// TestManySeedsKeepTheInvariants throws faults of all kinds at many networks.
func TestManySeedsKeepTheInvariants(t *testing.T) {
	seeds := 8
	if testing.Short() {
		seeds = 3
	}
	for seed := range uint64(seeds) {
		n := crowd(t, 100+seed, 60, 6, 3*time.Second)
		n.run(8 * time.Second)
		for range 8 {
			alive := n.alive()
			switch p := alive[1+n.rng.IntN(len(alive)-1)]; n.rng.IntN(5) {
			case 0:
				n.kill(n.busiest())
			case 1:
				n.kill(p)
			case 2:
				n.freeze(p, time.Duration(n.rng.Int64N(int64(4*time.Second))))
			case 3:
				n.step(p, Event{Kind: EvDrain, Wait: 2 * time.Second})
				n.at(2500*time.Millisecond, func() { n.kill(p) })
			case 4:
				n.add(Config{Slots: n.rng.IntN(9)})
			}
			n.run(n.now + time.Duration(n.rng.Int64N(int64(2*time.Second))))
			n.check(false)
		}
		n.run(n.now + 15*time.Second)
		n.check(true)
		if t.Failed() {
			t.Fatalf("seed %d", 100+seed)
		}
		if r := n.redundancy(); r > 0.1 {
			t.Errorf("seed %d: redundancy %.3f", 100+seed, r)
		}
	}
}

// TestAnyScheduleKeepsTheInvariants lets rapid choose, and shrink, what happens.
func TestAnyScheduleKeepsTheInvariants(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := newTestNet(rt, rapid.Uint64().Draw(rt, "seed"), 4)
		n.add(Config{Publisher: true, Epoch: 1, Slots: 8, MaxChildren: 2})
		n.publish()
		for range 10 {
			n.add(Config{Slots: 8})
		}
		n.run(4 * time.Second)
		for range rapid.IntRange(1, 5).Draw(rt, "faults") {
			alive := n.alive()
			p := alive[rapid.IntRange(1, len(alive)-1).Draw(rt, "peer")]
			switch rapid.SampledFrom([]string{"kill", "freeze", "drain", "join"}).Draw(rt, "what") {
			case "kill":
				n.kill(p)
			case "freeze":
				n.freeze(p, 3*time.Second)
			case "drain":
				n.step(p, Event{Kind: EvDrain, Wait: time.Second})
				n.at(1500*time.Millisecond, func() { n.kill(p) })
			case "join":
				n.add(Config{Slots: 4})
			}
			n.add(Config{Slots: 8})
			n.run(n.now + time.Duration(rapid.IntRange(0, 1500).Draw(rt, "wait"))*time.Millisecond)
			n.check(false)
		}
		n.run(n.now + 15*time.Second)
		n.check(true)
	})
}

// TestANarrowRootLosesItsOnlyChildUnseen: the publisher has one child in each
// stripe, and the relay with most children dies soon after all have come.
func TestANarrowRootLosesItsOnlyChildUnseen(t *testing.T) {
	for seed := range uint64(20) {
		n := newTestNet(t, 500+seed, 4)
		n.add(Config{Publisher: true, Epoch: 1, Slots: 24, MaxChildren: 1})
		n.publish()
		for range 6 {
			n.add(Config{Slots: 24, MaxChildren: 3})
		}
		n.run(1500 * time.Millisecond)
		n.kill(n.busiest())
		n.run(n.now + 6*time.Second)
		for _, p := range n.alive() {
			if p.id == n.pub {
				continue
			}
			late := 0
			for q := p.start; q+80 < n.seq; q++ {
				at, ok := p.got[q]
				if made := time.Duration(q/2+1) * 25 * time.Millisecond; !ok || at > made+time.Second && q > p.start+40 {
					late++
				}
			}
			if late > 0 {
				t.Errorf("seed %d: %x (start %d) misses %d objects at 1 s of buffer", 500+seed, p.id, p.start, late)
			}
		}
	}
}
