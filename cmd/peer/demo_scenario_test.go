package main

// This file answers: does the demo play each of its scenarios, and does what
// happens cost the viewers nothing?

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// runDemo runs the demo until it shows a line that matches, and returns its
// report and what it showed.
func runDemo(t *testing.T, scenario string, peers int, shows *regexp.Regexp) (r demoSummary, shown string) {
	t.Helper()
	file := binary.File(t)
	report := filepath.Join(t.TempDir(), "r.json")
	cmd := exec.Command(file, "demo", "--scenario", scenario, "--peers", strconv.Itoa(peers), "--kill-every", "2s", "--http", "off", "--report", report)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hangs := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer hangs.Stop()
	var b strings.Builder
	seen := false
	for sc := bufio.NewScanner(out); sc.Scan(); {
		b.WriteString(sc.Text() + "\n")
		if !seen && shows.Match(sc.Bytes()) {
			seen = true
			_ = cmd.Process.Signal(syscall.SIGINT)
		}
	}
	if err := cmd.Wait(); err != nil || !seen {
		t.Fatalf("%v; does not show %q within a minute:\n%s", err, shows, b.String())
	}
	text, err := os.ReadFile(report)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r, b.String()
}

func TestTheDemoPlaysEachScenarioAndItsViewersPlayOn(t *testing.T) {
	for scenario, c := range map[string]struct {
		peers      int // few: hosts need processors for their handshakes
		shows      string
		reported   string
		deadly     bool
		continuity float64 // of the worst viewer
	}{
		"kill":      {peers: 6, shows: `died with \d+ children.*: longest gap`, reported: "demo", deadly: true, continuity: 1},
		"freeze":    {peers: 6, shows: `is back .*: longest gap`, reported: "demo-freeze", continuity: 1},
		"drain":     {peers: 6, shows: `has left .*: longest gap`, reported: "demo-drain", continuity: 1},
		"full":      {peers: 4, shows: `6 came at once .* and left: longest gap`, reported: "demo-full", continuity: 1},
		"publisher": {peers: 6, shows: `pub\d* died, pub\d+ went on .* under epoch \d+: longest gap`, reported: "demo-publisher", deadly: true, continuity: 0.99},
	} {
		t.Run(scenario, func(t *testing.T) {
			if scenario != "full" { // a crowd's handshakes take both of two processors
				t.Parallel()
			}
			r, shown := runDemo(t, scenario, c.peers, regexp.MustCompile(c.shows))
			t.Log("\n" + shown)
			if r.Scenario != c.reported || r.Peers != c.peers || r.Events < 1 || r.Kills == nil || *r.Kills > 0 != c.deadly {
				t.Errorf("scenario %q, %d peers, %d events, kills %v", r.Scenario, r.Peers, r.Events, r.Kills)
			}
			if r.Viewers < c.peers-2 || r.Continuity == nil || r.Continuity.Max < c.continuity || r.FailedJoins == nil || *r.FailedJoins > 0 {
				t.Errorf("%d viewers, continuity %+v, want %v; or failed joins", r.Viewers, r.Continuity, c.continuity)
			}
			if r.TouchedGapMS == nil || r.Touched == nil {
				t.Error("no event touched anybody")
			}
			if (r.ReturnGapMS != nil) != (scenario == "freeze") {
				t.Errorf("gap at a return: %+v", r.ReturnGapMS)
			}
			if crowd := scenario == "full"; (r.Newcomers != nil) != crowd || crowd && (*r.Newcomers < 6 || r.NewcomerStartupMS == nil) {
				t.Errorf("newcomers %v, their start-up %+v", r.Newcomers, r.NewcomerStartupMS)
			}
		})
	}
}

func TestTheDemoRefusesAnUnknownScenario(t *testing.T) {
	file := binary.File(t)
	said, err := exec.Command(file, "demo", "--scenario", "flood").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitUsage {
		t.Errorf("%v, want exit status %d", err, exitUsage)
	}
	for _, s := range []string{"--scenario", `"flood"`, "kill, freeze, drain, full or publisher"} {
		if !strings.Contains(string(said), s) {
			t.Errorf("the error does not name %q: %s", s, said)
		}
	}
}
