package stack

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/braidway/braidway/sim"
)

func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

// small is a scenario that fits a test.
func small() sim.Scenario {
	s := sim.Scenario{Name: "small", Peers: 14, Settings: sim.Default()}
	s.Settings.Join, s.Settings.Settle, s.Settings.Duration = 2*time.Second, 6*time.Second, 10*time.Second
	s.Settings.FreeRiders = 0
	s.Faults = []sim.Fault{{What: sim.Kill, Who: sim.Relay, At: 2 * time.Second, Every: 3 * time.Second, Count: 2}}
	return s
}

func TestSilentDeathsGoUnnoticed(t *testing.T) {
	r, err := Run(context.Background(), small(), Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(r.Summary.Table(), r.Wall, r.Bytes, r.Depths, r.FanOut)
}
