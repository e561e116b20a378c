package hls

// This file answers: does a playlist keep the rules of RFC 8216bis that apply to
// it, by itself and as an update of an earlier one?

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// listed is a segment as a playlist has it.
type listed struct {
	uri, init     string
	span          float64
	parts         []float64
	partURIs      []string
	independent   []bool
	date          time.Time
	discontinuity bool
}

// parsed is a playlist.
type parsed struct {
	target, version, media, discontinuities int
	skipped                                 int
	control                                 map[string]string
	partTarget                              float64
	segments                                []listed
	open                                    listed // parts without a segment
	hint                                    string
	ended, independent                      bool
}

var attribute = regexp.MustCompile(`([A-Z-]+)=("[^"]*"|[^,]*)`)

func attributes(s string) map[string]string {
	m := make(map[string]string)
	for _, a := range attribute.FindAllStringSubmatch(s, -1) {
		m[a[1]] = strings.Trim(a[2], `"`)
	}
	return m
}

// parse reads a playlist strictly: an unknown tag, one that may stand once and
// stands twice, or one in a wrong place fails.
func parse(t *testing.T, text string) (p parsed) {
	t.Helper()
	if !strings.HasPrefix(text, "#EXTM3U\n") || !strings.HasSuffix(text, "\n") {
		t.Fatalf("it does not begin with #EXTM3U (4.4.1.1), or its last line has no end:\n%s", text)
	}
	number := func(v string) float64 {
		f, err := strconv.ParseFloat(v, 64)
		if err != nil {
			t.Fatalf("%q is no number", v)
		}
		return f
	}
	seen := map[string]bool{}
	cur, init := listed{span: -1}, ""
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n")[1:] {
		tag, value, _ := strings.Cut(line, ":")
		a := attributes(value)
		switch tag {
		case "#EXT-X-VERSION", "#EXT-X-TARGETDURATION", "#EXT-X-SERVER-CONTROL", "#EXT-X-PART-INF", "#EXT-X-MEDIA-SEQUENCE",
			"#EXT-X-DISCONTINUITY-SEQUENCE", "#EXT-X-INDEPENDENT-SEGMENTS", "#EXT-X-SKIP", "#EXT-X-ENDLIST", "#EXT-X-PRELOAD-HINT":
			if seen[tag] {
				t.Fatalf("%s stands twice", tag)
			}
		}
		if tag == "#EXT-X-MEDIA-SEQUENCE" || tag == "#EXT-X-DISCONTINUITY-SEQUENCE" {
			if seen["uri"] || seen["#EXT-X-PART"] {
				t.Fatalf("%s stands behind a segment (4.4.3.2, 4.4.3.3)", tag)
			}
		}
		seen[tag] = true
		switch tag {
		case "#EXT-X-VERSION":
			p.version = int(number(value))
		case "#EXT-X-TARGETDURATION":
			p.target = int(number(value))
		case "#EXT-X-SERVER-CONTROL":
			p.control = a
		case "#EXT-X-PART-INF":
			p.partTarget = number(a["PART-TARGET"])
		case "#EXT-X-MEDIA-SEQUENCE":
			p.media = int(number(value))
		case "#EXT-X-DISCONTINUITY-SEQUENCE":
			p.discontinuities = int(number(value))
		case "#EXT-X-INDEPENDENT-SEGMENTS":
			p.independent = true
		case "#EXT-X-SKIP":
			p.skipped = int(number(a["SKIPPED-SEGMENTS"]))
		case "#EXT-X-ENDLIST":
			p.ended = true
		case "#EXT-X-PRELOAD-HINT":
			if a["TYPE"] != "PART" {
				t.Fatal(line)
			}
			p.hint = a["URI"]
		case "#EXT-X-MAP":
			init = a["URI"]
		case "#EXT-X-DISCONTINUITY":
			cur.discontinuity = true
		case "#EXT-X-PROGRAM-DATE-TIME":
			d, err := time.Parse(time.RFC3339Nano, value)
			if err != nil {
				t.Fatal(err)
			}
			cur.date = d
		case "#EXT-X-PART":
			cur.parts = append(cur.parts, number(a["DURATION"]))
			cur.partURIs = append(cur.partURIs, a["URI"])
			cur.independent = append(cur.independent, a["INDEPENDENT"] == "YES")
			cur.init = init
		case "#EXTINF":
			cur.span = number(strings.TrimSuffix(value, ","))
		default:
			if strings.HasPrefix(line, "#") || line == "" {
				t.Fatalf("unknown line %q", line)
			}
			if cur.span < 0 {
				t.Fatalf("%s has no EXTINF before it (4.4.4.1)", line)
			}
			cur.uri, cur.init = line, init
			seen["uri"] = true
			p.segments = append(p.segments, cur)
			cur = listed{span: -1}
		}
	}
	p.open = cur
	return p
}

