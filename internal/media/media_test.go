package media

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/braidway/braidway/internal/testnet/need"
)

// groups is a sink that keeps what it gets.
type groups struct {
	all       bytes.Buffer
	starts    []int
	preambles [][]byte
}

func (g *groups) StartGroup(p []byte) error {
	g.starts = append(g.starts, g.all.Len())
	g.preambles = append(g.preambles, bytes.Clone(p))
	return nil
}

func (g *groups) Write(p []byte) (int, error) { return g.all.Write(p) }

func TestTheClipIsCutAtEveryKeyframeAndNoByteChanges(t *testing.T) {
	g := &groups{}
	c := NewCutter(g)
	if _, err := c.Write(clip); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(g.all.Bytes(), clip) {
		t.Fatal("the bytes changed")
	}
	if len(g.starts) != 21 {
		t.Errorf("%d groups, want 21", len(g.starts))
	}
	for i, at := range g.starts {
		if p, ok := parsePacket(clip[at : at+PacketSize]); !ok || p.pid != pidPAT || len(g.preambles[i]) != 0 {
			t.Errorf("group %d begins with pid %d and has a preamble of %d bytes", i, p.pid, len(g.preambles[i]))
		}
	}
}

func TestAnyChunkingGivesTheSameGroups(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := clip[:400*PacketSize+rapid.IntRange(0, PacketSize).Draw(t, "tail")]
		whole, parts := &groups{}, &groups{}
		a, b := NewCutter(whole), NewCutter(parts)
		_, _ = a.Write(in)
		for rest := in; len(rest) > 0; {
			n := min(len(rest), rapid.IntRange(1, 5000).Draw(t, "n"))
			if _, err := b.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if a.Close() != nil || b.Close() != nil || !bytes.Equal(parts.all.Bytes(), in) || len(whole.starts) != len(parts.starts) {
			t.Fatalf("%d groups and %d; %d bytes of %d", len(whole.starts), len(parts.starts), parts.all.Len(), len(in))
		}
	})
}

func TestWithoutTablesBeforeAKeyframeTheyTravelAsPreamble(t *testing.T) {
	g := &groups{}
	c := NewCutter(g)
	tables := 0
	for i := 0; i < len(clip); i += PacketSize {
		p, _ := parsePacket(clip[i : i+PacketSize])
		if p.pid == pidPAT || p.pid == c.pmtID && c.pmtID != 0 {
			if tables++; tables > 2 {
				continue
			}
		}
		_, _ = c.Write(clip[i : i+PacketSize])
	}
	if len(g.starts) != 21 || len(g.preambles[1]) != 2*PacketSize {
		t.Fatalf("%d groups, preamble of %d bytes", len(g.starts), len(g.preambles[1]))
	}
}

func TestOtherInputIsRefusedAndRawIsNamed(t *testing.T) {
	c := NewCutter(&groups{})
	_, err := c.Write(bytes.Repeat([]byte("hello "), 1000))
	if !errors.Is(err, ErrNotTS) || !strings.Contains(err.Error(), "--raw") {
		t.Fatal(err)
	}
	c = NewCutter(&groups{})
	_, _ = c.Write([]byte("short"))
	if err := c.Close(); !errors.Is(err, ErrNotTS) {
		t.Fatal(err)
	}
}

func TestLostSyncLosesNoByte(t *testing.T) {
	in := append(bytes.Clone(clip[:20*PacketSize]), []byte("garbage in between")...)
	in = append(in, clip[20*PacketSize:60*PacketSize]...)
	g := &groups{}
	c := NewCutter(g)
	if _, err := c.Write(in); err != nil || c.Close() != nil || !bytes.Equal(g.all.Bytes(), in) || c.Lost != 1 {
		t.Fatal(err, c.Lost, g.all.Len(), len(in))
	}
}

