package sim

// What lies between two peers, with cores that only write down what comes.

import (
	"context"
	"testing"
	"time"

	"github.com/braidway/braidway/failover"
	"github.com/braidway/braidway/overlay"
)

// scribe is a core that notes what happens to it.
type scribe struct {
	events []overlay.Event
	at     []time.Duration
}

func (c *scribe) Step(now time.Duration, ev overlay.Event, out []overlay.Action) []overlay.Action {
	c.events, c.at = append(c.events, ev), append(c.at, now)
	return out
}

func (c *scribe) Deadline() time.Duration { return never }

// lab is a network of scribes beside a publisher that makes nothing.
type lab struct{ *engine }

func newLab(lines ...profile) lab {
	s := Scenario{Settings: Default()}
	s.Settings.Jitter = 0
	e := newEngine(s, 1, 7, 1)
	e.wrap = func(core) core { return &scribe{} }
	e.epochs[0].publisher = 1 << 30
	for _, l := range lines {
		e.add(l, 0)
	}
	return lab{e}
}

func line100(nat hardness) profile {
	return profile{region: 4, nat: nat, oneWay: 4 * time.Millisecond, up: 10e6, down: 1e9}
}

// until runs until then.
func (l lab) until(t time.Duration) {
	l.end = int64(t)
	l.run(context.Background(), nil)
}

func (l lab) scribe(i uint32) *scribe { return l.peers[i].core.(*scribe) }

// do hands an action of peer i's core to the network.
func (l lab) do(i uint32, a overlay.Action) { l.peers[i].shard.act(&l.peers[i], a) }

// connect lets peer a dial b and returns a's end.
func (l lab) connect(t *testing.T, a, b uint32) *conn {
	t.Helper()
	l.do(a, overlay.Action{Kind: overlay.ActConnect, Peer: l.peers[b].id})
	l.until(time.Duration(l.now) + time.Second)
	c := l.peers[a].find(b)
	if c == nil {
		t.Fatalf("peers %d and %d do not connect", a, b)
	}
	l.scribe(a).events, l.scribe(b).events = nil, nil
	l.scribe(a).at, l.scribe(b).at = nil, nil
	return c
}

// object sends object seq of stripe seq%4 from a to b.
func (l lab) object(a, b uint32, seq uint64, backfill bool) {
	l.do(a, overlay.Action{Kind: overlay.ActForward, Peer: l.peers[b].id, Stripe: uint8(seq % 4), Epoch: 1, Seq: seq, Backfill: backfill})
}

func TestAnUplinkCarriesItsRate(t *testing.T) {
	l := newLab(line100(natOpen), line100(natOpen))
	l.connect(t, 1, 2)
	from := time.Duration(l.now)
	const n = 500 // 2,100 B each and what is around them, 1.84 ms at 10 Mbit/s
	for seq := range uint64(n) {
		l.object(1, 2, seq, false)
	}
	l.until(from + 10*time.Second)
	at := l.scribe(2).at
	if len(at) != n {
		t.Fatalf("%d objects come, want %d", len(at), n)
	}
	about(t, "Mbit/s", n*float64(onWire(2100))*8/(at[n-1]-from).Seconds()/1e6, 10, .05)
}

func TestWhatWaitsTooLongForALineIsGivenUpByGroups(t *testing.T) {
	l := newLab(line100(natOpen), line100(natOpen))
	l.connect(t, 1, 2)
	const n = 4000 // 7.4 s at 10 Mbit/s
	for seq := range uint64(n) {
		l.object(1, 2, seq, false)
	}
	from := time.Duration(l.now)
	l.until(from + 10*time.Second)
	got := l.scribe(2)
	about(t, "seconds of what is sent", (got.at[len(got.at)-1] - from).Seconds(), queueAge.Seconds(), .05)
	slow := l.scribe(1).events
	if len(slow) == 0 || slow[0].Kind != overlay.EvSlow || slow[0].Peer != l.peers[2].id {
		t.Errorf("the core hears %v, want that its child is slow", slow)
	}
}

