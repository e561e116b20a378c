package chaos

// Full: a crowd comes to a publisher with few slots.

import (
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/braidway/braidway/internal/testnet"
)

// TestACrowd: many viewers come within two seconds to a publisher with four
// slots in each stripe. All play within ten seconds, and those who watched before
// lose nothing.
func TestACrowd(t *testing.T) {
	// To start and to shake hands with everybody takes each of them a quarter of a
	// second of processor time (measured), which those who watch go without: 60 on
	// two processors all play after 9.3 s, but the watchers' pictures stop.
	crowd := 12
	if full {
		crowd = min(60, 15*runtime.NumCPU())
	}
	s := newSwarm(t, nil)
	in := filepath.Join(s.dir, "in")
	go newTrickle(t, in).run()
	s.pub = s.start("publisher", "publish", "--raw", in, "--stripes", "2", "--max-children", "4", "--bitrate", "200kbps")
	s.link = s.pub.Line(t)
	s.judge.follow(s.pub)
	// All upload four streams of 200 kbit/s.
	view := func() *viewer { return s.view(2*time.Second, "--upload-limit", "800kbps") }
	for range 4 {
		view()
	}
	s.started()
	before := len(s.viewers)
	s.nice = true
	pace := 2 * time.Second / time.Duration(crowd)
	for range crowd {
		view()
		time.Sleep(pace) // the pace of the crowd
	}
	var wg sync.WaitGroup
	for _, v := range s.viewers[before:] {
		wg.Go(func() {
			limit := time.After(20 * time.Second)
			for {
				if st, ok := v.Stream(); ok && st.Started {
					return
				}
				select {
				case <-limit:
					return
				case <-time.After(100 * time.Millisecond):
				}
			}
		})
	}
	wg.Wait()
	time.Sleep(4 * time.Second) // they watch
	s.stop()
	worst := 0.0
	for _, v := range s.viewers[before:] {
		rep, ok := testnet.Report(v.out + ".json")
		if !ok || rep.StartupMS == nil || *rep.StartupMS > 10_000 {
			t.Errorf("%s does not play within 10 s", v.Name)
			continue
		}
		worst = max(worst, *rep.StartupMS)
	}
	s.viewers = s.viewers[:before]
	s.cost(row{failure: "full", done: "a crowd within 2 s, 4 slots a stripe", times: crowd,
		note: "those who watched before, buffer 2 s; slowest start-up of the crowd " + time.Duration(worst*float64(time.Millisecond)).Round(time.Millisecond).String()}, false)
	if strings.Contains(s.pub.Log(), "level=ERROR") {
		t.Errorf("the publisher: %s", s.pub.Log())
	}
}
