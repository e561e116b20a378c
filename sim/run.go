package sim

// This file answers: how is a simulation started, followed and stopped, and
// how does its result come about?

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/braidway/braidway/measure"
	"github.com/braidway/braidway/overlay"
)

// Options of a run that do not change what happens in it.
type Options struct {
	Peers  int // the publisher among them; 0: the scenario's
	Seed   uint64
	Shards int // goroutines that share the work; 0: by the number of peers, up to GOMAXPROCS. The result is the same with any number.
	// NoFloor leaves out the second run, without the faults, that the gaps
	// after deaths are laid beside.
	NoFloor bool
	// Trace takes the typed events as JSON lines, in order; nil: none.
	Trace io.Writer
	// Progress is called now and then, if set.
	Progress func(Progress)
}

// Progress of a run.
type Progress struct {
	Phase  string // "floor" or "run"
	Now    time.Duration
	End    time.Duration
	Events uint64
	Wall   time.Duration
	Peers  int
}

// Systems returns the names of the cores that can be driven: Braidway's, then the baselines'.
func Systems() []string {
	return []string{"braidway", "single-tree", "dual-path", "mesh-pull", "gossip"}
}

const (
	minPeers, maxPeers = 2, 1_000_000
	// collapseLag: a network is collapsed when a tenth of the living are
	// further behind than this at the end.
	collapseLag   = 3 * time.Second
	collapseShare = 0.1
)

// check refuses what cannot be run, by name and range.
func (s *Scenario) check(peers int) error {
	if peers < minPeers || peers > maxPeers {
		return fmt.Errorf("sim: peers is %d, allowed is %d to %d", peers, minPeers, maxPeers)
	}
	for _, f := range s.Settings.Fields() {
		if err := f.Set(f.Get()); err != nil {
			return fmt.Errorf("sim: %w", err)
		}
	}
	if _, err := overlay.New(s.Settings.coreConfig(), 1, rand.New(rand.NewPCG(1, 1))); err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	if s.Settings.Attack != NoAttack && s.Settings.System != Systems()[0] {
		return fmt.Errorf("sim: attack is %q with system %s, allowed is %s: attackers are made of %s's core", s.Settings.Attack, s.Settings.System, NoAttack, Systems()[0])
	}
	for i := range s.Faults {
		if err := s.Faults[i].check(); err != nil {
			return fmt.Errorf("sim: fault %d: %w", i+1, err)
		}
	}
	return nil
}

// Run runs the scenario. When ctx ends it returns what there is until then,
// marked as Partial. Settings out of range are an error that names them.
func Run(ctx context.Context, s Scenario, o Options) (*Result, error) {
	peers := cmp.Or(o.Peers, s.Peers)
	if err := s.check(peers); err != nil {
		return nil, err
	}
	e := newEngine(s, peers, o.Seed, o.Shards)
	if o.Trace != nil {
		e.trace = newTracer(o.Trace)
	}
	e.arrange()
	e.at(e.begin, e.restart)
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	e.run(ctx, e.watch(o.Progress, "run", began))
	r := e.result(time.Since(began))
	r.Peers = peers
	r.Summary.Peers = peers
	var after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&after)
	r.Bytes = (after.HeapAlloc - min(after.HeapAlloc, before.HeapAlloc)) / uint64(len(e.peers))
	runtime.KeepAlive(e)
	if e.trace != nil {
		if e.trace.flush(e); e.trace.err == nil {
			e.trace.err = e.trace.w.Flush()
		}
		if e.trace.err != nil {
			return r, fmt.Errorf("sim: trace: %w", e.trace.err)
		}
	}
	if len(e.touched) > 0 && !o.NoFloor && !r.Partial {
		r.Floor = floor(ctx, s, peers, o, e.touched)
		if len(r.Floor) > 0 {
			spread := measure.NewSpread(r.Floor, false)
			r.Summary.FloorGapMS = &spread
		}
	}
	return r, nil
}

