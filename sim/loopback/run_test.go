package loopback

import (
	"strings"
	"testing"
	"time"

	"github.com/braidway/braidway/sim"
)

func TestWhatProcessesCannotRunIsNamed(t *testing.T) {
	for _, c := range []struct {
		scenario string
		peers    int
		change   func(*sim.Settings)
		says     string
	}{
		{"calm", Room(), nil, ""},
		{"relay-kill", 12, nil, ""},
		{"relay-freeze", 12, nil, ""},
		{"mass-failure", 12, nil, ""},
		{"flash-crowd", 4, func(s *sim.Settings) { s.Crowd = 8 }, ""},
		{"flash-crowd", 10, func(s *sim.Settings) { s.Crowd = 5000 }, "peers is 5010, processes are 2 to"},
		{"calm", Room() + 1, nil, "2 to"},
		{"calm", 1, nil, "2 to"},
		{"churn", 12, nil, "session"},
		{"calm", 12, func(s *sim.Settings) { s.System = "gossip" }, "gossip"},
		{"jitter-storm", 12, nil, "fault 1 is a jitter"},
	} {
		sc, ok := sim.Find(c.scenario)
		if !ok {
			t.Fatal(c.scenario)
		}
		if c.change != nil {
			c.change(&sc.Settings)
		}
		err := Fits(sc, c.peers)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s with %d peers: %v", c.scenario, c.peers, err)
		}
	}
}

func TestAProgramThatIsNoPeerIsAnErrorWithWhatItSaid(t *testing.T) {
	sc, _ := sim.Find("calm")
	began := time.Now()
	_, err := Run(t.Context(), sc, Options{Program: "/bin/ls", Peers: 3})
	if err == nil || !strings.Contains(err.Error(), "process 0 ended") || time.Since(began) > startTime {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}
