package loopback

// This file answers: how does a scenario become processes, and a result?

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/braidway/braidway/measure"
	"github.com/braidway/braidway/sim"
	"github.com/braidway/braidway/sim/stack"
)

const (
	// perProcessor is how many processes one processor carries: at 60 on two, all
	// they had was too little (measured; a stream of 80 objects a second).
	perProcessor = 12
	// faultTime bounds what it takes to choose a victim: who is frozen does not answer.
	faultTime = time.Second
	// startTime and endTime bound what a process takes to begin and to report.
	startTime = 20 * time.Second
	endTime   = 15 * time.Second
)

// Options of a run.
type Options struct {
	// Program is the peer command; "" means this program.
	Program string
	Peers   int // the publisher among them; 0: the scenario's
	Seed    uint64
	// Progress is called about once a second, if set.
	Progress func(sim.Progress)
}

// Room is how many processes this machine carries.
func Room() int { return perProcessor * runtime.GOMAXPROCS(0) }

// Fits says whether processes can run the scenario; the error names what they cannot.
func Fits(s sim.Scenario, peers int) error {
	set := &s.Settings
	switch all := peers + set.Crowd; {
	case all < 2 || all > Room():
		return fmt.Errorf("loopback: peers is %d, processes are 2 to %d on this machine", all, Room())
	case set.Session:
		return errors.New("loopback: session is true; processes stay until the end")
	case set.System != sim.Systems()[0]:
		return fmt.Errorf("loopback: system is %q; only %s has processes", set.System, sim.Systems()[0])
	}
	for i, f := range s.Faults {
		if f.What != sim.Kill && f.What != sim.Freeze {
			return fmt.Errorf("loopback: fault %d is a %s; processes can be hit by %s and %s", i+1, f.What, sim.Kill, sim.Freeze)
		}
	}
	return nil
}

// run is one run.
type run struct {
	sim.Scenario
	o     Options
	hosts stack.Network
	dir   string
	began time.Time
	link  string
	rng   *rand.Rand

	mu      sync.Mutex
	viewers []*process
	err     error
	marks   []sim.FaultMark
	kills   int
	tasks   sync.WaitGroup
}

// Run runs the scenario. When ctx ends it returns what there is until then,
// marked as Partial. No process outlives it.
func Run(ctx context.Context, s sim.Scenario, o Options) (_ *sim.Result, err error) {
	o.Peers = cmp.Or(o.Peers, s.Peers)
	if err := Fits(s, o.Peers); err != nil {
		return nil, err
	}
	if o.Program == "" {
		if o.Program, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("loopback: finding this program: %w", err)
		}
	}
	r := &run{Scenario: s, o: o, hosts: stack.NewNetwork(s.Settings, o.Peers, o.Seed), rng: rand.New(rand.NewPCG(o.Seed, 7))}
	if r.dir, err = os.MkdirTemp("", "braidway-loopback"); err != nil {
		return nil, fmt.Errorf("loopback: %w", err)
	}
	defer func() { _ = os.RemoveAll(r.dir) }()
	inside, stop := context.WithCancel(context.Background()) // a signal ends the wait, not the processes
	defer stop()
	feeding, starve := context.WithCancel(context.Background()) // the stream goes on until all have reported
	defer starve()
	pub, err := r.publish(feeding)
	if err != nil {
		return nil, fmt.Errorf("loopback: %w", err)
	}
	defer pub.kill()
	defer func() {
		stop()
		r.tasks.Wait()
		for _, p := range r.viewers {
			p.kill()
		}
	}()
	r.began = time.Now()
	r.plan(inside)
	if err := r.wait(ctx); err != nil {
		return nil, fmt.Errorf("loopback: %w", err)
	}
	stop()
	r.tasks.Wait()
	return r.result(ctx.Err() != nil)
}

// begin is from when on faults count, end when all is over.
func (r *run) begin() time.Duration { return r.Settings.Join + r.Settings.Settle }
func (r *run) end() time.Duration   { return r.begin() + r.Settings.Duration }

// at does something at a time of the run.
func (r *run) at(ctx context.Context, t time.Duration, do func()) {
	r.tasks.Go(func() {
		select {
		case <-time.After(time.Until(r.began.Add(t))):
			do()
		case <-ctx.Done():
		}
	})
}

// plan plans joins and faults.
func (r *run) plan(ctx context.Context) {
	set := &r.Settings
	within := func(d time.Duration) time.Duration { return time.Duration(r.rng.Float64() * float64(d)) }
	for i := 1; i < r.o.Peers; i++ {
		r.at(ctx, within(set.Join), func() { r.join(i) })
	}
	for i := range set.Crowd {
		r.at(ctx, r.begin()+within(set.CrowdIn), func() { r.join(r.o.Peers + i) })
	}
	next := r.o.Peers + set.Crowd
	for i := range r.Faults {
		f := &r.Faults[i]
		for _, t := range f.Times(set.Duration) {
			n := next
			next++
			pause := within(time.Second)
			r.at(ctx, r.begin()+t, func() { r.happen(ctx, f, t, n, pause) })
		}
	}
}

