package stack

import (
	"context"
	"errors"
	"math"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/braidway/braidway/sim"
)

func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

// small is a scenario that fits a test: enough room for all, two deaths.
func small() sim.Scenario {
	s := sim.Scenario{Name: "small", Peers: 12, Settings: sim.Default()}
	set := &s.Settings
	set.Join, set.Settle, set.Duration = 2*time.Second, 4*time.Second, 10*time.Second
	set.FreeRiders, set.Publisher, set.Headroom, set.Loss, set.Jitter = 0, 16, 0.5, 0, 5*time.Millisecond
	s.Faults = []sim.Fault{{What: sim.Kill, Who: sim.Relay, At: 2 * time.Second, Every: 4 * time.Second, Count: 2}}
	return s
}

// A death at which a packet left the dead host would fail the run.
func TestTwoSilentDeathsAreNotSeen(t *testing.T) {
	t.Parallel()
	s := small()
	last := time.Duration(0)
	r, err := Run(t.Context(), s, Options{Seed: 1, Progress: func(p sim.Progress) { last = p.Now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(r.Summary.Table(), r.Wall, r.Bytes)
	died := 0
	for _, v := range r.Viewers {
		switch {
		case v.Died:
			died++
		case v.Report.Continuity == nil || *v.Report.Continuity < 1:
			t.Errorf("viewer %d, from %v on, missed objects: continuity %v", v.Index, v.Joined, *v.Report.Continuity)
		}
	}
	if died != 2 || r.Kills != 2 || len(r.Faults) != 2 {
		t.Errorf("%d viewers died, %d kills and %d faults counted, 2 were planned", died, r.Kills, len(r.Faults))
	}
	if len(r.Touched) == 0 {
		t.Error("nobody was behind the two relays that died")
	}
	if len(r.Viewers) != s.Peers-1 || len(r.Depths) == 0 || len(r.FanOut) != s.Peers-3 || r.Partial || r.FailedJoins > 0 {
		t.Errorf("%d viewers, %d depths, %d fan-outs, partial %v, %d failed joins", len(r.Viewers), len(r.Depths), len(r.FanOut), r.Partial, r.FailedJoins)
	}
	if last < s.Settings.Join+s.Settings.Duration {
		t.Errorf("progress ended at %v", last)
	}
}

func TestGossipsubRunsTheSameScenario(t *testing.T) {
	t.Parallel()
	s := small()
	s.Peers, s.Settings.System, s.Settings.Settle, s.Settings.Duration, s.Faults = 5, "gossip", 2*time.Second, 2*time.Second, nil
	s.Settings.Join, s.Settings.Capacity = time.Second, 16
	r, err := Run(t.Context(), s, Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Viewers) != 4 || r.Summary.Redundancy == nil || r.Summary.Redundancy.P50 < 0.5 {
		t.Errorf("%d viewers with redundancy %+v; 4 were to get most objects several times", len(r.Viewers), r.Summary.Redundancy)
	}
}

func TestAStoppedRunIsPartial(t *testing.T) {
	t.Parallel()
	s := small()
	s.Peers, s.Settings.Duration, s.Faults = 4, time.Hour, nil
	ctx, cancel := context.WithCancel(t.Context())
	r, err := Run(ctx, s, Options{Seed: 1, Progress: func(p sim.Progress) {
		if p.Now > 7*time.Second {
			cancel()
		}
	}})
	if err != nil || !r.Partial || len(r.Viewers) != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := Run(ctx, s, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a run whose context has ended: %v", err)
	}
}

func TestWhatCannotBeRunIsNamed(t *testing.T) {
	for want, change := range map[string]func(*sim.Scenario){
		"peers is 201":          func(s *sim.Scenario) { s.Peers = 201 },
		`what is "bandwidth"`:   func(s *sim.Scenario) { s.Faults = []sim.Fault{{What: sim.Bandwidth}} },
		`system is "mesh-pull"`: func(s *sim.Scenario) { s.Settings.System = "mesh-pull" },
		"beacon is 25ms":        func(s *sim.Scenario) { s.Settings.Beacon = 25 * time.Millisecond },
		"objects is 1000":       func(s *sim.Scenario) { s.Settings.Objects = 1000 },
		"object-size is 100":    func(s *sim.Scenario) { s.Settings.ObjectSize = 100 },
	} {
		s := small()
		change(&s)
		if _, err := Run(t.Context(), s, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v instead of an error with %q", err, want)
		}
	}
}

// wired is a network of hosts 10 ms apart.
type wired struct{}

func (wired) Line(int) Line                { return Line{Up: 8e6, Down: 1e9} }
func (wired) Way(int, int) time.Duration   { return 10 * time.Millisecond }
func udp(i int) *net.UDPAddr               { return &net.UDPAddr{IP: addrOf(i), Port: 4001} }
func near(a, b time.Duration) bool         { return math.Abs(float64(a-b)) < float64(time.Millisecond) }
func send(t *testing.T, p *port, b []byte) { t.Helper(); _, err := p.WriteTo(b, udp(2)); must(t, err) }
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(wired{}, 0, 1)
		a, b := w.open(1, udp(1)), w.open(2, udp(2))
		arrived := make(chan time.Duration, 1024)
		began := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			buf := make([]byte, 2000)
			for {
				if _, _, err := b.ReadFrom(buf); err != nil {
					return
				}
				arrived <- time.Since(began)
			}
		}()
		// 972 bytes and 28 of headers take 1 ms at 8 Mbit/s.
		for range 3 {
			send(t, a, make([]byte, 972))
		}
		for n := range 3 {
			if at := <-arrived; !near(at, time.Duration(11+n)*time.Millisecond) {
				t.Errorf("packet %d arrived after %v", n, at)
			}
		}
		for range 1000 { // no more than 300 ms of them
			send(t, a, make([]byte, 972))
		}
		time.Sleep(time.Second)
		if n := len(arrived); n < 295 || n > 305 {
			t.Errorf("%d packets got through an uplink with room for 300", n)
		}
		for len(arrived) > 0 {
			<-arrived
		}
		b.set(gateFrozen)
		for range 100 {
			send(t, a, make([]byte, 972))
		}
		time.Sleep(time.Second)
		if len(arrived) > 0 {
			t.Error("a frozen host reads")
		}
		b.set(gateOpen)
		time.Sleep(time.Second)
		if n := len(arrived); n != 100 {
			t.Errorf("%d of 100 packets came after the thaw", n)
		}
		side := map[int]bool{1: true}
		w.split.Store(&side)
		send(t, a, make([]byte, 972))
		w.split.Store(nil)
		a.set(gateDown)
		send(t, a, make([]byte, 972))
		time.Sleep(time.Second)
		if n := len(arrived); n != 100 || a.lost.Load() != 1 {
			t.Errorf("%d packets instead of 100 came after a partition and a death that swallowed %d", n, a.lost.Load())
		}
		must(t, b.Close())
		<-done
		w.close()
	})
}
