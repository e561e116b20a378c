package node

import (
	"testing"
	"time"

	"github.com/braidway/braidway/failover"
	"github.com/braidway/braidway/stream"
)

// A stream of 1 Mbit/s, which begins after a minute of waiting for it and brings
// three seconds of the past at once; of its four stripes some may be missing.
func TestAGuessedBitrateGivesWayToWhatCame(t *testing.T) {
	const each = 1250 // bytes of an object, 100 a second
	for name, lacks := range map[string]int{"all stripes": 0, "one stripe is missing": 1, "three are missing": 3} {
		t.Run(name, func(t *testing.T) {
			s := newSlotKeeper(8_000_000, false, 4, 0)
			before := s.now()
			next := uint64(0)
			come := func(d time.Duration) {
				for end := next + uint64(d/(10*time.Millisecond)); next < end; next++ {
					if int(next%4) >= lacks {
						s.received(&stream.Parsed{Object: stream.Object{Header: stream.Header{Epoch: 1, Seq: next, Time: int64(next) * 10_000}}, Wire: make([]byte, each)})
					}
				}
			}
			var after int
			look := func(what string, at time.Duration) {
				t.Helper()
				after, _ = s.tick(at, failover.Look{})
				if want := before * guessedBitrate / 1_000_000; after < want*3/4 || after > want*5/4 {
					t.Errorf("%d slots %s, want about %d", after, what, want)
				}
			}
			now := time.Duration(0)
			for ; now < time.Minute; now += 500 * time.Millisecond {
				if after, _ = s.tick(now, failover.Look{}); after != before {
					t.Fatalf("%d slots at %v, with nothing measured; %d before", after, now, before)
				}
			}
			come(3 * time.Second)
			look("as soon as it begins", now)
			for range 4 {
				now += 500 * time.Millisecond
				come(500 * time.Millisecond)
				look("in its first two seconds", now)
			}
			for range 60 {
				now += 500 * time.Millisecond
				come(500 * time.Millisecond)
				after, _ = s.tick(now, failover.Look{})
			}
			look("half a minute later", now)
		})
	}
}
