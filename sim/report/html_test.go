package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/braidway/braidway/sim"
)

// rendered returns the page, or fails.
func rendered(t *testing.T, title string, runs []Run) string {
	t.Helper()
	var b bytes.Buffer
	if err := HTML(&b, title, runs); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestAPageIsOneFileThatAsksForNothing(t *testing.T) {
	for name, runs := range map[string][]Run{"none": nil, "one": {{Label: "x", Result: fake(1, 300, 0)}}, "many": compared()} {
		page := rendered(t, "relay-kill", runs)
		if strings.Contains(page, "http://") || strings.Contains(page, "https://") {
			t.Errorf("%s: the page refers to something outside of it", name)
		}
		root, err := html.Parse(strings.NewReader(page))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		found := map[string]int{}
		for n := range root.Descendants() {
			if n.Type != html.ElementNode {
				continue
			}
			found[n.Data]++
			for _, a := range n.Attr {
				if outside := a.Key == "src" || a.Key == "href" && a.Val != "data:,"; outside {
					t.Errorf("%s: <%s %s=%q>", name, n.Data, a.Key, a.Val)
				}
			}
		}
		want := len(plots)
		if len(runs) == 0 {
			want = 0
		}
		if found["svg"] != want {
			t.Errorf("%s: %d plots, want %d", name, found["svg"], want)
		}
		checkNumbers(t, name, page)
	}
}

// TestAPageForTheEye writes the pages to where REPORT_SAMPLES says, to be looked at.
func TestAPageForTheEye(t *testing.T) {
	dir := os.Getenv("REPORT_SAMPLES")
	if dir == "" {
		t.Skip("REPORT_SAMPLES=DIR writes samples")
	}
	pooled, seeds, err := Pool([]*sim.Result{fake(1, 500, 0), fake(2, 500, 0.01), fake(3, 500, 0)})
	if err != nil {
		t.Fatal(err)
	}
	changed := fake(4, 500, 0)
	changed.Partial, changed.Scenario.Settings.Beacon, changed.Collapsed = true, 20*time.Millisecond, true
	for name, runs := range map[string][]Run{"compare": compared(), "pooled": {{"braidway", pooled, seeds}}, "one": {{Label: "braidway", Result: changed}}} {
		if err := os.WriteFile(filepath.Join(dir, name+".html"), []byte(rendered(t, "relay-kill: "+name, runs)), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Log("\n" + Text(runs))
	}
	for _, k := range Kinds() {
		svg, _ := Plot(k, compared())
		if err := os.WriteFile(filepath.Join(dir, k+".svg"), []byte(svg), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	svg := Lines("What a peer costs", "peers", "bytes a peer", true, false, []Series{
		{"braidway", []float64{1000, 3000, 10000, 30000, 100000}, []float64{91e3, 84e3, 80e3, 79e3, 79e3}}, {"gossip", []float64{1000, 10000, 100000}, []float64{40e3, 41e3, 43e3}}})
	if err := os.WriteFile(filepath.Join(dir, "lines.svg"), []byte(svg), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestTheWorstAreListedWithAndWithoutWhy(t *testing.T) {
	r := fake(1, 300, 0.3)
	list, all := worstViewers(r)
	if len(list) < 3 || len(list) > 6 || all != "" {
		t.Fatalf("%d of %q are listed", len(list), all)
	}
	if list[0].Continuity != share5(r.Summary.Continuity.Max) {
		t.Errorf("the first has a continuity of %s, the worst %v", list[0].Continuity, r.Summary.Continuity.Max)
	}
	why := 0
	for _, v := range list {
		if v.Why != "" {
			why++
		}
	}
	if why != 3 {
		t.Errorf("%d of 3 say why", why)
	}
	if list, all := worstViewers(fake(1, 30_000, 0)); len(list) != maxListed || all == "" {
		t.Errorf("%d of %q are listed", len(list), all)
	}
}

func TestLabelsAreEscapedEverywhere(t *testing.T) {
	const evil = `<script>alert(1)</script>"'&|` + "\x00\xff"
	r := fake(1, 200, 0.5)
	r.Scenario.Name, r.Scenario.Question, r.Scenario.Good = evil, evil, evil
	r.Viewers[0].Region, r.Viewers[0].Why = evil, []string{evil}
	r.Faults[0].What = evil
	runs := []Run{{Label: evil, Result: r}, {Label: "b", Result: fake(2, 200, 0)}}
	page := rendered(t, evil, runs)
	root, _ := html.Parse(strings.NewReader(page))
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && n.Data == "script" && !strings.Contains(n.FirstChild.Data, "use strict") {
			t.Errorf("a script got in: %q", n.FirstChild.Data)
		}
	}
	for _, k := range Kinds() {
		svg, _ := Plot(k, runs)
		checkXML(t, k, svg)
	}
	if md := Markdown(runs); strings.Contains(md, "<script") || strings.Count(strings.Split(md, "\n")[0], " |") != 3 {
		t.Errorf("the Markdown's head is %q", strings.Split(md, "\n")[0])
	}
}

func TestEveryPlotWorksWithAnyNumberOfViewers(t *testing.T) {
	odd := fake(1, 3, 0)
	odd.Touched, odd.Floor = []float64{math.NaN(), math.Inf(1), 0, -5, 1e300}, []float64{math.NaN()}
	odd.Depths, odd.FanOut, odd.Stalls = []int{0, 1 << 40, -7}, []int{1 << 62}, []int{1 << 60, -1}
	odd.Faults = []sim.FaultMark{{At: -time.Hour}, {At: 1 << 62}}
	big, zero := 1e308, 0.0
	odd.Viewers[0].Report.StartupMS, odd.Viewers[1].Report.StartupMS, odd.Viewers[2].Report.Continuity = &big, &zero, &big
	long := fake(1, 10, 1)
	long.Stalls = make([]int, 86_400)
	for name, runs := range map[string][]Run{
		"no run": nil, "no viewer": {{Label: "a", Result: &sim.Result{}}}, "one": {{Label: "a", Result: fake(1, 1, 0)}},
		"many": {{Label: "a", Result: fake(1, 20_000, 0.2)}}, "odd": {{Label: "a", Result: odd}}, "a day": {{Label: "a", Result: long}}, "five": compared(),
	} {
		for _, k := range Kinds() {
			svg, err := Plot(k, runs)
			if err != nil {
				t.Fatal(err)
			}
			checkXML(t, name+", "+k, svg)
			checkNumbers(t, name+", "+k, svg)
			if len(svg) > 200_000 {
				t.Errorf("%s, %s: %d bytes", name, k, len(svg))
			}
		}
		_, _ = Text(runs), Markdown(runs)
		rendered(t, name, runs)
	}
	if _, err := Plot("pie", nil); err == nil || !strings.Contains(err.Error(), "continuity") {
		t.Errorf("an unknown plot: %v", err)
	}
}

func TestLinesLeaveOutWhatCannotBeDrawn(t *testing.T) {
	odd := []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, -3, 1e-300, 1e300, 5}
	for _, logX := range []bool{false, true} {
		for _, logY := range []bool{false, true} {
			for _, s := range [][]Series{nil, {{"a", nil, nil}}, {{"one", []float64{3}, []float64{3}}}, {{"zero", []float64{0}, []float64{0}}},
				{{"odd", odd, odd}, {"short", odd, odd[:2]}}, {{"near", []float64{1e9, 1e9 + 1}, []float64{1, 1}}}} {
				svg := Lines("a < b", "x", "y", logX, logY, s)
				checkXML(t, "lines", svg)
				checkNumbers(t, "lines", svg)
			}
		}
	}
}

var notNumbers = regexp.MustCompile(`NaN|[+-]?Inf\b|%!`)

func checkNumbers(t *testing.T, name, s string) {
	t.Helper()
	if at := notNumbers.FindStringIndex(s); at != nil {
		t.Errorf("%s: …%s…", name, s[max(0, at[0]-60):min(len(s), at[1]+20)])
	}
}

func checkXML(t *testing.T, name, s string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(s))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Errorf("%s: the SVG is no XML: %v", name, err)
			return
		}
	}
}
