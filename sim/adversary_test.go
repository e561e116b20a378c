package sim

// Each defence matters: switched off in all honest peers, by undoing what the
// core notes for it, the figure of its scenario falls. There is no switch in
// the core: a test reaches into it.

import (
	"context"
	"reflect"
	"testing"
	"time"
	"unsafe"

	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/sim/adversary"
)

// weakened is an honest core without a defence.
type weakened struct {
	*overlay.Peer
	undo *undoing
	look func(a *overlay.Action)
}

// undoing is how a defence is switched off: ev is what the core is about to hear, or has heard.
type undoing struct {
	before, after func(p *overlay.Peer, ev *overlay.Event)
	blind         bool // objects are not verified
}

func (w *weakened) Step(now time.Duration, ev overlay.Event, out []overlay.Action) []overlay.Action {
	if w.undo.before != nil {
		w.undo.before(w.Peer, &ev)
	}
	base := len(out)
	out = w.Peer.Step(now, ev, out)
	if w.look != nil {
		for i := base; i < len(out); i++ {
			w.look(&out[i])
		}
	}
	if w.undo.after != nil {
		w.undo.after(w.Peer, &ev)
	}
	return out
}

// Shape is what the engine asks cores for that are not the overlay's own.
func (w *weakened) Shape(stripe int) (parent overlay.PeerID, depth, children int) {
	s := w.Snapshot().Stripes[stripe]
	return s.Parent, max(0, len(s.Path)-1), len(s.Children)
}

// part is a field of a struct, wherever it lies, to be read and written.
func part(of reflect.Value, name string) reflect.Value {
	f := of.FieldByName(name)
	return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem()
}

func inside(p *overlay.Peer, name string) reflect.Value {
	return part(reflect.ValueOf(p).Elem(), name)
}

// forget clears what the core knows of all its neighbours by these names.
func forget(names ...string) func(p *overlay.Peer, ev *overlay.Event) {
	return func(p *overlay.Peer, ev *overlay.Event) {
		if ev.Kind == overlay.EvObject || ev.Kind == overlay.EvBeacon {
			return
		}
		nbrs := inside(p, "nbrs")
		for i := range nbrs.Len() {
			for _, name := range names {
				part(nbrs.Index(i).Elem(), name).SetZero()
			}
		}
	}
}

// believe lets claims count as objects.
func believe(p *overlay.Peer, ev *overlay.Event) {
	if ev.Kind == overlay.EvBeacon {
		prog := part(inside(p, "stripes").Index(int(ev.Stripe)), "prog")
		pos, claim := part(prog, "pos"), part(prog, "claim")
		pos.SetUint(max(pos.Uint(), claim.Uint()))
	}
	if ev.Kind == overlay.EvObject {
		part(part(inside(p, "stripes").Index(int(ev.Stripe)), "trust"), "skipped").SetZero()
	}
}

// trust takes whom strangers name for found by rendezvous, and no network for hollow.
func trust(p *overlay.Peer, _ *overlay.Event) {
	inside(p, "hollowNets").SetZero()
	view := inside(p, "view")
	for i := range view.Len() {
		if s := part(view.Index(i), "Source"); s.Uint() == uint64(overlay.SourcePeer) {
			s.SetUint(uint64(overlay.SourceDHT))
		}
	}
}

// tally is what honest peers did for attackers, after the measures began.
type tally struct{ served, asked int }

func (c *tally) look(e *engine) func(a *overlay.Action) {
	return func(a *overlay.Action) {
		i := indexOf(a.Peer)
		if e.now < e.begin || int(i) >= len(e.peers) || e.peers[i].foe == nil {
			return
		}
		switch a.Kind {
		case overlay.ActServe:
			c.served++
		case overlay.ActSend:
			if _, ok := a.Msg.(overlay.Subscribe); ok {
				c.asked++
			}
		}
	}
}

// siege runs an attack on honest peers without the defence that u undoes.
func siege(t *testing.T, attack string, peers int, share float64, seed uint64, u *undoing) (*engine, *tally) {
	t.Helper()
	s, ok := Find(attack)
	if !ok {
		t.Fatalf("there is no scenario %q", attack)
	}
	set := &s.Settings
	set.Objects, set.ObjectSize, set.Attackers = 40, 4200, share
	set.Join, set.Settle, set.Duration = 2*time.Second, 4*time.Second, 8*time.Second
	if err := s.check(peers); err != nil {
		t.Fatal(err)
	}
	e, c := started(s, peers, seed, 1), &tally{}
	e.blind = u.blind
	e.wrap = func(o core) core {
		if p, ok := o.(*overlay.Peer); ok {
			return &weakened{Peer: p, undo: u, look: c.look(e)}
		}
		return o
	}
	e.peers[e.publisher].core = e.wrap(e.peers[e.publisher].core)
	e.run(context.Background(), nil)
	return e, c
}

