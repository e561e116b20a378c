package chaos

// This file answers: how do the tests start many peers, do something to them,
// and tell what it cost?

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/internal/testnet"
)

// full is the long form.
var full = os.Getenv("BRAIDWAY_CHAOS") == "full"

// binary is built once for all tests.
var binary = testnet.Build("../../cmd/peer")

// row is a line of the table.
type row struct {
	failure, done       string
	times, lost, falsed int
	gap                 float64 // ms
	note                string
}

var table struct {
	sync.Mutex
	rows []row
}

func report(r row) {
	table.Lock()
	defer table.Unlock()
	table.rows = append(table.rows, r)
}

func TestMain(m *testing.M) {
	code := m.Run()
	binary.Remove()
	hostile.Remove()
	if len(table.rows) > 0 {
		w := tabwriter.NewWriter(os.Stdout, 2, 8, 2, ' ', 0)
		fmt.Fprintln(w, "FAILURE\tDONE\tTIMES\tOBJECTS LOST\tWORST GAP, MS\tFALSE SWITCHES\tNOTE")
		for _, r := range table.rows {
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%.0f\t%d\t%s\n", r.failure, r.done, r.times, r.lost, r.gap, r.falsed, r.note)
		}
		_ = w.Flush()
	}
	os.Exit(code)
}

// swarm is a stream with its peers.
type swarm struct {
	t         testing.TB
	dir, file string
	sw        *testnet.Switch // nil: all on the loopback interface
	bootstrap []string
	link      string
	content   []byte // what is published; empty: the endless test clip
	pub       *testnet.Process
	relays    []*testnet.Process
	viewers   []*viewer
	places    map[*testnet.Process]testnet.Place
	ownClocks bool // whoever is started from now on has a clock of its own
	made      int
	nice      bool // who is started from now on has the processor last
	judge     *judge
}

// viewer is a process that plays to a file.
type viewer struct {
	*testnet.Process
	out string
}

// newSwarm starts a bootstrap node.
func newSwarm(t testing.TB, sw *testnet.Switch) *swarm {
	t.Helper()
	if testing.Short() {
		t.Skip("SKIPPED: -short")
	}
	file := binary.File(t)
	s := &swarm{t: t, dir: t.TempDir(), file: file, sw: sw, places: make(map[*testnet.Process]testnet.Place)}
	s.judge = newJudge(t)
	boot := s.start("bootstrap", "bootstrap")
	s.bootstrap = []string{"--bootstrap", boot.Line(t)}
	return s
}

func (s *swarm) start(name string, args ...string) *testnet.Process {
	s.t.Helper()
	return s.run(s.file, name, args...)
}

// run starts any program that takes the peer command's flags.
func (s *swarm) run(file, name string, args ...string) *testnet.Process {
	s.t.Helper()
	place := testnet.Place{Nice: s.nice}
	if s.sw != nil {
		place.Host = s.sw.Host(s.t)
	}
	if s.ownClocks {
		place.Clock = testnet.NewClock(s.t)
	}
	p := place.Start(s.t, file, name, append(args, s.bootstrap...)...)
	s.places[p] = place
	return p
}

// publish starts the publisher of d of the clip; 0: of the clip for ever.
func (s *swarm) publish(d time.Duration, args ...string) {
	s.t.Helper()
	input := "test:"
	if d > 0 {
		input, s.content = testnet.Clip(s.t, d)
	}
	s.pub = s.start("publisher", append([]string{"publish", input}, args...)...)
	s.link = s.pub.Line(s.t)
	s.judge.follow(s.pub)
}

func (s *swarm) relay(args ...string) *testnet.Process {
	s.t.Helper()
	s.made++
	p := s.start(fmt.Sprintf("relay %d", s.made), append([]string{"relay", s.link, "--upload-limit", "6Mbps"}, args...)...)
	s.relays = append(s.relays, p)
	s.judge.follow(p)
	return p
}

func (s *swarm) view(buffer time.Duration, args ...string) *viewer {
	s.t.Helper()
	out := filepath.Join(s.dir, fmt.Sprintf("out%d.ts", len(s.viewers)))
	v := &viewer{out: out}
	v.Process = s.start(fmt.Sprintf("viewer %d", len(s.viewers)+1), append([]string{"play", s.link, "-o", out, "--buffer", buffer.String(),
		"--upload-limit", "1Mbps", "--report", out + ".json"}, args...)...)
	s.viewers = append(s.viewers, v)
	s.judge.follow(v.Process)
	return v
}

// started waits until all relays and viewers take the stream.
func (s *swarm) started() {
	s.t.Helper()
	all := slices.Clone(s.relays)
	for _, v := range s.viewers {
		all = append(all, v.Process)
	}
	for _, p := range all {
		if p.Gone || p.Still {
			continue
		}
		testnet.WaitFor(s.t, p.Name+" takes the stream", 30*time.Second, func() bool {
			st, ok := p.Stream()
			return ok && st.Started
		})
	}
}

// busiest returns the relay with most children that nothing was done to.
func (s *swarm) busiest() *testnet.Process {
	s.t.Helper()
	var top *testnet.Process
	most := -1
	for _, p := range s.relays {
		if p.Gone || p.Still {
			continue
		}
		if st, ok := p.Stream(); ok && st.Used > most {
			top, most = p, st.Used
		}
	}
	if top == nil {
		s.t.Fatal("no relay is left")
	}
	return top
}

func (s *swarm) kill(p *testnet.Process) {
	s.judge.faulty(p, time.Hour)
	p.Gone = true
	p.Kill()
}

// freeze stops p for d; the returned channel is closed when it goes on.
func (s *swarm) freeze(p *testnet.Process, d time.Duration) <-chan struct{} {
	s.judge.faulty(p, d)
	p.Still = true
	p.Freeze()
	done := make(chan struct{})
	time.AfterFunc(d, func() {
		p.Thaw()
		close(done)
	})
	return done
}

