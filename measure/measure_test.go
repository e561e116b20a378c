package measure

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/braidway/braidway/stream"
)

const msec = time.Millisecond

// made is the publisher's time of object seq in these tests: one every 10 ms.
func made(seq uint64) int64 { return int64(seq) * 10_000 }

func TestAGapIsTheLongestTimeWithoutProgress(t *testing.T) {
	v := NewViewer(0)
	v.Start(100*msec, 1, 0)
	at := func(now time.Duration, seq uint64) { v.Object(now, 1, seq, made(seq), 5*msec) }
	at(100*msec, 0)
	at(110*msec, 1)
	at(130*msec, 3) // a hole at 2
	at(140*msec, 4)
	at(260*msec, 2) // repaired late: 150 ms without progress
	at(270*msec, 5)
	r := v.Report(time.Second, nil)
	if *r.MaxGapMS != 150 || *r.StartupMS != 100 {
		t.Errorf("gap %v ms, start-up %v ms", *r.MaxGapMS, *r.StartupMS)
	}
	if g := v.GapBetween(120*msec, 200*msec, false); g != 150*msec {
		t.Errorf("the gap that was open is %v", g)
	}
	if g := v.GapBetween(300*msec, 500*msec, false); g != 0 {
		t.Errorf("later gaps: %v", g)
	}
	if g := v.GapBetween(300*msec, 500*msec, true); g != 230*msec {
		t.Errorf("the running one: %v", g)
	}
}

func TestAPauseOfThePublisherIsNoGap(t *testing.T) {
	v := NewViewer(0)
	v.Start(0, 1, 0)
	v.Object(0, 1, 0, 1_000_000, msec)
	v.Object(5*time.Second, 1, 1, 5_980_000, msec)
	if r := v.Report(6*time.Second, nil); *r.MaxGapMS != 20 {
		t.Errorf("gap %v ms, want 20", *r.MaxGapMS)
	}
}

func TestANewEpochStartsAnew(t *testing.T) {
	v := NewViewer(0)
	v.Start(0, 1, 0)
	v.Object(0, 1, 0, 0, msec)
	v.Start(90*msec, 2, 0)
	v.Object(95*msec, 1, 1, 10_000, msec) // of the old one: over
	v.Object(100*msec, 2, 0, 100_000, msec)
	if r := v.Report(time.Second, nil); *r.MaxGapMS != 100 {
		t.Errorf("gap %v ms, want 100", *r.MaxGapMS)
	}
}

// TestGapsAgreeWithASlowObviousComputation holds for any order of arrival.
func TestGapsAgreeWithASlowObviousComputation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 60).Draw(t, "objects")
		order := rapid.Permutation(seqs(n)).Draw(t, "order")
		v := NewViewer(0)
		v.Start(0, 1, 0)
		have := map[uint64]bool{}
		var now, last, want time.Duration
		next, running := uint64(0), false
		for _, seq := range order {
			now += time.Duration(rapid.IntRange(0, 300).Draw(t, "wait")) * msec
			v.Object(now, 1, seq, made(seq), msec)
			have[seq] = true
			if !have[next] {
				continue
			}
			for have[next] {
				next++
			}
			if running {
				want = max(want, now-last)
			}
			running, last = true, now
		}
		if r := v.Report(now, nil); *r.MaxGapMS != float64(want.Milliseconds()) {
			t.Fatalf("gap %v ms, want %v", *r.MaxGapMS, want)
		}
	})
}

func seqs(n int) []uint64 {
	s := make([]uint64, n)
	for i := range s {
		s[i] = uint64(i)
	}
	return s
}

func TestWhatWasNotMeasuredIsAbsentAndZeroIsNot(t *testing.T) {
	v := NewViewer(0)
	b, err := json.Marshal(v.Report(time.Second, nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, absent := range []string{"startup_ms", "max_gap_ms", "latency_ms", "continuity", "objects_due", "redundancy"} {
		if strings.Contains(string(b), absent) {
			t.Errorf("%s is there though nothing was played: %s", absent, b)
		}
	}
	v.Start(0, 1, 0)
	v.Object(20*msec, 1, 0, 0, msec)
	b, _ = json.Marshal(v.Report(time.Second, &stream.PlayoutStats{Due: 4, Played: 3, Missed: 1}))
	for _, there := range []string{`"stalls":0`, `"continuity":0.75`, `"objects_played":3`, `"startup_ms":20`, `"switches":0`} {
		if !strings.Contains(string(b), there) {
			t.Errorf("%s is missing in %s", there, b)
		}
	}
}

func TestASpreadNamesTheWorst(t *testing.T) {
	var v []float64
	for i := range 200 {
		v = append(v, float64(i+1))
	}
	if s := NewSpread(v, false); s != (Spread{P50: 100, P99: 198, Worst: 199.5, Max: 200}) {
		t.Errorf("low is good: %+v", s)
	}
	if s := NewSpread(v, true); s != (Spread{P50: 101, P99: 3, Worst: 1.5, Max: 1}) {
		t.Errorf("high is good: %+v", s)
	}
	if s := NewSpread([]float64{7}, false); s != (Spread{7, 7, 7, 7}) {
		t.Errorf("one viewer: %+v", s)
	}
}

func BenchmarkObject(b *testing.B) {
	v := NewViewer(0)
	v.Start(0, 1, 0)
	b.ReportAllocs()
	for seq := uint64(0); b.Loop(); seq++ {
		v.Object(time.Duration(seq)*10*msec, 1, seq, made(seq), msec)
	}
}

// However many objects overtake each other, each counts with its own time.
func TestTheRoomForTimesGrows(t *testing.T) {
	small, large := NewLeanViewer(0), NewLeanViewer(0)
	large.times = make([]int64, leanWindow)
	for _, v := range []*Viewer{small, large} {
		v.Start(0, 1, 0)
		at := func(seq uint64, now time.Duration) {
			made := time.Duration(seq) * 10 * time.Millisecond
			v.Object(now, 1, seq, made.Microseconds(), now-made)
		}
		at(0, 0)
		for _, run := range [][2]uint64{{2, 60}, {63, 70}, {120, 1000}} { // holes at 1, 60 to 62, 70 to 119
			for seq := run[0]; seq < run[1]; seq++ {
				at(seq, time.Duration(seq)*10*time.Millisecond+time.Millisecond)
			}
		}
		for _, run := range [][2]uint64{{60, 63}, {70, 120}, {1, 2}} {
			for seq := run[0]; seq < run[1]; seq++ {
				at(seq, 11*time.Second)
			}
		}
		at(1000+leanWindow, 40*time.Second) // the window goes on, not the memory
	}
	if a, b := small.Report(41*time.Second, nil), large.Report(41*time.Second, nil); !reflect.DeepEqual(a, b) {
		t.Errorf("%+v, want %+v", a, b)
	}
	if n := len(small.times); n > leanWindow {
		t.Errorf("room for %d times", n)
	}
}
