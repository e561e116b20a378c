package sim

// The viewers are those of the sources that population.go names.

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/braidway/braidway/failover"
)

func source(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 9)) }

// viewers draws n of them.
func viewers(s *Settings, n int) []profile {
	rng := source(1)
	all := make([]profile, n)
	for i := range all {
		all[i] = s.draw(rng)
	}
	return all
}

func median[T any](all []T, of func(*T) float64) float64 {
	var v []float64
	for i := range all {
		v = append(v, of(&all[i]))
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// about fails unless got is within a share of want.
func about(t *testing.T, what string, got, want, share float64) {
	t.Helper()
	if !(math.Abs(got-want) <= share*math.Abs(want)) {
		t.Errorf("%s is %.4g, want %.4g within %.0f %%", what, got, want, 100*share)
	}
}

func TestViewersHaveThePublishedLines(t *testing.T) {
	set := Default()
	all := viewers(&set, 40_000)
	for i, want := range []struct {
		name            string
		share, up, loss float64 // POPULATIONS: Ookla's medians in Mbit/s
	}{{"fibre", .5, 100, .001}, {"cable", .2, 20, .001}, {"dsl", .1, 10, .001}, {"mobile", .2, 9, .02}} {
		of := slices.DeleteFunc(slices.Clone(all), func(p profile) bool { return int(p.access) != i })
		about(t, "share of "+want.name, float64(len(of))/float64(len(all)), want.share, .05)
		about(t, "median upload of "+want.name, median(of, func(p *profile) float64 { return p.up / 1e6 }), want.up, .05)
		about(t, "loss of "+want.name, of[0].loss, want.loss, 0)
	}
	count := func(is func(*profile) bool) (share float64) {
		for i := range all {
			if is(&all[i]) {
				share += 1 / float64(len(all))
			}
		}
		return share
	}
	about(t, "share of free riders", count(func(p *profile) bool { return p.free }), .3, .05)
	for nat, want := range []float64{.10, .60, .25, .05} {
		about(t, "share of a kind of NAT", count(func(p *profile) bool { return int(p.nat) == nat }), want, .1)
	}
	for i, r := range regions {
		about(t, "share of "+r.name, count(func(p *profile) bool { return int(p.region) == i }), r.share, .1)
	}
	if n := count(func(p *profile) bool { return p.down < 2*set.Bitrate() }); n > 0 {
		t.Errorf("%v of the viewers cannot receive the stream", n)
	}
}

func TestSessionsHaveTheMeasuredLength(t *testing.T) {
	rng := source(2)
	var fresh, under []float64
	for range 40_000 {
		fresh, under = append(fresh, sessions.draw(rng)), append(under, residual(rng))
	}
	id := func(x *float64) float64 { return *x }
	about(t, "the median session", median(fresh, id), math.Exp(5.19), .05) // Veloso et al.: 180 s
	// Inspection: the mean rest of a view under way is E[X²]/2E[X], here e^(σ²)
	// times half the mean. Medians are told apart more surely than such tails.
	if f, u := median(fresh, id), median(under, id); u < 2*f {
		t.Errorf("the median rest of a view under way is %.0f s, want more than twice that of all views, %.0f s", u, f)
	}
	// Its median in closed form has no need of draws: X·U with X = LN(μ+σ², σ).
	long := lognormal{sessions.mu + sessions.sigma*sessions.sigma, sessions.sigma}
	if u, l := median(under, id), math.Exp(long.mu); u > l/2 || u < l/4 {
		t.Errorf("the median rest is %.0f s, want between a quarter and a half of the median view under way, %.0f s", u, l)
	}
}

func TestCapacityIsWhatWasAskedFor(t *testing.T) {
	for _, capacity := range []float64{0.8, 1, 1.6, 3} {
		for _, free := range []float64{0, 0.3, 0.7} {
			set := Default()
			set.Capacity, set.FreeRiders = capacity, free
			all := viewers(&set, 500)
			set.scale(all)
			sum, slots := 0.0, 0
			for i := range all {
				if p := &all[i]; p.free && p.slots > 0 {
					t.Error("a free rider has slots")
				} else if slots += p.slots; !p.free {
					sum += min(p.up, set.most())
				}
			}
			share := .01
			if capacity > 2 || free > .5 {
				share = .07 // three rounds are too few where the bound on giants decides: up to 6.2 % too much
			}
			about(t, "mean upload", sum/float64(len(all))/set.Bitrate(), capacity, share)
			// Slots leave the headroom, and less than one each is lost to rounding.
			most := sum / set.Bitrate() * float64(set.Stripes)
			if s := float64(slots); s > most || s < most*(1-set.Headroom)/failover.StreamOverhead-float64(len(all)) {
				t.Errorf("%v slots for %v stripes' worth of upload", s, most)
			}
		}
	}
}

func TestAViewerGivesAtMostFourStreams(t *testing.T) {
	set := Default()
	all := viewers(&set, 2000)
	if f := set.scale(all); f != 1 {
		t.Errorf("published uplinks are scaled by %v", f)
	}
	for i := range all {
		if most := maxContribution * set.Stripes; all[i].slots > most {
			t.Fatalf("a viewer has %d slots, want at most %d", all[i].slots, most)
		}
	}
}

// The metro is under 20 ms; here the median round trip is 23.5 ms and
// the longest 30 (7 ms each for the last miles, 1 ms between, one way).
func TestMetroRoundTripsAreThoseOfOneCity(t *testing.T) {
	set := Default()
	set.Population = "metro"
	all := viewers(&set, 500)
	for i := range all {
		for j := range all[:i] {
			if rtt := 2 * base(&all[i], &all[j]); rtt > 30*time.Millisecond || rtt < 2*lookahead {
				t.Fatalf("a round trip takes %v, want %v to 30ms", rtt, 2*lookahead)
			}
		}
	}
}

func TestWorldwideRoundTripsAreTheMatrixAndTwoLastMiles(t *testing.T) {
	set := Default()
	all := viewers(&set, 500)
	for i := range all {
		for j := range all[:i] {
			a, b := &all[i], &all[j]
			rtt := (2 * base(a, b)).Seconds() * 1e3
			miles := 2 * (a.oneWay + b.oneWay).Seconds() * 1e3
			between := (regionRTT[a.region][b.region] + regionRTT[b.region][a.region]) / 2
			if a.region == b.region {
				between /= 2 // neighbours may take a shorter way
			}
			if rtt < miles+between-.01 || rtt > miles+between+4.01 || base(a, b) != base(b, a) {
				t.Fatalf("from %s to %s takes %.1f ms, want %.1f and last miles of %.1f", regions[a.region].name, regions[b.region].name, rtt, between, miles)
			}
		}
	}
	about(t, "the median last mile, ms", median(all, func(p *profile) float64 { return p.oneWay.Seconds() * 1e3 }), 10, .3)
}

func TestJitterHasItsPercentile(t *testing.T) {
	rng := source(4)
	var v []float64
	for range 40_000 {
		v = append(v, jitter(rng, 30e6).Seconds()*1e3)
	}
	slices.Sort(v)
	about(t, "the median jitter, ms", v[len(v)/2], 3, .05)
	about(t, "the 99th percentile", v[len(v)*99/100], 30, .05)
	if most := v[len(v)-1]; most > 120 {
		t.Errorf("the greatest is %v ms, want at most four times the 99th percentile", most)
	}
	if jitter(rng, 0) != 0 {
		t.Error("there is jitter where none is set")
	}
}
