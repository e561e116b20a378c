package sim

// This file answers: how is a run written down, event by event?

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/braidway/braidway/overlay"
)

// line is one JSON object of a trace, with its place in the order.
type line struct {
	at   int64
	peer uint32
	n    int
	text []byte
}

// tracer writes the typed events as JSON lines in the order of time, peer and
// happening, whatever the number of shards.
type tracer struct {
	w     *bufio.Writer
	lines []line // the world's
	err   error
}

func newTracer(w io.Writer) *tracer { return &tracer{w: bufio.NewWriterSize(w, 1<<16)} }

// TraceStripe is one stripe of a state line.
type TraceStripe struct {
	Stripe   int      `json:"stripe"`
	Parent   *uint32  `json:"parent,omitempty"`
	Path     []uint32 `json:"path,omitempty"`
	Standbys []uint32 `json:"standbys,omitempty"`
	Children []uint32 `json:"children,omitempty"`
	Position uint64   `json:"position"`
}

func seconds(e *engine, at int64) float64 { return float64((at-e.begin)/1000) / 1e6 }

// event notes a core's trace event, and the state that it leads to.
func (t *tracer) event(s *shard, p *peer, a *overlay.Action) {
	m := map[string]any{"t": seconds(s.e, s.now), "peer": p.index, "id": fmt.Sprintf("%016x", uint64(p.id)), "ev": a.Trace.String(), "stripe": a.Stripe}
	if a.Peer != 0 {
		m["other"] = indexOf(a.Peer)
	}
	if a.Seq != 0 {
		m["seq"] = a.Seq
	}
	if a.Wait != 0 {
		m["wait_ms"] = float64(a.Wait.Microseconds()) / 1000
	}
	s.write(p.index, m)
	c, ok := p.core.(*overlay.Peer)
	if !ok {
		return
	}
	switch a.Trace {
	case overlay.TraceJoin, overlay.TraceSwitch, overlay.TraceMove, overlay.TraceOrphan, overlay.TraceAccept, overlay.TraceSuspect:
	default:
		return
	}
	indices := func(ids []overlay.PeerID) (is []uint32) {
		for _, id := range ids {
			is = append(is, indexOf(id))
		}
		return is
	}
	var stripes []TraceStripe
	for _, st := range c.Snapshot().Stripes {
		ts := TraceStripe{Stripe: st.Stripe, Path: indices(st.Path), Standbys: indices(st.Standbys), Children: indices(st.Children), Position: st.Position}
		if st.Parent != 0 {
			i := indexOf(st.Parent)
			ts.Parent = &i
		}
		stripes = append(stripes, ts)
	}
	s.write(p.index, map[string]any{"t": seconds(s.e, s.now), "peer": p.index, "id": fmt.Sprintf("%016x", uint64(p.id)), "ev": "state", "stripes": stripes})
}

func (s *shard) write(peer uint32, m map[string]any) {
	b, err := json.Marshal(m)
	if err != nil {
		return
	}
	s.lines = append(s.lines, line{s.now, peer, len(s.lines), b})
}

// world notes what happens to peers from outside. What hits no viewer, as a
// storm, is one line without a peer.
func (t *tracer) world(e *engine, ev, what string, peers ...uint32) {
	add := func(peer uint32, m map[string]any) {
		m["t"], m["ev"] = seconds(e, e.now), ev
		if what != "" {
			m["what"] = what
		}
		if b, err := json.Marshal(m); err == nil { // ahead of what cores do, in whichever shard
			t.lines = append(t.lines, line{e.now, peer, math.MinInt + len(t.lines), b})
		}
	}
	if len(peers) == 0 {
		add(0, map[string]any{})
	}
	for _, i := range peers {
		m := map[string]any{"peer": i}
		if int(i) < len(e.peers) {
			m["id"] = fmt.Sprintf("%016x", uint64(e.peers[i].id))
		}
		add(i, m)
	}
}

// flush writes what happened in one window.
func (t *tracer) flush(e *engine) {
	all := t.lines
	for _, s := range e.shards {
		all = append(all, s.lines...)
		s.lines = s.lines[:0]
	}
	slices.SortStableFunc(all, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.peer, b.peer), cmp.Compare(a.n, b.n))
	})
	for i := range all {
		if t.err == nil {
			_, t.err = t.w.Write(append(all[i].text, '\n'))
		}
	}
	t.lines = all[:0]
}