// floor runs the scenario without its faults and returns the gaps of the same
// viewers at the same times.
func floor(ctx context.Context, s Scenario, peers int, o Options, touched []touch) []float64 {
	s.Faults = nil
	e := newEngine(s, peers, o.Seed, o.Shards)
	e.at(e.begin, e.restart)
	e.run(ctx, e.watch(o.Progress, "floor", time.Now()))
	if e.now < e.end {
		return nil
	}
	return e.gaps(touched)
}

func (e *engine) watch(report func(Progress), phase string, began time.Time) func() {
	if report == nil {
		return nil
	}
	return func() {
		report(Progress{Phase: phase, Now: time.Duration(e.now), End: time.Duration(e.end), Events: e.events(), Wall: time.Since(began), Peers: len(e.peers)})
	}
}

func (e *engine) events() (n uint64) {
	for _, s := range e.shards {
		n += s.events
	}
	return n
}

// restart lets the measures of those begin who are there already.
func (e *engine) restart() {
	for i := range e.peers {
		if v := e.peers[i].view; v != nil && !e.peers[i].dead {
			v.restart(time.Duration(e.now))
		}
	}
}

// gaps returns, ms, the longest gap of each touched viewer in the time after.
// A viewer who does not exist in this run, or died since, has none.
func (e *engine) gaps(touched []touch) []float64 {
	var all []float64
	for _, t := range touched {
		if int(t.viewer) >= len(e.peers) || e.peers[t.viewer].view == nil {
			continue
		}
		p := &e.peers[t.viewer]
		to := t.at + int64(touchTime)
		if to > e.now || p.gone != 0 && p.gone < to || p.left != 0 && p.left < to {
			continue
		}
		g := p.view.m.GapBetween(time.Duration(t.at), time.Duration(to), true)
		all = append(all, float64(g.Microseconds())/1000)
	}
	return all
}

// result takes the measures of all viewers.
func (e *engine) result(wall time.Duration) *Result {
	r := &Result{Scenario: e.scenario, Seed: e.seed, Partial: e.now < e.end, Faults: e.marks, Kills: e.kills,
		FalseSwitches: e.falseSwitches, Events: e.events(), Wall: wall, Touched: e.gaps(e.touched)}
	var reports []measure.Report
	survivors, intact, behind, alive := 0, 0, 0, 0
	h := e.seed
	for i := range e.peers {
		p := &e.peers[i]
		h = mix(h ^ p.hash)
		if p.view == nil || p.gone != 0 && p.gone < e.begin || p.left != 0 && p.left < e.begin {
			continue
		}
		v := e.viewer(p)
		if v.Report.JoinFailed() {
			r.FailedJoins++
		}
		r.ViewerHours += *v.Report.DurationS / 3600
		if v.Survivor && v.Report.Continuity != nil {
			survivors++
			if *v.Report.Continuity == 1 {
				intact++
			}
		}
		if !p.dead && p.left == 0 {
			alive++
			if e.lag(p) > collapseLag && e.now-p.joined > int64(measure.JoinLimit) {
				behind++
			}
			e.shape(p, r)
		}
		reports = append(reports, v.Report)
		r.Viewers = append(r.Viewers, v)
	}
	r.Hash = h
	r.Collapsed = alive > 0 && float64(behind) > collapseShare*float64(alive)
	for _, s := range e.shards {
		for n, c := range s.stalls {
			for len(r.Stalls) <= n {
				r.Stalls = append(r.Stalls, 0)
			}
			r.Stalls[n] += c
		}
	}
	e.summarise(r, reports, survivors, intact)
	e.explain(r)
	return r
}

