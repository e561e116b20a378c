package node

// This file answers: what does a viewer do when the publisher's key has signed
// two objects under one number?

import (
	"context"
	"testing"
	"time"

	"github.com/braidway/braidway/stream"
)

func TestTwoObjectsUnderOneNumberAreProvedAndNobodyOnTheWayIsBlamed(t *testing.T) {
	key := newKey(t)
	pn := newNode(t, key)
	p := publish(t, pn)
	go feed(t, p, 1, 30*time.Second)
	n := newNode(t, newKey(t))
	v := view(t, n, p.Link())
	v.out.waitFor(t, "the stream", has(1, 20_000))
	events, stop := n.Events()
	defer stop()
	var held stream.Parsed
	v.Do(func() {
		if _, high, ok := v.window.Range(); ok {
			held, _ = v.window.Get(p.epoch, high)
		}
	})
	if len(held.Wire) == 0 {
		t.Fatal("the viewer has nothing")
	}
	other := held.Object
	other.Payload = []byte("another story")
	signed, err := stream.SignBatch(p.cfg.Key, p.ID(), []stream.Object{other})
	if err != nil {
		t.Fatal(err)
	}
	h, _ := newcomer(t, n, p.ID())
	defer func() { _ = h.Close() }()
	st, err := h.NewStream(context.Background(), n.Host().ID(), DataProtocol)
	if err != nil {
		t.Fatal(err)
	}
	id := p.ID()
	_, _ = st.Write(appendObjectFrame(append(id[:], repairStripe), signed[0].Wire))
	for limit := time.After(10 * time.Second); ; {
		select {
		case e := <-events:
			if e.Event != eventEquivocation {
				continue
			}
			if e.Seq != held.Seq || e.Epoch != held.Epoch {
				t.Errorf("the event is of object %d in epoch %d, want %d in %d", e.Seq, e.Epoch, held.Seq, held.Epoch)
			}
		case <-limit:
			t.Fatal("nobody noticed")
		}
		break
	}
	proof := v.state().Equivocation
	if proof == nil {
		t.Fatal("the state has no proof")
	}
	if err := v.verifier.Check(stream.Equivocation{Epoch: proof.Epoch, Seq: proof.Seq, A: proof.A, B: proof.B}); err != nil {
		t.Errorf("the proof proves nothing: %v", err)
	}
	v.Do(func() {
		if o, _ := v.window.Get(held.Epoch, held.Seq); string(o.Wire) != string(held.Wire) {
			t.Error("the first object was replaced")
		}
	})
	if n.banned(h.ID()) || n.banned(pn.Host().ID()) {
		t.Error("who passed it on is banned")
	}
}
