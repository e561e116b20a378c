package media

// This file answers: does what was recorded play on its own, and does a disk
// that fails disturb nothing else?

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/braidway/braidway/stream"
)

// toRecorder hands groups to a recorder as the player does.
type toRecorder struct{ *Recorder }

// Write clones what the cutter writes over.
func (r toRecorder) Write(b []byte) (int, error) { return r.Recorder.Write(bytes.Clone(b)) }

func (r toRecorder) StartGroup(preamble []byte) error {
	r.Recorder.StartGroup(stream.Header{Time: 1_800_000_000_000_000})
	_, _ = r.Write(preamble)
	return nil
}

// record cuts in into groups for r.
func record(t *testing.T, r *Recorder, in []byte) {
	t.Helper()
	c := NewCutter(toRecorder{r})
	for len(in) > 0 {
		n := min(len(in), 7*PacketSize)
		if _, err := c.Write(in[:n]); err != nil {
			t.Fatal(err)
		}
		in = in[n:]
	}
	_ = c.Close()
}

func TestARecordingHasEveryFrameInSegmentsThatStandAlone(t *testing.T) {
	dir := t.TempDir()
	r, err := NewRecorder(filepath.Join(dir, "made"), nil)
	if err != nil {
		t.Fatal(err)
	}
	record(t, r, clip)
	r.End()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(r.Playlist())
	if err != nil {
		t.Fatal(err)
	}
	list := string(b)
	for _, want := range []string{"#EXT-X-PLAYLIST-TYPE:VOD\n", "#EXT-X-TARGETDURATION:6\n", "#EXT-X-ENDLIST\n", "#EXTINF:6.00000,\n", "PROGRAM-DATE-TIME:2027-01-15T08:00:00.000Z\n"} {
		if !strings.Contains(list, want) {
			t.Errorf("the playlist lacks %q:\n%s", want, list)
		}
	}
	frames, n := 0, 0
	for line := range strings.Lines(list) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		n++
		b, err := os.ReadFile(filepath.Join(dir, "made", line))
		if err != nil {
			t.Fatal(err)
		}
		d, got := demux(t, b, len(b))
		if v := got[0x100]; len(v) == 0 || !v[0].Key || d.Stats().Damaged != 0 {
			t.Errorf("%s: %d pictures, %+v", line, len(v), d.Stats())
		}
		frames += len(got[0x100])
	}
	if n != 4 || frames != 512 {
		t.Errorf("%d segments with %d pictures, want 4 with 512", n, frames)
	}
}

func TestARecordingThatBreaksOffEndsWithAWholePicture(t *testing.T) {
	r, err := NewRecorder(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	record(t, r, clip[:2003*PacketSize])
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(filepath.Dir(r.Playlist()), "*.ts"))
	if len(files) == 0 {
		t.Fatal("nothing was recorded")
	}
	var all []byte
	for _, f := range files {
		b, _ := os.ReadFile(f)
		all = append(all, b...)
	}
	_, want := demux(t, clip, 10000)
	_, got := demux(t, all, 10000)
	last := len(got[0x100]) - 1
	if !bytes.Equal(got[0x100][last].Data, want[0x100][last].Data) {
		t.Errorf("picture %d is not whole", last)
	}
}

func TestADiskThatFailsCostsTheRecordingAlone(t *testing.T) {
	log := &noise{}
	dir := filepath.Join(t.TempDir(), "gone")
	r, err := NewRecorder(dir, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	record(t, r, clip)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the stream was held up for %v", took)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "record: cannot write") || !strings.Contains(log.String(), dir) {
		t.Errorf("the log says %s", log.b.String())
	}
	other, err := NewRecorder(t.TempDir(), slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = other.Write(bytes.Repeat([]byte("hello "), 20000))
	_ = other.Close()
	if !strings.Contains(log.String(), "the stream is not MPEG-TS") {
		t.Errorf("the log says %s", log.b.String())
	}
	if _, err := NewRecorder("/proc/none", nil); err == nil || !strings.Contains(err.Error(), "--record") {
		t.Error(err)
	}
}