func TestEachDefenceMatters(t *testing.T) {
	lost := func(e *engine, _ *tally) float64 { return 1 - e.result(time.Second).Summary.Attack.Continuity }
	taken := func(e *engine, _ *tally) float64 {
		h := e.result(time.Second).Summary.Attack
		return float64(h.BadPlayed + h.BadForwarded)
	}
	each := func(of func(*tally) int) func(*engine, *tally) float64 {
		return func(e *engine, c *tally) float64 { return float64(of(c)) / float64(len(e.peers)) }
	}
	slow := func(e *engine, _ *tally) float64 { return e.result(time.Second).Summary.StartupMS.P50 }
	served := each(func(c *tally) int { return c.served })
	asked := each(func(c *tally) int { return c.asked })
	for _, c := range []struct {
		name   string
		attack string
		share  float64
		seeds  uint64
		off    undoing
		figure func(*engine, *tally) float64
		worse  float64 // by how many times the figure is, at least, without the defence
		peers  int
		// Beside each: the sum over its seeds, with and without.
	}{
		// 0 and 29,000 objects; the first must be 0.
		{"objects are verified", adversary.Pollute, 0.1, 3, undoing{blind: true}, taken, 1, 60},
		// 0.0025 and 0.126 of the stream.
		{"a parent stands where its objects end", adversary.Withhold, 0.1, 3, undoing{after: believe}, lost, 4, 60},
		// 11.7 and 14.3 times, each.
		{"what a parent failed in is remembered", adversary.Withhold, 0.2, 8, undoing{before: forget("record")}, asked, 1.1, 60},
		// 0.7 and 5.3 objects, each; 2.7 and 4.9 with another core: it hangs on when honest peers are served.
		{"messages and pulls are bounded", adversary.PullFlood, 0.1, 1, undoing{before: forget("allowance")}, served, 1.4, 60},
		// 7.8 and 15.3 times, each.
		{"who says it has room and has not is asked after others", adversary.FreeRide, 0.2, 3, undoing{before: forget("hollow")}, asked, 1.2, 60},
		// 3.0 and 3.7 s until half of the viewers have a picture; 4.0 and 5.1 of 300.
		{"names of strangers and of hollow networks come last", adversary.SybilDHT, 0.2, 1, undoing{before: trust}, slow, 1.1, 160},
	} {
		t.Run(c.name, func(t *testing.T) {
			seeds, worse := c.seeds, c.worse
			if testing.Short() {
				seeds, worse = 1, 1
			}
			sum := func(u *undoing) (x float64) {
				for seed := uint64(1); seed <= seeds; seed++ {
					e, seen := siege(t, c.attack, c.peers, c.share, seed, u)
					if h := e.result(time.Second).Summary.Attack; !u.blind && h.BadPlayed+h.BadForwarded+h.HonestBanned > 0 {
						t.Errorf("seed %d: honest peers played %d objects that do not verify, forwarded %d, and banned each other %d times", seed, h.BadPlayed, h.BadForwarded, h.HonestBanned)
					}
					x += c.figure(e, seen)
				}
				return x
			}
			on, off := sum(&undoing{}), sum(&c.off)
			t.Logf("with %.4g, without %.4g", on, off)
			if off <= worse*on || off == 0 {
				t.Errorf("with the defence the figure is %.4g, without it %.4g: not %g times as bad, it does nothing or the test sees nothing", on, off, worse)
			}
		})
	}
}

// TestNobodyHonestIsTakenForAWithholder: where nobody attacks and nothing fails,
// hardly any parent is left for what it does not bring, also of streams of few
// objects, where little is there yet to judge it by.
func TestNobodyHonestIsTakenForAWithholder(t *testing.T) {
	for _, c := range []struct {
		objects float64
		size    int
		most    int
	}{{10, 16000, 0}, {80, 2100, 12}} {
		s, _ := Find("calm")
		set := &s.Settings
		set.Objects, set.ObjectSize = c.objects, c.size
		set.Join, set.Settle, set.Duration = 4*time.Second, 4*time.Second, 4*time.Second
		const peers = 120
		if err := s.check(peers); err != nil {
			t.Fatal(err)
		}
		e, withheld := started(s, peers, 1, 1), 0
		e.wrap = func(o core) core {
			if p, ok := o.(*overlay.Peer); ok {
				return &weakened{Peer: p, undo: &undoing{}, look: func(a *overlay.Action) {
					if a.Kind == overlay.ActTrace && a.Trace == overlay.TraceWithheld {
						withheld++
					}
				}}
			}
			return o
		}
		e.run(context.Background(), nil)
		if withheld > c.most {
			t.Errorf("%v objects of %d bytes a second: %d parents were left as withholders, want %d at most", c.objects, c.size, withheld, c.most)
		}
	}
}
