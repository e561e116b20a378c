package report

// This file answers: what is compared when runs stand side by side, and how is
// each figure written?

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/braidway/braidway/measure"
	"github.com/braidway/braidway/sim"
)

// Run is one column, or one colour.
type Run struct {
	Label  string
	Result *sim.Result
	Seeds  *Seeds // of a pooled result; nil: one seed
}

// absent is written for what was not measured: never a zero.
const absent = "–"

// row is one figure of every run.
type row struct {
	name string
	cell func(*Run) string
}

// rows are what runs are compared by.
var rows = []row{
	{"viewers", func(r *Run) string { return count(len(r.Result.Viewers)) }},
	{"continuity p50", of(continuity, p50, share5)},
	{"continuity p99", of(continuity, p99, share5)},
	{"continuity worst 1 %", of(continuity, worst, share5)},
	{"survivors intact", intact},
	{"stalls", func(r *Run) string { return count(totalStalls(r.Result)) }},
	{"viewers with a stall", func(r *Run) string {
		stalled, n := withStall(r.Result)
		return ratio(float64(stalled), float64(n), percent2)
	}},
	{"gap after a death p50, ms (floor)", gapBesideFloor(p50)},
	{"gap after a death p99, ms (floor)", gapBesideFloor(p99)},
	{"start-up p50, ms", of(startup, p50, whole)},
	{"start-up p99, ms", of(startup, p99, whole)},
	{"redundancy p50", of(redundancy, p50, percent2)},
	{"redundancy p99", of(redundancy, p99, percent2)},
	{"false switches per viewer-hour", func(r *Run) string {
		return ratio(float64(r.Result.FalseSwitches), r.Result.ViewerHours, func(v float64) string { return trim(v, 2) })
	}},
	{"failed joins", func(r *Run) string { return count(r.Result.FailedJoins) }},
}

func continuity(s *measure.Summary) *measure.Spread { return s.Continuity }
func startup(s *measure.Summary) *measure.Spread    { return s.StartupMS }
func redundancy(s *measure.Summary) *measure.Spread { return s.Redundancy }

func p50(s *measure.Spread) float64   { return s.P50 }
func p99(s *measure.Spread) float64   { return s.P99 }
func worst(s *measure.Spread) float64 { return s.Worst }

func share5(v float64) string   { return strconv.FormatFloat(v, 'f', 5, 64) }
func percent2(v float64) string { return strconv.FormatFloat(v*100, 'f', 2, 64) + " %" }
func whole(v float64) string    { return strconv.FormatFloat(v, 'f', 0, 64) }

// of writes one quantile of one measure.
func of(get func(*measure.Summary) *measure.Spread, quantile func(*measure.Spread) float64, format func(float64) string) func(*Run) string {
	return func(r *Run) string {
		s := get(&r.Result.Summary)
		if s == nil {
			return absent
		}
		return format(quantile(s))
	}
}

// spreadOf returns the spread of values of which less is better; nil: none.
func spreadOf(v []float64) *measure.Spread {
	v = slices.DeleteFunc(slices.Clone(v), func(x float64) bool { return !finite(x) })
	if len(v) == 0 {
		return nil
	}
	s := measure.NewSpread(v, false)
	return &s
}

func gapBesideFloor(quantile func(*measure.Spread) float64) func(*Run) string {
	return func(r *Run) string {
		touched, floor := spreadOf(r.Result.Touched), spreadOf(r.Result.Floor)
		switch {
		case touched == nil:
			return absent
		case floor == nil:
			return whole(quantile(touched))
		}
		return whole(quantile(touched)) + " (" + whole(quantile(floor)) + ")"
	}
}

// intact writes the share of survivors that missed nothing; of several seeds also least and most.
func intact(r *Run) string {
	s := r.Result.Summary.SurvivorsIntact
	if s == nil {
		return absent
	}
	if r.Seeds == nil || len(r.Seeds.Seeds) < 2 || r.Seeds.SurvivorsIntact == nil {
		return percent2(*s)
	}
	x := r.Seeds.SurvivorsIntact
	return fmt.Sprintf("%s (%.2f to %.2f)", percent2(x.Median), 100*x.Least, 100*x.Most)
}

