package overlay

// Golden scripts: testdata/*.txt say what happens to one peer and what it does.
// Run with -rewrite to take down what it does now, and review the diff.

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// script is one peer that is told what happens. Its commands:
//
//	peer [publisher] [epoch=N] [least-epoch=N] [slots=N] [max-children=N]    a new peer, id 1, in epoch 1 or N
//	at TIME                                        time goes on; timers fire on the way
//	repeat N COMMAND                               so many times
//	connect ID [publisher] [epoch=N] [edge=N] [subnet=N]    an exchange opens and its Hello comes
//	bad ID                                         it sent something that does not verify
//	lost ID
//	accept ID stripe=N [start=N] path=1,2,3
//	refuse ID stripe=N code=N [alternatives=1,2]
//	subscribe ID stripe=N [latest] [urgent] [epoch=N] [from=N] [have=BITS] [lost=ID] [behind=N]
//	unsubscribe ID stripe=N
//	object ID FROM-TO [group=N]                    objects FROM to TO arrive from ID (own: id 1)
//	beacon ID stripe=N seq=N
//	status ID [unfed] [free=N] [children=N] depth=N path=…    the same for all stripes; 4 free
//	pull ID first=N bits=N
//	miss ID code=N first=N bits=N
//	path ID stripe=N path=…
//	goaway ID stripe=N wait=TIME [alternatives=…]
//	drain wait=TIME
//	busy, idle                                     more waits to be handled: nobody asks for the deadline; no more
//	slots N [pressed]                              room for so many children; the uplink is full
//	publish epoch=N                                it is the publisher from now on
//	epoch N                                        what comes from now on is of epoch N
type script struct {
	p     *Peer
	epoch uint64
	now   time.Duration
	busy  bool
	out   strings.Builder
}

func (s *script) step(ev Event) {
	for _, a := range s.p.Step(s.now, ev, nil) {
		s.show(a)
	}
	if !s.busy {
		s.p.Deadline() // as every runtime asks, when nothing more is there to be handled
	}
}

// show writes what matters for the trees; status, shuffles and finds are noise.
func (s *script) show(a Action) {
	switch a.Kind {
	case ActSend:
		switch a.Msg.(type) {
		case Status, Shuffle:
			return
		}
		fmt.Fprintf(&s.out, "%v to %d: %T%+v\n", s.now, a.Peer, a.Msg, a.Msg)
	case ActForward:
		fmt.Fprintf(&s.out, "%v forward %d to %d%s\n", s.now, a.Seq, a.Peer, map[bool]string{true: " as backfill"}[a.Backfill])
	case ActServe:
		fmt.Fprintf(&s.out, "%v serve %d to %d\n", s.now, a.Seq, a.Peer)
	case ActDeliver:
		fmt.Fprintf(&s.out, "%v deliver %d\n", s.now, a.Seq)
	case ActStart:
		fmt.Fprintf(&s.out, "%v start at %d of epoch %d\n", s.now, a.Seq, a.Epoch)
	case ActConnect, ActDisconnect, ActBan:
		fmt.Fprintf(&s.out, "%v %s %d\n", s.now, map[ActionKind]string{ActConnect: "connect", ActDisconnect: "disconnect", ActBan: "ban"}[a.Kind], a.Peer)
		if a.Kind == ActBan {
			fmt.Fprintf(&s.out, "%v   for %v\n", s.now, a.Wait)
		}
	case ActDrained:
		fmt.Fprintf(&s.out, "%v drained\n", s.now)
	case ActTrace:
		fmt.Fprintf(&s.out, "%v [%v] peer %d stripe %d\n", s.now, a.Trace, a.Peer, a.Stripe)
	}
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	s.out.Reset()
	for line := range strings.Lines(d.Input) {
		if f := strings.Fields(line); len(f) > 0 {
			s.line(t, d, f)
		}
	}
	return s.out.String()
}

// do runs lines outside a golden file.
func (s *script) do(t *testing.T, lines ...string) {
	for _, l := range lines {
		s.line(t, &datadriven.TestData{}, strings.Fields(l))
	}
}

// fed begins with a peer that publisher 9 feeds in all stripes.
func (s *script) fed(t *testing.T) {
	s.do(t, "peer", "connect 9 publisher slots=8 epoch=1",
		"accept 9 stripe=0 path=9", "accept 9 stripe=1 path=9", "accept 9 stripe=2 path=9", "accept 9 stripe=3 path=9")
}

// words are the arguments of one line.
type words struct {
	t    *testing.T
	d    *datadriven.TestData
	args []string
}

func (w words) text(key string) (string, bool) {
	for _, a := range w.args {
		if a == key {
			return "", true
		}
		if v, ok := strings.CutPrefix(a, key+"="); ok {
			return v, true
		}
	}
	return "", false
}

func (w words) durOr(key string, otherwise time.Duration) time.Duration {
	if v, ok := w.text(key); ok {
		return w.dur(v)
	}
	return otherwise
}

func (w words) num(key string) uint64 { return w.numOr(key, 0) }

func (w words) numOr(key string, otherwise uint64) uint64 {
	v, ok := w.text(key)
	if !ok {
		return otherwise
	}
	return w.parse(v)
}

func (w words) parse(v string) uint64 {
	n, err := strconv.ParseUint(v, 0, 64)
	if err != nil {
		w.d.Fatalf(w.t, "%v", err)
	}
	return n
}

func (w words) has(key string) bool { _, ok := w.text(key); return ok }

