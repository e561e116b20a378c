package measure

// This file answers: what did many viewers experience? Means hide viewers:
// median, 99th percentile and the worst 1 % are given.

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Spread of one measure over viewers. P99 means that 99 % of the viewers are
// at least this good; Worst is the mean of the worst 1 %, at least one viewer;
// Max is the worst.
type Spread struct {
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
	Worst float64 `json:"worst1pct"`
	Max   float64 `json:"max"`
}

// NewSpread computes a Spread; highIsGood turns the order round. values must not be empty.
func NewSpread(values []float64, highIsGood bool) Spread {
	v := slices.Clone(values)
	slices.Sort(v)
	if highIsGood {
		slices.Reverse(v)
	}
	rank := func(q float64) float64 { return v[max(0, int(math.Ceil(q*float64(len(v))))-1)] }
	worst := v[len(v)-max(1, len(v)/100):]
	sum := 0.0
	for _, x := range worst {
		sum += x
	}
	return Spread{P50: rank(.5), P99: rank(.99), Worst: sum / float64(len(worst)), Max: v[len(v)-1]}
}

// Summary of many viewers.
type Summary struct {
	Scenario        string   `json:"scenario,omitempty"`
	Peers           int      `json:"peers"`
	Seed            *uint64  `json:"seed,omitempty"`
	Viewers         int      `json:"viewers"`
	FailedJoins     *int     `json:"failed_joins,omitempty"`
	Kills           *int     `json:"kills,omitempty"`
	VirtualS        *float64 `json:"virtual_s,omitempty"`
	WallS           *float64 `json:"wall_s,omitempty"`
	TraceHash       string   `json:"trace_hash,omitempty"`
	FalseSwitches   *int     `json:"false_switches,omitempty"`
	SurvivorsIntact *float64 `json:"survivors_intact,omitempty"`
	// WithoutStandby counts stripes of viewers at the end without a standby though one is known.
	WithoutStandby *int `json:"without_standby,omitempty"`
	// TouchedGapMS is the gap after a death, over all viewers that a death touched.
	TouchedGapMS *Spread `json:"touched_gap_ms,omitempty"`
	Touched      *int    `json:"touched,omitempty"`
	// ViewerHours is what false switches are divided by.
	ViewerHours *float64 `json:"viewer_hours,omitempty"`
	// FloorGapMS is the same viewers' gap at the same times in a run without deaths.
	FloorGapMS *Spread `json:"floor_gap_ms,omitempty"`
	// Attack is what came of an attack; absent: nobody attacked.
	Attack *Hostility `json:"attack,omitempty"`

	DurationS     *Spread `json:"duration_s,omitempty"`
	ObjectsDue    *Spread `json:"objects_due,omitempty"`
	ObjectsPlayed *Spread `json:"objects_played,omitempty"`
	Continuity    *Spread `json:"continuity,omitempty"`
	Stalls        *Spread `json:"stalls,omitempty"`
	StallMS       *Spread `json:"stall_ms,omitempty"`
	MaxGapMS      *Spread `json:"max_gap_ms,omitempty"`
	StartupMS     *Spread `json:"startup_ms,omitempty"`
	LatencyP50MS  *Spread `json:"latency_p50_ms,omitempty"`
	LatencyP99MS  *Spread `json:"latency_p99_ms,omitempty"`
	BytesUnique   *Spread `json:"bytes_unique,omitempty"`
	BytesReceived *Spread `json:"bytes_received,omitempty"`
	BytesControl  *Spread `json:"bytes_control,omitempty"`
	BytesAuth     *Spread `json:"bytes_auth,omitempty"`
	BytesParity   *Spread `json:"bytes_parity,omitempty"`
	Redundancy    *Spread `json:"redundancy,omitempty"`
	Switches      *Spread `json:"switches,omitempty"`
	Hedges        *Spread `json:"hedges,omitempty"`
	Repairs       *Spread `json:"repairs,omitempty"`
	Rejected      *Spread `json:"rejected_objects,omitempty"`
}

type number interface {
	~int | ~int64 | ~uint64 | ~float64
}

// spread collects one field of all reports that measured it.
func spread[T number](rs []Report, of func(*Report) *T, highIsGood bool) *Spread {
	var v []float64
	for i := range rs {
		if x := of(&rs[i]); x != nil {
			v = append(v, float64(*x))
		}
	}
	if len(v) == 0 {
		return nil
	}
	s := NewSpread(v, highIsGood)
	return &s
}

