package overlay

import (
	"strings"
	"testing"
	"time"
)

// Who was asked to move and finds nobody in the time that it was given stays where it is
// served: later others may hang from it. (Found by simulation: two from whom a whole
// stripe hung were asked, found each other's trees eight seconds later, and moved at once.)
func TestAWishToMoveEndsWithItsTime(t *testing.T) {
	for _, c := range []struct {
		after time.Duration // whom it could move to comes
		moves bool
	}{{time.Second, true}, {3 * time.Second, false}} {
		s := &script{}
		s.fed(t)
		seq := uint64(0)
		play := func(d time.Duration) {
			for end := s.now + d; s.now < end; seq++ {
				s.now += 12500 * time.Microsecond
				s.step(Event{Kind: EvObject, Peer: 9, Stripe: uint8(seq % 4), Epoch: 1, Seq: seq, Size: 2100})
				s.step(Event{Kind: EvTimeout})
			}
		}
		play(100 * time.Millisecond)
		s.do(t, "goaway 9 stripe=0 wait=2s")
		play(c.after)
		s.do(t, "connect 5 epoch=1 edge=8", "status 5 depth=2 path=9,5 edge=8")
		s.out.Reset()
		play(time.Second)
		if moves := strings.Contains(s.out.String(), "to 5: overlay.Subscribe{Stripe:0"); moves != c.moves {
			t.Errorf("whom it could move to comes after %v: it moves: %t\n%s", c.after, moves, s.out.String())
		}
	}
}
