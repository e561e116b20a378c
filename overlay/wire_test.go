package overlay

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"
)

// samples has every message of PROTOCOL.md, "Control messages".
func samples() []Message {
	path := []PeerID{1, 1 << 63, 77}
	return []Message{
		Hello{Publisher: true, Draining: true, Slots: 65535, Epoch: 1 << 40, Edge: 12345},
		Hello{},
		Subscribe{Stripe: 3, Latest: true, Urgent: true, Epoch: 9, From: 1 << 50, Have: 5, Lost: 1 << 62},
		Subscribe{Urgent: true, Epoch: 2, From: 300, Lost: 77, Behind: 12},
		Accept{Stripe: 15, Epoch: 2, Start: 300, Path: path},
		Refuse{Stripe: 1, Code: CodeBusy, Wait: 1500 * time.Millisecond, Alternatives: path},
		Unsubscribe{Stripe: 2},
		Path{Stripe: 2, Path: path},
		Kin{Stripe: 0, Siblings: path, Uncles: path[:1]},
		Watch{Mask: 0xffff},
		Status{Draining: true, Confined: true, Open: true, Free: 3, Epoch: 4, Edge: 5, Stripes: []StripeStatus{
			{Stripe: 0, Fed: true, Depth: 3, Children: 5, Position: 99, Path: path}, {Stripe: 1}}},
		Pull{Epoch: 1, First: 2, Bits: 0xdeadbeef},
		Miss{Code: CodeNotYet, Wait: time.Second, Epoch: 1, First: 2, Bits: 1},
		GoAway{Stripe: AllStripes, Wait: 5 * time.Second, Alternatives: path},
		Shuffle{Reply: true, Peers: path},
	}
}

func TestEveryMessageIsReadAsItWasWritten(t *testing.T) {
	for _, m := range samples() {
		b := AppendMessage(nil, m)
		got, err := ParseMessage(b)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%T: got %+v, %v; want %+v", m, got, err, m)
		}
	}
}

func TestEndOfInputAtEveryPrefixOfAMessageIsAnError(t *testing.T) {
	for _, m := range samples() {
		b := AppendMessage(nil, m)
		for n := range b {
			if _, err := ParseMessage(b[:n]); !errors.Is(err, ErrMessage) {
				t.Errorf("%T cut to %d of %d bytes: %v", m, n, len(b), err)
			}
		}
		if _, err := ParseMessage(append(b, 0)); !errors.Is(err, ErrMessage) {
			t.Errorf("%T with a byte too many: %v", m, err)
		}
	}
}

func FuzzParseMessage(f *testing.F) {
	for _, m := range samples() {
		f.Add(AppendMessage(nil, m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMessage(b)
		if err == nil && !bytes.Equal(AppendMessage(nil, m), b) {
			t.Fatalf("two encodings of %+v", m)
		}
	})
}
