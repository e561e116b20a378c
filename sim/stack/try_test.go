package stack

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/braidway/braidway/sim"
)

// TRY="scenario peers key=value ..." go test -run Try
func TestTry(t *testing.T) {
	f := strings.Fields(os.Getenv("TRY"))
	if len(f) < 1 {
		t.Skip()
	}
	s, ok := sim.Find(f[0])
	if !ok {
		s = small()
	}
	for _, kv := range f[1:] {
		k, v, _ := strings.Cut(kv, "=")
		if k == "nofault" {
			s.Faults = nil
			continue
		}
		if k == "kills" {
			s.Faults = []sim.Fault{{What: sim.Kill, Who: sim.Relay, At: time.Second, Every: 500 * time.Millisecond, Count: 20, Replace: true}}
			continue
		}
		if k == "peers" {
			n := 0
			for _, c := range v {
				n = n*10 + int(c-'0')
			}
			s.Peers = n
			continue
		}
		if err := s.Settings.Set(k, v); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Run(context.Background(), s, Options{Seed: 1, Progress: func(p sim.Progress) {
		if os.Getenv("V") != "" {
			t.Log(p.Now, p.Wall, p.Peers)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(r.Summary.Table(), "wall", r.Wall, "MB", r.Bytes*uint64(r.Peers)>>20, "failed", r.FailedJoins, "false", r.FalseSwitches, "touched", len(r.Touched), "collapsed", r.Collapsed, "kills", r.Kills, "faults", len(r.Faults), *r.Summary.VirtualS)
	if os.Getenv("V") != "" {
		for _, v := range r.Viewers {
			c, st := -1.0, -1.0
			if v.Report.Continuity != nil {
				c, st = *v.Report.Continuity, *v.Report.StartupMS
			}
			t.Log(v.Index, v.Region, v.Access, v.Slots, v.Joined, v.Left, v.Died, c, st)
		}
		t.Log(r.Depths, r.FanOut, r.Stalls)
	}
}