// Add fills in the spreads over rs.
func (s *Summary) Add(rs []Report) {
	s.Viewers = len(rs)
	quantile := func(of func(*Quantiles) *float64) func(*Report) *float64 {
		return func(r *Report) *float64 {
			if r.LatencyMS == nil {
				return nil
			}
			return of(r.LatencyMS)
		}
	}
	s.DurationS = spread(rs, func(r *Report) *float64 { return r.DurationS }, true)
	s.ObjectsDue = spread(rs, func(r *Report) *uint64 { return r.ObjectsDue }, true)
	s.ObjectsPlayed = spread(rs, func(r *Report) *uint64 { return r.ObjectsPlayed }, true)
	s.Continuity = spread(rs, func(r *Report) *float64 { return r.Continuity }, true)
	s.Stalls = spread(rs, func(r *Report) *uint64 { return r.Stalls }, false)
	s.StallMS = spread(rs, func(r *Report) *float64 { return r.StallMS }, false)
	s.MaxGapMS = spread(rs, func(r *Report) *float64 { return r.MaxGapMS }, false)
	s.StartupMS = spread(rs, func(r *Report) *float64 { return r.StartupMS }, false)
	s.LatencyP50MS = spread(rs, quantile(func(q *Quantiles) *float64 { return &q.P50 }), false)
	s.LatencyP99MS = spread(rs, quantile(func(q *Quantiles) *float64 { return &q.P99 }), false)
	s.BytesUnique = spread(rs, func(r *Report) *int64 { return r.BytesUnique }, true)
	s.BytesReceived = spread(rs, func(r *Report) *int64 { return r.BytesReceived }, false)
	s.BytesControl = spread(rs, func(r *Report) *int64 { return r.BytesControl }, false)
	s.BytesAuth = spread(rs, func(r *Report) *int64 { return r.BytesAuth }, false)
	s.BytesParity = spread(rs, func(r *Report) *int64 { return r.BytesParity }, false)
	s.Redundancy = spread(rs, func(r *Report) *float64 { return r.Redundancy }, false)
	s.Switches = spread(rs, func(r *Report) *int { return r.Switches }, false)
	s.Hedges = spread(rs, func(r *Report) *int { return r.Hedges }, false)
	s.Repairs = spread(rs, func(r *Report) *int { return r.Repairs }, false)
	s.Rejected = spread(rs, func(r *Report) *int { return r.Rejected }, false)
}

// Survivors fills in which share of those who stayed missed nothing, if there are any.
func (s *Summary) Survivors(intact, all int) {
	if all > 0 {
		share := float64(intact) / float64(all)
		s.SurvivorsIntact = &share
	}
}

// Touch fills in the gaps after deaths, ms, of the viewers that deaths touched, if there are any.
func (s *Summary) Touch(gaps []float64) {
	if n := len(gaps); n > 0 {
		spread := NewSpread(gaps, false)
		s.TouchedGapMS, s.Touched = &spread, &n
	}
}

// Table returns the summary for people.
func (s *Summary) Table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d peers, %d viewers", s.Peers, s.Viewers)
	if s.Kills != nil {
		fmt.Fprintf(&b, ", %d deaths", *s.Kills)
	}
	if s.SurvivorsIntact != nil {
		fmt.Fprintf(&b, ", %.1f %% of the survivors missed nothing", 100**s.SurvivorsIntact)
	}
	if a := s.Attack; a != nil {
		fmt.Fprintf(&b, "\n%d attackers; honest viewers' continuity is %.5f in the mean; of %d objects that do not verify honest peers played %d and forwarded %d; they banned attackers %d times and each other %d times",
			a.Attackers, a.Continuity, a.BadRefused+a.BadPlayed, a.BadPlayed, a.BadForwarded, a.Bans, a.HonestBanned)
	}
	fmt.Fprintf(&b, "\n%-22s %12s %12s %12s %12s\n", "", "p50", "p99", "worst 1 %", "max")
	row := func(name string, v *Spread, format string) {
		if v == nil {
			return
		}
		fmt.Fprintf(&b, "%-22s", name)
		for _, x := range []float64{v.P50, v.P99, v.Worst, v.Max} {
			fmt.Fprintf(&b, " %12s", fmt.Sprintf(format, x))
		}
		b.WriteByte('\n')
	}
	row("continuity", s.Continuity, "%.5f")
	row("stalls", s.Stalls, "%.0f")
	row("gap after a death, ms", s.TouchedGapMS, "%.0f")
	row("  same without, ms", s.FloorGapMS, "%.0f")
	row("longest gap, ms", s.MaxGapMS, "%.0f")
	row("start-up, ms", s.StartupMS, "%.0f")
	row("latency p50, ms", s.LatencyP50MS, "%.1f")
	row("latency p99, ms", s.LatencyP99MS, "%.1f")
	row("redundancy", s.Redundancy, "%.4f")
	row("switches", s.Switches, "%.0f")
	row("repairs", s.Repairs, "%.0f")
	row("rejected objects", s.Rejected, "%.0f")
	return b.String()
}