// validate checks a media playlist by itself.
func validate(t *testing.T, text string) parsed {
	t.Helper()
	p := parse(t, text)
	bad := func(format string, args ...any) {
		t.Helper()
		t.Errorf(format+"\n%s", append(args, text)...)
	}
	if p.version < 9 && p.skipped > 0 || p.version < 6 {
		bad("EXT-X-VERSION is %d: EXT-X-MAP needs 6, EXT-X-SKIP 9 (8)", p.version)
	}
	if p.control["CAN-BLOCK-RELOAD"] != "YES" {
		bad("no blocking reload (B.1)")
	}
	control := func(name string) float64 {
		v, _ := strconv.ParseFloat(p.control[name], 64)
		return v
	}
	target := float64(p.target)
	if control("HOLD-BACK") < 3*target || control("PART-HOLD-BACK") < 3*p.partTarget || control("CAN-SKIP-UNTIL") < 6*target {
		bad("EXT-X-SERVER-CONTROL %v: HOLD-BACK at least 3 target durations, PART-HOLD-BACK 3 part targets, CAN-SKIP-UNTIL 6 target durations (4.4.3.8)", p.control)
	}
	total, jumps := 0.0, 0
	for _, s := range p.segments {
		total += s.span
	}
	left := total
	for i, s := range p.segments {
		if math.Round(s.span) > target {
			bad("segment %s lasts %v, more than the target duration (4.4.3.1)", s.uri, s.span)
		}
		if s.init == "" {
			bad("segment %s has no EXT-X-MAP", s.uri)
		}
		if s.discontinuity {
			jumps++
		}
		left -= s.span
		if len(s.parts) > 0 {
			if left >= 3*target {
				bad("segment %s still has parts, %v s from the end (6.2.2)", s.uri, left)
			}
			sum := 0.0
			for _, d := range s.parts {
				sum += d
			}
			if math.Abs(sum-s.span) > 0.001 {
				bad("the parts of %s last %v, it %v", s.uri, sum, s.span)
			}
			partsOf(t, p, s, true, text)
		}
		if i > 0 && !s.discontinuity {
			if q := p.segments[i-1]; q.init != s.init {
				bad("segment %s has another EXT-X-MAP without discontinuity", s.uri)
			} else if d := s.date.Sub(q.date).Seconds(); !s.date.IsZero() && math.Abs(d-q.span) > 0.3 {
				bad("the date of %s is %v s after that of the one before, which lasts %v s", s.uri, d, q.span)
			}
		}
	}
	partsOf(t, p, p.open, false, text)
	if p.ended == (p.hint != "") {
		bad("EXT-X-ENDLIST %v, hint %q: one of them", p.ended, p.hint)
	}
	return p
}

// partsOf checks the parts of a segment.
func partsOf(t *testing.T, p parsed, s listed, whole bool, text string) {
	t.Helper()
	for i, d := range s.parts {
		last := whole && i == len(s.parts)-1
		if d > p.partTarget+0.00001 || !last && d < 0.85*p.partTarget {
			t.Errorf("part %s lasts %v of the part target %v: 85 to 100 %% but for a segment's last (4.4.4.9)\n%s", s.partURIs[i], d, p.partTarget, text)
		}
	}
	if p.independent && len(s.independent) > 0 && !s.independent[0] {
		t.Errorf("EXT-X-INDEPENDENT-SEGMENTS, but part %s is not\n%s", s.partURIs[0], text)
	}
}

// follows checks that b is an update of a (6.2.1), and that what a hinted at came.
func follows(t *testing.T, a, b parsed) {
	t.Helper()
	if a.target != b.target || a.partTarget != b.partTarget {
		t.Errorf("the target durations changed from %v, %v to %v, %v", a.target, a.partTarget, b.target, b.partTarget)
	}
	if b.media < a.media || b.discontinuities < a.discontinuities {
		t.Errorf("media sequence %d after %d, discontinuity sequence %d after %d", b.media, a.media, b.discontinuities, a.discontinuities)
	}
	gone := b.media - a.media
	if gone > len(a.segments) {
		return
	}
	jumps := 0
	for _, s := range a.segments[:gone] {
		if s.discontinuity {
			jumps++
		}
	}
	if b.discontinuities != a.discontinuities+jumps {
		t.Errorf("discontinuity sequence %d after %d, and %d left the window", b.discontinuities, a.discontinuities, jumps)
	}
	for i, s := range a.segments[gone:] {
		if i >= len(b.segments) {
			t.Errorf("segment %s vanished from the end", s.uri)
			return
		}
		if n := b.segments[i]; n.uri != s.uri || n.span != s.span || n.discontinuity != s.discontinuity || n.init != s.init {
			t.Errorf("segment %s became %+v", s.uri, n)
		}
	}
	if a.hint != "" && a.hint != b.hint {
		all := fmt.Sprint(b.open.partURIs)
		for _, s := range b.segments {
			all += fmt.Sprint(s.partURIs)
		}
		if !strings.Contains(all, a.hint) {
			t.Errorf("the part %s was hinted at and did not come: %s", a.hint, all)
		}
	}
}
