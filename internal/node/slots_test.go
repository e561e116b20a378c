package node

import (
	"testing"
	"time"
)

// line is an uplink that bears so many slots: with more, queues grow.
func (s *slotKeeper) onLine(bears int, d time.Duration, wanted int) (used []int) {
	have := 0
	for now := time.Duration(0); now < d; now += lookEvery {
		l := look{used: have, children: have}
		if have > bears {
			l.behind = have
		}
		n, _ := s.tick(now, l)
		switch { // children come at once, and take a while to leave
		case have < min(n, wanted):
			have = min(n, wanted)
		case have > n:
			have--
		}
		used = append(used, have)
	}
	return used
}

func TestSlotsBackOffFromWhatTheLineDoesNotBearAndComeToRest(t *testing.T) {
	for name, limit := range map[string]int64{"a limit that is too high": 4 * 4_000_000, "no limit": 0} {
		s := newSlotKeeper(limit, false, 4, 4_000_000)
		used := s.onLine(13, 10*time.Minute, 100)
		tail := used[len(used)/2:]
		over, low := 0, 1000
		for _, n := range tail {
			if n > 13 {
				over++
			}
			low = min(low, n)
		}
		if low < 10 {
			t.Errorf("%s: down to %d slots of 13", name, low)
		}
		if share := float64(over) / float64(len(tail)); share > 0.05 {
			t.Errorf("%s: over the line for %.0f %% of the time", name, 100*share)
		}
	}
}

func TestPressureLetsNobodyInAndAShortOneCostsNoSlot(t *testing.T) {
	s := newSlotKeeper(16*1_000_000, false, 4, 4_000_000)
	if n, _ := s.tick(0, look{used: 10, children: 10, behind: 9}); n != 10 {
		t.Errorf("%d slots with 10 children under pressure", n)
	}
	if n, changed := s.tick(lookEvery, look{used: 10, children: 10}); n != 16 || !changed {
		t.Errorf("%d slots when the pressure is over, want 16 again", n)
	}
	if n, _ := s.tick(2*lookEvery, look{used: 10, children: 10, behind: 3}); n != 16 {
		t.Errorf("%d slots though only 3 of 10 children are slow: that is their own trouble", n)
	}
}
