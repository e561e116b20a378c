package main

// Separate processes: the stream's DHT is killed, its publisher comes late, and
// comes back.

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/braidway/braidway/internal/testnet"
)

// kill ends a process without a goodbye.
func kill(p *testnet.Process) {
	p.Kill()
	<-p.Done()
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
	testnet.WaitFor(t, what, 20*time.Second, func() bool { return size() >= had+more })
}

// Issue 3, "What must be shown", 3: every DHT node that is not a peer of the
// stream dies, then a relay; and a newcomer has nothing but the link.
func TestWithEveryDHTNodeKilledViewersFailOverAndNewcomersJoin(t *testing.T) {
	var boots []*testnet.Process
	var bootstrap []string
	for range 2 {
		b := start(t, "bootstrap", append([]string{"bootstrap"}, bootstrap...)...)
		boots = append(boots, b)
		bootstrap = append(bootstrap, "--bootstrap", b.Line(t))
	}
	input, content := testnet.Clip(t, 24*time.Second)
	pub := start(t, "publisher", append([]string{"publish", input, "--max-children", "1"}, bootstrap...)...)
	link := pub.Line(t)
	var relays []*testnet.Process
	for range 4 {
		relays = append(relays, start(t, "relay", append([]string{"relay", link}, bootstrap...)...))
	}
	dir := t.TempDir()
	out := filepath.Join(dir, "out.ts")
	viewer := start(t, "viewer", append([]string{"play", link, "-o", out, "--no-relay", "--buffer", "3s", "--report", out + ".json"}, bootstrap...)...)
	for _, p := range append(slices.Clone(relays), viewer) {
		testnet.WaitFor(t, p.Name+" is ready", 20*time.Second, func() bool { return p.Readiness() == 200 })
	}
	for _, b := range boots {
		kill(b)
	}
	plays(t, "the viewer plays on without a DHT", out, 200_000)
	busiest, most := relays[0], -1
	for _, r := range relays {
		if st, ok := r.State(); ok && len(st.Streams) == 1 && st.Streams[0].Used > most {
			busiest, most = r, st.Streams[0].Used
		}
	}
	if most < 1 {
		t.Fatal("no relay has children")
	}
	kill(busiest)
	plays(t, "the viewer fails over without a DHT", out, 200_000)

	late := filepath.Join(dir, "late.ts")
	newcomer := start(t, "newcomer", "play", link, "-o", late, "--buffer", "3s", "--report", late+".json")
	for _, p := range []*testnet.Process{viewer, newcomer} {
		select {
		case <-p.Done():
			if p.Err() != nil {
				t.Errorf("%s: %v", p.Name, p.Err())
			}
		case <-time.After(40 * time.Second):
			t.Fatalf("%s does not end", p.Name)
		}
	}
	testnet.CheckOutput(t, "viewer", out, content)
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
	bootstrap := []string{"--bootstrap", boot.Line(t)}
	publish := func(name string) *testnet.Process {
		return start(t, name, append([]string{"publish", "test:", "--key", key}, bootstrap...)...)
	}
	// The link of an earlier day: its address is dead.
	yesterday := publish("yesterday's publisher")
	link := yesterday.Line(t)
	kill(yesterday)
	out := filepath.Join(dir, "out.ts")
	viewer := start(t, "viewer", append([]string{"play", link, "-o", out, "--timeout", "0s"}, bootstrap...)...)
	if got := viewer.Readiness(); got != 503 {
		t.Fatalf("readiness %d without a publisher, want 503", got)
	}

	first := publish("first publisher")
	plays(t, "the viewer plays when the publisher comes", out, 300_000)
	epoch := func() uint64 {
		if st, ok := viewer.State(); ok && len(st.Streams) == 1 {
			return st.Streams[0].Epoch
		}
		return 0
	}
	before := epoch()
	kill(first)
	second := publish("second publisher")
	testnet.WaitFor(t, "the viewer follows the higher epoch", 30*time.Second, func() bool { return epoch() > before })
	plays(t, "the viewer plays the restarted publisher", out, 300_000)
	if link2 := second.Line(t); link2[:80] != link[:80] {
		t.Errorf("another stream: %s and %s", link, link2)
	}
	viewer.Signal(syscall.SIGINT)
	if <-viewer.Done(); viewer.Err() != nil {
		t.Errorf("the viewer: %v", viewer.Err())
	}
}

// A publisher without room, and nobody else: the viewer is told so, and how to help.
func TestAViewerOfAFullStreamIsToldSo(t *testing.T) {
	pub := start(t, "publisher", "publish", "test:", "--upload-limit", "1kbps")
	viewer := start(t, "viewer", "play", pub.Line(t), "-o", os.DevNull, "--timeout", "3s")
	err := viewer.WaitEnd(t, 20*time.Second)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitNotFound || !strings.Contains(viewer.Log(), "is full") {
		t.Errorf("%v: %s", err, viewer.Log())
	}
}