func TestTheLoopedClipDecodesWithoutError(t *testing.T) {
	ffmpeg := need.Program(t, "ffmpeg")
	src := NewTestSource()
	var b bytes.Buffer
	last := time.Duration(0)
	for b.Len() < 3*len(clip) {
		c, _ := src.Next(context.Background())
		if c.Due < last || c.Due > last+200*time.Millisecond {
			t.Fatalf("due %v after %v", c.Due, last)
		}
		last = c.Due
		b.Write(c.Data)
	}
	if last < 61*time.Second || last > 62*time.Second {
		t.Errorf("three loops take %v", last)
	}
	file := filepath.Join(t.TempDir(), "loops.ts")
	if err := os.WriteFile(file, b.Bytes()[:3*len(clip)], 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(ffmpeg, "-v", "warning", "-i", file, "-f", "null", "-").CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
	out, err = exec.Command("ffprobe", "-v", "error", "-count_frames", "-select_streams", "v", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", file).CombinedOutput()
	if !strings.HasPrefix(string(out), "1536") {
		t.Errorf("frames %s, want 1536: %v", out, err)
	}
}

func TestTwoTestSourcesAreInStepWheneverTheyWereStarted(t *testing.T) {
	began := time.UnixMilli(1_800_000_000_123)
	first := NewTestSourceAt(began)
	if first.early < 0 || first.early > 1200*time.Millisecond {
		t.Errorf("the first group began %v ago", first.early)
	}
	at := map[string]time.Duration{} // content, with its timestamps, and when it is due
	for due := time.Duration(0); due < 30*time.Second; {
		c, err := first.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		due = c.Due
		at[string(c.Data)] = due
	}
	second := NewTestSourceAt(began.Add(7 * time.Second))
	for n, due := 0, time.Duration(0); due < 20*time.Second; n++ {
		c, err := second.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		due = c.Due
		if want, ok := at[string(c.Data)]; n == 0 { // a part of one of the first source's
		} else if !ok {
			t.Fatalf("chunk %d, due %v, is not in the first source", n, due)
		} else if off := due + 7*time.Second - want; off < -100*time.Millisecond || off > 100*time.Millisecond {
			t.Fatalf("chunk %d is due %v after the first source's", n, off)
		}
	}
}

// A publisher takes a second from opening its input to reading it, and may stand
// still for longer: the clip goes on with the clock all the same.
func TestTheTestInputIsInStepFromWhenItIsReadAndAfterAPause(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_123)
	opened := now
	s := &clockSource{now: func() time.Time { return now }}
	now = now.Add(1700 * time.Millisecond)
	read := now
	for _, pause := range []time.Duration{0, 700 * time.Millisecond, 5 * time.Second} {
		now = now.Add(pause)
		for range 200 { // more than what was missed
			c, err := s.Next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if due := read.Add(c.Due); due.After(now) {
				now = due // Copy waits
			}
		}
		c, _ := s.Next(context.Background())
		want := NewTestSourceAt(now)
		first, _ := want.Next(context.Background())
		for !bytes.Equal(first.Data, c.Data) {
			if first, _ = want.Next(context.Background()); first.Due > 3*time.Second {
				t.Fatalf("after a pause of %v, %v after it was opened, the input is not near the clock", pause, now.Sub(opened))
			}
		}
		if off := read.Add(c.Due).Sub(now.Add(first.Due)); off < -100*time.Millisecond || off > 100*time.Millisecond {
			t.Errorf("after a pause of %v the input is %v off the clock", pause, off)
		}
	}
}

func FuzzCutter(f *testing.F) {
	f.Add(clip[:10*PacketSize], 100)
	f.Add(bytes.Repeat([]byte{syncByte, 0x40, 0, 0x30, 183}, 300), 7)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		g := &groups{}
		c := NewCutter(g)
		at := 0
		if len(in) > 0 {
			at = (cut%len(in) + len(in)) % len(in)
		}
		for _, part := range [][]byte{in[:at], in[at:]} {
			if _, err := c.Write(part); err != nil {
				return
			}
		}
		if c.Close() == nil && !bytes.Equal(g.all.Bytes(), in) {
			t.Fatal("the bytes changed")
		}
	})
}

func BenchmarkCutter(b *testing.B) {
	b.SetBytes(int64(len(clip)))
	b.ReportAllocs()
	for b.Loop() {
		g := &groups{}
		g.all.Grow(len(clip))
		c := NewCutter(g)
		_, _ = c.Write(clip)
	}
}
