package stack

// This file answers: what does a viewer of the baseline experience? Playback
// and measures are those of node.Player.

import (
	"context"
	"sync"
	"time"

	"github.com/braidway/braidway/measure"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/stream"
)

// listener plays what gossipsub brings. It starts with the first group that it
// sees from its beginning on.
type listener struct {
	host    *gossipHost
	self    overlay.PeerID
	forget  func()
	cancel  context.CancelFunc
	jobs    sync.WaitGroup
	closing sync.Once
	began   time.Time
	wake    chan struct{}

	mu       sync.Mutex
	playout  *stream.Playout
	measured *measure.Viewer
	saw      bool
	group    uint64 // seen first, perhaps not whole
	started  bool
	unique   int64
	auth     int64
	zero     struct { // when the measures began
		play                             stream.PlayoutStats
		received, messages, unique, auth int64
	}
}

func newListener(buffer time.Duration) *listener {
	return &listener{began: time.Now(), wake: make(chan struct{}, 1), measured: measure.NewViewer(0), cancel: func() {}, forget: func() {},
		playout: stream.NewPlayout(stream.PlayoutConfig{Buffer: buffer, Eager: true})}
}

func (v *listener) now() time.Duration { return time.Since(v.began) }

// object takes a new verified object.
func (v *listener) object(o *stream.Parsed) {
	v.mu.Lock()
	now := v.now()
	v.unique += int64(len(o.Wire))
	v.auth += int64(o.AuthSize())
	if !v.saw {
		v.saw, v.group = true, o.Group
	}
	if !v.started && o.Group > v.group {
		v.started = true
		v.playout.Start(o.Epoch, o.GroupFirst)
		v.measured.Start(now, o.Epoch, o.GroupFirst)
	}
	if v.started {
		v.playout.Add(now, *o)
		v.measured.Object(now, o.Epoch, o.Seq, o.Time, time.Duration(time.Now().UnixMicro()-o.Time)*time.Microsecond)
	}
	v.mu.Unlock()
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// play plays into the void, until ctx ends.
func (v *listener) play(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		v.mu.Lock()
		for ok := true; ok; {
			_, ok = v.playout.Next(v.now())
		}
		wait := time.Hour
		if at := v.playout.Deadline(); at != stream.Never {
			wait = max(at-v.now(), time.Millisecond)
		}
		st := v.playout.Stats()
		v.measured.GaveUpIn(st.Epoch, st.Position)
		v.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-v.wake:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

func (v *listener) id() overlay.PeerID { return v.self }

func (v *listener) restart() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.measured.Restart(v.now())
	z := &v.zero
	z.play, z.unique, z.auth = v.playout.Stats(), v.unique, v.auth
	z.received, z.messages = v.traffic()
}

func (v *listener) traffic() (received, messages int64) {
	m := v.host.meter
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.received, m.messages
}

func (v *listener) report() measure.Report {
	v.mu.Lock()
	defer v.mu.Unlock()
	z := &v.zero
	received, messages := v.traffic()
	received, messages = received-z.received, messages-z.messages
	v.measured.BytesReceived, v.measured.BytesControl = received, received-messages
	v.measured.BytesUnique, v.measured.BytesAuth = v.unique-z.unique, v.auth-z.auth
	st := v.playout.Stats()
	st.Due, st.Played, st.Missed = st.Due-z.play.Due, st.Played-z.play.Played, st.Missed-z.play.Missed
	st.Stalls, st.StallTime = st.Stalls-z.play.Stalls, st.StallTime-z.play.StallTime
	return v.measured.Report(v.now(), &st)
}

func (v *listener) gap(from, to time.Duration) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.measured.GapBetween(from, to, true)
}

func (v *listener) stats() stream.PlayoutStats {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.playout.Stats()
}

func (v *listener) stalls() uint64   { return v.stats().Stalls }
func (v *listener) position() uint64 { return v.stats().Position }

// look returns the mesh: whoever is in it is a child, and on the path.
func (v *listener) look() (place, bool) {
	m := v.host.meter
	m.mu.Lock()
	defer m.mu.Unlock()
	p := place{children: len(m.mesh), paths: make(map[int][]overlay.PeerID)}
	for _, id := range m.mesh {
		p.paths[0] = append(p.paths[0], id)
	}
	return p, true
}

func (v *listener) gaveUp() []parting { return nil }

// drain: gossipsub has no gentle way to leave.
func (v *listener) drain(context.Context) {}

func (v *listener) close() {
	v.closing.Do(func() {
		v.forget()
		v.cancel()
		v.jobs.Wait()
		v.host.close()
	})
}
