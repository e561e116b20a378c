package measure

// This file answers: how is a viewer's experience written down? The JSON is a
// contract: a field that was not measured is absent, never zero.

import (
	"time"

	"github.com/braidway/braidway/stream"
)

// Quantiles of a measure, in its unit.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// Report of one viewer. Times are in ms unless the name says otherwise; nil: not measured.
type Report struct {
	Stream        string     `json:"stream,omitempty"`
	Peer          string     `json:"peer,omitempty"`
	DurationS     *float64   `json:"duration_s,omitempty"`
	ObjectsDue    *uint64    `json:"objects_due,omitempty"`
	ObjectsPlayed *uint64    `json:"objects_played,omitempty"`
	Continuity    *float64   `json:"continuity,omitempty"`
	Stalls        *uint64    `json:"stalls,omitempty"`
	StallMS       *float64   `json:"stall_ms,omitempty"`
	MaxGapMS      *float64   `json:"max_gap_ms,omitempty"`
	StartupMS     *float64   `json:"startup_ms,omitempty"`
	LatencyMS     *Quantiles `json:"latency_ms,omitempty"`
	BytesUnique   *int64     `json:"bytes_unique,omitempty"`
	BytesReceived *int64     `json:"bytes_received,omitempty"`
	BytesControl  *int64     `json:"bytes_control,omitempty"`
	BytesAuth     *int64     `json:"bytes_auth,omitempty"`
	BytesParity   *int64     `json:"bytes_parity,omitempty"`
	Redundancy    *float64   `json:"redundancy,omitempty"`
	Switches      *int       `json:"switches,omitempty"`
	Hedges        *int       `json:"hedges,omitempty"`
	Repairs       *int       `json:"repairs,omitempty"`
	Rejected      *int       `json:"rejected_objects,omitempty"`
}

// JoinLimit is when a join has failed: there is no picture yet (DESIGN, section 8).
const JoinLimit = 10 * time.Second

// JoinFailed says whether the viewer had no picture by JoinLimit.
func (r *Report) JoinFailed() bool {
	wait := 0.0 // seconds
	switch {
	case r.StartupMS != nil:
		wait = *r.StartupMS / 1000
	case r.DurationS != nil:
		wait = *r.DurationS
	}
	return wait > JoinLimit.Seconds()
}

func ms(d time.Duration) *float64 {
	v := float64(d.Microseconds()) / 1000
	return &v
}

// Report describes the time from the request until now; play may be nil for
// one who plays nothing.
func (v *Viewer) Report(now time.Duration, play *stream.PlayoutStats) Report {
	dur := (now - v.request).Seconds()
	c := v.Counts
	r := Report{DurationS: &dur, Switches: &c.Switches, Hedges: &c.Hedges, Repairs: &c.Repairs, Rejected: &c.Rejected,
		BytesUnique: &c.BytesUnique, BytesReceived: &c.BytesReceived, BytesControl: &c.BytesControl, BytesAuth: &c.BytesAuth, BytesParity: &c.BytesParity}
	if c.BytesUnique > 0 {
		red := float64(c.BytesReceived-c.BytesUnique) / float64(c.BytesUnique)
		r.Redundancy = &red
	}
	if !v.running {
		return r
	}
	r.StartupMS, r.MaxGapMS = ms(v.first-v.request), ms(v.maxGap)
	r.LatencyMS = &Quantiles{P50: float64(v.latency.ValueAtQuantile(50)*v.unit) / 1000, P99: float64(v.latency.ValueAtQuantile(99)*v.unit) / 1000}
	if play != nil && play.Due > 0 {
		// The object that ends a stall came after its deadline.
		cont := float64(play.Played-min(play.Played, play.Stalls)) / float64(play.Due)
		r.ObjectsDue, r.ObjectsPlayed, r.Continuity = &play.Due, &play.Played, &cont
		r.Stalls, r.StallMS = &play.Stalls, ms(play.StallTime)
	}
	return r
}
