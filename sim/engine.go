package sim

// This file answers: how does a whole network run? In windows of the
// lookahead, all shards side by side, and the world between them.

import (
	"container/heap"
	"context"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/braidway/braidway/failover"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/sim/adversary"
)

// engine is one run.
type engine struct {
	set       Settings
	scenario  Scenario
	seed      uint64
	peers     []peer
	deafAt    []int64 // by peer: after that a line to the dead carries nothing
	shards    []*shard
	dht       *registry
	publisher uint32
	standby   uint32 // 0: there is none
	named     uint32 // whose address the link gives
	epochs    []epoch

	group    uint64 // objects
	perFlush int
	flush    time.Duration

	now   int64
	begin int64 // of the measures
	end   int64

	world   *rand.Rand // joins and sessions
	chance  *rand.Rand // faults
	plan    agenda     // what happens between windows
	planned uint64
	factor  float64 // from published uplinks to those of the run

	storm    float64 // factor on jitter and loss
	split    map[uint32]bool
	splitEnd int64

	foes     []overlay.PeerID // who attacks
	sybils   []uint32         // whom the DHT names
	vileness float64          // parts of an attacker that have come

	// blind lets objects through that do not verify: a test's.
	blind bool
	// wrap, if set, stands between the engine and the core of every peer that is
	// added from then on: tests break the core's rules there, to see them missed.
	wrap func(core) core

	trace         *tracer
	touched       []touch
	marks         []FaultMark
	kills         int
	falseSwitches int
}

// epoch is one publisher's term.
type epoch struct {
	number    uint64
	start     int64
	publisher uint32
}

// shard is a share of the peers.
type shard struct {
	e       *engine
	number  int
	q       *queue
	away    [][]event // to the other shards
	now     int64
	out     []overlay.Action
	scratch []byte
	events  uint64
	gone    []gone
	drained []uint32
	stalls  []int
	lines   []line
	toll    toll
	badNow  bool // the object that is being handled does not verify
}

// agenda is what the world does, in order of time and then of planning.
type agenda []doing

type doing struct {
	at int64
	n  uint64
	fn func()
}

// Len implements heap.Interface.
func (a agenda) Len() int { return len(a) }

// Less implements heap.Interface.
func (a agenda) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].n < a[j].n
}

// Swap implements heap.Interface.
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }

// Push implements heap.Interface.
func (a *agenda) Push(x any) { *a = append(*a, x.(doing)) }

// Pop implements heap.Interface.
func (a *agenda) Pop() any {
	last := len(*a) - 1
	d := (*a)[last]
	(*a)[last] = doing{}
	*a = (*a)[:last]
	return d
}

func (e *engine) at(t int64, fn func()) {
	e.planned++
	heap.Push(&e.plan, doing{max(t, e.now), e.planned, fn})
}

func newEngine(sc Scenario, peers int, seed uint64, shards int) *engine {
	set := sc.Settings
	e := &engine{set: set, scenario: sc, seed: seed, dht: newRegistry(), storm: 1, vileness: 0.5,
		world: rand.New(rand.NewPCG(seed, 1)), chance: rand.New(rand.NewPCG(seed, 2))}
	e.flush = 25 * time.Millisecond
	e.perFlush = max(1, int(math.Round(set.Objects*e.flush.Seconds())))
	e.flush = time.Duration(float64(e.perFlush) / set.Objects * float64(time.Second))
	e.group = max(1, uint64(math.Round(set.Objects*set.Group.Seconds())))
	e.begin = int64(set.Join + set.Settle)
	e.end = e.begin + int64(set.Duration)
	if shards <= 0 {
		shards = max(1, min(runtime.GOMAXPROCS(0), peers/1000))
	}
	for n := range shards {
		e.shards = append(e.shards, &shard{e: e, number: n, q: newQueue(), away: make([][]event, shards)})
	}
	e.peers = make([]peer, 0, peers+peers/4+64)
	e.newPublisher(1)
	if slices.ContainsFunc(sc.Faults, func(f Fault) bool { return f.What == Publisher }) {
		e.standBy()
	}
	e.population(peers)
	return e
}

// newPublisher adds one that publishes at once.
func (e *engine) newPublisher(number uint64) {
	e.named = e.add(e.set.publisher(), number)
	e.reign(e.named, number, e.now)
}

// standBy adds a publisher that follows the stream as a relay. A baseline has none.
func (e *engine) standBy() {
	if e.set.System == Systems()[0] {
		pr := e.set.publisher()
		pr.standby = true
		e.standby = e.add(pr, 0)
		p := &e.peers[e.publisher]
		p.shard.now = e.now
		p.shard.step(p, overlay.Event{Kind: overlay.EvHeir, Peer: e.peers[e.standby].id})
	}
}

