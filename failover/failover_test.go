package failover

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const ms = time.Millisecond

// TestSilenceIsSuspectWithinItsBounds holds for any history of arrivals.
func TestSilenceIsSuspectWithinItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d Detector
		now := time.Second
		d.Start(now, 50*ms)
		for range rapid.IntRange(0, 200).Draw(t, "arrivals") {
			now += time.Duration(rapid.IntRange(0, 2000).Draw(t, "gap")) * ms
			d.Observe(now)
		}
		c := DetectorConfig{}
		at := d.SuspectAt(c)
		if wait := at - d.Last(); wait < 100*ms || wait > time.Second {
			t.Fatalf("suspect after %v", wait)
		}
		if d.Phi(now+10*ms) > d.Phi(now+500*ms) {
			t.Fatal("phi falls while the silence lasts")
		}
	})
}

func TestRegularArrivalsAreNeverSuspect(t *testing.T) {
	for _, every := range []time.Duration{5 * ms, 12500 * time.Microsecond, 50 * ms} {
		var d Detector
		d.Start(0, 50*ms)
		for now := every; now < time.Minute; now += every {
			if now >= d.SuspectAt(DetectorConfig{}) {
				t.Fatalf("every %v: suspect at %v", every, now)
			}
			d.Observe(now)
		}
	}
}

func TestJitterStretchesTheBound(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var calm, rough Detector
	calm.Start(0, 50*ms)
	rough.Start(0, 50*ms)
	wrong := 0
	for now := time.Duration(0); now < 5*time.Minute; {
		now += 50*ms + time.Duration(rng.ExpFloat64()*float64(30*ms))
		if now >= rough.SuspectAt(DetectorConfig{}) {
			wrong++
		}
		rough.Observe(now)
	}
	if rough.Bound(DetectorConfig{}) <= calm.Bound(DetectorConfig{}) {
		t.Errorf("bound %v with jitter, %v without", rough.Bound(DetectorConfig{}), calm.Bound(DetectorConfig{}))
	}
	if wrong > 15 { // an exponential tail is heavier than the normal one that phi assumes
		t.Errorf("%d wrong suspicions in 5 minutes", wrong)
	}
}

func TestLevels(t *testing.T) {
	c := ProgressConfig{StarveLag: 24, StarveTime: 250 * ms}
	feed := func(p *Progress, from, to time.Duration, pos *uint64, advance bool) {
		for now := from; now <= to; now += 25 * ms {
			if advance {
				*pos += 4
			}
			p.Beacon(now, *pos)
		}
	}
	for name, run := range map[string]struct {
		level Level
		do    func(p *Progress) (now time.Duration, edge uint64)
	}{
		"objects come: healthy": {Healthy, func(p *Progress) (time.Duration, uint64) {
			var pos uint64
			feed(p, 0, 2*time.Second, &pos, true)
			return 2 * time.Second, pos + 4
		}},
		"silence: suspect": {Suspect, func(p *Progress) (time.Duration, uint64) {
			var pos uint64
			feed(p, 0, time.Second, &pos, true)
			return p.SuspectAt(c), pos
		}},
		"more silence: gone": {Gone, func(p *Progress) (time.Duration, uint64) {
			var pos uint64
			feed(p, 0, time.Second, &pos, true)
			return p.SuspectAt(c) + 40*ms, pos
		}},
		"the connection closed: gone at once": {Gone, func(p *Progress) (time.Duration, uint64) {
			p.Beacon(10*ms, 4)
			p.Lost(20 * ms)
			return 20 * ms, 4
		}},
		"beacons that stand while the edge moves: starved": {Starved, func(p *Progress) (time.Duration, uint64) {
			var pos uint64
			feed(p, 0, time.Second, &pos, true)
			feed(p, time.Second, 1500*ms, &pos, false)
			return 1500 * ms, pos + 100
		}},
		"the whole stream paused: healthy": {Healthy, func(p *Progress) (time.Duration, uint64) {
			var pos uint64
			feed(p, 0, time.Second, &pos, true)
			feed(p, time.Second, 10*time.Second, &pos, false)
			return 10 * time.Second, pos
		}},
		"the observer was stopped: excused": {Healthy, func(p *Progress) (time.Duration, uint64) {
			var pos uint64
			feed(p, 0, time.Second, &pos, true)
			p.Excuse(20 * time.Second)
			return 20*time.Second + 50*ms, pos + 400
		}},
		"back after it was gone: wary": {Wary, func(p *Progress) (time.Duration, uint64) {
			p.Beacon(10*ms, 4)
			p.Lost(20 * ms)
			p.Beacon(time.Second, 8)
			return time.Second + 10*ms, 8
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var p Progress
			p.Start(0, 50*ms)
			now, edge := run.do(&p)
			if got := p.Level(now, edge, c); got != run.level {
				t.Errorf("%v, want %v", got, run.level)
			}
		})
	}
}

