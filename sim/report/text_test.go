package report

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTextOfOneRunSaysWhatItIs(t *testing.T) {
	r := fake(3, 500, 0.1)
	got := Text([]Run{{Label: "braidway", Result: r}})
	for _, want := range []string{"500 peers, 500 viewers, 50 deaths", "worst 1 %", "gap after a death", "per viewer-hour",
		"p50 4, p99 8", "91,234,567, 1.5M/s", "81 kB a peer", "0000feed00000003"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if strings.Contains(got, "PARTIAL") {
		t.Error("a whole run is called partial")
	}
	r.Partial = true
	if got := Text([]Run{{Label: "braidway", Result: r}}); !strings.HasPrefix(got, "PARTIAL") {
		t.Errorf("a partial run begins with %q", got[:40])
	}
}

func TestSideBySideIsAligned(t *testing.T) {
	runs := compared()
	lines := strings.Split(strings.TrimRight(Text(runs), "\n"), "\n")
	if len(lines) != len(rows)+1 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, l := range lines[1:] {
		if utf8.RuneCountInString(l) != utf8.RuneCountInString(lines[0]) {
			t.Errorf("not as wide as the head: %q", l)
		}
	}
	md := strings.Split(strings.TrimRight(Markdown(runs), "\n"), "\n")
	if len(md) != len(rows)+2 || md[1] != "| --- | ---: | ---: | ---: | ---: | ---: |" {
		t.Errorf("Markdown:\n%s", strings.Join(md, "\n"))
	}
	for i, l := range md {
		if strings.Count(l, "|") != len(runs)+2 {
			t.Errorf("line %d: %q", i, l)
		}
	}
}

func TestNumbersAreWrittenForPeople(t *testing.T) {
	for got, want := range map[string]string{
		count(1234567): "1,234,567", count(-1000): "-1,000", count(uint64(7)): "7", short(81_000): "81k", short(1_495_648): "1.5M",
		percent(0.99999): "99.999 %", percent(0.00001): "0.001 %", percent(1): "100 %", percent(0): "0 %",
		milliseconds(1500): "1.5 s", milliseconds(40): "40 ms", plain("1m30s"): "1m30s", plain("1h0m0s"): "1h", plain("2m0s"): "2m", plain("50ms"): "50ms", plain("metro"): "metro",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
