package node

import (
	"testing"
	"time"

	"github.com/braidway/braidway/failover"
)

func TestAGuessedBitrateGivesWayToTheFirstMeasurement(t *testing.T) {
	s := newSlotKeeper(8_000_000, false, 4, 0)
	before := s.now()
	var after int
	// A stream of 1 Mbit/s, which begins after a minute of waiting for it.
	for now := time.Duration(0); now < 63*time.Second; now += 500 * time.Millisecond {
		if now >= time.Minute {
			s.received(1_000_000 / 8 / 2)
		}
		after, _ = s.tick(now, failover.Look{})
		if now < time.Minute && after != before {
			t.Fatalf("%d slots at %v, with nothing measured; %d before", after, now, before)
		}
	}
	if want := before * guessedBitrate / 1_000_000; after < want*3/4 || after > want*5/4 {
		t.Errorf("%d slots three seconds after the stream began, want about %d", after, want)
	}
}
