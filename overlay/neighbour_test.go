package overlay

import (
	"testing"
	"time"
)

// What once was missed by all of a stripe does not make who has it live again look as
// late as those who have nothing.
func TestAnOldHoleDoesNotHideWhoIsLive(t *testing.T) {
	s := &script{}
	s.fed(t)
	k := uint64(s.p.cfg.Stripes)
	seq := uint64(0)
	second := func(hole bool) { // 80 objects, of stripe 0 none if there is a hole
		for range 80 {
			s.now += 12500 * time.Microsecond
			if !hole || seq%k != 0 {
				s.step(Event{Kind: EvObject, Peer: 9, Stripe: uint8(seq % k), Epoch: 1, Seq: seq, Size: 2100})
			}
			seq++
		}
	}
	lag := func() time.Duration { return s.p.age(s.p.standsAt(0)) }
	half := s.p.cfg.Buffer / 2
	second(false)
	if l := lag(); l > 100*time.Millisecond {
		t.Errorf("all is there: %v behind", l)
	}
	hole := seq
	for range 2 * s.p.cfg.Buffer / time.Second {
		second(true)
	}
	if l, all := lag(), time.Duration(seq-hole)*12500*time.Microsecond; l < all-200*time.Millisecond {
		t.Errorf("nothing comes for %v: %v behind", all, l)
	}
	second(false)
	if l := lag(); l < half-200*time.Millisecond || l > half+200*time.Millisecond {
		t.Errorf("it comes again: %v behind instead of %v", l, half)
	}
	if s.p.stripes[0].next != hole {
		t.Errorf("%d is the first that is missing, not %d", s.p.stripes[0].next, hole)
	}
}
