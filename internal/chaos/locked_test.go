package chaos

// Locked: two publishers hold the key of one stream.

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/braidway/braidway/internal/testnet"
)

// TestPublishersTakeOver: the active publisher is killed or frozen; its standby
// goes on. A frozen one that wakes up is fenced off, and stands by in its turn.
func TestPublishersTakeOver(t *testing.T) {
	times := 2
	if full {
		times = 20
	}
	s := newSwarm(t, nil)
	key := filepath.Join(s.dir, "stream.key")
	publisher := func(name string) *testnet.Process {
		return s.start(name, "publish", "test:", "--key", key, "--standby")
	}
	s.pub = publisher("publisher 1")
	s.link = s.pub.Line(t)
	s.judge.follow(s.pub)
	is := func(p *testnet.Process, standby bool) func() bool {
		return func() bool {
			st, ok := p.Stream()
			return ok && st.Standby == standby && (st.Role == "publisher") != standby
		}
	}
	testnet.WaitFor(t, "the first publisher publishes", 10*time.Second, is(s.pub, false))
	standby := publisher("publisher 2")
	s.judge.follow(standby)
	for range 3 {
		s.relay()
	}
	for range 3 {
		s.view(2 * time.Second)
	}
	s.started()
	followed := func() {
		testnet.WaitFor(t, "the standby follows", 20*time.Second, func() bool {
			st, ok := s.pub.Stream()
			return ok && len(st.Heirs) == 1 && is(standby, true)()
		})
	}
	var slowest time.Duration
	for n := range times {
		followed()
		time.Sleep(time.Second) // the stream goes on for a while
		old := s.pub
		began := time.Now()
		if n%2 == 0 {
			s.judge.faulty(old, 5*time.Second)
			old.Freeze()
		} else {
			s.kill(old)
		}
		testnet.WaitFor(t, "the standby publishes", 10*time.Second, is(standby, false))
		slowest = max(slowest, time.Since(began))
		s.pub, standby = standby, old
		time.Sleep(2 * time.Second) // viewers play on from the new publisher
		if n%2 == 0 {
			old.Thaw()
			testnet.WaitFor(t, "the old publisher is fenced off and stands by", 20*time.Second, is(old, true))
			if !strings.Contains(old.Log(), "fenced off") {
				t.Errorf("%s does not say that it was fenced off", old.Name)
			}
		} else {
			standby = publisher("a new standby")
			s.judge.follow(standby)
		}
	}
	if slowest > 1500*time.Millisecond { // a second of silence, and this machine's load
		t.Errorf("the slowest take-over took %v", slowest)
	}
	s.stop()
	for _, v := range s.viewers {
		checkClock(t, v, times)
	}
	s.cost(row{failure: "locked", done: "publisher killed or frozen, standby takes over", times: times,
		note: "buffer 2 s; slowest " + slowest.Round(time.Millisecond).String()}, false)
}

// checkClock looks at the program clock in what a viewer wrote: at every take-over
// at most a group, of a second, is skipped or repeated.
func checkClock(t *testing.T, v *viewer, times int) {
	t.Helper()
	b, err := os.ReadFile(v.out)
	if err != nil {
		t.Fatal(err)
	}
	const packet, hertz = 188, 90_000
	var last uint64
	breaks, begun := 0, false
	for ; len(b) >= packet; b = b[packet:] {
		if b[0] != 0x47 {
			t.Fatalf("%s wrote no MPEG-TS", v.Name)
		}
		if b[3]&0x20 == 0 || b[4] < 7 || b[5]&0x10 == 0 {
			continue // no PCR
		}
		pcr := uint64(b[6])<<25 | uint64(b[7])<<17 | uint64(b[8])<<9 | uint64(b[9])<<1 | uint64(b[10]>>7)
		step := float64(int64((pcr-last)<<31)>>31) / hertz // mod 2^33
		if last = pcr; !begun {
			begun = true
			continue
		}
		if step > -0.2 && step < 0.2 {
			continue
		}
		if breaks++; step < -1.2 || step > 1.2 {
			t.Errorf("%s: the clock jumps by %.2f s at a take-over", v.Name, step)
		} else {
			t.Logf("%s: %+.2f s at a take-over", v.Name, step)
		}
	}
	if breaks > times {
		t.Errorf("%s: %d breaks in %d take-overs", v.Name, breaks, times)
	}
}
