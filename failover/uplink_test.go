package failover

import (
	"math/rand/v2"
	"testing"
	"time"
)

// onLine runs an uplink that bears so many slots: with more, queues grow.
func onLine(u *Uplink, bears, most int, d time.Duration) (used []int) {
	rng := rand.New(rand.NewPCG(1, 2))
	have := 0
	for now := time.Duration(0); now < d; now += UplinkLook {
		l := Look{Used: have, Children: have}
		if have > bears {
			l.Behind = have
		}
		n := u.Look(now, 4, most, l, rng)
		switch { // children come at once, and take a while to leave
		case have < n:
			have = n
		case have > n:
			have--
		}
		used = append(used, have)
	}
	return used
}

func TestSlotsBackOffFromWhatTheLineDoesNotBearAndComeToRest(t *testing.T) {
	for name, u := range map[string]*Uplink{"a limit that is too high": {}, "no limit": {Guess: 24}} {
		used := onLine(u, 13, 128, 10*time.Minute)
		if u.Guess == 24 {
			t.Errorf("%s: nothing was given up", name)
		}
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
		if share := float64(over) / float64(len(tail)); share > 0.1 {
			t.Errorf("%s: over the line for %.0f %% of the time", name, 100*share)
		}
	}
}

func TestPressureLetsNobodyInAndAShortOneCostsNoSlot(t *testing.T) {
	var u Uplink
	rng := rand.New(rand.NewPCG(1, 2))
	if n := u.Look(0, 4, 16, Look{Used: 10, Children: 10, Behind: 9}, rng); n != 10 || !u.Pressed() || u.Calm(16) {
		t.Errorf("%d slots with 10 children under pressure", n)
	}
	if n := u.Look(UplinkLook, 4, 16, Look{Used: 10, Children: 10}, rng); n != 16 || !u.Calm(16) {
		t.Errorf("%d slots when the pressure is over, want 16 again", n)
	}
	if n := u.Look(2*UplinkLook, 4, 16, Look{Used: 10, Children: 10, Behind: 3}, rng); n != 16 {
		t.Errorf("%d slots though only 3 of 10 children are slow: that is their own trouble", n)
	}
	if n := u.Look(3*UplinkLook, 4, 16, Look{Used: 10, Children: 10, Ran: 8}, rng); n != 7 || u.Troubles != 1 {
		t.Errorf("%d slots after most queues ran over, want 7", n)
	}
}

func TestALineThatGetsBetterIsFound(t *testing.T) {
	var u Uplink
	onLine(&u, 8, 16, time.Minute)
	low := u.Slots(16)
	used := onLine(&u, 16, 16, 15*time.Minute)
	if last := used[len(used)-1]; last != 16 {
		t.Errorf("from %d to %d slots of 16 in a quarter of an hour", low, last)
	}
}

func TestALongTroubleCostsNoMoreThanTheLineNeeds(t *testing.T) {
	var u Uplink
	rng := rand.New(rand.NewPCG(1, 2))
	have, least := 16, 16
	for now := time.Duration(0); now < 6*time.Second; now += UplinkLook { // what waits goes out slowly, and runs over meanwhile
		have = min(have, u.Look(now, 4, 16, Look{Used: have, Children: have, Ran: have}, rng))
		least = min(least, have)
	}
	if least < 7 || u.Troubles > 2 {
		t.Errorf("down to %d slots of 16, %d times, in six seconds", least, u.Troubles)
	}
	for now := 6 * time.Second; now < time.Minute; now += UplinkLook {
		have = u.Look(now, 4, 16, Look{Used: have, Children: have}, rng)
	}
	if have < 12 {
		t.Errorf("%d slots of 16 a minute later", have)
	}
}