func TestLiveObjectsPassBackfill(t *testing.T) {
	l := newLab(line100(natOpen), line100(natOpen))
	c := l.connect(t, 1, 2)
	from := time.Duration(l.now)
	for seq := range uint64(200) {
		l.object(1, 2, seq, true)
	}
	l.object(1, 2, 1000, false)
	l.until(from + 2*time.Second)
	got := l.scribe(2)
	for n, ev := range got.events {
		if ev.Seq != 1000 {
			continue
		}
		if late := got.at[n] - from; late > c.way+5*time.Millisecond {
			t.Errorf("the live object takes %v behind 200 of backfill, want %v and its own time on the line", late, c.way)
		}
		about(t, "seconds that the backfill takes", (got.at[len(got.at)-1] - from).Seconds(), 201*float64(onWire(2100))*8/10e6, .1)
		return
	}
	t.Error("the live object does not come")
}

func TestStreamsKeepTheirOrderAndNotThatOfOthers(t *testing.T) {
	l := newLab(line100(natOpen), line100(natOpen))
	l.set.Jitter = 100 * time.Millisecond
	l.peers[1].loss = 0.1
	l.connect(t, 1, 2)
	for seq := range uint64(400) {
		l.object(1, 2, seq, false)
	}
	l.until(time.Duration(l.now) + 5*time.Second)
	var last [4]uint64
	seen, passed := uint64(0), false
	for _, ev := range l.scribe(2).events {
		if ev.Seq < last[ev.Stripe] {
			t.Fatalf("object %d of stripe %d comes after %d", ev.Seq, ev.Stripe, last[ev.Stripe])
		}
		last[ev.Stripe] = ev.Seq
		passed = passed || ev.Seq < seen
		seen = max(seen, ev.Seq)
	}
	if !passed {
		t.Error("no stripe ever passes another: they hang together")
	}
}

func TestALossDelaysByOneRecovery(t *testing.T) {
	l := newLab(line100(natOpen), line100(natOpen))
	l.peers[1].loss = 0.1
	c := l.connect(t, 1, 2)
	late, n := 0, 1000
	for seq := range uint64(n) {
		from := time.Duration(l.now)
		l.object(1, 2, seq, false)
		l.until(from + 200*time.Millisecond)
		at := l.scribe(2).at
		tx := time.Duration(float64(onWire(2100)) * l.peers[1].perByte)
		switch took := at[len(at)-1] - from; took {
		case c.way + tx:
		case c.way + tx + 2*c.way + ackDelay:
			late++
		default:
			t.Fatalf("object %d takes %v, want %v, or a round trip and %v more", seq, took, c.way+tx, ackDelay)
		}
	}
	about(t, "share of objects that are lost at first", float64(late)/float64(n), 1-.9*.9, .15) // two packets each
}

func TestTheDeadTakeNothingAndTheirLineFills(t *testing.T) {
	l := newLab(line100(natOpen), line100(natOpen))
	l.connect(t, 1, 2)
	l.die(2)
	l.object(1, 2, 0, false)
	sent := l.peers[1].live
	if sent <= l.now {
		t.Error("what is sent to one who died just now costs nothing")
	}
	l.until(time.Duration(l.now) + deafTime + 500*time.Millisecond)
	l.object(1, 2, 4, false)
	if l.peers[1].live != sent {
		t.Error("the line still carries what nobody acknowledges")
	}
	l.until(time.Duration(l.now) + 10*time.Second)
	if got := l.scribe(2).events; len(got) != 0 {
		t.Errorf("a dead peer hears %v", got)
	}
	if got := l.scribe(1).events; len(got) != 0 {
		t.Errorf("its neighbour hears %v, want nothing: the death is silent", got)
	}
}

func TestADialThatNobodyAnswersEndsAfterItsTimeout(t *testing.T) {
	for name, c := range map[string]struct {
		a, b hardness
		dead bool
	}{"the dead": {natOpen, natOpen, true}, "who cannot be reached": {natBlocked, natBlocked, false}} {
		t.Run(name, func(t *testing.T) {
			l := newLab(line100(c.a), line100(c.b))
			if c.dead {
				l.die(2)
			}
			l.do(1, overlay.Action{Kind: overlay.ActConnect, Peer: l.peers[2].id})
			l.until(dialTimeout - 1)
			if got := l.scribe(1).events; len(got) != 0 {
				t.Errorf("too soon: %v", got)
			}
			l.until(10 * time.Second)
			got := l.scribe(1)
			if len(got.events) != 1 || got.events[0].Kind != overlay.EvDisconnected || got.at[0] != dialTimeout {
				t.Errorf("the dialler hears %v at %v, want that it failed after %v", got.events, got.at, dialTimeout)
			}
		})
	}
}