func TestBackoffStaysInItsRangeAndSpreads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		b := Backoff{Base: 200 * ms, Cap: 2 * time.Second, Floor: 30 * ms}
		for i := range 100 {
			top := min(200*ms<<min(i, 10), 2*time.Second)
			if w := b.Next(rng); w < 30*ms || w > top {
				t.Fatalf("wait %d is %v, allowed is 30ms to %v", i, w, top)
			}
		}
		if b.Attempts() != maxAttempts {
			t.Fatalf("%d attempts counted", b.Attempts())
		}
		if b.Reset(); b.Attempts() != 0 {
			t.Fatal("not forgotten")
		}
	})
	rng := rand.New(rand.NewPCG(1, 1))
	seen := map[time.Duration]bool{}
	for range 100 {
		b := Backoff{Base: time.Second, Cap: time.Minute}
		seen[b.Next(rng)] = true
	}
	if len(seen) < 90 {
		t.Errorf("%d different waits of 100", len(seen))
	}
}

func TestABreakerOpensAfterThreeFailuresAndTriesOnce(t *testing.T) {
	var b Breaker
	for range 2 {
		b.Failure(0)
	}
	if !b.Allow(0) || b.Open(0) {
		t.Fatal("open after two failures")
	}
	b.Failure(0)
	if b.Allow(time.Second) || !b.Open(time.Second) {
		t.Fatal("closed after three")
	}
	if !b.Allow(2*time.Second) || b.Allow(2*time.Second) {
		t.Fatal("half open is one trial")
	}
	b.Failure(2 * time.Second)
	if b.Allow(5*time.Second) || !b.Allow(6*time.Second) {
		t.Fatal("the second open time is 4 s")
	}
	b.Success()
	if !b.Allow(6*time.Second) || b.Open(6*time.Second) {
		t.Fatal("a success closes it")
	}
}

func TestABudgetIsNeverOverspent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		share := rapid.Float64Range(0.001, 1).Draw(t, "share")
		b := NewBudget(share, 1000, 5000)
		earned := 0.0
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			n := rapid.IntRange(0, 4000).Draw(t, "bytes")
			if rapid.Bool().Draw(t, "earn") {
				b.Earn(n)
				earned += share * float64(n)
			} else if before := b.Level(); !b.Spend(n) && b.Level() != before {
				t.Fatal("a refusal costs")
			}
			if float64(b.Spent()) > 1000+earned+1 || b.Level() > 5000 || b.Level() < 0 {
				t.Fatalf("spent %d of %.0f, level %d", b.Spent(), 1000+earned, b.Level())
			}
		}
	})
}

func BenchmarkObserve(b *testing.B) {
	var p Progress
	p.Start(0, 50*ms)
	b.ReportAllocs()
	now := time.Duration(0)
	for b.Loop() {
		now += 12 * ms
		p.Beacon(now, uint64(now))
		_ = p.SuspectAt(ProgressConfig{})
	}
}
