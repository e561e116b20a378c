package stack

// This file answers: how does a run go? Hosts come and go as the scenario
// says, one thing after the other, in virtual time.

import (
	"cmp"
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/braidway/braidway/measure"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/sim"
)

const (
	// collapseLag and collapseShare: as in the model.
	collapseLag   = 3 * time.Second
	collapseShare = 0.1
	// touchTime is for how long after a death gaps are put down to it, and
	// troubleTime for how long after a fault a switch away from it is right.
	touchTime   = 2 * time.Second
	troubleTime = 2 * time.Second
	// singleHit is the most hosts that die at once and whose touched viewers
	// are looked at one by one.
	singleHit = 16
)

// hooks are what the outside wants to know, and may say.
type hooks struct {
	lines    Network // nil: the usual one
	stop     func() bool
	progress func(sim.Progress)
	result   func(*sim.Result) // called before the hosts are closed
}

// world is one run. Its fields are owned by the goroutine that runs it, but
// for what mu guards.
type world struct {
	scenario sim.Scenario
	set      *sim.Settings
	peers    int
	seed     uint64
	sys      system
	wire     *wire
	hooks

	began      time.Time
	begin, end time.Duration
	come       *rand.Rand // who comes and goes
	chance     *rand.Rand // faults
	agenda     agenda
	planned    uint64
	jobs       sync.WaitGroup // joins and leaves under way

	mu      sync.Mutex
	members []*member
	broken  error

	marks   []sim.FaultMark
	touched []float64
	kills   int
	wrong   int // parents given up though all was well
	stalls  []int
	quiet   map[overlay.PeerID]time.Time // until when leaving this one is right
	excused map[*member]time.Time        // until when whatever this one does is right
}

// member is one viewer.
type member struct {
	index  int
	line   Line
	joined time.Duration
	gone   time.Duration // 0: there
	left   bool          // with a word
	frozen bool
	v      viewer // nil: not yet
	self   overlay.PeerID
	stalls uint64
	final  *measure.Report
}

// agenda is what the world does, in order of time and then of planning.
type agenda []doing

type doing struct {
	at time.Duration
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
	d := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return d
}

func (w *world) now() time.Duration { return time.Since(w.began) }

func (w *world) at(t time.Duration, fn func()) {
	w.planned++
	heap.Push(&w.agenda, doing{t, w.planned, fn})
}

// simulate runs in a bubble, whose clock is virtual. It returns when all hosts
// are closed.
func simulate(o order, h hooks) error {
	set := o.Scenario.Settings
	if h.lines == nil {
		h.lines = NewNetwork(set, o.Peers, o.Seed)
	}
	w := &world{scenario: o.Scenario, set: &set, peers: o.Peers, seed: o.Seed, hooks: h, wire: newWire(h.lines, set.Jitter, o.Seed),
		come: rand.New(rand.NewPCG(o.Seed, 1)), chance: rand.New(rand.NewPCG(o.Seed, 2)),
		quiet: make(map[overlay.PeerID]time.Time), excused: make(map[*member]time.Time)}
	w.sys = &braidway{set: &set, seed: o.Seed, wire: w.wire}
	if set.System == "gossip" {
		w.sys = &gossip{set: &set, seed: o.Seed, wire: w.wire}
	}
	err := w.run()
	if err == nil {
		h.result(w.result())
	}
	w.close()
	return cmp.Or(err, w.broken)
}

// run runs the scenario to its end, or until it is stopped.
func (w *world) run() error {
	w.began = time.Now()
	w.begin = w.set.Join + w.set.Settle
	w.end = w.begin + w.set.Duration
	if err := w.sys.publish(); err != nil {
		return err
	}
	w.population()
	w.arrange()
	w.at(w.begin, w.restart)
	w.at(w.now()+time.Second, w.tick)
	for len(w.agenda) > 0 && !w.stop() {
		d := heap.Pop(&w.agenda).(doing)
		if d.at >= w.end {
			break
		}
		time.Sleep(d.at - w.now())
		d.fn()
		w.mu.Lock()
		err := w.broken
		w.mu.Unlock()
		if err != nil {
			return err
		}
	}
	if !w.stop() {
		time.Sleep(w.end - w.now())
		w.judge()
	}
	return nil
}

// tick looks around once a second.
func (w *world) tick() {
	for _, m := range w.living() {
		if s := m.v.stalls(); s > m.stalls {
			if n := int((w.now() - w.begin - 1) / time.Second); n >= 0 && w.now() > w.begin {
				for len(w.stalls) <= n {
					w.stalls = append(w.stalls, 0)
				}
				w.stalls[n]++
			}
			m.stalls = s
		}
	}
	w.judge()
	w.report()
	w.at(w.now()+time.Second, w.tick)
}

