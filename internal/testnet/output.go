package testnet

// This file answers: what is published in a test, and is what a viewer wrote that?

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/braidway/braidway/internal/media"
	"github.com/braidway/braidway/measure"
)

// Clip writes d of the looped test clip.
func Clip(t testing.TB, d time.Duration) (file string, content []byte) {
	t.Helper()
	src := media.NewTestSource()
	var b bytes.Buffer
	for {
		c, err := src.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if c.Due >= d {
			break
		}
		b.Write(c.Data)
	}
	file = filepath.Join(t.TempDir(), "in.ts")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, b.Bytes()
}

// Report reads a viewer's report; false: there is none.
func Report(file string) (r measure.Report, ok bool) {
	b, err := os.ReadFile(file)
	return r, err == nil && json.Unmarshal(b, &r) == nil
}

// CheckOutput compares what a viewer wrote with the publisher's input, from the viewer's first group on.
func CheckOutput(t testing.TB, name, file string, content []byte) {
	t.Helper()
	got, err := os.ReadFile(file)
	if err != nil || len(got) < 1000 {
		t.Errorf("%s: %d bytes, %v", name, len(got), err)
		return
	}
	if r, ok := Report(file + ".json"); !ok {
		t.Errorf("%s: no report", name)
	} else {
		t.Logf("%s: start-up %.0f ms, longest gap %.0f ms, continuity %v, redundancy %.4f, %d switches, %d hedges, %d repairs",
			name, *r.StartupMS, *r.MaxGapMS, *r.Continuity, *r.Redundancy, *r.Switches, *r.Hedges, *r.Repairs)
	}
	at := len(content) - len(got)
	if at < 0 || !bytes.Equal(content[at:], got) {
		first := bytes.Index(content, got[:min(len(got), 1880)])
		same := 0
		if first >= 0 {
			for same < len(got) && first+same < len(content) && got[same] == content[first+same] {
				same++
			}
		}
		t.Errorf("%s: %d bytes are not the last ones of %d: they begin at %d and are the same for %d", name, len(got), len(content), first, same)
		return
	}
	if float64(len(got)) < 0.4*float64(len(content)) {
		t.Errorf("%s: only the last %d of %d bytes", name, len(got), len(content))
	}
	ffprobe, err := exec.LookPath("ffprobe")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Error("ffprobe is not installed")
		}
		return
	}
	frames := func(file string) string {
		out, err := exec.Command(ffprobe, "-v", "error", "-count_frames", "-select_streams", "v", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", file).CombinedOutput()
		if err != nil {
			t.Errorf("%s: ffprobe: %v", name, err)
		}
		return strings.Join(strings.Fields(string(out)), " ")
	}
	want := filepath.Join(t.TempDir(), "want.ts")
	if err := os.WriteFile(want, content[at:], 0o600); err != nil {
		t.Fatal(err)
	}
	if g, w := frames(file), frames(want); g != w || strings.Contains(g, "rror") {
		t.Errorf("%s: ffprobe says %s, want %s", name, g, w)
	}
}
