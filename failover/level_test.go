package failover

// This file answers: are parent gone, parent starved and stream paused told apart?

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var progressConfig = ProgressConfig{
	Detector:  DetectorConfig{MinBound: 150 * ms},
	StarveLag: 24, StarveTime: 200 * ms,
}

// parentAt returns a parent that has sent objects every 50 ms up to now and stands at pos.
func parentAt(now time.Duration, pos uint64) *Progress {
	var p Progress
	p.Start(now-time.Second, 50*ms)
	for at := now - 950*ms; at < now; at += 50 * ms {
		p.Object(at, 1)
	}
	p.Object(now, pos)
	return &p
}

func TestAParentsLevelFollowsFromWhatItSends(t *testing.T) {
	const t0 = 10 * time.Second
	for _, c := range []struct {
		name string
		do   func(p *Progress)
		at   time.Duration
		edge uint64
		want Level
	}{
		{"objects come", func(*Progress) {}, t0, 100, Healthy},
		{"just silent for less than the bound", func(*Progress) {}, t0 + 149*ms, 110, Healthy},
		{"silent for the bound", func(*Progress) {}, t0 + 150*ms, 110, Suspect},
		{"silent for the bound and not yet confirmed", func(*Progress) {}, t0 + 189*ms, 110, Suspect},
		{"silence confirmed", func(*Progress) {}, t0 + 190*ms, 110, Gone},
		{"connection closed", func(p *Progress) { p.Lost(t0 + ms) }, t0 + ms, 100, Gone},
		{"connection closed and a new one speaks", func(p *Progress) { p.Lost(t0 + ms); p.Beacon(t0+10*ms, 101) }, t0 + 11*ms, 101, Wary},
		{"was doubted a moment ago", func(p *Progress) { p.Doubt(t0) }, t0 + 10*ms, 100, Wary},
		{"was doubted, and half-lives have passed", func(p *Progress) {
			p.Doubt(t0)
			p.Beacon(t0+2*time.Minute, 1000)
		}, t0 + 2*time.Minute, 1000, Healthy},
		{"beacons while other stripes advance", func(p *Progress) { beacons(p, t0, 10, 100) }, t0 + 500*ms, 130, Starved},
		{"beacons, and not for long enough yet", func(p *Progress) { beacons(p, t0, 4, 100) }, t0 + 200*ms, 130, Healthy},
		{"beacons, and the edge is not far enough ahead", func(p *Progress) { beacons(p, t0, 10, 100) }, t0 + 500*ms, 124, Healthy},
		{"beacons while the whole stream is paused", func(p *Progress) { beacons(p, t0, 200, 100) }, t0 + 10*time.Second, 100, Healthy},
		{"observer was stopped for a minute", func(p *Progress) { p.Excuse(t0 + time.Minute) }, t0 + time.Minute, 5000, Healthy},
		{"observer was stopped and then hears nothing", func(p *Progress) { p.Excuse(t0 + time.Minute) }, t0 + time.Minute + 150*ms, 5000, Suspect},
		{"an excuse does not revive a closed connection", func(p *Progress) { p.Lost(t0); p.Excuse(t0 + time.Minute) }, t0 + time.Minute, 100, Gone},
		{"starts anew after a closed connection", func(p *Progress) { p.Lost(t0); p.Start(t0+ms, 50*ms) }, t0 + 2*ms, 0, Healthy},
		{"claims a position beyond any stream", func(p *Progress) { p.Beacon(t0+ms, 1<<64-2) }, t0 + 2*ms, 100, Healthy},
		{"claims a position beyond any stream and stands there", func(p *Progress) { beacons(p, t0, 20, 1<<64-2) }, t0 + time.Second, 100, Healthy},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := parentAt(t0, 100)
			c.do(p)
			if got := p.Level(c.at, c.edge, progressConfig); got != c.want {
				t.Errorf("level %v, want %v", got, c.want)
			}
		})
	}
}

func beacons(p *Progress, from time.Duration, n int, pos uint64) {
	for i := range n {
		p.Beacon(from+time.Duration(i+1)*50*ms, pos)
	}
}

