package node

// This file answers: how does a viewer get the stream's bytes, and what does
// it experience?

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/braidway/braidway/measure"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/stream"
)

// ErrEnded says that the publisher ended the stream, and everything was played.
var ErrEnded = errors.New("the stream has ended")

// GroupSink is an output that is told what a plain writer cannot see. Calls
// come from one goroutine, and must not wait: the player waits for them. It may
// keep what it is given by Write, which nobody changes, and may not change it.
type GroupSink interface {
	io.Writer
	// StartGroup says that the next Write begins a group; h is of its first object.
	StartGroup(h stream.Header)
	// Gap says that bytes are missing before the next Write, or that it goes on
	// with another publisher's. A StartGroup may follow.
	Gap()
}

// Player is the Observer of a viewer: it puts the stripes together and writes
// the stream's bytes in order, from a group's start.
type Player struct {
	out  io.Writer
	sink GroupSink // out, if it is one
	wake chan struct{}

	mu      sync.Mutex
	play    *stream.Playout
	view    *measure.Viewer
	session *Session
	epoch   uint64        // the highest seen, which view follows
	age     time.Duration // of objects as they come, a moving average
	// What was there when the measures began anew.
	zero   stream.PlayoutStats
	totals Totals
}

// NewPlayer returns a player that writes to out, which may be a GroupSink; nil:
// it plays into the void. It starts counting now: pass it to Join at once, then Attach the session.
func NewPlayer(out io.Writer, buffer time.Duration) *Player {
	if out == nil {
		out = io.Discard
	}
	p := &Player{out: out, play: stream.NewPlayout(stream.PlayoutConfig{Buffer: buffer, Eager: true}),
		view: measure.NewViewer(0), wake: make(chan struct{}, 1)}
	if g, ok := out.(GroupSink); ok {
		p.sink = g
	}
	return p
}

// Outputs is a GroupSink that writes to several; those that are GroupSinks are
// told where groups begin. A Write fails with the first that does.
func Outputs(all ...io.Writer) GroupSink { return outputs(all) }

type outputs []io.Writer

