package report

// This file answers: what do the tests report on, without running a simulation?

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/braidway/braidway/measure"
	"github.com/braidway/braidway/sim"
)

// fake returns a made-up result with n viewers: harm 0 is a good run, 1 a bad one.
func fake(seed uint64, n int, harm float64) *sim.Result {
	rng := rand.New(rand.NewPCG(seed, 7))
	s, _ := sim.Find("relay-kill")
	r := &sim.Result{Scenario: s, Peers: n, Seed: seed, Hash: 0xfeed<<32 | seed, Events: 91_234_567, Wall: 61 * time.Second, Bytes: 81_000,
		Kills: 50, FailedJoins: int(3 * harm), FalseSwitches: int(40 * harm), ViewerHours: float64(n) * 110 / 3600}
	for i := range 50 {
		r.Faults = append(r.Faults, sim.FaultMark{At: time.Duration(4+2*i) * time.Second, What: "kill", Hit: 1})
	}
	r.Faults = append(r.Faults, sim.FaultMark{At: 60 * time.Second, What: "partition", Hit: n / 4})
	r.Stalls = make([]int, 110)
	regions, accesses := []string{"Europe", "North America", "East Asia"}, []string{"fibre", "cable", "LTE", "DSL"}
	var survivors, intact float64
	for i := range n {
		v := fakeViewer(rng, i, harm)
		v.Region, v.Access, v.Slots = regions[rng.IntN(3)], accesses[rng.IntN(4)], rng.IntN(12)
		if *v.Report.Stalls > 0 {
			r.Stalls[min(109, 4+2*rng.IntN(52)+rng.IntN(2))] += int(*v.Report.Stalls)
		}
		if v.Survivor {
			survivors++
			if *v.Report.Continuity == 1 {
				intact++
			}
		}
		if rng.Float64() < 0.6 {
			floor := 40 + rng.ExpFloat64()*22
			r.Floor, r.Touched = append(r.Floor, floor), append(r.Touched, floor+60*rng.Float64()+rng.ExpFloat64()*(25+900*harm))
		}
		for range s.Settings.Stripes {
			r.Depths = append(r.Depths, 1+int(math.Abs(rng.NormFloat64()*(1.2+3*harm)+4)))
		}
		r.FanOut = append(r.FanOut, int(rng.ExpFloat64()*4*float64(rng.IntN(2))))
		r.Viewers = append(r.Viewers, v)
	}
	var reports []measure.Report
	for i := range r.Viewers {
		reports = append(reports, r.Viewers[i].Report)
		if i%100 == 0 {
			r.Viewers[i].Why = []string{"  41.203 s  parent 77 of stripe 2 suspected after 160 ms", "  41.204 s  switch to 19, standby", "  41.391 s  a gap of 214ms ends <&>"}
		}
	}
	virtual, wall := 135.0, r.Wall.Seconds()
	r.Summary = measure.Summary{Scenario: s.Name, Peers: n, Seed: &r.Seed, Kills: &r.Kills, FailedJoins: &r.FailedJoins,
		FalseSwitches: &r.FalseSwitches, WithoutStandby: &r.WithoutStandby, VirtualS: &virtual, WallS: &wall, TraceHash: fmt.Sprintf("%016x", r.Hash)}
	r.Summary.Add(reports)
	if survivors > 0 {
		share := intact / survivors
		r.Summary.SurvivorsIntact = &share
	}
	if r.Summary.TouchedGapMS = spreadOf(r.Touched); len(r.Touched) > 0 {
		touched := len(r.Touched)
		r.Summary.Touched = &touched
	}
	r.Summary.FloorGapMS = spreadOf(r.Floor)
	return r
}

func fakeViewer(rng *rand.Rand, i int, harm float64) sim.ViewerResult {
	at := func(v float64) *float64 { return &v }
	number := func(v int) *int { return &v }
	bytes := func(v float64) *int64 { b := int64(v); return &b }
	due := uint64(8800)
	var missed, stalls uint64
	if rng.Float64() < 0.008+0.7*harm {
		missed = min(due, uint64(rng.ExpFloat64()*(20+400*harm))+1)
		stalls = 1 + missed/60
	}
	played := due - missed
	unique := 18.5e6 + rng.Float64()*1e6
	control, again := unique*(0.014+0.004*rng.Float64()), unique*(0.002+rng.ExpFloat64()*0.002+0.4*harm*rng.Float64())
	v := sim.ViewerResult{Index: i, Joined: -time.Duration(rng.IntN(10_000)) * time.Millisecond, Survivor: true}
	if i%17 == 3 {
		v.Joined, v.Left, v.Died, v.Survivor = 20*time.Second, 71*time.Second, true, false
	}
	v.Report = measure.Report{DurationS: at(110), ObjectsDue: &due, ObjectsPlayed: &played, Continuity: at(float64(played) / float64(due)),
		Stalls: &stalls, StallMS: at(float64(stalls) * (80 + 300*rng.Float64())), MaxGapMS: at(40 + rng.ExpFloat64()*(60+600*harm)),
		StartupMS: at(120 + rng.ExpFloat64()*180*(1+4*harm)), LatencyMS: &measure.Quantiles{P50: 180 + 90*rng.Float64(), P99: 300 + 200*rng.Float64()},
		BytesUnique: bytes(unique), BytesReceived: bytes(unique + control + again), BytesControl: bytes(control),
		BytesAuth: bytes(unique * 0.011), BytesParity: bytes(0), Redundancy: at((control + again) / unique),
		Switches: number(rng.IntN(6)), Hedges: number(rng.IntN(9)), Repairs: number(rng.IntN(30)), Rejected: number(0)}
	return v
}

// compared is Braidway beside baselines, made up.
func compared() []Run {
	harms := []float64{0, 0.9, 0.25, 0.5, 0.15}
	var runs []Run
	for i, system := range sim.Systems() {
		r := fake(1, 800, harms[i])
		r.Scenario.Settings.System = system
		runs = append(runs, Run{Label: system, Result: r})
	}
	return runs
}
