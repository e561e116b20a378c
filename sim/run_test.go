package sim

import (
	"context"
	"testing"
	"time"
)

func TestTry(t *testing.T) {
	s, _ := Find("relay-kill")
	s.Settings.Duration = 30 * time.Second
	r, err := Run(context.Background(), s, Options{Peers: 200, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + r.Summary.Table())
	t.Logf("events %d wall %v, %.0f/s, bytes/peer %d, false %d in %.1f h, failed %d", r.Events, r.Wall, float64(r.Events)/r.Wall.Seconds(), r.Bytes/200, r.FalseSwitches, r.ViewerHours, r.FailedJoins)
}