// Write implements io.Writer.
func (o outputs) Write(b []byte) (int, error) {
	for _, w := range o {
		if _, err := w.Write(b); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// StartGroup implements GroupSink.
func (o outputs) StartGroup(h stream.Header) {
	for _, w := range o {
		if g, ok := w.(GroupSink); ok {
			g.StartGroup(h)
		}
	}
}

// Gap implements GroupSink.
func (o outputs) Gap() {
	for _, w := range o {
		if g, ok := w.(GroupSink); ok {
			g.Gap()
		}
	}
}

// Attach tells the player its session, whose counts go into the report.
func (p *Player) Attach(s *Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.session = s
}

// Started implements Observer.
func (p *Player) Started(now time.Duration, epoch, first uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if epoch == p.epoch {
		p.play.Raise(first)
	} else {
		p.play.Start(epoch, first)
	}
	p.view.Start(now, epoch, first)
	p.epoch = max(p.epoch, epoch)
}

// Delivered implements Observer.
func (p *Player) Delivered(now time.Duration, o *stream.Parsed) {
	p.mu.Lock()
	p.play.Add(now, *o)
	age := time.Duration(time.Now().UnixMicro()-o.Time) * time.Microsecond
	p.view.Object(now, o.Epoch, o.Seq, o.Time, age)
	if p.age == 0 {
		p.age = age
	}
	p.age += (age - p.age) / ageWeight
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Traced implements Observer.
func (p *Player) Traced(_ time.Duration, t overlay.Trace, _ *overlay.Action) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch t {
	case overlay.TraceSwitch:
		p.view.Switches++
	case overlay.TraceHedge:
		p.view.Hedges++
	case overlay.TraceRepair:
		p.view.Repairs++
	}
}

// Run writes until ctx ends, the stream ends (ErrEnded) or writing fails.
func (p *Player) Run(ctx context.Context, s *Session) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var last stream.Header // of the object written last
	var holes uint64       // before it
	for {
		p.mu.Lock()
		o, ok := p.play.Next(s.Now())
		wait := time.Hour
		if at := p.play.Deadline(); at != stream.Never {
			wait = max(at-s.Now(), time.Millisecond)
		}
		if st := p.play.Stats(); st.Epoch == p.epoch {
			p.view.GaveUp(st.Position)
		}
		ended, missed := p.play.Ended(), p.play.Stats().Holes
		p.mu.Unlock()
		if ok {
			if o.Encrypted {
				plain, err := p.decrypt(ctx, s, &o)
				if err != nil {
					return err
				}
				unread := len(plain) == 0 && len(o.Payload) > 0
				if o.Payload = plain; unread && p.sink != nil {
					p.sink.Gap()
				}
			}
			if p.sink != nil {
				if last.Epoch > 0 && (o.Epoch != last.Epoch || missed != holes) {
					p.sink.Gap()
				}
				if o.GroupStart() || o.Group != last.Group && o.Seq == o.GroupFirst+1 && missed == holes { // a preamble was passed over
					p.sink.StartGroup(o.Header)
				}
				last, holes = o.Header, missed
			}
			if _, err := p.out.Write(o.Payload); err != nil {
				return err
			}
			if ended {
				return ErrEnded
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-p.wake:
		case <-timer.C:
		case <-s.Denied():
			return s.DeniedFor()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// decrypt returns an object's payload as it is played: nothing, where the
// publisher sealed it for others. For a key that is under way it waits.
func (p *Player) decrypt(ctx context.Context, s *Session, o *stream.Parsed) ([]byte, error) {
	limit := time.Now().Add(keyWait)
	for {
		changed := s.accessChanged()
		plain, err := s.plain(o)
		switch {
		case err == nil:
			return plain, nil
		case !errors.Is(err, stream.ErrNoKey) || time.Until(limit) <= 0:
			if s.count.unread.Add(1) == 1 {
				s.log.Warn("cannot decrypt the stream", "err", err)
			}
			return nil, nil
		}
		select {
		case <-changed:
		case <-time.After(time.Until(limit)):
		case <-s.Denied():
			return nil, s.DeniedFor()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Restart forgets what was experienced until now but the start-up: a warm-up
// does not count.
func (p *Player) Restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.session == nil {
		return
	}
	p.view.Restart(p.session.Now())
	p.zero, p.totals = p.play.Stats(), p.session.Totals()
}

// Report describes what was experienced since the request, or the last Restart.
func (p *Player) Report() measure.Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.session
	if s == nil {
		return measure.Report{}
	}
	t, z := s.Totals(), &p.totals
	p.view.BytesReceived, p.view.BytesUnique, p.view.BytesControl = t.Received-z.Received, t.Unique-z.Unique, t.Control-z.Control
	p.view.BytesAuth, p.view.Rejected = t.Auth-z.Auth, int(t.Rejected-z.Rejected)
	st := p.play.Stats()
	st.Due, st.Played, st.Missed = st.Due-p.zero.Due, st.Played-p.zero.Played, st.Missed-p.zero.Missed
	st.Stalls, st.StallTime = st.Stalls-p.zero.Stalls, st.StallTime-p.zero.StallTime
	r := p.view.Report(s.Now(), &st)
	r.Stream, r.Peer = s.id.String(), s.node.host.ID().String()
	return r
}

const (
	// ageWeight: of so many objects, about a second's, the age is averaged.
	ageWeight = 64
	// latelySpan is how far Lately looks back.
	latelySpan = time.Second
)

// Lately is what a viewer experienced just now, for charts, in ms.
type Lately struct {
	GapMS     float64 `json:"gap_ms"`     // longest gap of the last second; 0: shorter than 40
	LatencyMS float64 `json:"latency_ms"` // age of the objects that came, averaged over about a second
}

// Lately returns what was experienced just now.
func (p *Player) Lately() Lately {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.session == nil {
		return Lately{}
	}
	now := p.session.Now()
	l := Lately{GapMS: milliseconds(p.view.GapBetween(now-latelySpan, now, true)), LatencyMS: milliseconds(p.age)}
	if l.GapMS < 40 {
		l.GapMS = 0
	}
	return l
}

// Measures implements the admin API's measures.
func (p *Player) Measures() any { return p.Report() }

// GapBetween is measure.Viewer's, on the session's clock.
func (p *Player) GapBetween(from, to time.Duration, running bool) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.view.GapBetween(from, to, running)
}

// Stats returns the playout's totals.
func (p *Player) Stats() stream.PlayoutStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.play.Stats()
}
