package overlay

// This file answers: what holds for a core, whatever it is told?

import (
	"bytes"
	"math"
	"reflect"
	"time"
)

func (g *siege) action(ev *Event, a *Action) {
	switch a.Kind {
	case ActSend, ActForward, ActServe, ActBeacon, ActOpen:
		if !g.linked[a.Peer] {
			g.t.Fatalf("%+v to one that is not connected, after %+v", *a, *ev)
		}
	case ActDisconnect, ActBan:
		delete(g.linked, a.Peer)
	case ActEpoch:
		if len(g.got) > 0 && a.Epoch <= g.epoch {
			g.t.Fatalf("epoch %d after objects of %d", a.Epoch, g.epoch)
		}
		g.epoch = a.Epoch
		clear(g.got)
	case ActStart:
		g.start = a.Seq
	case ActDeliver:
		if g.got[a.Seq] {
			g.t.Fatalf("object %d of epoch %d is delivered twice", a.Seq, a.Epoch)
		}
		if a.Seq < g.start {
			g.t.Fatalf("object %d is delivered, the stream is taken from %d", a.Seq, g.start)
		}
		g.got[a.Seq] = true
	case ActDrained:
		if g.drained {
			g.t.Fatal("drained twice")
		}
		g.drained = true
	}
	if a.Kind != ActSend {
		return
	}
	b := AppendMessage(nil, a.Msg)
	m, err := ParseMessage(b)
	if err != nil {
		g.t.Fatalf("%+v, after %+v, does not parse: %v", a.Msg, *ev, err)
	}
	if !bytes.Equal(AppendMessage(nil, m), b) {
		g.t.Fatalf("%+v is read as %+v", a.Msg, m)
	}
	if m, ok := a.Msg.(Accept); ok {
		first := g.core.cfg.Publisher && g.core.usedIn(int(m.Stripe)) == 1 // or nobody had the stripe
		if c := g.core; !g.were[childOf{a.Peer, int(m.Stripe)}] && !first && c.used() > c.slots+max(1, c.slots/8)+3 {
			g.t.Fatalf("%x is taken in: %d children in %d slots, after %+v", a.Peer, c.used(), c.slots, *ev)
		}
	}
}

// childOf is a child in one stripe.
type childOf struct {
	id     PeerID
	stripe int
}

// standing checks how the core says it stands.
func (g *siege) standing(ev *Event) {
	s := g.core.Snapshot()
	for _, id := range s.Neighbours {
		if !g.linked[id] {
			g.t.Fatalf("neighbour %x is not connected, after %+v", id, *ev)
		}
	}
	is := func(id PeerID) bool { return g.core.neighbour(id) != nil }
	for _, t := range s.Stripes {
		if t.Parent != 0 && (!is(t.Parent) || t.Parent == s.Self || s.Publisher) {
			g.t.Fatalf("stripe %d: parent %x, after %+v", t.Stripe, t.Parent, *ev)
		}
		seen := map[PeerID]bool{}
		for _, c := range t.Children {
			if !is(c) || c == s.Self || seen[c] {
				g.t.Fatalf("stripe %d: children %x, after %+v", t.Stripe, t.Children, *ev)
			}
			seen[c] = true
			if c == t.Parent {
				g.t.Fatalf("stripe %d: %x is parent and child, after %+v", t.Stripe, c, *ev)
			}
		}
		for _, b := range t.Standbys {
			// One that has just become parent is taken out at the next choice, which is soon.
			if !is(b) || b == s.Self || b == t.Parent && g.core.standAt > g.now+150*time.Millisecond && !g.core.drained {
				g.t.Fatalf("stripe %d: standby %x of parent %x, after %+v", t.Stripe, b, t.Parent, *ev)
			}
		}
		if len(t.Standbys) > g.core.cfg.Standbys || len(t.Path) > MaxPath {
			g.t.Fatalf("stripe %d: %d standbys, a path of %d, after %+v", t.Stripe, len(t.Standbys), len(t.Path), *ev)
		}
	}
	if s.Known > g.core.cfg.View || s.Position > math.MaxInt64 {
		g.t.Fatalf("%d known, position %d, after %+v", s.Known, s.Position, *ev)
	}
}

// weigh bounds the memory of the core, however long it is besieged.
func (g *siege) weigh() {
	const most = 512 << 10
	if n := weight(reflect.ValueOf(g.core).Elem(), map[uintptr]bool{}); n > most {
		g.t.Fatalf("the core has grown to %d bytes", n)
	}
}

// weight sums up what is reachable from v, in bytes.
func weight(v reflect.Value, seen map[uintptr]bool) int {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() || seen[v.Pointer()] {
			return 0
		}
		seen[v.Pointer()] = true
		return int(v.Type().Elem().Size()) + weight(v.Elem(), seen)
	case reflect.Interface:
		if v.IsNil() {
			return 0
		}
		return weight(v.Elem(), seen)
	case reflect.Struct:
		n := 0
		for i := range v.NumField() {
			n += weight(v.Field(i), seen)
		}
		return n
	case reflect.Slice:
		n := v.Cap() * int(v.Type().Elem().Size())
		switch v.Type().Elem().Kind() {
		case reflect.Pointer, reflect.Struct, reflect.Slice, reflect.Interface:
			for i := range v.Len() {
				n += weight(v.Index(i), seen)
			}
		}
		return n
	case reflect.Map:
		return v.Len() * int(v.Type().Key().Size()+v.Type().Elem().Size()) * 2
	}
	return 0
}
