package chaos

// Being updated: relays drain, leave and come back, one after another.

import (
	"syscall"
	"testing"
	"time"

	"github.com/braidway/braidway/internal/testnet"
)

// TestRollingRestart: nobody loses an object when every relay is restarted.
func TestRollingRestart(t *testing.T) {
	relays, viewers := 4, 4
	if full {
		relays, viewers = 10, 10
	}
	s := newSwarm(t, nil)
	s.publish(time.Duration(relays)*4*time.Second+16*time.Second, "--max-children", "2")
	for range relays {
		s.relay()
	}
	s.started()
	for range viewers { // one after the other: the gaps of a crowd are not those of a restart
		s.view(time.Second)
		s.started()
	}
	time.Sleep(3 * time.Second) // trees settle
	for _, p := range s.relays[:relays] {
		s.judge.faulty(p, 10*time.Second)
		p.Gone = true
		p.Signal(syscall.SIGTERM)
		if err := p.WaitEnd(t, 10*time.Second); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		fresh := s.relay()
		testnet.WaitFor(t, fresh.Name+" is ready", 20*time.Second, func() bool { return fresh.Readiness() == 200 })
	}
	s.wait(time.Duration(relays)*4*time.Second + 60*time.Second)
	r := s.cost(row{failure: "being updated", done: "rolling restart of all relays", times: relays, note: "buffer 1 s"}, true)
	if frames := 2 * 40.0; r.gap > frames {
		t.Logf("the worst gap, %.0f ms, is over two frame intervals (%.0f ms)", r.gap, frames)
	}
}
