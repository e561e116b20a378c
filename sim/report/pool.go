package report

// This file answers: what do several seeds of one scenario say together?

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/braidway/braidway/measure"
	"github.com/braidway/braidway/sim"
)

// Range of one figure over seeds.
type Range struct {
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
}

// newRange returns the range of values, or nil of none. The median of an even
// number is the lower of the two in the middle: a value that a seed had.
func newRange(v []float64) *Range {
	if len(v) == 0 {
		return nil
	}
	v = slices.Sorted(slices.Values(v))
	return &Range{Median: v[(len(v)-1)/2], Least: v[0], Most: v[len(v)-1]}
}

// Seeds says how far seeds of one scenario agree: over all viewers pooled, one
// seed that went wrong disappears.
type Seeds struct {
	Seeds           []uint64 `json:"seeds"`                  // ascending
	Hashes          []string `json:"trace_hashes,omitempty"` // in the order of Seeds; the full stack has none
	SurvivorsIntact *Range   `json:"survivors_intact,omitempty"`
	TouchedGapP99MS *Range   `json:"touched_gap_p99_ms,omitempty"`
	StartupP99MS    *Range   `json:"startup_p99_ms,omitempty"`
	Collapsed       int      `json:"collapsed"` // seeds
	Partial         int      `json:"partial"`   // seeds
}

// Pool joins runs of one scenario with different seeds into one result:
// viewers are concatenated and every percentile is computed anew over all of
// them, counts and times are added. Peers stays the number of one run, Bytes
// is the most that a run took, and the hash is that over the seeds' hashes.
func Pool(results []*sim.Result) (*sim.Result, *Seeds, error) {
	if len(results) == 0 {
		return nil, nil, errors.New("report: no results to pool")
	}
	rs := slices.Clone(results)
	slices.SortStableFunc(rs, func(a, b *sim.Result) int {
		if a.Seed < b.Seed {
			return -1
		} else if a.Seed > b.Seed {
			return 1
		}
		return 0
	})
	first := rs[0]
	p := &sim.Result{Scenario: first.Scenario, Peers: first.Peers, Seed: first.Seed}
	seeds := &Seeds{}
	for i, r := range rs {
		switch {
		case questionOf(r) != questionOf(first):
			return nil, nil, fmt.Errorf("report: seed %d is of %s, seed %d of %s; only runs that differ in nothing but the seed can be pooled",
				first.Seed, about(first), r.Seed, about(r))
		case i > 0 && r.Seed == rs[i-1].Seed:
			return nil, nil, fmt.Errorf("report: seed %d of %s is there twice", r.Seed, about(r))
		}
		add(p, r)
		seeds.add(r)
	}
	p.Hash = jointHash(rs)
	summarize(p, rs)
	seeds.ranges(rs)
	return p, seeds, nil
}

// add adds r to the pool.
func add(p, r *sim.Result) {
	p.Partial = p.Partial || r.Partial
	p.Collapsed = p.Collapsed || r.Collapsed
	p.Viewers = append(p.Viewers, r.Viewers...)
	p.Depths = append(p.Depths, r.Depths...)
	p.FanOut = append(p.FanOut, r.FanOut...)
	p.Touched = append(p.Touched, r.Touched...)
	p.Floor = append(p.Floor, r.Floor...)
	p.Interior += r.Interior
	p.FalseSwitches += r.FalseSwitches
	p.ViewerHours += r.ViewerHours
	p.Kills += r.Kills
	p.FailedJoins += r.FailedJoins
	p.WithoutStandby += r.WithoutStandby
	p.Events += r.Events
	p.Wall += r.Wall
	p.Bytes = max(p.Bytes, r.Bytes)
	for s, n := range r.Stalls {
		if s == len(p.Stalls) {
			p.Stalls = append(p.Stalls, 0)
		}
		p.Stalls[s] += n
	}
	for _, f := range r.Faults {
		same := func(g sim.FaultMark) bool { return g.At == f.At && g.What == f.What }
		if i := slices.IndexFunc(p.Faults, same); i >= 0 {
			p.Faults[i].Hit += f.Hit
		} else {
			p.Faults = append(p.Faults, f)
		}
	}
}

// summarize computes the pool's summary from what was pooled.
func summarize(p *sim.Result, rs []*sim.Result) {
	s := measure.Summary{Scenario: p.Scenario.Name, Peers: p.Peers, TraceHash: hashOf(p), Kills: &p.Kills,
		FailedJoins: &p.FailedJoins, FalseSwitches: &p.FalseSwitches, WithoutStandby: &p.WithoutStandby}
	reports := make([]measure.Report, len(p.Viewers))
	for i := range p.Viewers {
		reports[i] = p.Viewers[i].Report
	}
	s.Add(reports)
	if s.TouchedGapMS = spreadOf(p.Touched); s.TouchedGapMS != nil {
		n := len(p.Touched)
		s.Touched = &n
	}
	s.FloorGapMS = spreadOf(p.Floor)
	s.ViewerHours = &p.ViewerHours
	wall := p.Wall.Seconds()
	s.WallS = &wall
	var virtual, intact, survivors float64
	for _, r := range rs {
		if v := r.Summary.VirtualS; v != nil {
			virtual += *v
			s.VirtualS = &virtual
		}
		if a := r.Summary.Attack; a != nil {
			if s.Attack == nil {
				s.Attack = &measure.Hostility{}
			}
			s.Attack.Add(a)
		}
		n := 0.0
		for i := range r.Viewers {
			if r.Viewers[i].Survivor {
				n++
			}
		}
		if v := r.Summary.SurvivorsIntact; v != nil && n > 0 {
			survivors += n
			intact += n * *v
		}
	}
	if survivors > 0 {
		intact /= survivors
		s.SurvivorsIntact = &intact
	}
	p.Summary = s
}

func (s *Seeds) add(r *sim.Result) {
	s.Seeds = append(s.Seeds, r.Seed)
	if h := hashOf(r); h != "" {
		s.Hashes = append(s.Hashes, h)
	}
	if r.Collapsed {
		s.Collapsed++
	}
	if r.Partial {
		s.Partial++
	}
}

func (s *Seeds) ranges(rs []*sim.Result) {
	over := func(of func(*sim.Result) *float64) *Range {
		var v []float64
		for _, r := range rs {
			if x := of(r); x != nil {
				v = append(v, *x)
			}
		}
		return newRange(v)
	}
	p99 := func(s *measure.Spread) *float64 {
		if s == nil {
			return nil
		}
		return &s.P99
	}
	s.SurvivorsIntact = over(func(r *sim.Result) *float64 { return r.Summary.SurvivorsIntact })
	s.TouchedGapP99MS = over(func(r *sim.Result) *float64 { return p99(spreadOf(r.Touched)) })
	s.StartupP99MS = over(func(r *sim.Result) *float64 { return p99(r.Summary.StartupMS) })
}

// jointHash is one value for all runs, in the order of their seeds; of one run it is its own.
func jointHash(rs []*sim.Result) uint64 {
	if len(rs) == 1 {
		return rs[0].Hash
	}
	if slices.ContainsFunc(rs, func(r *sim.Result) bool { return r.Hash == 0 }) {
		return 0 // of the full stack
	}
	h := sha256.New()
	for _, r := range rs {
		fmt.Fprintf(h, "%d %s\n", r.Seed, hashOf(r))
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// hashOf writes a trace hash as Summary does; the full stack has none.
func hashOf(r *sim.Result) string {
	if r.Hash == 0 {
		return ""
	}
	return fmt.Sprintf("%016x", r.Hash)
}