// takeOver lets the standby go on with the group that is being made: it holds the
// same input. (From the group in which the old one died it would bring up to two
// seconds at once, and full uplinks take ten times as long to make that good.)
func (e *engine) takeOver() {
	last, i := e.epochs[len(e.epochs)-1], e.standby
	if e.standby = 0; i == 0 {
		e.newPublisher(last.number + 1)
		return
	}
	flushes := (e.now - last.start) / int64(e.flush)
	group := max(1, int64(e.group)/int64(e.perFlush)) // in flushes
	e.reign(i, last.number+1, last.start+flushes/group*group*int64(e.flush))
	p := &e.peers[i]
	p.shard.step(p, overlay.Event{Kind: overlay.EvPublish, Epoch: last.number + 1})
	for range flushes % group {
		p.shard.cut(p)
	}
}

// reign begins a term of peer i, whose first object is of time start.
func (e *engine) reign(i uint32, number uint64, start int64) {
	e.publisher = i
	e.epochs = append(e.epochs, epoch{number: number, start: start, publisher: i})
	s := e.peers[i].shard
	s.now = e.now
	s.after(&e.peers[i], e.flush, event{kind: evMake})
	e.dht.add(i)
}

// population plans who comes when, and goes.
func (e *engine) population(peers int) {
	first := make([]profile, peers-1)
	for i := range first {
		first[i] = e.set.draw(e.world)
	}
	e.factor = e.set.scale(first)
	for i := range first {
		at := int64(0)
		if e.set.Join > 0 {
			at = e.world.Int64N(int64(e.set.Join))
		}
		stay := -1.0
		if e.set.Session {
			stay = residual(e.world)
		}
		e.at(at, func() { e.enter(first[i], stay) })
	}
	if e.set.Session {
		rate := float64(peers-1) / sessions.mean() // keeps the number steady
		e.at(int64(e.set.Join), func() { e.arrive(rate) })
	}
	for range e.set.Crowd {
		at := e.begin
		if e.set.CrowdIn > 0 {
			at += e.world.Int64N(int64(e.set.CrowdIn))
		}
		e.at(at, func() { e.join(-1) })
	}
}

// arrive is a Poisson process of new viewers.
func (e *engine) arrive(rate float64) {
	e.join(sessions.draw(e.world))
	e.at(e.now+int64(e.world.ExpFloat64()/rate*float64(time.Second)), func() { e.arrive(rate) })
}

// join makes a viewer who stays for so many seconds; negative: to the end.
func (e *engine) join(stay float64) {
	pr := e.set.draw(e.world)
	e.set.give(&pr, e.factor)
	e.enter(pr, stay)
}

func (e *engine) enter(pr profile, stay float64) {
	if pr.attack = e.vile(); pr.attack != "" {
		e.set.arm(&pr)
		stay = -1
	}
	i := e.add(pr, 0)
	p := &e.peers[i]
	if p.slots > 0 || pr.attack != "" {
		// Its provider record is there after a while.
		d := int64(provideTime * math.Exp(0.6*e.world.NormFloat64()) * float64(time.Second))
		e.at(e.now+d, func() {
			if !e.peers[i].dead {
				e.dht.add(i)
			}
		})
	}
	if stay >= 0 {
		abrupt := e.world.Float64() < e.set.Abrupt
		e.at(e.now+int64(stay*float64(time.Second)), func() { e.leave(i, abrupt) })
	}
}

// add makes a peer; epoch is a publisher's term, else 0.
func (e *engine) add(pr profile, number uint64) uint32 {
	i := uint32(len(e.peers))
	seed := mix(e.seed ^ uint64(i)*0x9e3779b97f4a7c15)
	rng := rand.New(rand.NewPCG(seed, 3))
	p := peer{profile: pr, index: i, id: newID(rng, i), rng: rng, shard: e.shards[int(i)%len(e.shards)], joined: e.now,
		perByte: 8e9 / pr.up, perByteDown: 8e9 / pr.down}
	if e.set.System == Systems()[0] { // the baselines' are not the live host
		p.door = failover.NewHandshakes(int64(float64(pr.slots) / float64(e.set.Stripes) * e.set.Bitrate()))
	}
	p.core = e.newCore(&p, number, rand.New(rand.NewPCG(seed, 4)))
	if number == 0 && !pr.standby && p.foe == nil {
		p.view = newViewer(time.Duration(e.now), e.set.Buffer)
	}
	e.peers, e.deafAt = append(e.peers, p), append(e.deafAt, math.MaxInt64)
	q := &e.peers[i]
	q.shard.now = e.now
	q.shard.arm(q)
	if e.trace != nil {
		e.trace.world(e, "join", "", i)
	}
	return i
}