// stop ends the viewers that still play.
func (s *swarm) stop() {
	s.t.Helper()
	for _, v := range s.viewers {
		v.Signal(os.Interrupt)
	}
	for _, v := range s.viewers {
		if err := v.WaitEnd(s.t, 20*time.Second); err != nil {
			s.t.Errorf("%s: %v", v.Name, err)
		}
	}
}

// wait waits until the stream has ended, and the viewers with it.
func (s *swarm) wait(limit time.Duration) {
	s.t.Helper()
	for _, v := range s.viewers {
		if err := v.WaitEnd(s.t, limit); err != nil {
			s.t.Errorf("%s: %v", v.Name, err)
		}
	}
}

// cost adds up what the viewers report, and checks that they wrote every byte.
func (s *swarm) cost(r row, exact bool) row {
	s.t.Helper()
	for _, v := range s.viewers {
		if exact {
			testnet.CheckOutput(s.t, v.Name, v.out, s.content)
		}
		rep, ok := testnet.Report(v.out + ".json")
		if !ok || rep.ObjectsDue == nil || rep.MaxGapMS == nil {
			s.t.Errorf("%s has no report", v.Name)
			continue
		}
		r.lost += int(*rep.ObjectsDue - *rep.ObjectsPlayed)
		r.gap = max(r.gap, *rep.MaxGapMS)
		if rep.Stalls != nil && *rep.Stalls > 0 {
			s.t.Errorf("%s stalled %d times, for %.0f ms", v.Name, *rep.Stalls, *rep.StallMS)
		}
	}
	r.falsed = s.judge.verdict(s.t)
	report(r)
	if r.lost > 0 {
		s.t.Errorf("%d objects lost", r.lost)
	}
	if s.t.Failed() {
		s.judge.tell(s.t)
	}
	return r
}

// judge reads the trace events of all processes, and tells the false switches:
// a parent was given up that nothing had been done to.
type judge struct {
	mu     sync.Mutex
	ids    map[string]string // peer id to process
	bad    map[string][]window
	heard  []heard
	cancel context.CancelFunc
	ctx    context.Context
	wg     sync.WaitGroup
}

type window struct{ from, to time.Time }

// holds says whether at is in w, or less than early before it.
func (w window) holds(at time.Time, early time.Duration) bool {
	return at.After(w.from.Add(-early)) && at.Before(w.to)
}

// heard is an event of process who.
type heard struct {
	who string
	node.TraceEvent
}

// grace is for how long after a fault what follows from it is put down to it.
const grace = 3 * time.Second

func newJudge(t testing.TB) *judge {
	j := &judge{ids: make(map[string]string), bad: make(map[string][]window)}
	j.ctx, j.cancel = context.WithCancel(context.Background())
	t.Cleanup(func() {
		j.cancel()
		j.wg.Wait()
	})
	return j
}

// follow reads the events of p until it ends.
func (j *judge) follow(p *testnet.Process) {
	j.wg.Go(func() {
		for j.ctx.Err() == nil {
			st, ok := p.State()
			if !ok {
				select {
				case <-p.Done():
					return
				case <-time.After(50 * time.Millisecond):
					continue
				}
			}
			j.mu.Lock()
			j.ids[st.Peer] = p.Name
			j.mu.Unlock()
			r, err := p.Get(j.ctx, "/api/v1/events")
			if err != nil {
				continue
			}
			for sc := bufio.NewScanner(r.Body); sc.Scan(); {
				data, ok := strings.CutPrefix(sc.Text(), "data: ")
				var e node.TraceEvent
				if ok && json.Unmarshal([]byte(data), &e) == nil {
					e.Time = time.Now() // its own clock may be wrong
					j.mu.Lock()
					j.heard = append(j.heard, heard{p.Name, e})
					j.mu.Unlock()
				}
			}
			_ = r.Body.Close()
			return
		}
	})
}

// faulty notes that something is done to p, from now on for d.
func (j *judge) faulty(p *testnet.Process, d time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.bad[p.Name] = append(j.bad[p.Name], window{time.Now(), time.Now().Add(d + grace)})
}

// verdict counts the false switches.
func (j *judge) verdict(t testing.TB) (n int) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	troubled := func(name string, at time.Time) bool {
		return slices.ContainsFunc(j.bad[name], func(w window) bool { return w.holds(at, 0) })
	}
	for _, h := range j.heard {
		// Less silence than that, and it was a connection that ended.
		if parent := j.ids[h.Peer]; h.Event == "gone" && h.WaitMS > 80 && !troubled(parent, h.Time) && !troubled(h.who, h.Time) {
			n++
			t.Logf("%s gave up %s after %.0f ms of silence, to which nothing had been done", h.who, parent, h.WaitMS)
		}
	}
	return n
}

// tell logs what happened to whom around each fault, for a test that has failed.
func (j *judge) tell(t testing.TB) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	slices.SortStableFunc(j.heard, func(a, b heard) int { return a.Time.Compare(b.Time) })
	for name, all := range j.bad {
		for _, w := range all {
			t.Logf("%s: something is done to %s", w.from.Format(clock), name)
		}
	}
	for _, h := range j.heard {
		for _, all := range j.bad {
			if slices.ContainsFunc(all, func(w window) bool { return w.holds(h.Time, grace) }) {
				t.Logf("%s %s: %s %s %s, stripe %d, seq %d, %.0f ms", h.Time.Format(clock), h.who, h.Event, j.ids[h.Peer], h.Code, h.Stripe, h.Seq, h.WaitMS)
				break
			}
		}
	}
}

const clock = "15:04:05.000"
