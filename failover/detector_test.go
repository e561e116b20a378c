package failover

// This file answers: does the detector keep its bounds, and is it calm while arrivals are regular?

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const ms = time.Millisecond

func TestBoundOfAFreshDetectorIsClampedByItsConfig(t *testing.T) {
	for _, c := range []struct {
		name     string
		expected time.Duration
		cfg      DetectorConfig
		low, top time.Duration
	}{
		{"a fast sender gets the default least bound", 5 * ms, DetectorConfig{}, 100 * ms, 100 * ms},
		{"beacons every 50 ms get room for their jitter", 50 * ms, DetectorConfig{}, 110 * ms, 130 * ms},
		{"a slow sender gets the default greatest bound", 2 * time.Second, DetectorConfig{}, time.Second, time.Second},
		{"a least bound above the default greatest raises it", 50 * ms, DetectorConfig{MinBound: 3 * time.Second}, 3 * time.Second, 3 * time.Second},
		{"a greatest bound below the default least lowers it", 50 * ms, DetectorConfig{MaxBound: 30 * ms}, 30 * ms, 30 * ms},
		{"of two that cross the greatest wins", 50 * ms, DetectorConfig{MinBound: time.Second, MaxBound: 200 * ms}, 200 * ms, 200 * ms},
		{"no promise at all is no division by zero", 0, DetectorConfig{}, 100 * ms, 100 * ms},
		{"a promise of forever does not overflow", math.MaxInt64, DetectorConfig{}, time.Second, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Detector
			d.Start(time.Second, c.expected)
			if b := d.Bound(c.cfg); b < c.low || b > c.top {
				t.Errorf("bound %v, want %v to %v", b, c.low, c.top)
			}
			if phi := d.Phi(2 * time.Second); math.IsNaN(phi) || phi < 0 {
				t.Errorf("phi %v", phi)
			}
			if at := d.SuspectAt(c.cfg); at != time.Second+d.Bound(c.cfg) {
				t.Errorf("suspect at %v", at)
			}
		})
	}
}

// drawConfig draws bounds that do not cross.
func drawConfig(t *rapid.T) DetectorConfig {
	low := time.Duration(rapid.Int64Range(int64(ms), int64(500*ms)).Draw(t, "min"))
	return DetectorConfig{
		MinBound:  low,
		MaxBound:  low + time.Duration(rapid.Int64Range(0, int64(5*time.Second)).Draw(t, "room")),
		Threshold: rapid.Float64Range(1, 16).Draw(t, "threshold"),
	}
}

// TestSilenceIsSuspectNeitherBeforeMinBoundNorAfterMaxBound throws arbitrary arrivals at a detector.
func TestSilenceIsSuspectNeitherBeforeMinBoundNorAfterMaxBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		now := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "start"))
		var d Detector
		d.Start(now, time.Duration(rapid.Int64Range(0, int64(10*time.Second)).Draw(t, "expected")))
		for _, gap := range rapid.SliceOfN(rapid.Int64Range(-int64(time.Second), int64(time.Minute)), 0, 100).Draw(t, "gaps") {
			now = max(0, now+time.Duration(gap))
			if gap%7 == 0 {
				d.Excuse(now)
			} else {
				d.Observe(now)
			}
			if silence := d.SuspectAt(cfg) - d.Last(); silence < cfg.MinBound || silence > cfg.MaxBound {
				t.Fatalf("suspect after %v of silence, allowed is %v to %v", silence, cfg.MinBound, cfg.MaxBound)
			}
		}
	})
}

func TestTimeNeverRunsBackwardsForTheDetector(t *testing.T) {
	var d Detector
	d.Start(time.Second, 50*ms)
	d.Observe(990 * ms)
	d.Excuse(980 * ms)
	if d.Last() != time.Second {
		t.Errorf("last sign of life at %v, want 1s", d.Last())
	}
}

// TestRegularArrivalsAreNeverSuspect holds at any rate that a sender may have promised.
func TestRegularArrivalsAreNeverSuspect(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		every := time.Duration(rapid.Int64Range(int64(2*ms), int64(800*ms)).Draw(t, "every"))
		cfg := DetectorConfig{MinBound: ms} // no help from the least bound
		var d Detector
		d.Start(0, every)
		for now := every; now < 400*every; now += every {
			if at := d.SuspectAt(cfg); now >= at {
				t.Fatalf("suspect at %v though every %v came on time, now %v", at, every, now)
			}
			d.Observe(now)
		}
	})
}

// TestObjectsOftenThenBeaconsOnlyIsNotSuspect: a sender that has sent objects
// every 12 ms may fall back to its promised 50 ms at once.
func TestObjectsOftenThenBeaconsOnlyIsNotSuspect(t *testing.T) {
	var d Detector
	d.Start(0, 50*ms)
	now := time.Duration(0)
	for range 1000 {
		now += 12 * ms
		d.Observe(now)
	}
	if at := d.SuspectAt(DetectorConfig{MinBound: ms}); at <= now+55*ms {
		t.Errorf("suspect %v after the last object, before a beacon can come", at-now)
	}
}