// TestAPauseOfTheWholeStreamStarvesNobodyWhenItEnds: three stripes go on first,
// the fourth has a slower path; it is starved only once it has been behind for StarveTime.
func TestAPauseOfTheWholeStreamStarvesNobodyWhenItEnds(t *testing.T) {
	const t0 = 10 * time.Second
	p := parentAt(t0, 100)
	now := t0
	for range 100 { // the pause: beacons, no objects, and somebody looks
		now += 50 * ms
		p.Beacon(now, 100)
		if got := p.Level(now, 100, progressConfig); got != Healthy {
			t.Fatalf("%v during the pause", got)
		}
	}
	resumed := now
	for now < resumed+progressConfig.StarveTime {
		if got := p.Level(now, 130, progressConfig); got != Healthy {
			t.Fatalf("%v only %v after the stream went on", got, now-resumed)
		}
		now += 50 * ms
		p.Beacon(now, 100)
	}
	if got := p.Level(now+ms, 160, progressConfig); got != Starved {
		t.Fatalf("%v after it was behind for %v, want starved", got, now+ms-resumed)
	}
}

// TestAPauseStarvesNobodyWhateverTheParentsAndTheirBeacons holds the promise of
// the package comment: while no stripe advances, no parent is starved.
func TestAPauseStarvesNobodyWhateverTheParentsAndTheirBeacons(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const k = 4
		cfg := ProgressConfig{StarveLag: 6 * k, StarveTime: 200 * ms}
		now, edge := time.Duration(0), uint64(0)
		var parents [k]Progress
		for i := range parents {
			parents[i].Start(0, 50*ms)
		}
		for range rapid.IntRange(0, 100).Draw(t, "objects") {
			now += 12 * ms
			parents[edge%k].Object(now, edge+1)
			edge++
		}
		for range 100 {
			now += time.Duration(rapid.Int64Range(int64(5*ms), int64(60*ms)).Draw(t, "beacon after"))
			for i := range parents {
				parents[i].Beacon(now, parents[i].Position())
				if l := parents[i].Level(now, edge, cfg); l != Healthy {
					t.Fatalf("parent of stripe %d is %v in a pause", i, l)
				}
			}
		}
	})
}

func TestPositionNeverGoesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p Progress
		p.Start(0, 50*ms)
		most := uint64(0)
		for i, pos := range rapid.SliceOf(rapid.Uint64()).Draw(t, "positions") {
			p.Beacon(time.Duration(i)*10*ms, pos)
			if most = max(most, pos); p.Position() != most {
				t.Fatalf("position %d, want %d", p.Position(), most)
			}
		}
	})
}

func TestWarinessHalvesEveryThirtySeconds(t *testing.T) {
	var p Progress
	p.Start(0, 50*ms)
	if w := p.Wariness(time.Second); w != 0 {
		t.Errorf("%v without a fault", w)
	}
	p.Doubt(time.Second)
	p.Start(2*time.Second, 50*ms) // a fault outlives a new start
	for i, want := range []float64{1, 0.5, 0.25, 0.125} {
		if w := p.Wariness(time.Second + time.Duration(i)*30*time.Second); w != want {
			t.Errorf("%v after %d half-lives, want %v", w, i, want)
		}
	}
}

func TestEveryLevelHasItsName(t *testing.T) {
	for l, want := range map[Level]string{Healthy: "healthy", Suspect: "suspect", Gone: "gone", Starved: "starved", Wary: "wary"} {
		if l.String() != want {
			t.Errorf("level %d is %q, want %q", l, l.String(), want)
		}
	}
	if got := Level(77).String(); got != "level(77)" {
		t.Errorf("an unknown level is %q", got)
	}
}

func TestALostParentIsSuspectAlready(t *testing.T) {
	p := parentAt(time.Second, 10)
	p.Lost(1100 * ms)
	if at := p.SuspectAt(progressConfig); at > 1100*ms {
		t.Errorf("a lost parent becomes suspect only at %v", at)
	}
	if p.Last() != time.Second {
		t.Errorf("last sign of life at %v, want 1s", p.Last())
	}
}

func BenchmarkProgressObjectAndLevel(b *testing.B) {
	b.ReportAllocs()
	var p Progress
	p.Start(0, 50*ms)
	now, pos := time.Duration(0), uint64(0)
	for b.Loop() {
		now += 12 * ms
		pos++
		p.Object(now, pos)
		if p.Level(now, pos+4, progressConfig) != Healthy {
			b.Fatal("not healthy")
		}
	}
}
