package media

// This file answers: what if an encoder sends more than was announced, or more
// than is allowed?

import (
	"fmt"
	"time"
)

const (
	// overAnnounced times the announced bitrate is worth a warning: encoders
	// with a variable bitrate come near 1.5.
	overAnnounced = 2
	// overFor windows in a row it has to last.
	overFor = 3
	// burst is what may come at once over the highest bitrate: a keyframe is far
	// above the mean.
	burst = 2 * time.Second
)

// rateGuard compares the measured bitrate with the announced one.
type rateGuard struct {
	announced float64 // bit/s; 0: none
	windows   int     // in a row that were above
}

// look takes the bitrate of a window; "": all is well.
func (g *rateGuard) look(rate float64) string {
	if g.announced == 0 || rate <= overAnnounced*g.announced {
		g.windows = 0
		return ""
	}
	if g.windows++; g.windows < overFor {
		return ""
	}
	return fmt.Sprintf("the input has %s, announced are %s: relays have room for fewer children than they think until they have measured it; give --bitrate %[1]s, or bound it with --max-bitrate",
		bitrate(rate), bitrate(g.announced))
}

// bitrate writes a rate as the command's flags take it.
func bitrate(r float64) string {
	switch {
	case r >= 1e6:
		return fmt.Sprintf("%.1fMbps", r/1e6)
	case r >= 1e3:
		return fmt.Sprintf("%.0fkbps", r/1e3)
	}
	return fmt.Sprintf("%.0fbps", r)
}

// limiter is a Sink that lets at most a bitrate through, with a bucket of two
// seconds. What is over it is the rest of a group and the groups after it, until
// the bucket is half full again: viewers see a still picture, then go on at a
// keyframe. Nothing is kept for later.
type limiter struct {
	out    Sink
	max    float64 // bit/s; 0: no bound
	watch  *Watch
	now    func() time.Time
	last   time.Time
	tokens float64 // bits
	over   bool
	video  bool // there are pictures, so that cuts are before one
}

// StartGroup implements Sink.
func (l *limiter) StartGroup(preamble []byte) error {
	if l.max > 0 {
		l.fill()
		if l.over && l.tokens < l.max*burst.Seconds()/2 {
			return nil
		}
		l.over = false
	}
	l.watch.group()
	return l.out.StartGroup(preamble)
}

// Write implements Sink.
func (l *limiter) Write(p []byte) (int, error) {
	if l.max == 0 {
		return l.out.Write(p)
	}
	l.fill()
	if need := 8 * float64(len(p)); !l.over && (l.tokens >= need || !l.mayCut(p)) {
		l.tokens -= need
		return l.out.Write(p)
	}
	if !l.over {
		l.watch.Warn(NoticeRate, "the input is above --max-bitrate %s: it is left out from here to a later keyframe, and viewers see a still picture; lower the encoder's bitrate", bitrate(l.max))
	}
	l.over = true
	l.watch.drop(len(p))
	return len(p), nil
}

// mayCut reports whether the stream may be cut before p: not within a picture,
// unless that is longer than the whole bucket.
func (l *limiter) mayCut(p []byte) bool {
	if l.tokens < -l.max*burst.Seconds() {
		return true
	}
	t, ok := parsePacket(p[:min(len(p), PacketSize)])
	if !ok {
		return true
	}
	starts := t.start && len(t.payload) > 3 && t.payload[0] == 0 && t.payload[1] == 0 && t.payload[2] == 1
	picture := starts && t.payload[3]>>4 == 0xe
	l.video = l.video || picture
	return picture || starts && !l.video
}

// fill adds what may come since the last look.
func (l *limiter) fill() {
	now := l.now()
	if l.last.IsZero() {
		l.tokens = l.max * burst.Seconds()
	} else {
		l.tokens = min(l.tokens+l.max*now.Sub(l.last).Seconds(), l.max*burst.Seconds())
	}
	l.last = now
}
