package chaos

// The wall clock of a peer steps: nobody notices.

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/braidway/braidway/internal/testnet"
)

// step sets the clock of p ahead, and waits until p tells the new time.
func (s *swarm) step(p *testnet.Process, ahead time.Duration) {
	s.t.Helper()
	s.places[p].Clock.Step(s.t, ahead)
	testnet.WaitFor(s.t, fmt.Sprintf("the clock of %s is %v ahead", p.Name, ahead), 10*time.Second, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		res, err := p.Get(ctx, "/healthz")
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		told, err := http.ParseTime(res.Header.Get("Date"))
		return err == nil && (time.Since(told)+ahead).Abs() < 5*time.Second
	})
}

// TestClocksStep: the clock of the publisher, of the relay with most children and
// of a viewer steps by an hour and by a day, forward and back; meanwhile that relay
// dies, and another one comes.
func TestClocksStep(t *testing.T) {
	if !full {
		t.Skip("SKIPPED: with make chaos, since all that the peer command depends on is compiled with another clock")
	}
	stepping := testnet.BuildStepping("../../cmd/peer")
	t.Cleanup(stepping.Remove)
	steps := []time.Duration{time.Hour, 0, -time.Hour, 24 * time.Hour, -24 * time.Hour, 0}
	const pace = 2 * time.Second
	s := newSwarm(t, nil)
	s.file, s.ownClocks = stepping.File(t), true
	whose := []func() *testnet.Process{ // publisher, relay, viewer
		func() *testnet.Process { return s.pub }, s.busiest, func() *testnet.Process { return s.viewers[0].Process },
	}
	s.publish(time.Duration(len(steps)*len(whose))*2*pace+20*time.Second, "--max-children", "2")
	for range 4 {
		s.relay()
	}
	for range 3 {
		s.view(time.Second)
	}
	s.started()
	for _, who := range whose {
		for n, ahead := range steps {
			s.step(who(), ahead)
			time.Sleep(pace) // what a wrong clock breaks at once, it breaks now
			if n%2 == 1 {
				s.kill(s.busiest())
				fresh := s.relay()
				testnet.WaitFor(t, fresh.Name+" is ready", 20*time.Second, func() bool { return fresh.Readiness() == 200 })
			}
		}
	}
	s.wait(90 * time.Second)
	s.cost(row{failure: "hardware", done: "clock of publisher, relay or viewer steps by an hour, by a day", times: len(whose) * len(steps),
		note: fmt.Sprintf("buffer 1 s; %d relays killed meanwhile", len(whose)*len(steps)/2)}, true)
}
