package report

// This file answers: who was worst off, and why?

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/braidway/braidway/sim"
)

// maxListed bounds the page; the file of the result has all.
const maxListed = 200

// worstViewer is one line of the list.
type worstViewer struct {
	Index, Slots                        int
	Region, Access, Joined, Left        string
	Continuity, Stalls, StallMS, Gap    string
	Startup, Latency, Redundancy, Moved string
	Why                                 string
}

// worstViewers lists the worst 1 % by continuity, the worst first, and those
// of whom the run says why; all says how many they are if not all are listed.
func worstViewers(r *sim.Result) (list []worstViewer, all string) {
	var vs []*sim.ViewerResult
	for i := range r.Viewers {
		vs = append(vs, &r.Viewers[i])
	}
	slices.SortStableFunc(vs, worseFirst)
	worst, n := max(1, len(vs)/100), 0
	vs = slices.DeleteFunc(vs, func(v *sim.ViewerResult) bool {
		n++
		return n > worst && len(v.Why) == 0
	})
	if len(vs) > maxListed {
		all = count(len(vs))
		vs = vs[:maxListed]
	}
	for _, v := range vs {
		list = append(list, describe(v))
	}
	return list, all
}

// worseFirst compares by continuity, then stalls, then the longest gap; who
// never had a picture is worst of all.
func worseFirst(a, b *sim.ViewerResult) int {
	or := func(v *float64, none float64) float64 {
		if v == nil {
			return none
		}
		return *v
	}
	return cmp.Or(
		cmp.Compare(or(a.Report.Continuity, -1), or(b.Report.Continuity, -1)),
		cmp.Compare(or(b.Report.StallMS, 0), or(a.Report.StallMS, 0)),
		cmp.Compare(or(b.Report.MaxGapMS, 0), or(a.Report.MaxGapMS, 0)),
		cmp.Compare(a.Index, b.Index))
}

func describe(v *sim.ViewerResult) worstViewer {
	m := &v.Report
	w := worstViewer{Index: v.Index, Region: v.Region, Access: v.Access, Slots: v.Slots,
		Joined: "before", Left: "stayed", Why: strings.Join(v.Why, "\n"),
		Continuity: maybe(m.Continuity, share5), StallMS: maybe(m.StallMS, whole), Gap: maybe(m.MaxGapMS, whole),
		Startup: maybe(m.StartupMS, whole), Redundancy: maybe(m.Redundancy, percent2)}
	if v.Joined > 0 {
		w.Joined = seconds(v.Joined)
	}
	if v.Left > 0 {
		w.Left = seconds(v.Left)
		if v.Died {
			w.Left += ", silently"
		}
	}
	if m.Stalls != nil {
		w.Stalls = count(*m.Stalls)
	} else {
		w.Stalls = absent
	}
	w.Latency, w.Moved = absent, absent
	if m.LatencyMS != nil {
		w.Latency = whole(m.LatencyMS.P99)
	}
	if m.Switches != nil {
		w.Moved = count(*m.Switches)
	}
	return w
}

func maybe(v *float64, format func(float64) string) string {
	if v == nil {
		return absent
	}
	return format(*v)
}

func seconds(d time.Duration) string { return trim(d.Seconds(), 1) + " s" }