// wait waits for the end, for ctx, or for the first error.
func (r *run) wait(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		now := time.Since(r.began)
		r.mu.Lock()
		err := r.err
		r.mu.Unlock()
		if err != nil || ctx.Err() != nil || now >= r.end() {
			return err
		}
		if r.o.Progress != nil {
			r.o.Progress(sim.Progress{Now: now, End: r.end(), Wall: now})
		}
		select {
		case <-tick.C:
		case <-time.After(r.end() - now):
		case <-ctx.Done():
		}
	}
}

// join starts viewer i.
func (r *run) join(i int) {
	args := []string{"play", r.link, "-o", os.DevNull, "--buffer", r.Settings.Buffer.String(), "--drain-timeout", "0s", "--report", r.reportOf(i)}
	if n := r.hosts.Line(i).Slots; n > 0 {
		args = append(args, "--upload-limit", r.upload(n))
	} else {
		args = append(args, "--no-relay")
	}
	p, err := r.start(i, args...)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.err = cmp.Or(r.err, err)
		return
	}
	r.viewers = append(r.viewers, p)
}

// upload is the --upload-limit that makes so many slots.
func (r *run) upload(slots int) string { return fmt.Sprintf("%dbps", stack.Upload(&r.Settings, slots)) }

func (r *run) reportOf(i int) string { return filepath.Join(r.dir, fmt.Sprintf("%d.json", i)) }

// living returns those that were not killed.
func (r *run) living() []*process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.viewers), func(p *process) bool { return p.dead })
}

// happen hits whom f says; number n joins for one that dies.
func (r *run) happen(ctx context.Context, f *sim.Fault, t time.Duration, n int, pause time.Duration) {
	hit := r.victims(ctx, f)
	r.mu.Lock()
	r.marks = append(r.marks, sim.FaultMark{At: t, What: f.What, Hit: len(hit)})
	r.mu.Unlock()
	for _, p := range hit {
		switch f.What {
		case sim.Kill:
			r.mu.Lock()
			p.dead = true
			r.kills++
			r.mu.Unlock()
			p.kill()
			if f.Replace {
				r.at(ctx, time.Since(r.began)+pause, func() { r.join(n) })
			}
		case sim.Freeze:
			p.freeze(true)
			r.at(ctx, time.Since(r.began)+f.For, func() { p.freeze(false) })
		}
	}
}

// victims chooses as the model does.
func (r *run) victims(ctx context.Context, f *sim.Fault) []*process {
	all := r.living()
	children := map[*process]int{}
	for _, p := range all {
		if s, err := p.state(ctx, faultTime); err == nil {
			children[p] = s.children()
		}
	}
	count := f.Victims(len(all))
	r.mu.Lock()
	r.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	r.mu.Unlock()
	switch f.Who {
	case sim.Busiest:
		slices.SortStableFunc(all, func(a, b *process) int { return children[b] - children[a] })
	case sim.Relay:
		slices.SortStableFunc(all, func(a, b *process) int { return min(children[b], 1) - min(children[a], 1) })
	}
	return all[:min(count, len(all))]
}

// result lets everybody report.
func (r *run) result(partial bool) (*sim.Result, error) {
	res := &sim.Result{Scenario: r.Scenario, Peers: r.o.Peers, Seed: r.o.Seed, Partial: partial, Faults: r.marks, Kills: r.kills, Wall: time.Since(r.began)}
	for _, p := range r.living() {
		p.freeze(false)
	}
	r.rest(res)
	for _, p := range r.living() {
		p.stop()
	}
	var reports []measure.Report
	survivors, intact := 0, 0
	deadline := time.Now().Add(endTime)
	for _, p := range r.living() {
		rep, err := p.report(deadline)
		if err != nil {
			return nil, fmt.Errorf("loopback: viewer %d: %w", p.number, err)
		}
		v := sim.ViewerResult{Index: p.number, Slots: r.hosts.Line(p.number).Slots, Joined: p.began.Sub(r.began) - r.begin(), Survivor: true, Report: *rep}
		if rep.JoinFailed() {
			res.FailedJoins++
		}
		if rep.Continuity != nil {
			survivors++
			if *rep.Continuity == 1 {
				intact++
			}
		}
		res.ViewerHours += *rep.DurationS / 3600
		reports = append(reports, *rep)
		res.Viewers = append(res.Viewers, v)
	}
	seed, virtual, wall := r.o.Seed, res.Wall.Seconds(), res.Wall.Seconds()
	sum := measure.Summary{Scenario: r.Name, Peers: r.o.Peers, Seed: &seed, FailedJoins: &res.FailedJoins, Kills: &res.Kills, VirtualS: &virtual, WallS: &wall, ViewerHours: &res.ViewerHours}
	sum.Add(reports)
	sum.Survivors(intact, survivors)
	res.Summary = sum
	return res, nil
}

// rest adds what only the living know: their place in the trees.
func (r *run) rest(res *sim.Result) {
	for _, p := range r.living() {
		s, err := p.state(context.Background(), startTime)
		if err != nil {
			continue // it has ended: its report says so
		}
		res.Depths = append(res.Depths, s.depths()...)
		res.FanOut = append(res.FanOut, s.children())
	}
}