// TestNormalJitterSeldomRaisesFalseSuspicion: phi 8 promises one in 10^8 if the
// distribution were known; estimated from the last 16 it is more, still under
// one in 10,000.
func TestNormalJitterSeldomRaisesFalseSuspicion(t *testing.T) {
	for _, dev := range []time.Duration{2 * ms, 5 * ms, 10 * ms, 20 * ms} {
		rng := rand.New(rand.NewPCG(1, uint64(dev)))
		cfg := DetectorConfig{MinBound: ms, MaxBound: time.Minute}
		var d Detector
		d.Start(0, 50*ms)
		now, false1 := time.Duration(0), 0
		const arrivals = 200_000
		for range arrivals {
			now += max(2*ms, 50*ms+time.Duration(rng.NormFloat64()*float64(dev)))
			if now >= d.SuspectAt(cfg) {
				false1++
			}
			d.Observe(now)
		}
		t.Logf("deviation %v: %d of %d intervals suspected", dev, false1, arrivals)
		if false1 > arrivals/10_000 {
			t.Errorf("deviation %v: %d of %d intervals suspected, want at most %d", dev, false1, arrivals, arrivals/10_000)
		}
	}
}

func TestPhiNeverFallsWhileSilenceLasts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d Detector
		d.Start(0, time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "expected")))
		now := time.Duration(0)
		for _, gap := range rapid.SliceOfN(rapid.Int64Range(0, int64(time.Second)), 0, 50).Draw(t, "gaps") {
			now += time.Duration(gap)
			d.Observe(now)
		}
		before := d.Phi(now)
		for range 200 {
			now += time.Duration(rapid.Int64Range(0, int64(100*ms)).Draw(t, "silence"))
			phi := d.Phi(now)
			if !(phi >= before) || phi < 0 || phi > 300 {
				t.Fatalf("phi %v after %v at %v", phi, before, now)
			}
			before = phi
		}
	})
}

// TestBoundIsWherePhiPassesTheThreshold holds the closed form against the exact tail.
func TestBoundIsWherePhiPassesTheThreshold(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	var d Detector
	d.Start(0, 50*ms)
	now := time.Duration(0)
	for range 500 {
		now += max(2*ms, 60*ms+time.Duration(rng.NormFloat64()*15e6))
		d.Observe(now)
		for threshold := 3.0; threshold <= 16; threshold++ {
			at := d.SuspectAt(DetectorConfig{MinBound: 1, MaxBound: time.Hour, Threshold: threshold})
			if phi := d.Phi(at); math.Abs(phi-threshold) > 0.1 {
				t.Fatalf("phi at the bound for threshold %v is %v", threshold, phi)
			}
		}
	}
}

// TestOneLongFreezeDoesNotBlindTheDetector: a parent that was stopped for 20 s
// and came back is the likeliest to die next, so its next silence must be seen
// about as soon as the first.
func TestOneLongFreezeDoesNotBlindTheDetector(t *testing.T) {
	var d Detector
	d.Start(0, 50*ms)
	now := time.Duration(0)
	beacons := func(n int) {
		for range n {
			now += 50 * ms
			d.Observe(now)
		}
	}
	beacons(100)
	before := d.Bound(DetectorConfig{})
	now += 20 * time.Second
	beacons(20)
	if after := d.Bound(DetectorConfig{}); after > 2*before {
		t.Errorf("one second after a freeze of 20 s the bound is %v, it was %v", after, before)
	}
}

// TestASenderThatSlowsDownIsLearntWithinAFewArrivals: not learning from one
// freeze must not mean never learning.
func TestASenderThatSlowsDownIsLearntWithinAFewArrivals(t *testing.T) {
	cfg := DetectorConfig{MaxBound: 10 * time.Second}
	var d Detector
	d.Start(0, 50*ms)
	now, suspicions := time.Duration(0), 0
	for range 100 {
		now += 500 * ms
		if now >= d.SuspectAt(cfg) {
			suspicions++
		}
		d.Observe(now)
	}
	if suspicions > 5 {
		t.Errorf("%d suspicions before ten times the interval is learnt, want at most 5", suspicions)
	}
}

func TestExcuseMakesSilenceCountFromNowOn(t *testing.T) {
	var d Detector
	d.Start(0, 50*ms)
	d.Observe(50 * ms)
	bound := d.Bound(DetectorConfig{})
	d.Excuse(10 * time.Second)
	if at := d.SuspectAt(DetectorConfig{}); at != 10*time.Second+bound {
		t.Errorf("suspect at %v, want %v", at, 10*time.Second+bound)
	}
}

// TestObjectsOfOneWriteAreOneSignOfLife: four objects every 100 ms are not an interval of 25 ms.
func TestObjectsOfOneWriteAreOneSignOfLife(t *testing.T) {
	var burst, single Detector
	burst.Start(0, 50*ms)
	single.Start(0, 50*ms)
	for i := range 100 {
		now := time.Duration(i+1) * 100 * ms
		single.Observe(now)
		for j := range 4 {
			burst.Observe(now + time.Duration(j)*10*time.Microsecond)
		}
	}
	a, b := burst.Bound(DetectorConfig{}), single.Bound(DetectorConfig{})
	if a < b-ms || a > b+ms {
		t.Errorf("bound %v with bursts, %v without", a, b)
	}
}

func BenchmarkDetectorObserveAndBound(b *testing.B) {
	b.ReportAllocs()
	var d Detector
	d.Start(0, 50*ms)
	now, sum := time.Duration(0), time.Duration(0)
	for b.Loop() {
		now += 12 * ms
		d.Observe(now)
		sum += d.SuspectAt(DetectorConfig{})
	}
	if sum == 0 {
		b.Fatal("never suspect")
	}
}

func BenchmarkDetectorPhi(b *testing.B) {
	b.ReportAllocs()
	var d Detector
	d.Start(0, 50*ms)
	sum := 0.0
	for b.Loop() {
		sum += d.Phi(120 * ms)
	}
	if sum == 0 {
		b.Fatal("no suspicion")
	}
}
