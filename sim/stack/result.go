package stack

// This file answers: how does a result come about? As the model's does, from
// the same measures.

import (
	"runtime"
	"time"

	"github.com/braidway/braidway/measure"
	"github.com/braidway/braidway/sim"
)

// result takes the measures of all viewers.
func (w *world) result() *sim.Result {
	now := w.now()
	r := &sim.Result{Scenario: w.scenario, Peers: w.peers, Seed: w.seed, Partial: now < w.end, Faults: w.marks, Kills: w.kills,
		FalseSwitches: w.wrong, Stalls: w.stalls, Touched: w.touched}
	var reports []measure.Report
	survivors, intact, behind, alive := 0, 0, 0, 0
	made := w.sys.made()
	living := map[*member]bool{}
	for _, m := range w.living() {
		living[m] = true
	}
	for _, m := range w.all() {
		if !living[m] && m.gone == 0 || m.gone != 0 && m.gone < w.begin {
			continue // it is only just starting, or was gone before
		}
		v := w.viewer(m, now)
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
		if living[m] {
			alive++
			lag := time.Duration(float64(made-min(made, m.v.position())) / w.set.Objects * float64(time.Second))
			if lag > collapseLag && now-m.joined > measure.JoinLimit {
				behind++
			}
			w.shape(m, r)
		}
		reports = append(reports, v.Report)
		r.Viewers = append(r.Viewers, v)
	}
	r.Collapsed = alive > 0 && float64(behind) > collapseShare*float64(alive)
	w.summarise(r, now, reports, survivors, intact)
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	r.Bytes = mem.Sys / uint64(len(w.all())+1)
	return r
}

// viewer reports one viewer.
func (w *world) viewer(m *member, now time.Duration) sim.ViewerResult {
	end := now
	if m.gone != 0 {
		end = m.gone
	}
	m.freeze()
	v := sim.ViewerResult{Index: m.index, Region: m.line.Region, Access: m.line.Access, Slots: m.line.Slots, Joined: m.joined - w.begin,
		Died: m.gone != 0 && !m.left, Survivor: m.gone == 0, Report: *m.final}
	if m.gone != 0 {
		v.Left = end - w.begin
	}
	d := (end - max(m.joined, w.begin)).Seconds()
	if now < w.begin { // stopped in the warm-up
		d = (end - m.joined).Seconds()
	}
	v.Report.DurationS = &d
	return v
}

// shape adds a living viewer's place in the trees.
func (w *world) shape(m *member, r *sim.Result) {
	p, ok := m.v.look()
	if !ok {
		return
	}
	r.Depths = append(r.Depths, p.depths...)
	r.FanOut = append(r.FanOut, p.children)
	r.WithoutStandby += p.lacking
	if p.interior > 1 {
		r.Interior++
	}
}

func (w *world) summarise(r *sim.Result, now time.Duration, reports []measure.Report, survivors, intact int) {
	virtual, seed := now.Seconds(), w.seed
	sum := measure.Summary{Scenario: w.scenario.Name, Peers: w.peers, Seed: &seed, FailedJoins: &r.FailedJoins, Kills: &r.Kills,
		VirtualS: &virtual, FalseSwitches: &r.FalseSwitches, WithoutStandby: &r.WithoutStandby}
	sum.Add(reports)
	if r.ViewerHours > 0 {
		sum.ViewerHours = &r.ViewerHours
	}
	sum.Survivors(intact, survivors)
	sum.Touch(r.Touched)
	r.Summary = sum
}
