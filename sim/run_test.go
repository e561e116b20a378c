package sim

// The promise that everything else rests on: one seed, one run.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/braidway/braidway/overlay"
)

// halved is d, or half of it with -short.
func halved(d time.Duration) time.Duration {
	if testing.Short() {
		return d / 2
	}
	return d
}

// small returns a built-in scenario that a test can afford: fewer objects,
// faults that begin after 2 s, a quick beginning.
func small(t testing.TB, name string) Scenario {
	t.Helper()
	s, ok := Find(name)
	if !ok {
		t.Fatalf("there is no scenario %q", name)
	}
	set := &s.Settings
	set.Objects, set.ObjectSize = 20, 8400
	set.Join, set.Settle, set.Duration = 2*time.Second, 4*time.Second, halved(8*time.Second)
	set.Crowd, set.CrowdIn = min(set.Crowd, 40), 2*time.Second
	for i := range s.Faults {
		f := &s.Faults[i]
		f.At, f.For = min(f.At, time.Second), min(f.For, 1500*time.Millisecond)
	}
	return s
}

// near puts all viewers of s into one city, with open and lossless lines.
func near(s Scenario) Scenario {
	s.Settings.Population, s.Settings.NAT, s.Settings.Loss = "metro", false, 0
	return s
}

// started returns an engine with the scenario's faults planned, as Run makes it.
func started(s Scenario, peers int, seed uint64, shards int) *engine {
	e := newEngine(s, peers, seed, shards)
	e.arrange()
	e.at(e.begin, e.restart)
	return e
}

