package main

// Separate processes: the stream's DHT is killed, its publisher comes late, and
// comes back.

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// kill ends a process without a goodbye.
func (p *process) kill() {
	p.gone = true
	_ = p.cmd.Process.Kill()
	<-p.done
}

// plays waits until the viewer has written so many more bytes to file.
func plays(t *testing.T, what, file string, more int64) {
	t.Helper()
	size := func() int64 {
		if st, err := os.Stat(file); err == nil {
			return st.Size()
		}
		return 0
	}
	had := size()
	waitFor(t, what, 20*time.Second, func() bool { return size() >= had+more })
}

// Issue 3, "What must be shown", 3: every DHT node that is not a peer of the
// stream dies, then a relay; and a newcomer has nothing but the link.
func TestWithEveryDHTNodeKilledViewersFailOverAndNewcomersJoin(t *testing.T) {
	var boots []*process
	var bootstrap []string
	for range 2 {
		b := start(t, "bootstrap", append([]string{"bootstrap"}, bootstrap...)...)
		boots = append(boots, b)
		bootstrap = append(bootstrap, "--bootstrap", b.line(t))
	}
	input, content := clipFile(t, 24*time.Second)
	pub := start(t, "publisher", append([]string{"publish", input, "--max-children", "1"}, bootstrap...)...)
	link := pub.line(t)
	var relays []*process
	for range 4 {
		relays = append(relays, start(t, "relay", append([]string{"relay", link}, bootstrap...)...))
	}
	dir := t.TempDir()
	out := filepath.Join(dir, "out.ts")
	viewer := start(t, "viewer", append([]string{"play", link, "-o", out, "--no-relay", "--buffer", "3s", "--report", out + ".json"}, bootstrap...)...)
	for _, p := range append(slices.Clone(relays), viewer) {
		waitFor(t, p.name+" is ready", 20*time.Second, func() bool { return p.readiness() == 200 })
	}
	for _, b := range boots {
		b.kill()
	}
	plays(t, "the viewer plays on without a DHT", out, 200_000)
	busiest, most := relays[0], -1
	for _, r := range relays {
		if st, ok := r.state(); ok && len(st.Streams) == 1 && st.Streams[0].Used > most {
			busiest, most = r, st.Streams[0].Used
		}
	}
	if most < 1 {
		t.Fatal("no relay has children")
	}
	busiest.kill()
	plays(t, "the viewer fails over without a DHT", out, 200_000)

	late := filepath.Join(dir, "late.ts")
	newcomer := start(t, "newcomer", "play", link, "-o", late, "--buffer", "3s", "--report", late+".json")
	for _, p := range []*process{viewer, newcomer} {
		select {
		case <-p.done:
			if p.err != nil {
				t.Errorf("%s: %v", p.name, p.err)
			}
		case <-time.After(40 * time.Second):
			t.Fatalf("%s does not end", p.name)
		}
	}
	checkOutput(t, "viewer", out, content)
	got, err := os.ReadFile(late)
	if err != nil || len(got) < 50_000 || !bytes.HasSuffix(content, got) {
		t.Errorf("the newcomer: %d bytes that are not the last ones, %v", len(got), err)
	}
}

// Issue 3, "What must be shown", 4.
func TestViewersWaitForAPublisherAndStayWhenItIsKilledAndRestarted(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "pub.key")
	boot := start(t, "bootstrap", "bootstrap")
	bootstrap := []string{"--bootstrap", boot.line(t)}
	publish := func(name string) *process {
		return start(t, name, append([]string{"publish", "test:", "--key", key}, bootstrap...)...)
	}
	// The link of an earlier day: its address is dead.
	yesterday := publish("yesterday's publisher")
	link := yesterday.line(t)
	yesterday.kill()
	out := filepath.Join(dir, "out.ts")
	viewer := start(t, "viewer", append([]string{"play", link, "-o", out, "--timeout", "0s"}, bootstrap...)...)
	if got := viewer.readiness(); got != 503 {
		t.Fatalf("readiness %d without a publisher, want 503", got)
	}

	first := publish("first publisher")
	plays(t, "the viewer plays when the publisher comes", out, 300_000)
	epoch := func() uint64 {
		if st, ok := viewer.state(); ok && len(st.Streams) == 1 {
			return st.Streams[0].Epoch
		}
		return 0
	}
	before := epoch()
	first.kill()
	second := publish("second publisher")
	waitFor(t, "the viewer follows the higher epoch", 30*time.Second, func() bool { return epoch() > before })
	plays(t, "the viewer plays the restarted publisher", out, 300_000)
	if link2 := second.line(t); link2[:80] != link[:80] {
		t.Errorf("another stream: %s and %s", link, link2)
	}
	_ = viewer.cmd.Process.Signal(syscall.SIGINT)
	if <-viewer.done; viewer.err != nil {
		t.Errorf("the viewer: %v", viewer.err)
	}
}
