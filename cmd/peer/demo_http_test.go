package main

// This file answers: what may be done to the demo's peers over HTTP, and does the
// answer tell what that cost?

import (
	"bufio"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/braidway/braidway/internal/testnet"
)

func TestTheDemosPeersCanBeStruckOverHTTP(t *testing.T) {
	url := startDemo(t, "--peers", "6")
	var d demoState
	whole := func() bool {
		d = demoOf(t, url)
		n := 0
		for _, p := range d.Peers {
			if p.Role == roleViewer && p.Startup != nil && !slices.ContainsFunc(p.Stripes, func(s demoStripe) bool { return s.Parent == "" }) {
				n++
			}
		}
		return d.Watched != "" && n == 5
	}
	testnet.WaitFor(t, "five viewers with all stripes", 40*time.Second, whole)
	watched, free := "", []string{}
	for _, p := range d.Peers {
		switch {
		case p.ID == d.Watched:
			watched = p.Name
		case p.Role == roleViewer:
			free = append(free, p.Name)
		}
		if p.Role == roleViewer && p.Stripes[0].Path[len(p.Stripes[0].Path)-1] != p.ID {
			t.Errorf("the path of %s does not end there: %v", p.Name, p.Stripes[0].Path)
		}
	}
	ask := func(method, path, origin string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url+"api/v1/demo/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(b)
	}
	for _, c := range []struct {
		method, path, origin string
		status               int
		says                 string
	}{
		{"POST", "peers/p77/kill", "", 404, "p77"},
		{"POST", "peers/" + free[0] + "/explode", "", 404, "kill, freeze or drain"},
		{"POST", "peers/" + watched + "/kill", "", 409, "plays for this page"},
		{"POST", "peers/pub/kill", "", 409, "--scenario publisher"},
		{"GET", "peers/" + free[0] + "/kill", "", 405, ""},
		{"POST", "peers/" + free[0] + "/kill", "https://example.org", 403, ""},
		{"POST", "auto/perhaps", "", 404, "on or off"},
		{"POST", "auto/off", "", 200, "off"},
	} {
		if status, said := ask(c.method, c.path, c.origin); status != c.status || !strings.Contains(said, c.says) {
			t.Errorf("%s %s from %q: %d %q, want %d %q", c.method, c.path, c.origin, status, said, c.status, c.says)
		}
	}
	if d := demoOf(t, url); d.Count > 0 || !d.Paused {
		t.Errorf("%d faults, paused %v", d.Count, d.Paused)
	}
	events, err := http.Get(url + "api/v1/events") //nolint:noctx // the demo of this test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = events.Body.Close() }()
	told := make(chan string, 100)
	go func() {
		for sc := bufio.NewScanner(events.Body); sc.Scan(); {
			if name, ok := strings.CutPrefix(sc.Text(), "event: "); ok && strings.HasPrefix(name, "demo_") {
				told <- name
			}
		}
	}()
	faults := map[string]string{free[0]: faultFreeze, free[1]: faultDrain, free[2]: faultKill}
	for name, fault := range faults {
		if status, said := ask("POST", "peers/"+name+"/"+fault, ""); status != http.StatusAccepted {
			t.Errorf("%s %s: %d %s", fault, name, status, said)
		}
		if status, said := ask("POST", "peers/"+name+"/kill", ""); status != http.StatusConflict && status != http.StatusNotFound {
			t.Errorf("%s is struck twice: %d %s", name, status, said)
		}
	}
	testnet.WaitFor(t, "the cost of all three, and the return of the frozen one", 40*time.Second, func() bool {
		costs := map[string]bool{}
		for _, e := range demoOf(t, url).Log {
			if e.Cost != nil && (e.Fault == faultReturn || faults[e.Peer] == e.Fault) {
				costs[e.Fault] = true
			}
		}
		return len(costs) == 4
	})
	for _, want := range []string{eventFault, eventCost} {
		for got := ""; got != want; {
			select {
			case got = <-told:
			case <-time.After(5 * time.Second):
				t.Fatalf("no event %s", want)
			}
		}
	}
}
