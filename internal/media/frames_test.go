package media

// This file answers: does every picture and sound come out of an MPEG-TS, once,
// in its place on the time line, whatever is done to the stream?

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/braidway/braidway/internal/testnet/need"
)

// demux returns all frames of b by PID, fed in pieces of n bytes.
func demux(t testing.TB, b []byte, n int) (*Demuxer, map[int][]Frame) {
	t.Helper()
	got := make(map[int][]Frame)
	d := NewDemuxer(func(f Frame) { got[f.Track] = append(got[f.Track], f) })
	for len(b) > 0 {
		c := min(n, len(b))
		if _, err := d.Write(b[:c]); err != nil {
			t.Fatal(err)
		}
		b = b[c:]
	}
	d.Flush()
	return d, got
}

func TestTheClipHasAllItsFramesEvenlySpaced(t *testing.T) {
	d, got := demux(t, clip, 1000)
	tracks := d.Tracks()
	if len(tracks) != 2 || tracks[0].Codec != H264 || len(tracks[0].Config) == 0 || tracks[1].Codec != AAC ||
		tracks[1].Rate != 48000 || tracks[1].Channels != 1 || len(tracks[1].Config) != 2 {
		t.Fatalf("tracks %+v", tracks)
	}
	video, sound := got[tracks[0].ID], got[tracks[1].ID]
	if len(video) != 512 || len(sound) != 960 {
		t.Fatalf("%d pictures and %d frames of sound, want 512 and 960", len(video), len(sound))
	}
	keys := 0
	for i, f := range video {
		if f.Key {
			keys++
		}
		if i > 0 && (f.DTS-video[i-1].DTS-40*time.Millisecond).Abs() > time.Microsecond {
			t.Fatalf("picture %d is %v after the one before", i, f.DTS-video[i-1].DTS)
		}
	}
	if keys != 21 {
		t.Errorf("%d key frames, want 21", keys)
	}
	for i, f := range sound[1:] {
		if step := f.DTS - sound[i].DTS; step < 21*time.Millisecond || step > 22*time.Millisecond {
			t.Fatalf("sound %d is %v after the one before", i+1, step)
		}
	}
	if s := d.Stats(); s.Damaged != 0 || s.Jumps != 0 || s.Unsync != 0 {
		t.Errorf("%+v", s)
	}
}

func TestAnyPiecesGiveTheSameFrames(t *testing.T) {
	in := clip[:600*PacketSize]
	_, want := demux(t, in, len(in))
	rapid.Check(t, func(rt *rapid.T) {
		_, got := demux(t, in, rapid.IntRange(1, 3000).Draw(rt, "n"))
		for id, frames := range want {
			if len(got[id]) != len(frames) {
				rt.Fatalf("%d frames, want %d", len(got[id]), len(frames))
			}
			for i, f := range frames {
				if g := got[id][i]; g.PTS != f.PTS || g.Key != f.Key || !bytes.Equal(g.Data, f.Data) {
					rt.Fatalf("frame %d differs", i)
				}
			}
		}
	})
}

// shifted returns the clip with its timestamps moved on by ticks of 90 kHz.
func shifted(by uint64) []byte {
	b := bytes.Clone(clip)
	for at := 0; at+PacketSize <= len(b); at += PacketSize {
		p, _ := parsePacket(b[at : at+PacketSize])
		if !p.start || p.pid < 0x20 {
			continue
		}
		pts, dts := stamps(p.payload)
		for _, o := range []int{pts, dts} {
			if o >= 0 {
				writeStamp(p.payload[o:], readStamp(p.payload[o:])+by)
			}
		}
	}
	return b
}

// steps fails unless the frames of each track go on by less than a tenth of a
// second, and the tracks end together.
func steps(t testing.TB, got map[int][]Frame) {
	t.Helper()
	var ends []time.Duration
	for id, frames := range got {
		for i := 1; i < len(frames); i++ {
			if d := frames[i].DTS - frames[i-1].DTS; d <= 0 || d > 100*time.Millisecond {
				t.Fatalf("track %d: frame %d comes %v after the one before", id, i, d)
			}
		}
		ends = append(ends, frames[len(frames)-1].DTS)
	}
	if len(ends) != 2 || (ends[0]-ends[1]).Abs() > 200*time.Millisecond {
		t.Fatalf("the tracks end at %v", ends)
	}
}

func TestTimestampsThatWrapJumpOrRunBackwardsLeaveTheTimeLineEven(t *testing.T) {
	const hour = 3600 * clockRate
	for name, c := range map[string]struct {
		parts []uint64
		jumps uint64
	}{
		"they wrap within the clip":            {[]uint64{ptsWrap - 5*clockRate}, 0},
		"they jump on by an hour":              {[]uint64{0, hour}, 1},
		"they run back by an hour":             {[]uint64{hour, 0}, 1},
		"they begin anew, again and again":     {[]uint64{0, 0, 0, 0}, 3},
		"they jump to just before they wrap":   {[]uint64{0, ptsWrap - clockRate}, 1},
		"they jump by half of all there is":    {[]uint64{0, ptsWrap / 2}, 1},
		"they jump and come back the next day": {[]uint64{0, 24 * hour, 0}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var in []byte
			for _, by := range c.parts {
				in = append(in, shifted(by)...)
			}
			d, got := demux(t, in, 10000)
			steps(t, got)
			n := 0
			for _, f := range got {
				n += len(f)
			}
			if n != len(c.parts)*(512+960) || d.Stats().Jumps != c.jumps {
				t.Errorf("%d frames and %d jumps, want %d and %d", n, d.Stats().Jumps, len(c.parts)*(512+960), c.jumps)
			}
		})
	}
}