// lag is how far p's playback is behind what is made now.
func (e *engine) lag(p *peer) time.Duration {
	t := &e.epochs[len(e.epochs)-1]
	st := p.view.play.Stats()
	if st.Epoch != t.number {
		return time.Duration(e.now)
	}
	made := t.start + int64(st.Position/uint64(e.perFlush))*int64(e.flush)
	return time.Duration(e.now - made)
}

// viewer reports one viewer.
func (e *engine) viewer(p *peer) ViewerResult {
	end := e.now
	if p.gone != 0 {
		end = p.gone
	}
	if p.left != 0 {
		end = p.left
	}
	v := ViewerResult{Index: int(p.index), Region: regions[p.region].name, Access: accesses[p.access].name, Slots: p.slots,
		Joined: time.Duration(p.joined - e.begin), Died: p.dead && p.left == 0, Survivor: p.gone == 0 && p.left == 0}
	if end != e.now {
		v.Left = time.Duration(end - e.begin)
	}
	v.Report = p.view.report(time.Duration(end))
	if p.joined < e.begin {
		d := time.Duration(end - e.begin).Seconds()
		v.Report.DurationS = &d
	}
	return v
}

// shape adds a living viewer's place in the trees.
func (e *engine) shape(p *peer, r *Result) {
	used, interior := 0, 0
	note := func(depth, children int) {
		if depth > 0 {
			r.Depths = append(r.Depths, depth)
		}
		used += children
		if children > 0 {
			interior++
		}
	}
	switch c := p.core.(type) {
	case *overlay.Peer:
		for _, s := range c.Snapshot().Stripes {
			depth := 0
			if s.Parent != 0 {
				depth = len(s.Path) - 1
			}
			note(depth, len(s.Children))
			if s.Lacking {
				r.WithoutStandby++
			}
		}
	case shaped:
		for s := range e.set.Stripes {
			_, depth, children := c.Shape(s)
			note(depth, children)
		}
	}
	r.FanOut = append(r.FanOut, used)
	if interior > 1 {
		r.Interior++
	}
}

func (e *engine) summarise(r *Result, reports []measure.Report, survivors, intact int) {
	virtual, wall := time.Duration(e.now).Seconds(), r.Wall.Seconds()
	seed := e.seed
	sum := measure.Summary{Scenario: e.scenario.Name, Seed: &seed, FailedJoins: &r.FailedJoins, Kills: &r.Kills, VirtualS: &virtual, WallS: &wall,
		TraceHash: fmt.Sprintf("%016x", r.Hash), FalseSwitches: &r.FalseSwitches, ViewerHours: &r.ViewerHours, WithoutStandby: &r.WithoutStandby}
	sum.Add(reports)
	sum.Survivors(intact, survivors)
	sum.Touch(r.Touched)
	sum.Attack = e.hostility(r)
	r.Summary = sum
}

// explain adds to the worst 1 % of the viewers what happened around their
// longest gap: those that missed most first, then those with the longest gap.
func (e *engine) explain(r *Result) {
	order := make([]int, len(r.Viewers))
	for i := range order {
		order[i] = i
	}
	cont := func(i int) float64 {
		if c := r.Viewers[i].Report.Continuity; c != nil {
			return *c
		}
		return math.Inf(1)
	}
	gap := func(i int) float64 {
		if g := r.Viewers[i].Report.MaxGapMS; g != nil {
			return *g
		}
		return 0
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(cont(a), cont(b)), cmp.Compare(gap(b), gap(a))) })
	for _, i := range order[:min(len(order), max(1, len(order)/100), 200)] {
		v := e.peers[r.Viewers[i].Index].view
		for n := range v.worst {
			r.Viewers[i].Why = append(r.Viewers[i].Why, v.worst[n].line(e.begin))
		}
		if len(v.worst) > 0 {
			r.Viewers[i].Why = append(r.Viewers[i].Why, fmt.Sprintf("%8.3f s  a gap of %v ends", float64(v.worstAt-e.begin)/1e9, v.maxGap.Round(time.Millisecond)))
		}
	}
}