// totalStalls counts all stalls of all viewers.
func totalStalls(r *sim.Result) (n int) {
	for i := range r.Viewers {
		if s := r.Viewers[i].Report.Stalls; s != nil {
			n += int(*s)
		}
	}
	return n
}

// withStall counts the viewers that stalled, and those that played.
func withStall(r *sim.Result) (stalled, n int) {
	for i := range r.Viewers {
		if s := r.Viewers[i].Report.Stalls; s != nil {
			n++
			if *s > 0 {
				stalled++
			}
		}
	}
	return stalled, n
}

// ratio writes a/b; nothing can be said over nothing.
func ratio(a, b float64, format func(float64) string) string {
	if !(b > 0) {
		return absent
	}
	return format(a / b)
}

// count writes a whole number with its thousands apart.
func count[T ~int | ~int64 | ~uint64](n T) string {
	s := fmt.Sprint(n)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// depths returns median, 99th percentile and most of the depths.
func depths(r *sim.Result) (mid, high, most int, ok bool) {
	if len(r.Depths) == 0 {
		return 0, 0, 0, false
	}
	d := slices.Clone(r.Depths)
	slices.Sort(d)
	rank := func(percent int) int { return d[(len(d)*percent+99)/100-1] }
	return rank(50), rank(99), d[len(d)-1], true
}

// fact is one line about a run that is no spread over viewers.
type fact struct{ name, value string }

// facts says what a run was and what it cost.
func facts(r *Run) []fact {
	res := r.Result
	fs := []fact{
		{"peers", peersOf(r)},
		{seedName(r), seedsOf(r)},
		{"deaths", count(res.Kills)},
		{"failed joins", count(res.FailedJoins)},
		{"survivors intact", intact(r)},
		{"false switches", count(res.FalseSwitches) + ", " +
			ratio(float64(res.FalseSwitches), res.ViewerHours, func(v float64) string { return trim(v, 2) }) + " per viewer-hour"},
		{"stripes without a standby", count(res.WithoutStandby) + " at the end"},
	}
	if mid, high, most, ok := depths(res); ok {
		fs = append(fs, fact{"depth", fmt.Sprintf("p50 %d, p99 %d, max %d", mid, high, most)})
	}
	fs = append(fs, fact{"relays in more than one stripe", count(res.Interior)})
	if res.Collapsed {
		where := "yes"
		if r.Seeds != nil {
			where = fmt.Sprintf("in %d of %d seeds", r.Seeds.Collapsed, len(r.Seeds.Seeds))
		}
		fs = append(fs, fact{"collapsed", where})
	}
	if res.Events > 0 { // the full stack has none, nor a hash
		fs = append(fs, fact{"events", count(res.Events) + ", " + ratio(float64(res.Events), res.Wall.Seconds(), short) + "/s"})
	}
	fs = append(fs, fact{"memory", trim(float64(res.Bytes)/1000, 1) + " kB a peer"})
	if h := hashOf(res); h != "" {
		fs = append(fs, fact{"trace hash", h + ofSeeds(r)})
	}
	return fs
}

// ofSeeds says that a hash is over those of several seeds.
func ofSeeds(r *Run) string {
	if r.Seeds == nil || len(r.Seeds.Seeds) < 2 {
		return ""
	}
	return " over all seeds"
}

func peersOf(r *Run) string {
	if r.Seeds != nil && len(r.Seeds.Seeds) > 1 {
		return fmt.Sprintf("%s in each of %d seeds", count(r.Result.Peers), len(r.Seeds.Seeds))
	}
	return count(r.Result.Peers)
}

func seedName(r *Run) string {
	if r.Seeds != nil && len(r.Seeds.Seeds) > 1 {
		return "seeds"
	}
	return "seed"
}

// seedsOf writes seeds, neighbours as a range.
func seedsOf(r *Run) string {
	if r.Seeds == nil || len(r.Seeds.Seeds) == 0 {
		return fmt.Sprint(r.Result.Seed)
	}
	var parts []string
	for s := r.Seeds.Seeds; len(s) > 0; {
		n := 1
		for n < len(s) && s[n] == s[n-1]+1 {
			n++
		}
		if n > 2 {
			parts = append(parts, fmt.Sprintf("%d to %d", s[0], s[n-1]))
		} else {
			n = 1
			parts = append(parts, fmt.Sprint(s[0]))
		}
		s = s[n:]
	}
	return strings.Join(parts, ", ")
}