func TestLostPacketsCostTheirAccessUnitsAlone(t *testing.T) {
	in := bytes.Clone(clip[:300*PacketSize])
	in = append(in, clip[303*PacketSize:]...)
	d, got := demux(t, in, 4096)
	lost := 512 + 960 - len(got[0x100]) - len(got[0x101])
	if lost == 0 || lost > 10 || d.Stats().Damaged == 0 {
		t.Errorf("%d frames lost, %+v", lost, d.Stats())
	}
	_, whole := demux(t, clip, 4096)
	for id, frames := range got { // what came out is whole
		have := make(map[time.Duration][]byte)
		for _, f := range whole[id] {
			have[f.DTS] = f.Data
		}
		for _, f := range frames {
			if !bytes.Equal(have[f.DTS], f.Data) {
				t.Fatalf("track %d: the frame at %v is damaged", id, f.DTS)
			}
		}
	}
}

func TestWhatIsNotTSIsSaidSo(t *testing.T) {
	d := NewDemuxer(func(Frame) { t.Error("a frame") })
	var err error
	for range 40 {
		if _, e := d.Write(bytes.Repeat([]byte("hello "), 1000)); e != nil {
			err = e
		}
	}
	if !errors.Is(err, ErrNotTS) || len(d.part) > PacketSize {
		t.Errorf("%v, %d bytes kept", err, len(d.part))
	}
}

func TestOtherCodecsOfFFmpeg(t *testing.T) {
	ffmpeg := need.Program(t, "ffmpeg")
	for name, c := range map[string]struct {
		args    []string
		codecs  []Codec
		frames  []int
		unknown int
	}{
		"H.265 and Opus":          {[]string{"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:keyint=25", "-c:a", "libopus"}, []Codec{H265, Opus}, []int{50, 101}, 0},
		"H.264 with B-frames":     {[]string{"-c:v", "libx264", "-bf", "2", "-g", "25", "-c:a", "aac", "-ac", "2"}, []Codec{H264, AAC}, []int{50, 95}, 0},
		"MPEG-2 video and sound":  {[]string{"-c:v", "mpeg2video", "-c:a", "mp2"}, nil, nil, 2},
		"sound alone, in stereo":  {[]string{"-vn", "-c:a", "aac", "-ac", "2"}, []Codec{AAC}, []int{95}, 0},
		"pictures alone, encoded": {[]string{"-an", "-c:v", "libx264", "-preset", "ultrafast"}, []Codec{H264}, []int{50}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "a.ts")
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			args := append([]string{"-v", "error", "-f", "lavfi", "-i", "testsrc=r=25:s=160x120:d=2", "-f", "lavfi", "-i", "sine=r=48000:d=2"}, c.args...)
			if out, err := exec.CommandContext(ctx, ffmpeg, append(args, "-f", "mpegts", file)...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			d, got := demux(t, b, 5000)
			tracks := d.Tracks()
			if len(tracks) != len(c.codecs) || len(d.Unsupported()) != c.unknown {
				t.Fatalf("tracks %+v, unsupported %q", tracks, d.Unsupported())
			}
			for i, tr := range tracks {
				if n := len(got[tr.ID]); tr.Codec != c.codecs[i] || n < c.frames[i]-2 || n > c.frames[i]+2 {
					t.Errorf("%s has %d frames, want %s with about %d", tr.Codec, n, c.codecs[i], c.frames[i])
				}
				if tr.Codec != Opus && len(tr.Config) == 0 {
					t.Errorf("%s has no config", tr.Codec)
				}
			}
			if d.Stats().Damaged != 0 {
				t.Errorf("%+v", d.Stats())
			}
		})
	}
}

func FuzzDemuxer(f *testing.F) {
	f.Add(clip[:60*PacketSize], 100)
	f.Add(clip[3000*PacketSize:3060*PacketSize], 188)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		last := make(map[int]time.Duration)
		d := NewDemuxer(func(f Frame) {
			if at, ok := last[f.Track]; ok && f.DTS <= at || f.PTS < f.DTS {
				t.Fatalf("DTS %v, PTS %v after %v", f.DTS, f.PTS, last[f.Track])
			}
			last[f.Track] = f.DTS
		})
		at := 0
		if len(in) > 0 {
			at = (cut%len(in) + len(in)) % len(in)
		}
		_, _ = d.Write(clip[:20*PacketSize])
		_, _ = d.Write(in[:at])
		d.Gap()
		_, _ = d.Write(in[at:])
		d.Flush()
	})
}

func BenchmarkDemuxer(b *testing.B) {
	b.SetBytes(int64(len(clip)))
	b.ReportAllocs()
	for b.Loop() {
		d := NewDemuxer(func(Frame) {})
		_, _ = d.Write(clip)
	}
}
