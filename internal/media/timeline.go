package media

// This file answers: when is a frame, on a time line that goes on evenly
// whatever the stream's timestamps do?

import "time"

const (
	// clockRate of PTS and DTS, Hz.
	clockRate = 90000
	// maxStep is the longest step from one frame of a track to the next that is
	// believed: more is a jump of the timestamps, as is a step back.
	maxStep = 10 * time.Second
	// maxBack is a step back that is taken for unevenness, and evened out.
	maxBack = 500 * time.Millisecond
)

// ticks converts 90 kHz into time.
func ticks(n int64) time.Duration {
	return time.Duration(n/clockRate)*time.Second + time.Duration(n%clockRate)*time.Second/clockRate
}

// inTicks converts time into 90 kHz, rounded up.
func inTicks(d time.Duration) int64 {
	return int64(d/time.Second)*clockRate + int64((d%time.Second*clockRate+time.Second-1)/time.Second)
}

// mapping says where on the time line a timestamp is: raw is at, and others
// within 2^32 ticks, 13 hours, accordingly.
type mapping struct {
	set bool
	raw uint64
	at  int64 // ticks
}

func (m mapping) of(raw uint64) int64 { return m.at + int64((raw-m.raw)<<31)>>31 }

// timeline is common to all tracks, so that they stay in step when all jump.
type timeline struct {
	now, before mapping // before: of tracks that have not jumped yet
	last        time.Duration
	jumps       uint64
}

// trackClock is the part of one track.
type trackClock struct {
	begun bool
	last  time.Duration // DTS of its last frame
	next  time.Duration // where that frame ends
}

// place returns where raw, the DTS of the track's next frame, is.
func (t *timeline) place(c *trackClock, raw uint64) time.Duration {
	if !t.now.set {
		t.now = mapping{set: true, raw: raw, at: int64(raw % ptsWrap)}
	}
	near := t.last
	if c.begun {
		near = c.last
	}
	for _, m := range []*mapping{&t.now, &t.before} {
		if !m.set {
			continue
		}
		there := m.of(raw)
		at := ticks(there)
		if c.begun || t.last > 0 {
			if at-near > maxStep || near-at > maxBack && (c.begun || near-at > maxStep) {
				continue
			}
		}
		m.raw, m.at = raw, there
		if c.begun && at <= c.last {
			at = c.last + ticks(1)
		}
		return at
	}
	t.jumps++
	at := max(c.next, c.last+ticks(1))
	if !c.begun {
		at = t.last
	}
	there := inTicks(at)
	t.before, t.now = t.now, mapping{set: true, raw: raw, at: there}
	return ticks(there)
}

// gave notes a frame that lasts for span.
func (t *timeline) gave(c *trackClock, dts, span time.Duration) {
	c.begun, c.last, c.next = true, dts, dts+max(span, ticks(1))
	t.last = max(t.last, dts)
}
