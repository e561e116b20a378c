package chaos

// Hostile peers: attackers that are real processes, among honest ones.

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/braidway/braidway/internal/testnet"
	"github.com/braidway/braidway/sim/adversary"
)

// hostile is the attackers' program.
var hostile = testnet.Build("./hostilepeer")

// attack starts an attacker, which is in the stream before honest viewers come.
func (s *swarm) attack(what string, number int) *testnet.Process {
	s.t.Helper()
	p := s.run(hostile.File(s.t), fmt.Sprintf("%s %d", what, number), "--attack", what, "--number", fmt.Sprint(number), "--link", s.link)
	s.judge.follow(p)
	s.judge.faulty(p, time.Hour) // whoever leaves it does well
	testnet.WaitFor(s.t, p.Name+" takes the stream", 20*time.Second, func() bool {
		st, ok := p.Stream()
		return ok && st.Started
	})
	return p
}

// spoil lets polluters begin, when one of them has a child to send to.
func spoil(t *testing.T, polluters []*testnet.Process) {
	t.Helper()
	if len(polluters) == 0 {
		return
	}
	testnet.WaitFor(t, "a polluter has a child", 10*time.Second, func() bool {
		return slices.ContainsFunc(polluters, func(p *testnet.Process) bool {
			st, ok := p.Stream()
			return ok && st.Used > 0
		})
	})
	for _, p := range polluters {
		p.Signal(os.Interrupt)
	}
}

// TestHonestViewersLoseNothingToAttackers: the first six attacks of the simulator
// by real processes, a fifth of the peers, and all of them at once. Everybody else
// writes every byte.
func TestHonestViewersLoseNothingToAttackers(t *testing.T) {
	kinds := []string{adversary.Pollute, adversary.Withhold, adversary.Delay, adversary.LiePath, adversary.FakeUrgent, adversary.PullFlood}
	cases, length := [][]string{kinds}, 10*time.Second
	if full {
		length = 20 * time.Second
		for _, k := range kinds {
			cases = append(cases, []string{k, k})
		}
	}
	const viewers = 8
	for _, attacks := range cases {
		name := strings.Join(slices.Compact(slices.Clone(attacks)), ", ")
		t.Run(name, func(t *testing.T) {
			s := newSwarm(t, nil)
			s.publish(length, "--max-children", "4")
			attackers := make(map[string][]*testnet.Process)
			for n, a := range attacks {
				attackers[a] = append(attackers[a], s.attack(a, n))
			}
			polluters := attackers[adversary.Pollute]
			for range viewers {
				s.view(2*time.Second, "--upload-limit", "4Mbps")
			}
			s.started()
			spoil(t, polluters)
			s.wait(60 * time.Second)
			rejected := int64(0)
			for _, v := range s.viewers {
				if r, ok := testnet.Report(v.out + ".json"); ok && r.Rejected != nil {
					rejected += int64(*r.Rejected)
				}
			}
			for _, all := range attackers {
				for _, p := range all { // what others send, they verify too
					st, _ := p.Stream()
					rejected += st.Rejected
				}
			}
			s.cost(row{failure: "hostile", done: name, times: len(attacks), note: fmt.Sprintf("%d viewers, buffer 2 s; %d objects refused", viewers, rejected)}, true)
			if len(polluters) > 0 && rejected == 0 {
				t.Error("nobody met a polluted object")
			}
		})
	}
}
