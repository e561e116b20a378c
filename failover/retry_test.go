package failover

// This file answers: can a storm of retries, trials or repairs go over what it was given?

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBackoffStaysBetweenFloorAndCap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		top := rapid.Int64Range(0, math.MaxInt64).Draw(t, "cap")
		b := Backoff{
			Base:  time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "base")),
			Cap:   time.Duration(top),
			Floor: time.Duration(rapid.Int64Range(0, top).Draw(t, "floor")),
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		for i := range 100 {
			if wait := b.Next(rng); wait < b.Floor || wait > b.Cap {
				t.Fatalf("wait %d is %v, allowed is %v to %v", i, wait, b.Floor, b.Cap)
			}
			if b.Attempts() != min(i+1, 30) {
				t.Fatalf("%d attempts counted after %d", b.Attempts(), i+1)
			}
		}
		b.Reset()
		if wait := b.Next(rng); wait > max(b.Base, b.Floor) || b.Attempts() != 1 {
			t.Fatalf("first wait after a reset is %v, attempts %d", wait, b.Attempts())
		}
	})
}

// The longest Durations are no special case.
func TestBackoffTakesTheLongestDurations(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, base := range []time.Duration{1, math.MaxInt64/2 + 1, math.MaxInt64} {
		b := Backoff{Base: base, Cap: math.MaxInt64}
		for i := range 100 {
			if wait := b.Next(rng); wait < 0 {
				t.Fatalf("base %v: wait %d is %v", base, i, wait)
			}
		}
	}
}

// TestBackoffUsesItsWholeRangeEvenly: full jitter is uniform over the range,
// whose top doubles with every attempt.
func TestBackoffUsesItsWholeRangeEvenly(t *testing.T) {
	const draws, bins = 4000, 8
	rng := rand.New(rand.NewPCG(3, 3))
	for attempt, top := range []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, time.Second, time.Second} {
		var seen [bins]int
		for range draws {
			b := Backoff{Base: 100 * ms, Cap: time.Second, Floor: 20 * ms}
			for range attempt {
				b.Next(rng)
			}
			wait := b.Next(rng)
			if wait > top {
				t.Fatalf("attempt %d waits %v, at most %v expected", attempt+1, wait, top)
			}
			seen[min(bins-1, int(bins*(wait-b.Floor)/(top-b.Floor)))]++
		}
		chi := 0.0
		for _, n := range seen {
			diff := float64(n) - draws/bins
			chi += diff * diff / (draws / bins)
		}
		if chi > 24.3 { // 7 degrees of freedom, one in a thousand
			t.Errorf("attempt %d: %v is not even, chi² %.1f", attempt+1, seen, chi)
		}
	}
}

func TestBackoffsOfTwoOwnersDrawApart(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	a, b := Backoff{Base: time.Second, Cap: time.Minute}, Backoff{Base: time.Second, Cap: time.Minute}
	same := 0
	for range 20 {
		if a.Next(rng) == b.Next(rng) {
			same++
		}
	}
	if same > 1 {
		t.Errorf("%d of 20 waits are the same", same)
	}
}

func TestBreakerStopsAfterThreeFailuresAndTriesOnce(t *testing.T) {
	var b Breaker
	for i := range 3 {
		if !b.Allow(0) || b.Open(0) {
			t.Fatalf("open after %d failures", i)
		}
		b.Failure(0)
	}
	if b.Allow(1999*ms) || !b.Open(1999*ms) {
		t.Fatal("not open for 2 s after three failures")
	}
	if b.Open(2 * time.Second) {
		t.Fatal("no trial offered after 2 s")
	}
	if !b.Allow(2 * time.Second) {
		t.Fatal("no trial after 2 s")
	}
	if b.Allow(2*time.Second) || !b.Open(2*time.Second) {
		t.Fatal("a second trial beside the first")
	}
	b.Success()
	for range 2 {
		if !b.Allow(2*time.Second) || b.Open(2*time.Second) {
			t.Fatal("not closed after a trial that worked")
		}
		b.Failure(2 * time.Second)
	}
	if !b.Allow(2 * time.Second) {
		t.Fatal("failures of before the success still count")
	}
}

func TestBreakerDoublesItsOpenTimeFromTwoSecondsToAMinute(t *testing.T) {
	var b Breaker
	now := time.Duration(0)
	b.Failure(now)
	b.Failure(now)
	b.Failure(now)
	for i, want := range []time.Duration{2, 4, 8, 16, 32, 60, 60, 60} {
		want *= time.Second
		if b.Allow(now + want - 1) {
			t.Fatalf("round %d: a trial before %v", i+1, want)
		}
		now += want
		if !b.Allow(now) {
			t.Fatalf("round %d: no trial after %v", i+1, want)
		}
		b.Failure(now)
	}
}

// TestFailuresOfAttemptsFromBeforeDoNotLengthenTheOpenTime: five requests under
// way to one neighbour fail together when it dies; that is one failure, not three doublings.
func TestFailuresOfAttemptsFromBeforeDoNotLengthenTheOpenTime(t *testing.T) {
	var b Breaker
	for range 8 {
		b.Failure(time.Second)
	}
	if !b.Allow(3 * time.Second) {
		t.Error("no trial 2 s after the breaker opened")
	}
}