func TestTwoWhoDialEachOtherAtOnceHaveOneConnection(t *testing.T) {
	l := newLab(line100(natOpen), line100(natOpen))
	l.do(1, overlay.Action{Kind: overlay.ActConnect, Peer: l.peers[2].id})
	l.do(2, overlay.Action{Kind: overlay.ActConnect, Peer: l.peers[1].id})
	l.until(10 * time.Second)
	for i := uint32(1); i <= 2; i++ {
		if got := l.scribe(i).events; len(got) != 1 || got[0].Kind != overlay.EvConnected {
			t.Errorf("peer %d hears %v, want one connection", i, got)
		}
	}
	if a, b := l.peers[1].find(2), l.peers[2].find(1); a == nil || b == nil || a.gen != b.gen {
		t.Error("the two ends do not belong together")
	}
}

func TestSevenOfTenHolePunchesSucceed(t *testing.T) {
	rng, punched, n := source(5), 0, 0
	for a := uint32(1); a < 400; a++ {
		for b := uint32(0); b < a; b++ {
			draw := func() hardness {
				if rng.Float64() < .6/.85 {
					return natEasy
				}
				return natHard
			}
			x, y := draw(), draw()
			if n++; pairDraw(3, a, b) < direct(x, y) {
				punched++
			}
			if pairDraw(3, a, b) != pairDraw(3, b, a) {
				t.Fatal("who dials decides")
			}
		}
	}
	about(t, "share of hole punches that succeed", float64(punched)/float64(n), .70, .03)
}

func TestWhoIsBlockedReachesOnlyTheOpen(t *testing.T) {
	for nat, want := range map[hardness]float64{natOpen: 1, natEasy: 0, natHard: 0, natBlocked: 0} {
		if got := direct(natBlocked, nat); got != want || direct(nat, natBlocked) != want {
			t.Errorf("the blocked reach %d with a chance of %v, want %v", nat, got, want)
		}
	}
}

func TestMoreDialsThanTheUploadBearsAreRefusedAtOnce(t *testing.T) {
	lines := []profile{line100(natOpen)}
	lines[0].slots = 4 // one stream of 1.3 Mbit/s, a tenth of it for handshakes: four a second
	const many = 60
	for range many {
		lines = append(lines, line100(natOpen))
	}
	l := newLab(lines...)
	burst := l.peers[1].door.Burst()
	for i := uint32(2); i < 2+many; i++ {
		l.do(i, overlay.Action{Kind: overlay.ActConnect, Peer: l.peers[1].id})
	}
	l.until(time.Second)
	in, refused := 0, 0
	for i := uint32(2); i < 2+many; i++ {
		for _, ev := range l.scribe(i).events {
			switch ev.Kind {
			case overlay.EvConnected:
				in++
			case overlay.EvDisconnected:
				refused++
			}
		}
	}
	if in < burst || in > burst+8 || in+refused != many {
		t.Errorf("%d are let in and %d hear that they are not, of %d; want %d and a few, and the others", in, refused, many, burst)
	}
}

func TestADialTakesOfBothUplinks(t *testing.T) {
	l := newLab(line100(natOpen), line100(natOpen))
	of := func(bytes int) float64 { return float64(onWire(bytes)) * 8 / 10e6 * 1e3 }
	l.do(1, overlay.Action{Kind: overlay.ActConnect, Peer: l.peers[2].id})
	about(t, "ms on the dialler's uplink at first", float64(l.peers[1].live-l.now)/1e6, of(knockBytes), .01)
	l.until(300 * time.Millisecond)
	if l.peers[1].find(2) == nil || l.peers[2].find(1) == nil {
		t.Fatal("they are not connected")
	}
	about(t, "bytes of the dialled side", openBytes+welcomeBytes, failover.HandshakeBytes, 0)
	if l.peers[2].live == 0 {
		t.Error("the answer takes nothing")
	}
}

func TestWhoIsTurnedAwaySendsOnlyItsKnock(t *testing.T) {
	lines := []profile{line100(natOpen), line100(natOpen)}
	lines[1].slots = 4
	l := newLab(lines...)
	for l.peers[2].door.Allow(0) {
	}
	l.do(1, overlay.Action{Kind: overlay.ActConnect, Peer: l.peers[2].id})
	left := l.peers[1].live
	l.until(100 * time.Millisecond)
	if l.peers[1].live != left || l.peers[2].live != 0 {
		t.Error("more is sent than the first flight")
	}
}
