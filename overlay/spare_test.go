package overlay

import (
	"math/rand/v2"
	"testing"
	"time"
)

// An orphan for whom many wait is given the past beyond what is spare, ahead of live
// objects; one for whom nobody waits is not, however much it could carry. And nobody is
// given more of it than a subscription can tell of.
func TestThePastBeyondWhatIsSpareIsForWhomManyWaitFor(t *testing.T) {
	const orphan PeerID = 5 // at home in stripe 0
	for name, c := range map[string]struct {
		from   uint64
		behind uint8
		want   int
	}{
		"many wait":                       {from: 160, behind: 8, want: 60},
		"nobody waits":                    {from: 160, want: 0},
		"nobody waits for little":         {from: 392, want: 2},
		"many wait for what is long past": {from: 0, behind: 8, want: haveBits},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := New(Config{Publisher: true, Epoch: 1, Slots: 8}, 1, rand.New(rand.NewPCG(1, 1)))
			if err != nil {
				t.Fatal(err)
			}
			now := time.Duration(0)
			step := func(ev Event) []Action { return p.Step(now, ev, nil) }
			for seq := range uint64(400) {
				now = time.Duration(seq) * 10 * time.Millisecond
				step(Event{Kind: EvObject, Peer: 1, Stripe: uint8(seq % 4), Size: 1500, Epoch: 1, Seq: seq})
				p.Deadline()
			}
			step(Event{Kind: EvConnected, Peer: orphan, RTT: 10 * time.Millisecond})
			step(Event{Kind: EvMessage, Peer: orphan, Msg: Hello{Slots: 16, Epoch: 1, Edge: 400}})
			for id := PeerID(10); id < 16; id++ { // they leave little to spare
				step(Event{Kind: EvConnected, Peer: id, RTT: 10 * time.Millisecond})
				step(Event{Kind: EvMessage, Peer: id, Msg: Hello{Slots: 16, Epoch: 1, Edge: 400}})
				step(Event{Kind: EvMessage, Peer: id, Msg: Subscribe{Stripe: uint8(id % 4), Epoch: 1, From: 400}})
			}
			accepted, past := false, 0
			for _, a := range step(Event{Kind: EvMessage, Peer: orphan, Msg: Subscribe{Urgent: true, Epoch: 1, From: c.from, Lost: 99, Behind: c.behind}}) {
				if _, ok := a.Msg.(Accept); ok && a.Peer == orphan {
					accepted = true
				}
				if a.Kind == ActForward && a.Peer == orphan {
					past++
				}
			}
			if !accepted || past != c.want {
				t.Errorf("accepted: %t, with %d of the past, want %d", accepted, past, c.want)
			}
		})
	}
}