func (w words) ids(key string) (ids []PeerID) {
	v, _ := w.text(key)
	for _, f := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == '(' || r == ')' }) {
		ids = append(ids, PeerID(w.parse(f)))
	}
	return ids
}

func (w words) dur(v string) time.Duration {
	d, err := time.ParseDuration(v)
	if err != nil {
		w.d.Fatalf(w.t, "%v", err)
	}
	return d
}

func (s *script) line(t *testing.T, d *datadriven.TestData, f []string) {
	w := words{t, d, f[1:]}
	if f[0] == "repeat" {
		for range w.parse(f[1]) {
			s.line(t, d, f[2:])
		}
		return
	}
	var id PeerID
	switch f[0] {
	case "peer", "at", "stopped", "drain", "slots", "publish", "epoch", "busy", "idle":
	default:
		id = PeerID(w.parse(f[1]))
	}
	message := func(m Message) { s.step(Event{Kind: EvMessage, Peer: id, Msg: m}) }
	stripe := uint8(w.num("stripe"))
	switch f[0] {
	case "peer":
		s.epoch = w.numOr("epoch", 1)
		epoch := w.numOr("least-epoch", 0)
		if w.has("publisher") {
			epoch = s.epoch
		}
		p, err := New(Config{Publisher: w.has("publisher"), Epoch: epoch, Slots: int(w.num("slots")), MaxChildren: int(w.num("max-children"))}, 1, rand.New(rand.NewPCG(1, 1)))
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		s.p, s.now = p, 0
		s.step(Event{Kind: EvTimeout})
	case "at":
		to := w.dur(f[1])
		for s.p.Deadline() <= to {
			s.now = max(s.now, s.p.Deadline())
			s.step(Event{Kind: EvTimeout})
		}
		s.now = to
	case "stopped": // nobody comes when something is due
		s.now = w.dur(f[1])
	case "connect":
		s.step(Event{Kind: EvConnected, Peer: id, RTT: w.durOr("rtt", 10*time.Millisecond), Subnet: uint32(w.num("subnet"))})
		message(Hello{Publisher: w.has("publisher"), Slots: uint16(w.numOr("slots", 8)), Epoch: w.num("epoch"), Edge: w.num("edge")})
	case "bad":
		s.step(Event{Kind: EvBad, Peer: id})
	case "unsubscribe":
		message(Unsubscribe{Stripe: stripe})
	case "lost":
		s.step(Event{Kind: EvDisconnected, Peer: id})
	case "accept":
		message(Accept{Stripe: stripe, Epoch: s.epoch, Start: w.num("start"), Path: w.ids("path")})
	case "refuse":
		message(Refuse{Stripe: stripe, Code: Code(w.num("code")), Wait: w.durOr("wait", time.Second), Alternatives: w.ids("alternatives")})
	case "subscribe":
		message(Subscribe{Stripe: stripe, Latest: w.has("latest"), Urgent: w.has("urgent"), Epoch: w.numOr("epoch", s.epoch), From: w.num("from"), Have: w.num("have"), Lost: PeerID(w.num("lost")), Behind: uint8(w.num("behind"))})
	case "object", "pulled":
		from, to, _ := strings.Cut(f[2], "-")
		for seq := w.parse(from); seq <= w.parse(to); seq++ {
			s.step(Event{Kind: EvObject, Peer: id, Stripe: uint8(seq % 4), Size: 1500, Epoch: s.epoch, Seq: seq, GroupFirst: w.num("group"), Repair: f[0] == "pulled"})
		}
	case "beacon":
		s.step(Event{Kind: EvBeacon, Peer: id, Stripe: stripe, Epoch: s.epoch, Seq: w.num("seq")})
	case "status":
		m := Status{Free: uint16(w.numOr("free", 4)), Epoch: s.epoch, Edge: w.num("edge")}
		for i := range uint8(4) {
			m.Stripes = append(m.Stripes, StripeStatus{Stripe: i, Fed: !w.has("unfed"), Depth: uint8(w.num("depth")), Children: uint8(w.num("children")), Position: w.num("edge"), Path: w.ids("path")})
		}
		message(m)
	case "pull":
		message(Pull{Epoch: s.epoch, First: w.num("first"), Bits: uint32(w.num("bits"))})
	case "miss":
		message(Miss{Code: Code(w.num("code")), Wait: time.Second, Epoch: s.epoch, First: w.num("first"), Bits: uint32(w.num("bits"))})
	case "path":
		message(Path{Stripe: stripe, Path: w.ids("path")})
	case "goaway":
		v, _ := w.text("wait")
		message(GoAway{Stripe: stripe, Wait: w.dur(v), Alternatives: w.ids("alternatives")})
	case "publish":
		s.epoch = w.num("epoch")
		s.step(Event{Kind: EvPublish, Epoch: s.epoch})
	case "busy", "idle":
		s.busy = f[0] == "busy"
	case "slots":
		s.step(Event{Kind: EvSlots, Slots: int32(w.parse(f[1])), Pressed: w.has("pressed")})
	case "epoch":
		s.epoch = w.parse(f[1])
	case "drain":
		v, _ := w.text("wait")
		s.step(Event{Kind: EvDrain, Wait: w.dur(v)})
	default:
		d.Fatalf(t, "unknown command %s", f[0])
	}
}

func TestGoldenScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.Contains(path, "fuzz") {
			return
		}
		s := &script{}
		datadriven.RunTest(t, path, s.run)
	})
}
