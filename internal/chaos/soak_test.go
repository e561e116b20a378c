package chaos

// For as long as it takes: peers come and go, and those that stay need no more of
// anything at the end than at the beginning.

import (
	"bufio"
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/braidway/braidway/internal/testnet"
)

// usage is what a process holds, as its metrics say.
type usage struct{ goroutines, files, heap float64 }

func usageOf(t *testing.T, p *testnet.Process) (u usage) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	res, err := p.Get(ctx, "/metrics")
	if err != nil {
		t.Fatalf("%s: %v", p.Name, err)
	}
	defer func() { _ = res.Body.Close() }()
	for sc := bufio.NewScanner(res.Body); sc.Scan(); {
		name, value, _ := strings.Cut(sc.Text(), " ")
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		switch name {
		case "go_goroutines":
			u.goroutines = v
		case "process_open_fds":
			u.files = v
		case "go_memstats_heap_inuse_bytes":
			u.heap = v / (1 << 20)
		}
	}
	return u
}

// TestSoak: by default 40 peers and 10 minutes with BRAIDWAY_SOAK=10m, few and
// half a minute in the short form.
func TestSoak(t *testing.T) {
	peers, length := 8, 22*time.Second
	if d := os.Getenv("BRAIDWAY_SOAK"); d != "" {
		var err error
		if length, err = time.ParseDuration(d); err != nil || length < time.Minute {
			t.Fatalf("BRAIDWAY_SOAK is %q, allowed is 1m and more, as 10m", d)
		}
		peers = 40
	} else if full {
		t.Skip("SKIPPED: make soak runs it")
	}
	s := newSwarm(t, nil)
	in := s.dir + "/in"
	go newTrickle(t, in).run()
	s.pub = s.start("publisher", "publish", "--raw", in, "--stripes", "2", "--max-children", "4", "--bitrate", "200kbps")
	s.link = s.pub.Line(t)
	s.judge.follow(s.pub)
	for range 4 {
		s.view(2*time.Second, "--upload-limit", "800kbps")
	}
	for range peers - 5 {
		s.relay("--upload-limit", "800kbps")
	}
	s.started()
	stay := append([]*testnet.Process{s.pub}, s.viewers[0].Process, s.viewers[1].Process, s.viewers[2].Process, s.viewers[3].Process)
	all := func() (us []usage) {
		for _, p := range stay {
			us = append(us, usageOf(t, p))
		}
		return us
	}
	pace := length / time.Duration(max(8, int(length/(4*time.Second))))
	tick := time.NewTicker(pace)
	defer tick.Stop()
	var before []usage
	churned := 0
	for end := time.Now().Add(length); time.Now().Before(end); {
		<-tick.C
		if before == nil && time.Until(end) < length*3/4 { // everything has been used once
			before = all()
		}
		at := slices.IndexFunc(s.relays, func(p *testnet.Process) bool { return !p.Gone })
		p := s.relays[at]
		if churned%2 == 0 {
			s.kill(p)
		} else {
			s.judge.faulty(p, 10*time.Second)
			p.Gone = true
			p.Signal(syscall.SIGTERM)
		}
		s.relays = slices.Delete(s.relays, at, at+1)
		s.relay("--upload-limit", "800kbps")
		churned++
	}
	for i, now := range all() {
		b := before[i]
		t.Logf("%s: goroutines %.0f to %.0f, files %.0f to %.0f, heap %.1f to %.1f MiB", stay[i].Name, b.goroutines, now.goroutines, b.files, now.files, b.heap, now.heap)
		if now.goroutines > 1.5*b.goroutines+50 || now.files > 1.5*b.files+20 || now.heap > 1.5*b.heap+16 {
			t.Errorf("%s holds more and more", stay[i].Name)
		}
	}
	s.stop()
	s.cost(row{failure: "all", done: "soak: relays come, die and leave, for " + length.String(), times: churned, note: strconv.Itoa(peers) + " peers, buffer 2 s"}, false)
}