func run(t testing.TB, s Scenario, o Options) *Result {
	t.Helper()
	o.NoFloor = true
	r, err := Run(context.Background(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheSameSeedGivesTheSameHashWhateverSharesTheWork(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	baseline := small(t, "relay-kill")
	baseline.Settings.System = Systems()[1]
	for name, s := range map[string]Scenario{
		"calm": small(t, "calm"), "relay-kill": small(t, "relay-kill"), "churn": small(t, "churn"), "publisher-failover": small(t, "publisher-failover"),
		"partition-heal": small(t, "partition-heal"), "a baseline": baseline,
	} {
		t.Run(name, func(t *testing.T) {
			peers := 30
			if s.Settings.Session {
				peers = 70 // or hardly anyone comes and goes
			}
			want := run(t, s, Options{Peers: peers, Seed: 1, Shards: 1})
			for _, o := range []struct{ shards, procs int }{{2, 2}, {3, 1}} {
				runtime.GOMAXPROCS(o.procs)
				r := run(t, s, Options{Peers: peers, Seed: 1, Shards: o.shards})
				if r.Hash != want.Hash || r.Events != want.Events {
					t.Errorf("%d shards on %d processors: hash %016x after %d events, want %016x after %d", o.shards, o.procs, r.Hash, r.Events, want.Hash, want.Events)
				}
				r.Summary.WallS, want.Summary.WallS = nil, nil
				if got, want := asJSON(t, r.Summary), asJSON(t, want.Summary); got != want {
					t.Errorf("%d shards: the summary is %s, want %s", o.shards, got, want)
				}
			}
		})
	}
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Whole networks in which something at the very top goes, of a size at which that
// shows: the publisher, whose standby takes over; and half of all, when the first
// viewers, who hold the publisher's places, are free riders (seed 13). One network
// alone is luck: its neighbours are run too.
func TestWhatGoesAtTheTopCostsHardlyAnyoneAnything(t *testing.T) {
	for name, c := range map[string]struct {
		peers int
		seeds []uint64
		least float64
	}{"publisher-failover": {200, []uint64{3}, 0.95}, "mass-failure": {400, []uint64{11, 12, 13, 14, 15, 16}, 0.95}} {
		t.Run(name, func(t *testing.T) {
			s, _ := Find(name)
			s.Settings.Join, s.Settings.Settle, s.Settings.Duration = 2*time.Second, 3*time.Second, 6*time.Second
			for i := range s.Faults {
				s.Faults[i].At = 2 * time.Second
			}
			sum := 0.0
			for _, seed := range c.seeds {
				sum += *run(t, s, Options{Peers: c.peers, Seed: seed}).Summary.SurvivorsIntact
			}
			if got := sum / float64(len(c.seeds)); got < c.least {
				t.Errorf("%.3f of the survivors missed nothing, want %.2f", got, c.least)
			}
		})
	}
}

// Behind the worst NATs one peer in ten is reached. Such viewers find those all the same,
// know that they are among the few, and so do those whom they reach.
func TestWhoReachesFewFindsThoseInTheOpen(t *testing.T) {
	s, _ := Find("calm")
	s.Settings.Join, s.Settings.Settle, s.Settings.Duration = 2*time.Second, 8*time.Second, 2*time.Second
	e := newEngine(s, 400, 1, 1)
	e.arrange()
	e.run(context.Background(), nil)
	blocked, neighbours, confined, others, wrong, open := 0, 0, 0, 0, 0, 0
	for i := range e.peers {
		p := &e.peers[i]
		if uint32(i) == e.publisher {
			continue
		}
		snap := p.core.(*overlay.Peer).Snapshot()
		if snap.Open {
			open++
			if p.nat != natOpen {
				wrong++
			}
		}
		if p.nat != natBlocked {
			if others++; snap.Confined {
				wrong++
			}
			continue
		}
		blocked++
		neighbours += len(snap.Neighbours)
		if snap.Confined {
			confined++
		}
	}
	t.Logf("%d of %d blocked viewers say that they are confined, and have %.1f neighbours; %d open; of %d others %d are wrong", confined, blocked, float64(neighbours)/float64(blocked), open, others, wrong)
	if mean := float64(neighbours) / float64(blocked); mean < 11 { // 9.2 where nobody says so
		t.Errorf("who reaches few has %.1f neighbours, want 11 and more", mean)
	}
	if confined < blocked/2 || open == 0 || wrong > others/50 {
		t.Errorf("%d of %d blocked viewers say that they are confined, %d viewers that they are open; %d of %d others are wrong", confined, blocked, open, wrong, others)
	}
}

// Of the viewers only those who stood still miss anything, whose relays come back one
// after the other to a publisher that is full.
func TestWhoComesBackDisturbsNobody(t *testing.T) {
	s, _ := Find("relay-freeze")
	s.Settings.Join, s.Settings.Settle, s.Settings.Duration = 4*time.Second, 6*time.Second, 26*time.Second
	f := &s.Faults[0]
	f.At, f.Every, f.Count = 2*time.Second, 2*time.Second, 8
	const peers = 150
	const seeds = 6 // one network alone is luck: of 24, one loses one viewer more
	sum := 0.0
	for seed := uint64(1); seed <= seeds; seed++ {
		sum += *run(t, s, Options{Peers: peers, Seed: seed}).Summary.SurvivorsIntact
	}
	if got, want := sum/seeds, 1-float64(f.Count)/(peers-1); got < want-1e-9 {
		t.Errorf("%.3f of the viewers missed nothing, want %.3f", got, want)
	}
}

func TestDifferentSeedsGiveDifferentHashes(t *testing.T) {
	s := small(t, "calm")
	s.Settings.Duration = time.Second
	seen := map[uint64]uint64{}
	for seed := range uint64(8) {
		h := run(t, s, Options{Peers: 15, Seed: seed}).Hash
		if other, ok := seen[h]; ok {
			t.Errorf("seeds %d and %d have the same hash %016x", other, seed, h)
		}
		seen[h] = seed
	}
}

func TestATraceIsTheSameBytesWithAnyNumberOfShards(t *testing.T) {
	for _, name := range []string{"relay-kill", "rolling-update", "publisher-failover"} {
		t.Run(name, func(t *testing.T) {
			s := small(t, name)
			var one, two bytes.Buffer
			bare := run(t, s, Options{Peers: 25, Seed: 3, Shards: 2})
			if r := run(t, s, Options{Peers: 25, Seed: 3, Shards: 1, Trace: &one}); r.Hash != bare.Hash {
				t.Error("writing a trace changes the run")
			}
			run(t, s, Options{Peers: 25, Seed: 3, Shards: 2, Trace: &two})
			if !bytes.Equal(one.Bytes(), two.Bytes()) {
				t.Errorf("the traces of one and two shards differ from %s on", firstDifference(one.Bytes(), two.Bytes()))
			}
			kinds := map[string]int{}
			last := -1e9
			for n, line := range bytes.Split(bytes.TrimSpace(one.Bytes()), []byte{'\n'}) {
				var m struct {
					T    *float64
					Peer *int
					ID   string
					Ev   string
					What string
				}
				err := json.Unmarshal(line, &m)
				nobody := m.Ev == "fault" && m.What == Publisher && m.Peer == nil && m.ID == ""
				if err != nil || m.T == nil || m.Ev == "" || !nobody && (m.Peer == nil || len(m.ID) != 16) {
					t.Fatalf("line %d: %v: %s", n+1, err, line)
				}
				if nobody {
					kinds["nobody"]++
				}
				if *m.T < last {
					t.Fatalf("line %d goes back in time: %s", n+1, line)
				}
				last = *m.T
				kinds[m.Ev]++
			}
			for _, ev := range []string{"join", "state"} {
				if kinds[ev] == 0 {
					t.Errorf("no line has the event %q: %v", ev, kinds)
				}
			}
			if want := strings.Count(name, "publisher"); kinds["nobody"] != want {
				t.Errorf("%d lines tell of the publisher's death, want %d", kinds["nobody"], want)
			}
		})
	}
}

func firstDifference(a, b []byte) string {
	x, y := bytes.Split(a, []byte{'\n'}), bytes.Split(b, []byte{'\n'})
	for i := range min(len(x), len(y)) {
		if !bytes.Equal(x[i], y[i]) {
			return fmt.Sprintf("line %d:\n%s\n%s", i+1, x[i], y[i])
		}
	}
	return fmt.Sprintf("line %d, where one ends", min(len(x), len(y)))
}

func TestARunThatIsStoppedIsMarkedAndStillReports(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	looks := 0
	r, err := Run(ctx, small(t, "relay-kill"), Options{Peers: 20, Seed: 1, Progress: func(p Progress) {
		if looks++; p.Now > p.End/2 {
			stop()
		}
	}})
	if err != nil || !r.Partial || looks == 0 || r.Summary.Viewers == 0 {
		t.Errorf("after %d looks: partial %v, %d viewers: %v", looks, r.Partial, r.Summary.Viewers, err)
	}
}
