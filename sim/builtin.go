package sim

// This file answers: which scenarios come with the simulator, what does each
// ask, and what does good look like?

import (
	"time"

	"github.com/braidway/braidway/failover"
)

// builtin makes a scenario from the defaults.
func builtin(name string, peers int, question, good string, change func(*Scenario)) Scenario {
	s := Scenario{Name: name, Peers: peers, Question: question, Good: good, Settings: Default()}
	if change != nil {
		change(&s)
	}
	return s
}

// Scenarios returns all that come with the simulator, in the order of `peer sim list`.
func Scenarios() []Scenario {
	return append([]Scenario{
		builtin("calm", 500, "What does the stream cost when nothing goes wrong?",
			"continuity 1 for all, redundancy at most 3 %, no switch", nil),
		builtin("relay-kill", 500, "A relay with children dies silently, every two seconds: who notices?",
			"no missed deadline at 1 s of buffer; gap p99 under 300 ms over the viewers touched (metro: 250 ms)",
			func(s *Scenario) {
				s.Settings.Duration = 110 * time.Second
				s.Faults = []Fault{{What: Kill, Who: Relay, At: 4 * time.Second, Every: 2 * time.Second, Count: 50, Replace: true}}
			}),
		builtin("relay-freeze", 500, "A relay stops for 10 s and comes back, every four seconds",
			"as relay-kill; who comes back disturbs nobody",
			func(s *Scenario) {
				s.Settings.Duration = 110 * time.Second
				s.Faults = []Fault{{What: Freeze, Who: Relay, At: 4 * time.Second, Every: 4 * time.Second, Count: 22, For: 10 * time.Second}}
			}),
		builtin("flapping-link", 300, "Access links drop out for 1.5 s again and again",
			"nobody behind them misses a deadline at 1 s of buffer",
			func(s *Scenario) {
				s.Faults = []Fault{{What: Flap, Who: Relay, At: 2 * time.Second, Every: time.Second, For: 1500 * time.Millisecond}}
			}),
		builtin("region-outage", 1000, "The most populous region disappears at once",
			"the others miss nothing with 2 s of buffer",
			func(s *Scenario) {
				s.Settings.Buffer = 2 * time.Second
				s.Faults = []Fault{{What: Region, At: 10 * time.Second}}
			}),
		builtin("mass-failure", 2000, "Half of all viewers die at once",
			"more than 99.6 % of the survivors miss nothing with 2 s of buffer",
			func(s *Scenario) {
				s.Settings.Buffer, s.Settings.Duration = 2*time.Second, 30*time.Second
				s.Faults = []Fault{{What: Kill, Who: Anyone, At: 5 * time.Second, Share: 0.5}}
			}),
		builtin("churn", 2000, "Viewers come and go as they do in life, half of them without a word",
			"98 % of the sessions without a stall, 95 % start within 1 s",
			func(s *Scenario) {
				s.Settings.Session, s.Settings.Buffer, s.Settings.Duration = true, 2*time.Second, 10*time.Minute
			}),
		builtin("flash-crowd", 100, "1,900 more come within 10 s",
			"all join within 10 s, p99 under 2 s; who was watching does not stall at 2 s of buffer",
			func(s *Scenario) {
				s.Settings.Crowd, s.Settings.Buffer, s.Settings.Duration = 1900, 2*time.Second, 30*time.Second
			}),
		builtin("saturated", 500, "There is too little upload for everyone",
			"fair degradation, no collapse: those who contribute keep the stream",
			func(s *Scenario) { s.Settings.Capacity, s.Settings.FreeRiders = 0.8, 0.5 }),
		builtin("free-riders", 500, "Seven of ten viewers upload nothing, the others enough for all",
			"as calm",
			// As published they have 0.94 of what is needed, since nobody gives more than four streams.
			func(s *Scenario) { s.Settings.Capacity, s.Settings.FreeRiders = 2, 0.7 }),
		builtin("jitter-storm", 300, "Jitter and loss grow, nothing fails: every switch is false",
			"at most one false switch per viewer-hour",
			func(s *Scenario) {
				s.Settings.Duration = 90 * time.Second
				s.Faults = []Fault{{What: Jitter, At: 10 * time.Second, For: 60 * time.Second, Factor: 100.0 / 30}}
			}),
		builtin("bandwidth-drop", 500, "A quarter of the uplinks shrink to a third for 20 s",
			"children move before they miss anything",
			func(s *Scenario) {
				s.Settings.Buffer = 2 * time.Second
				s.Faults = []Fault{{What: Bandwidth, Who: Anyone, At: 10 * time.Second, Share: 0.25, For: 20 * time.Second, Factor: 1.0 / 3}}
			}),
		builtin("partition-heal", 500, "A quarter of the viewers is cut off for 10 s",
			"nobody on the publisher's side misses anything; all play again soon after it heals",
			func(s *Scenario) {
				s.Faults = []Fault{{What: Partition, At: 10 * time.Second, Share: 0.25, For: 10 * time.Second}}
			}),
		builtin("rolling-update", 300, "Every relay is updated in turn: it drains, leaves and comes back",
			"nobody misses one object",
			func(s *Scenario) {
				s.Faults = []Fault{{What: Drain, Who: Relay, At: 2 * time.Second, Every: 500 * time.Millisecond, For: 3 * time.Second}}
			}),
		builtin("publisher-failover", 300, "The publisher dies, and its standby takes over under a higher epoch",
			"at most one group repeated or skipped with 2 s of buffer",
			func(s *Scenario) {
				s.Settings.Buffer = 2 * time.Second
				s.Faults = []Fault{{What: Publisher, At: 10 * time.Second, For: failover.LeaseSilence}}
			}),
	}, hostileScenarios()...)
}

// Find returns the scenario called name.
func Find(name string) (Scenario, bool) {
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, true
		}
	}
	return Scenario{}, false
}