// TestATrialThatIsNeverAnsweredDoesNotBanForEver: the owner of a trial may be
// cancelled before it knows how it went.
func TestATrialThatIsNeverAnsweredDoesNotBanForEver(t *testing.T) {
	var b Breaker
	for range 3 {
		b.Failure(0)
	}
	if !b.Allow(2 * time.Second) {
		t.Fatal("no trial")
	}
	if b.Allow(3 * time.Second) {
		t.Error("a second trial a second after the first")
	}
	if !b.Allow(62 * time.Second) {
		t.Error("no second trial a minute after the first was forgotten")
	}
}

// TestBreakerAllowsOneTrialPerOpenTime throws schedules at a breaker: in any
// open time nothing is allowed, and no two attempts within 2 s while it is not closed.
func TestBreakerAllowsOneTrialPerOpenTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Breaker
		now, row, lastTrial := time.Duration(0), 0, time.Duration(-math.MaxInt64/2)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now += time.Duration(rapid.Int64Range(0, int64(5*time.Second)).Draw(t, "wait"))
			open := b.Open(now)
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				b.Failure(now)
				row++
			case 1:
				if rapid.IntRange(0, 9).Draw(t, "works") == 0 {
					b.Success()
					row = 0
				}
			default:
				allowed := b.Allow(now)
				if allowed == open {
					t.Fatalf("open is %v and an attempt is allowed: %v", open, allowed)
				}
				if row < 3 && !allowed {
					t.Fatalf("refused after %d failures in a row", row)
				}
				if row >= 3 && allowed {
					if now-lastTrial < 2*time.Second {
						t.Fatalf("two trials within %v", now-lastTrial)
					}
					lastTrial = now
				}
			}
			if row == 0 {
				lastTrial = -math.MaxInt64 / 2
			}
		}
	})
}

// TestBudgetNeverSpendsMoreThanItWasGiven: whatever the schedule, spent is at
// most initial + share × earned, and what is kept at most burst.
func TestBudgetNeverSpendsMoreThanItWasGiven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		share := rapid.Float64Range(0, 0.5).Draw(t, "share")
		initial := rapid.Int64Range(0, 1<<20).Draw(t, "initial")
		burst := rapid.Int64Range(0, 1<<20).Draw(t, "burst")
		b := NewBudget(share, initial, burst)
		earned, spent := int64(0), int64(0)
		for range rapid.IntRange(0, 300).Draw(t, "steps") {
			n := rapid.IntRange(-1000, 1<<17).Draw(t, "bytes")
			if rapid.Bool().Draw(t, "earn") {
				b.Earn(n)
				earned += int64(max(n, 0))
			} else {
				before := b.Level()
				ok := b.Spend(n)
				if ok {
					spent += int64(max(n, 0))
				}
				if ok != (int64(n) <= before) {
					t.Fatalf("spending %d of %d: %v", n, before, ok)
				}
			}
			if b.Spent() != spent {
				t.Fatalf("spent %d, counted %d", spent, b.Spent())
			}
			if most := float64(initial) + share*float64(earned); float64(spent) > most+1e-6*most {
				t.Fatalf("spent %d of %f", spent, most)
			}
			if b.Level() < 0 || b.Level() > burst {
				t.Fatalf("holds %d, allowed is 0 to %d", b.Level(), burst)
			}
		}
	})
}

func TestBudgetEarnsItsShare(t *testing.T) {
	b := NewBudget(0.03, 1000, 1<<20)
	if b.Spend(1001) || b.Spent() != 0 || b.Level() != 1000 {
		t.Fatal("more than the initial tokens spent, or some taken by a refusal")
	}
	if !b.Spend(1000) || b.Level() != 0 {
		t.Fatal("the initial tokens cannot be spent")
	}
	for range 100 {
		b.Earn(1000)
	}
	if l := b.Level(); l < 2999 || l > 3000 {
		t.Fatalf("3 %% of 100,000 received are %d", l)
	}
}

func BenchmarkBackoffNext(b *testing.B) {
	b.ReportAllocs()
	rng := rand.New(rand.NewPCG(5, 5))
	o := Backoff{Base: 50 * ms, Cap: 15 * time.Second, Floor: 10 * ms}
	for b.Loop() {
		if o.Next(rng) < o.Floor {
			b.Fatal("below the floor")
		}
	}
}

func BenchmarkBreaker(b *testing.B) {
	b.ReportAllocs()
	var o Breaker
	now := time.Duration(0)
	for b.Loop() {
		now += time.Second
		if o.Allow(now) {
			o.Failure(now)
		}
	}
}

func BenchmarkBudget(b *testing.B) {
	b.ReportAllocs()
	o := NewBudget(0.03, 64<<10, 256<<10)
	for b.Loop() {
		o.Earn(1250)
		o.Spend(37)
	}
}