func (e *engine) newCore(p *peer, number uint64, rng *rand.Rand) core {
	c := e.coreOf(p, number, rng)
	if o, ok := c.(*overlay.Peer); ok && p.attack != "" {
		p.foe = e.newFoe(o, p, rand.New(rand.NewPCG(mix(e.seed^uint64(p.index)), 6)))
		e.foes = append(e.foes, p.id)
		if p.attack == adversary.SybilDHT {
			e.sybils = append(e.sybils, p.index)
		}
		return p.foe
	}
	if e.wrap != nil {
		c = e.wrap(c)
	}
	return c
}

func (e *engine) coreOf(p *peer, number uint64, rng *rand.Rand) core {
	s := &e.set
	if s.System != Systems()[0] {
		return e.newBaseline(p, number, rng)
	}
	cfg := s.coreConfig()
	cfg.Slots, cfg.Publisher, cfg.Standby, cfg.Epoch = p.slots, number > 0, p.standby, number
	c, err := overlay.New(cfg, p.id, rng)
	if err != nil {
		panic(err) // check has looked at all settings
	}
	return c
}

// coreConfig is the core's part of the settings.
func (s *Settings) coreConfig() overlay.Config {
	cfg := overlay.Config{Stripes: s.Stripes, Reserve: s.Reserve, Standbys: s.Standbys, Beacon: s.Beacon, Buffer: s.Buffer,
		Neighbours: s.Neighbours, HedgeShare: s.Hedge, Window: int(min(max(64, 25*s.Objects), 1<<20))}
	cfg.Detector.MinBound = s.Bound
	return cfg
}

func (e *engine) epochOf(number uint64) uint8 {
	for i := len(e.epochs) - 1; i > 0; i-- {
		if e.epochs[i].number == number {
			return uint8(i)
		}
	}
	return 0
}

func (e *engine) objectEvent(from overlay.PeerID, i uint8, seq uint64, repair bool) overlay.Event {
	return overlay.Event{Kind: overlay.EvObject, Peer: from, Stripe: uint8(seq % uint64(e.set.Stripes)), Repair: repair, Size: int32(e.set.ObjectSize),
		Epoch: e.epochs[i].number, Seq: seq, Group: seq / e.group, GroupFirst: seq - seq%e.group}
}

// jitterOf is the 99th percentile of what a message of p takes longer, ns.
func (e *engine) jitterOf(*peer) float64 { return float64(e.set.Jitter) * e.storm }

// healAt is when a message of time t gets through from a to b.
func (e *engine) healAt(a, b uint32, t int64) int64 {
	if t < e.splitEnd && e.split[a] != e.split[b] {
		return e.splitEnd
	}
	return t
}

// run runs until the end, or until ctx ends; look is called now and then.
func (e *engine) run(ctx context.Context, look func()) {
	crew := newCrew(e.shards)
	defer crew.dismiss()
	pages := newHugePages()
	for n := 0; e.now < e.end; n++ {
		for len(e.plan) > 0 && e.plan[0].at <= e.now {
			heap.Pop(&e.plan).(doing).fn()
		}
		until := min(e.now+int64(lookahead), e.end)
		if len(e.plan) > 0 {
			until = min(until, max(e.plan[0].at, e.now+1))
		}
		crew.work(until)
		e.now = until
		e.between()
		if n%256 == 0 {
			if ctx.Err() != nil {
				return
			}
			pages.look()
			if look != nil {
				look()
			}
		}
	}
}

// between hands over what the shards sent each other, and judges what they saw.
func (e *engine) between() {
	for _, s := range e.shards {
		s.now = e.now
		for to, evs := range s.away {
			for i := range evs {
				e.shards[to].q.push(evs[i])
			}
			clear(evs)
			s.away[to] = evs[:0]
		}
	}
	for _, s := range e.shards {
		for i := range s.gone {
			e.judge(&s.gone[i])
		}
		for _, i := range s.drained {
			e.die(i)
		}
		s.gone, s.drained = s.gone[:0], s.drained[:0]
	}
	if e.trace != nil {
		e.trace.flush(e)
	}
}

// window handles the shard's events before until.
func (s *shard) window(until int64) {
	for {
		ev, ok := s.q.pop(until)
		if !ok {
			s.now = until
			return
		}
		s.now = ev.at
		s.handle(&ev)
	}
}

// crew is one goroutine for each shard but the first, whose work the caller does.
type crew struct {
	shards []*shard
	start  []chan int64
	done   sync.WaitGroup
}

func newCrew(shards []*shard) *crew {
	c := &crew{shards: shards}
	for _, s := range shards[1:] {
		start := make(chan int64)
		c.start = append(c.start, start)
		go func() {
			for until := range start {
				s.window(until)
				c.done.Done()
			}
		}()
	}
	return c
}

func (c *crew) work(until int64) {
	c.done.Add(len(c.start))
	for _, ch := range c.start {
		ch <- until
	}
	c.shards[0].window(until)
	c.done.Wait()
}

func (c *crew) dismiss() {
	for _, ch := range c.start {
		close(ch)
	}
}
