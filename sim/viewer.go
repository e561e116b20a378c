package sim

// This file answers: what does a viewer of the model experience? Playback and
// measures are those of the live peer; only the bytes are not there.

import (
	"fmt"
	"time"

	"github.com/braidway/braidway/measure"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/stream"
)

const (
	// authSize is what signature and proof take of an object in a batch of two.
	authSize = 2 + 32 + 64
	// tellingGap is the least gap of which the trace is kept.
	tellingGap = 150 * time.Millisecond
	// zeroTime is the publisher's clock at the beginning, µs since the Unix epoch.
	zeroTime = 1_700_000_000_000_000
)

// wire stands for the bytes of every object.
var wire = make([]byte, 1)

// viewer is the playing side of a peer.
type viewer struct {
	play    *stream.Playout
	m       *measure.Viewer
	zero    stream.PlayoutStats // when the measures began
	playAt  int64               // when the playout's timer comes, 0: none
	stalls  uint64
	maxGap  time.Duration
	worst   []traced // what happened around the longest gap
	worstAt int64
	final   *measure.Report // of one who left
}

func newViewer(now time.Duration, buffer time.Duration) *viewer {
	return &viewer{play: stream.NewPlayout(stream.PlayoutConfig{Buffer: buffer, Eager: true}), m: measure.NewLeanViewer(now)}
}

// restart lets the measures begin now.
func (v *viewer) restart(now time.Duration) {
	v.zero, v.maxGap, v.worst = v.play.Stats(), 0, nil
	v.m.Restart(now)
}

// stats are the playout's since the measures began.
func (v *viewer) stats() stream.PlayoutStats {
	s := v.play.Stats()
	s.Due -= v.zero.Due
	s.Played -= v.zero.Played
	s.Missed -= v.zero.Missed
	s.Stalls -= v.zero.Stalls
	s.StallTime -= v.zero.StallTime
	return s
}

// freeze ends the viewer's time: what comes later does not count.
func (v *viewer) freeze(now time.Duration) {
	if v.final == nil {
		st := v.stats()
		r := v.m.Report(now, &st)
		v.final = &r
	}
}

func (v *viewer) report(now time.Duration) measure.Report {
	v.freeze(now)
	return *v.final
}

func (v *viewer) control(size int) {
	if v != nil {
		v.m.BytesReceived += int64(size)
		v.m.BytesControl += int64(size)
	}
}

func (v *viewer) object(size int) {
	if v != nil {
		v.m.BytesReceived += int64(size)
	}
}

func (s *shard) started(p *peer, a *overlay.Action) {
	v := p.view
	if v == nil {
		return
	}
	now := time.Duration(s.now)
	if st := v.play.Stats(); st.Epoch == a.Epoch {
		v.play.Raise(a.Seq)
	} else {
		v.play.Start(a.Epoch, a.Seq)
	}
	v.m.Start(now, a.Epoch, a.Seq)
}

func (s *shard) delivered(p *peer, epoch uint8, seq uint64) {
	v := p.view
	if v == nil {
		return
	}
	e := s.e
	t := &e.epochs[epoch]
	made := t.start + int64(seq/uint64(e.perFlush))*int64(e.flush)
	now := time.Duration(s.now)
	v.m.BytesUnique += int64(e.set.ObjectSize)
	v.m.BytesAuth += authSize
	stamp := zeroTime + made/1000
	v.play.Add(now, stream.Parsed{Object: stream.Object{Header: stream.Header{Epoch: t.number, Seq: seq, Group: seq / e.group,
		GroupFirst: seq - seq%e.group, Time: stamp}}, Wire: wire})
	v.m.Object(now, t.number, seq, stamp, now-time.Duration(made))
	if g := v.m.MaxGap(); g > v.maxGap {
		v.maxGap = g
		if g > tellingGap {
			v.worst, v.worstAt = p.recent.all(v.worst[:0]), s.now
		}
	}
	s.playOn(p)
}

// playOn plays what there is, and plans when to look again.
func (s *shard) playOn(p *peer) {
	v := p.view
	now := time.Duration(s.now)
	for {
		if _, ok := v.play.Next(now); !ok {
			break
		}
	}
	st := v.play.Stats()
	v.m.GaveUpIn(st.Epoch, st.Position)
	if st.Stalls > v.stalls {
		v.stalls = st.Stalls
		s.stalled(s.now)
	}
	if d := v.play.Deadline(); d != stream.Never {
		at := max(int64(d), s.now+int64(time.Millisecond))
		if v.playAt == 0 || at < v.playAt {
			v.playAt = at
			s.after(p, time.Duration(at-s.now), event{kind: evPlay})
		}
	}
}

func (s *shard) playTimer(p *peer, at int64) {
	if p.view != nil && p.view.playAt == at {
		p.view.playAt = 0
		s.playOn(p)
	}
}

// stalled counts by second.
func (s *shard) stalled(at int64) {
	if n := int((at - s.e.begin) / int64(time.Second)); n >= 0 {
		for len(s.stalls) <= n {
			s.stalls = append(s.stalls, 0)
		}
		s.stalls[n]++
	}
}

// traced is a trace event of a core.
type traced struct {
	at     int64
	seq    uint64
	wait   time.Duration
	other  uint32
	what   overlay.Trace
	stripe uint8
}

func (t *traced) line(begin int64) string {
	return fmt.Sprintf("%8.3f s  %-8s peer %d stripe %d seq %d wait %v", float64(t.at-begin)/1e9, t.what, t.other, t.stripe, t.seq, t.wait.Round(time.Millisecond))
}

const ringSize = 32

// ring keeps the last trace events of a peer.
type ring struct {
	events []traced
	next   int
}

func (r *ring) add(t traced) {
	if len(r.events) < ringSize {
		r.events = append(r.events, t)
		return
	}
	r.events[r.next] = t
	r.next = (r.next + 1) % ringSize
}

// all appends the events to dst, oldest first.
func (r *ring) all(dst []traced) []traced {
	return append(append(dst, r.events[r.next:]...), r.events[:r.next]...)
}

// gone is a parent given up: whether that was right is judged between windows.
type gone struct {
	at           int64
	peer, parent uint32
	stripe       uint8
	path         []overlay.PeerID
}

// traced takes a core's trace event.
func (s *shard) traced(p *peer, a *overlay.Action) {
	other := indexOf(a.Peer)
	p.recent.add(traced{at: s.now, what: a.Trace, other: other, stripe: a.Stripe, seq: a.Seq, wait: a.Wait})
	if s.e.trace != nil {
		s.e.trace.event(s, p, a)
	}
	switch a.Trace {
	case overlay.TraceSuspect:
		if c, ok := p.core.(*overlay.Peer); ok {
			for len(p.suspected) <= int(a.Stripe) {
				p.suspected = append(p.suspected, nil)
			}
			p.suspected[a.Stripe] = c.Snapshot().Stripes[a.Stripe].Path
		}
	case overlay.TraceGone:
		g := gone{at: s.now, peer: p.index, parent: other, stripe: a.Stripe}
		if int(a.Stripe) < len(p.suspected) {
			g.path = p.suspected[a.Stripe]
		}
		s.gone = append(s.gone, g)
	}
	if v := p.view; v != nil {
		switch a.Trace {
		case overlay.TraceSwitch:
			v.m.Switches++
		case overlay.TraceHedge:
			v.m.Hedges++
		case overlay.TraceRepair:
			v.m.Repairs++
		}
	}
}
