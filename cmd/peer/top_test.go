package main

// This file answers: does top show what a peer does, take its keys, fit into its
// window, and do without a terminal?

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"github.com/muesli/termenv"

	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/internal/testnet"
)

func sample(at time.Time, received, unique, sent int64) topSample {
	age := 41.0
	return topSample{at: at, state: node.State{Peer: "12D3KooWself00", Version: "v1", UptimeS: 90, Peers: 7, DHT: 3, Streams: []node.StreamState{{
		ID: "abcdefghijkl", Role: "viewer", Started: true, Epoch: 2, Position: 10, Edge: 12, Bitrate: 4e6, AgeMS: &age, Received: received, Unique: unique, Sent: sent,
		Slots: 24, Used: 3, Neighbour: 6, Stripes: []node.StripeState{
			{Stripe: 0, Parent: "12D3KooWpar001", State: "fed", Path: []string{"a", "b", "c"}, Standbys: []string{"12D3KooWstb001", "12D3KooWstb002"}, Children: []string{"12D3KooWchi001"}},
			{Stripe: 1, Parent: "12D3KooWpar002", State: "silent", Silence: 170, Lacking: true},
			{Stripe: 2, State: "none"},
		}}}}}
}

func screen(t *testing.T, width, height, count int) *topModel {
	t.Helper()
	began := time.Unix(1_700_000_000, 0)
	d := &topData{began: began}
	d.take(sample(began, 0, 0, 0))
	m := newTopModel(d, newTopStyle(lipgloss.NewRenderer(io.Discard)), count)
	m.Update(tea.WindowSizeMsg{Width: width, Height: height})
	return m
}

func press(m *topModel, keys ...string) (quits bool) {
	for _, k := range keys {
		msg := tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(k)}
		for _, typ := range []tea.KeyType{tea.KeyUp, tea.KeyDown, tea.KeyPgDown, tea.KeyPgUp, tea.KeyEnd, tea.KeyHome, tea.KeyEsc, tea.KeyCtrlC, tea.KeySpace} {
			if typ.String() == k {
				msg = tea.KeyMsg{Type: typ}
			}
		}
		if _, cmd := m.Update(msg); cmd != nil {
			_, quits = cmd().(tea.QuitMsg)
		}
	}
	return quits
}

func says(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("no word of %q in\n%s", w, text)
		}
	}
}

func TestTopShowsStreamsRatesAndTheLastSwitches(t *testing.T) {
	m := screen(t, 120, 40, 0)
	says(t, m.View(), "self00", "7 connections, 3 DHT nodes", "stream abcdefghijkl: viewer", "rates come with the next look", "none since")
	m.Update(sample(time.Unix(1_700_000_002, 0), 1_010_000, 1_000_000, 2_000_000))
	for i := range 3 {
		m.Update(node.TraceEvent{Event: "switch", Stripe: i, Peer: "12D3KooWpar00" + fmt.Sprint(i), WaitMS: 131, Stream: "abcdefghijkl"})
	}
	m.Update(node.TraceEvent{Event: "repair", Stripe: 9}) // a peer that is well does this all the time
	text := m.View()
	says(t, text, "in 4.04 Mbps, out 8.00 Mbps, redundancy 1.0 %, stream 4.00 Mbps, 3 of 24 slots used, 6 neighbours, objects 41 ms old",
		"par001", "stb001 stb002", "chi001", "silent 170 ms", "lacking", "none", "switch", "stripe 2 peer par002 131 ms")
	if strings.Contains(text, "repair") || strings.Index(text, "par002 131") > strings.Index(text, "par000 131") {
		t.Errorf("events:\n%s", text)
	}
	m.Update(topSample{err: errors.New("connection refused")})
	says(t, m.View(), "no answer since", "connection refused", "par001")
	m.Update(sample(time.Unix(1_700_000_060, 0), 5, 5, 5)) // started again: its counts are small
	if text := m.View(); strings.Contains(text, "no answer") || !strings.Contains(text, "rates come") {
		t.Errorf("after it came back:\n%s", text)
	}
}

