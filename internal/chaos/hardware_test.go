package chaos

// Hardware fails: processes are killed and frozen, lines cut, slow and lossy,
// disks full.

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/braidway/braidway/internal/testnet"
)

// TestSilentDeaths: relays with most children die or freeze, one after another.
func TestSilentDeaths(t *testing.T) {
	deaths, pace, frozen := 4, 3*time.Second, 5*time.Second
	if full {
		deaths, pace, frozen = 200, 2*time.Second, 10*time.Second
	}
	s := newSwarm(t, nil)
	s.publish(time.Duration(deaths)*pace+10*time.Second, "--max-children", "2")
	for range 8 {
		s.relay()
	}
	for range 4 {
		s.view(time.Second)
	}
	s.started()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := range deaths {
		if n > 0 {
			<-tick.C
		}
		if victim := s.busiest(); n%2 == 0 {
			s.kill(victim)
		} else {
			thawed := s.freeze(victim, frozen)
			go func() { // it has done its part
				<-thawed
				time.Sleep(grace)
				s.kill(victim)
			}()
		}
		s.relay()
	}
	s.wait(40 * time.Second)
	s.cost(row{failure: "hardware", done: "relay killed or frozen for " + frozen.String(), times: deaths, note: "buffer 1 s"}, true)
}

// TestFrozenRelaysComeBack: who was stopped takes the stream again, and
// nobody leaves a parent for it.
func TestFrozenRelaysComeBack(t *testing.T) {
	times := []time.Duration{time.Second, 4 * time.Second}
	if full {
		times = []time.Duration{time.Second, 10 * time.Second, time.Minute}
	}
	var length time.Duration
	for _, d := range times {
		length += d + 8*time.Second
	}
	s := newSwarm(t, nil)
	s.publish(length+8*time.Second, "--max-children", "2")
	for range 5 {
		s.relay()
	}
	for range 3 {
		s.view(time.Second)
	}
	s.started()
	var slowest time.Duration
	for _, d := range times {
		p := s.busiest()
		before, _ := p.Stream()
		<-s.freeze(p, d)
		thawed := time.Now()
		testnet.WaitFor(t, fmt.Sprintf("%s takes the stream again after %v", p.Name, d), 10*time.Second, func() bool {
			st, ok := p.Stream()
			fed := 0
			for _, x := range st.Stripes {
				if x.Fed {
					fed++
				}
			}
			// What is on its way apart, nothing is missing.
			return ok && st.Position > before.Position+100 && st.Edge <= st.Position+2*uint64(len(st.Stripes)) && fed == len(st.Stripes)
		})
		slowest = max(slowest, time.Since(thawed))
		p.Still = false
	}
	s.wait(length + 30*time.Second)
	s.cost(row{failure: "hardware", done: "relay frozen, back after " + fmt.Sprint(times), times: len(times),
		note: fmt.Sprintf("buffer 1 s; whole again within %v", slowest.Round(time.Millisecond))}, true)
}

// TestLinesFail: the line of the relay with most children is cut, in both
// directions or one, or gets slow or lossy, and heals.
func TestLinesFail(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault testnet.Fault
		short bool
	}{
		{"line cut", testnet.Fault{CutIn: true, CutOut: true}, true},
		{"line dead on the way out", testnet.Fault{CutOut: true}, false},
		{"line dead on the way in", testnet.Fault{CutIn: true}, false},
		{"line 150 ms slower", testnet.Fault{Delay: 150 * time.Millisecond}, false},
		{"line loses 5 % each way", testnet.Fault{Loss: 0.05}, false},
	} {
		if !c.short && !full {
			continue
		}
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			times := 1
			if full {
				times = 5
			}
			s := newSwarm(t, testnet.NewSwitch(t))
			s.publish(time.Duration(times)*11*time.Second+10*time.Second, "--max-children", "2")
			for range 4 {
				s.relay()
			}
			for range 3 {
				s.view(time.Second)
			}
			s.started()
			for range times {
				p := s.busiest()
				s.judge.faulty(p, 5*time.Second)
				s.places[p].Host.Set(c.fault)
				time.Sleep(5 * time.Second) // what a fault's length is
				s.places[p].Host.Set(testnet.Fault{})
				time.Sleep(5 * time.Second) // and the time in which it heals
			}
			s.wait(60 * time.Second)
			s.cost(row{failure: "hardware", done: c.name + " for 5 s", times: times, note: "hosts of their own, buffer 1 s"}, true)
		})
	}
}

// TestADiskFull: a viewer that cannot write ends with a message that says so, and
// those behind it lose nothing.
func TestADiskFull(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("SKIPPED: no /dev/full here")
	}
	s := newSwarm(t, nil)
	s.publish(11*time.Second, "--max-children", "1")
	full := testnet.Start(t, s.file, "viewer with a full disk", append([]string{"play", s.link, "-o", "/dev/full", "--upload-limit", "6Mbps"}, s.bootstrap...)...)
	s.relay()
	s.view(time.Second)
	s.started()
	if err := full.WaitEnd(t, 20*time.Second); err == nil || !strings.Contains(full.Log(), "no space left on device") {
		t.Errorf("%v: %s", err, full.Log())
	}
	s.wait(60 * time.Second)
	s.cost(row{failure: "hardware", done: "a viewer's disk is full", times: 1, note: "it ends with a message"}, true)
}

// TestNotYet: viewers and a relay come before the publisher, and get the stream
// from its first byte.
func TestNotYet(t *testing.T) {
	s := newSwarm(t, nil)
	key := filepath.Join(s.dir, "pub.key")
	// The link of a publisher that has gone again.
	before := s.start("yesterday's publisher", "publish", "test:", "--key", key)
	s.link = before.Line(t)
	before.Kill()
	<-before.Done()
	r := s.relay("--timeout", "0s")
	for range 3 {
		s.view(time.Second, "--timeout", "0s")
	}
	for _, p := range append([]*testnet.Process{r}, s.viewers[0].Process, s.viewers[1].Process, s.viewers[2].Process) {
		testnet.WaitFor(t, p.Name+" waits", 10*time.Second, func() bool { return p.Readiness() == 503 })
	}
	link := s.link
	s.publish(12*time.Second, "--key", key)
	if s.link[:60] != link[:60] {
		t.Fatalf("another stream: %s, %s", s.link, link)
	}
	s.wait(60 * time.Second)
	s.cost(row{failure: "not there yet", done: "viewers and a relay before the publisher", times: 4, note: "every byte, from a group's start"}, true)
}