func (w *world) report() {
	if w.progress != nil {
		w.progress(sim.Progress{Phase: "run", Now: w.now(), End: w.end, Peers: len(w.all()) + 1})
	}
}

// restart lets the measures of those begin who are there already.
func (w *world) restart() {
	for _, m := range w.living() {
		m.v.restart()
	}
}

// population plans who comes when, and goes.
func (w *world) population() {
	for range w.peers - 1 {
		at := w.now()
		if w.set.Join > 0 {
			at += time.Duration(w.come.Int64N(int64(w.set.Join)))
		}
		stay := -1.0
		if w.set.Session {
			stay = residual(w.come)
		}
		w.at(at, func() { w.join(stay) })
	}
	if w.set.Session {
		rate := float64(w.peers-1) / math.Exp(sessionMu+sessionSigma*sessionSigma/2) // keeps the number steady
		w.at(w.set.Join, func() { w.arrive(rate) })
	}
	for range w.set.Crowd {
		at := w.begin
		if w.set.CrowdIn > 0 {
			at += time.Duration(w.come.Int64N(int64(w.set.CrowdIn)))
		}
		w.at(at, func() { w.join(-1) })
	}
}

// Session lengths are lognormal, in seconds: Veloso et al., IMC 2002, as in the model.
const sessionMu, sessionSigma = 5.19, 1.44

func session(rng *rand.Rand) float64 { return math.Exp(sessionMu + sessionSigma*rng.NormFloat64()) }

// residual is what is left of a view that is under way at a random moment:
// such views are long ones, by their length, and any part of them is over.
func residual(rng *rand.Rand) float64 {
	return math.Exp(sessionMu+sessionSigma*sessionSigma+sessionSigma*rng.NormFloat64()) * rng.Float64()
}

// arrive is a Poisson process of new viewers.
func (w *world) arrive(rate float64) {
	w.join(session(w.come))
	w.at(w.now()+time.Duration(w.come.ExpFloat64()/rate*float64(time.Second)), func() { w.arrive(rate) })
}

// join brings a viewer who stays for so many seconds; negative: to the end.
func (w *world) join(stay float64) {
	w.mu.Lock()
	m := &member{index: len(w.members) + 1, joined: w.now()}
	w.members = append(w.members, m)
	w.mu.Unlock()
	m.line = w.lines.Line(m.index)
	w.jobs.Go(func() {
		v, err := w.sys.join(m.index, m.line)
		if err != nil {
			w.fail(fmt.Errorf("viewer %d: %w", m.index, err))
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		m.v, m.self = v, v.id()
	})
	if stay >= 0 {
		abrupt := w.come.Float64() < w.set.Abrupt
		w.at(w.now()+time.Duration(stay*float64(time.Second)), func() { w.leave(m, abrupt) })
	}
}

func (w *world) all() []*member {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]*member(nil), w.members...)
}

// living are the viewers that are there and watch.
func (w *world) living() []*member {
	var l []*member
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.members {
		if m.v != nil && m.gone == 0 {
			l = append(l, m)
		}
	}
	return l
}

// leave ends a viewer's session, with or without a word.
func (w *world) leave(m *member, abrupt bool) {
	if m.frozen || !slices.Contains(w.living(), m) {
		return
	}
	if abrupt {
		w.excuse(m, 0)
		w.die(m)
		return
	}
	m.freeze() // it watches no more, but serves until its children have moved
	m.gone, m.left = w.now(), true
	w.excuse(m, 6*time.Second)
	w.jobs.Go(func() {
		m.v.drain(w.within(6 * time.Second))
		m.v.close()
	})
}

// die makes a host fall silent; what it ran is cleaned up when nobody asks any more.
func (w *world) die(m *member) {
	port := w.wire.port(m.index)
	port.set(gateDown)
	m.freeze()
	m.gone = w.now()
	w.jobs.Go(func() {
		time.Sleep(time.Millisecond) // for a packet in the gate
		said := port.conn.Stats().PacketsSent
		time.Sleep(touchTime + time.Second)
		m.v.close()
		if port.conn.Stats().PacketsSent != said || port.lost.Load() == 0 {
			w.fail(fmt.Errorf("viewer %d: its death was not silent", m.index))
		}
	})
}

// fail ends the run.
func (w *world) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken == nil {
		w.broken = err
	}
}

// freeze ends a viewer's measures.
func (m *member) freeze() {
	if m.final == nil {
		r := m.v.report()
		m.final = &r
	}
}

// close ends everything, so that no goroutine is left.
func (w *world) close() {
	w.jobs.Wait()
	var all sync.WaitGroup
	for _, m := range w.all() {
		if m.v != nil && m.gone == 0 {
			w.wire.port(m.index).set(gateOpen)
			all.Go(m.v.close)
		}
	}
	all.Wait()
	w.sys.close()
	w.wire.close()
}