func TestTopFitsIntoItsWindowWhateverThePeerSays(t *testing.T) {
	m := screen(t, 120, 40, 0)
	evil := sample(time.Unix(1_700_000_002, 0), 1, 1, 1)
	evil.state.Version = "\x1b[2J\x07v1"
	evil.state.Streams[0].Started, evil.state.Streams[0].Waiting = false, "DHT: \x1b]0;title\x07"+strings.Repeat("long ", 99)
	m.Update(evil)
	m.Update(node.TraceEvent{Event: "switch", Peer: "\x1b[31mred", Code: "a\nb"})
	for _, size := range [][2]int{{120, 40}, {40, 10}, {10, 3}, {1, 1}} {
		m.Update(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
		text := m.View()
		if strings.ContainsAny(text, "\x1b\x07") {
			t.Fatalf("the peer's escapes reach the terminal: %q", text)
		}
		lines := strings.Split(text, "\n")
		if len(lines) > max(size[1], 2) {
			t.Errorf("%d lines in %d", len(lines), size[1])
		}
		for _, l := range lines {
			if ansi.StringWidth(l) > size[0] {
				t.Errorf("%d columns in %d: %s", ansi.StringWidth(l), size[0], l)
			}
		}
	}
}

func TestTopTakesItsKeys(t *testing.T) {
	m := screen(t, 80, 6, 0)
	head := m.View()
	if press(m, "down", "j"); m.View() == head || m.top != 2 {
		t.Errorf("it does not scroll: line %d", m.top)
	}
	press(m, "end")
	says(t, m.View(), "none since")
	at := m.top
	if press(m, "down", "pgdown"); m.top != at {
		t.Errorf("it scrolls beyond its end: line %d of %d", m.top, at)
	}
	if press(m, "home", "up"); m.View() != head {
		t.Errorf("the beginning:\n%s", m.View())
	}
	press(m, "?")
	says(t, m.View(), "one line up, down")
	if press(m, "esc"); m.View() != head {
		t.Error("the help does not go away")
	}
	press(m, "p")
	m.Update(sample(time.Unix(1_700_000_002, 0), 1_000_000, 1_000_000, 0))
	says(t, m.View(), "PAUSED")
	if press(m, " "); m.data.rates["abcdefghijkl"].in != 4e6 {
		t.Errorf("what came in a pause is lost: %+v", m.data.rates)
	}
	for _, k := range []string{"q", "esc", "ctrl+c"} {
		if !press(m, k) {
			t.Errorf("%s does not quit", k)
		}
	}
	if m := screen(t, 80, 24, 1); true {
		if _, cmd := m.Update(sample(time.Unix(1_700_000_002, 0), 1, 1, 1)); cmd == nil {
			t.Error("it goes on after the last frame")
		}
	}
}

func TestColourIsForTerminalsWithoutNoColor(t *testing.T) {
	for _, c := range []struct {
		env  string
		want termenv.Profile
	}{{"", termenv.ANSI256}, {"1", termenv.Ascii}} {
		t.Setenv("TERM", "xterm-256color")
		t.Setenv("COLORTERM", "")
		t.Setenv("CI", "")
		t.Setenv("NO_COLOR", c.env)
		r := lipgloss.NewRenderer(io.Discard, termenv.WithTTY(true))
		style := newTopStyle(r)
		if got := r.ColorProfile(); got != c.want {
			t.Errorf("NO_COLOR=%q: profile %v, want %v", c.env, got, c.want)
		}
		if coloured := style.state("fed") != "fed"; coloured != (c.env == "") {
			t.Errorf("NO_COLOR=%q: %q", c.env, style.state("fed"))
		}
	}
}

func TestTopWithoutATerminalWritesFramesAndDoctorAsksTheSamePeer(t *testing.T) {
	file := binary.File(t)
	pub := start(t, "publisher", "publish", "test:", "--max-children", "4")
	viewer := start(t, "viewer", "play", pub.Line(t), "-o", "/dev/null")
	testnet.WaitFor(t, "the viewer is ready", 20*time.Second, func() bool { return viewer.Readiness() == 200 })
	out, err := exec.Command(file, "top", "--admin", viewer.Admin(), "--interval", "500ms", "--count", "2").CombinedOutput()
	if err != nil || strings.Count(string(out), "STRIPE") != 2 || strings.Contains(string(out), "\x1b") || !strings.Contains(string(out), "in ") {
		t.Errorf("%v:\n%s", err, out)
	}
	out, err = exec.Command(file, "doctor", "--admin", viewer.Admin()).CombinedOutput()
	if err != nil {
		t.Errorf("doctor: %v", err)
	}
	says(t, string(out), node.CheckNames...)
	says(t, strings.Join(strings.Fields(string(out)), " "), "ms old on arrival", "room for")
	// A peer that goes away is said to be gone.
	top := exec.Command(file, "top", "--admin", viewer.Admin(), "--interval", "100ms")
	first := make(chan struct{})
	var seen, said strings.Builder
	top.Stdout = writerFunc(func(b []byte) (int, error) {
		if seen.Len() == 0 {
			close(first)
		}
		return seen.Write(b)
	})
	top.Stderr = &said
	if err := top.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = top.Process.Kill() })
	<-first
	viewer.Kill()
	if err := top.Wait(); err == nil || top.ProcessState.ExitCode() != exitNotFound {
		t.Errorf("the peer has gone: %v, %s", err, said.String())
	}
	says(t, said.String(), viewer.Admin(), "is the peer running")
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
