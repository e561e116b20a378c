package stream

// This file answers: what is a stall and what is not, and does playout get over
// whatever the publisher's clock does?

import (
	"slices"
	"testing"
	"time"
)

func TestADryBufferIsAStallAndPlaybackGoesOnLater(t *testing.T) {
	pl := newPlayer(t, PlayoutConfig{Buffer: 100 * ms})
	for seq := range uint64(10) {
		pl.add(time.Duration(seq)*10*ms, object(seq))
	}
	for seq := uint64(10); seq < 40; seq++ { // 400 ms on the way
		pl.add(time.Duration(seq)*10*ms+400*ms, object(seq))
	}
	pl.rest()
	pl.expect(seqs(0, 40))
	if s := pl.p.Stats(); s.Stalls != 1 || s.StallTime != 300*ms || s.Missed != 0 {
		t.Fatalf("%+v", s)
	}
	for _, o := range pl.out[10:] {
		if want := time.Duration(o.seq)*10*ms + 400*ms; o.at != want {
			t.Fatalf("object %d is played at %v, want %v", o.seq, o.at, want)
		}
	}
}

func TestAfterAStallTheStripesMayComeInAnyOrder(t *testing.T) {
	pl := newPlayer(t, PlayoutConfig{Buffer: 100 * ms})
	for seq := range uint64(10) {
		pl.add(time.Duration(seq)*10*ms, object(seq))
	}
	pl.add(500*ms, object(11), object(13))
	pl.add(510*ms, object(10), object(12), object(14))
	pl.rest()
	pl.expect(seqs(0, 15))
	if s := pl.p.Stats(); s.Stalls != 1 || s.Missed != 0 {
		t.Fatalf("%+v", s)
	}
}

func TestAtTheStartTheStripesMayComeInAnyOrder(t *testing.T) {
	for _, eager := range []bool{false, true} {
		for _, age := range []uint64{0, 4, 9, 10, 15, 40} { // of the group, in objects
			pl := newPlayer(t, PlayoutConfig{Buffer: 100 * ms, Eager: eager})
			pl.p.Start(1, 0)
			for _, stripe := range []uint64{0, 1} { // the second comes 90 ms after the first
				for seq := stripe; seq <= age+9; seq += 2 {
					at := max(time.Duration(stripe)*90*ms, time.Duration(max(seq, age)-age)*10*ms)
					pl.add(at, object(seq))
				}
			}
			for seq := age + 10; seq < age+50; seq++ {
				if seq != age+30 {
					pl.add(time.Duration(seq-age)*10*ms, object(seq))
				}
			}
			pl.rest()
			pl.expect(slices.Concat(seqs(0, age+30), seqs(age+31, age+50)))
			if s := pl.p.Stats(); s.Stalls != 0 {
				t.Errorf("group of %d objects, eager %v: %+v", age, eager, s)
			}
		}
	}
}

func TestAHoleAtTheStartIsSkippedAfterABuffer(t *testing.T) {
	pl := newPlayer(t, PlayoutConfig{Buffer: 100 * ms, Eager: true})
	pl.p.Start(1, 0)
	for _, seq := range []uint64{0, 2, 3, 9} { // the group is 90 ms old
		pl.add(time.Second, object(seq))
	}
	pl.rest()
	pl.expect([]uint64{0, 2, 3, 9})
	if at := pl.out[1].at; at != 1100*ms {
		t.Fatalf("object 2 is played at %v, want 1.1s", at)
	}
}

func TestABufferOfLostObjectsIsAStall(t *testing.T) {
	pl := newPlayer(t, PlayoutConfig{Buffer: 100 * ms})
	for seq := range uint64(100) {
		if seq < 30 || seq >= 60 {
			pl.add(time.Duration(seq)*10*ms, object(seq))
		}
	}
	pl.rest()
	pl.expect(slices.Concat(seqs(0, 30), seqs(60, 100)))
	if s := pl.p.Stats(); s.Stalls != 1 || s.Missed != 30 || s.StallTime < 250*ms || s.StallTime > 310*ms {
		t.Fatalf("%+v", s)
	}
}

func TestAPauseOfThePublisherIsNoStall(t *testing.T) {
	for _, pause := range []time.Duration{time.Second, 10 * time.Second, 5 * time.Minute} {
		pl := newPlayer(t, PlayoutConfig{Buffer: 100 * ms})
		for seq := range uint64(60) {
			o, at := object(seq), time.Duration(seq)*10*ms
			if seq >= 30 {
				at += pause
				o.Time += pause.Microseconds()
			}
			if seq == 29 {
				continue // a hole beside it changes nothing
			}
			pl.add(at, o)
		}
		pl.rest()
		pl.expect(slices.Concat(seqs(0, 29), seqs(30, 60)))
		if s := pl.p.Stats(); s.Stalls != 0 || s.Missed != 1 {
			t.Fatalf("%v: %+v", pause, s)
		}
		if at := pl.out[40].at; at != 410*ms+pause+100*ms {
			t.Fatalf("%v: object 41 is played at %v", pause, at)
		}
	}
}

func TestAStepOfThePublishersClockHoldsNothingUp(t *testing.T) {
	for _, step := range []time.Duration{-time.Hour, -5 * time.Second, -50 * ms, 50 * ms, 5 * time.Second, time.Hour} {
		pl := newPlayer(t, PlayoutConfig{Buffer: 100 * ms})
		for seq := range uint64(200) {
			o := object(seq)
			if seq >= 100 {
				o.Time += step.Microseconds()
			}
			pl.add(time.Duration(seq)*10*ms, o)
		}
		pl.rest()
		pl.expect(seqs(0, 200))
		s := pl.p.Stats()
		if s.Missed != 0 || s.Stalls != 0 {
			t.Errorf("step %v: %+v", step, s)
		}
		if end := pl.out[199].at; end > 1990*ms+150*ms {
			t.Errorf("step %v: the last object is played at %v", step, end)
		}
	}
}

func TestPlayoutFollowsAPublishersClockThatDrifts(t *testing.T) {
	for _, ppm := range []int64{-1000, 1000} {
		pl := newPlayer(t, PlayoutConfig{Buffer: 200 * ms})
		last := uint64(60_000) // 10 minutes
		for seq := range last {
			o := object(seq)
			o.Time += int64(seq) * 10_000 * ppm / 1_000_000
			pl.add(time.Duration(seq)*10*ms, o)
		}
		pl.rest()
		if s := pl.p.Stats(); s.Stalls != 0 || s.Missed != 0 || s.Played != last {
			t.Fatalf("%d ppm: %+v", ppm, s)
		}
		if d := pl.out[last-1].at - time.Duration(last-1)*10*ms; d < 150*ms || d > 201*ms {
			t.Fatalf("%d ppm: the last object is played %v after it came", ppm, d)
		}
	}
}

func TestALagOverItsLimitIsGivenUp(t *testing.T) {
	pl := newPlayer(t, PlayoutConfig{Buffer: 100 * ms})
	for seq := range uint64(10) {
		pl.add(time.Duration(seq)*10*ms, object(seq))
	}
	// Everything after is 40 s late and comes at once, up to the live edge.
	for seq := uint64(10); seq < 4010; seq++ {
		pl.add(40*time.Second+100*ms, object(seq))
	}
	live := 40*time.Second + 100*ms
	pl.until(live)
	pl.rest()
	pl.expect(seqs(0, 4010))
	if s := pl.p.Stats(); s.Stalls != 1 || pl.out[4009].at > live+100*ms {
		t.Fatalf("%+v, the last is played %v after it came", s, pl.out[4009].at-live)
	}
}
