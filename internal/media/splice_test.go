package media

// This file answers: does a player notice that the encoder went and came back?

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/braidway/braidway/internal/testnet/need"
)

// encode makes MPEG-TS of n pictures at 25 a second, with sound, by args of ffmpeg.
func encode(t *testing.T, n int, args ...string) []byte {
	t.Helper()
	need.Program(t, "ffmpeg")
	d := fmt.Sprintf("%.2f", float64(n)/25)
	all := append([]string{"-v", "error", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=25:d=" + d, "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:d=" + d,
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac"}, args...)
	out, err := exec.Command("ffmpeg", append(all, "-f", "mpegts", "-")...).Output()
	if err != nil {
		t.Fatalf("ffmpeg: %v", err)
	}
	return out
}

// decode plays b with ffprobe: it returns how many frames there are of video and
// audio, and fails the test where it complains.
func decode(t *testing.T, b []byte) (video, audio int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "out.ts")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command("ffprobe", "-v", "warning", "-count_frames", "-show_entries", "stream=codec_type,nb_read_frames", "-of", "csv=p=0", file)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil || said.Len() > 0 {
		t.Errorf("ffprobe: %v: %s", err, said.String())
	}
	for _, line := range strings.Fields(string(out)) {
		_, _ = fmt.Sscanf(line, "video,%d", &video)
		_, _ = fmt.Sscanf(line, "audio,%d", &audio)
	}
	return video, audio
}

// splice writes runs through a splicer.
func splice(t *testing.T, watch *Watch, runs ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	s := NewSplicer(&b, watch, false)
	for _, run := range runs {
		if err := s.Begin(); err != nil {
			t.Fatal(err)
		}
		for rest := run; len(rest) > 0; {
			n := min(len(rest), 1316)
			if _, err := s.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// continuous checks what players go by: counters that count, DTS and PCR that
// never run back nor leave a hole of more than half a second, a second for PCR.
func continuous(t testing.TB, b []byte) {
	t.Helper()
	cc, last := map[uint16]byte{}, map[uint16]uint64{}
	var pcr uint64
	hasPCR := false
	for at := 0; at+PacketSize <= len(b); at += PacketSize {
		p, ok := parsePacket(b[at : at+PacketSize])
		if !ok {
			t.Fatalf("no packet at %d", at)
		}
		c := b[at+3] & 0x0f
		if old, ok := cc[p.pid]; ok && p.payload != nil && c != (old+1)&0x0f && p.pid != pidNull {
			t.Errorf("PID %d at %d: counter %d after %d", p.pid, at, c, old)
		}
		cc[p.pid] = c
		if p.hasPCR {
			if d := behind(p.pcr/300, pcr); hasPCR && (d < 0 || d > 90_000) {
				t.Errorf("PCR at %d: a step of %d ms", at, d/90)
			}
			pcr, hasPCR = p.pcr/300, true
		}
		if dts, _, ok := dtsOf(p); ok && p.pid >= 0x20 {
			if old, ok := last[p.pid]; ok {
				if d := behind(dts, old); d <= 0 || d > 45_000 {
					t.Errorf("PID %d at %d: a step of %d ms", p.pid, at, d/90)
				}
			}
			last[p.pid] = dts
		}
	}
}

func TestAnEncoderThatComesBackGoesOnInTheSamePlayer(t *testing.T) {
	one, two := encode(t, 60), encode(t, 70)
	v1, a1 := decode(t, one)
	v2, a2 := decode(t, two)
	for name, second := range map[string][]byte{
		"the same settings":     two,
		"other PIDs":            encode(t, 70, "-mpegts_start_pid", "0x300", "-mpegts_pmt_start_pid", "0x900", "-mpegts_service_id", "7"),
		"another multiplexer":   encode(t, 70, "-muxdelay", "0", "-muxpreload", "0"),
		"a clock about to wrap": encode(t, 70, "-output_ts_offset", "95442"),
	} {
		t.Run(name, func(t *testing.T) {
			out := splice(t, nil, one, second, second)
			if !bytes.HasPrefix(out, one) {
				t.Error("the first run is not as it came")
			}
			continuous(t, out)
			if v, a := decode(t, out); v != v1+2*v2 || a < a1+2*a2-2 {
				t.Errorf("%d pictures and %d frames of sound, want %d and %d", v, a, v1+2*v2, a1+2*a2)
			}
		})
	}
}

func TestAJoinInTheMiddleBeginsWithAKeyframe(t *testing.T) {
	one, two := encode(t, 50), encode(t, 75)
	out := splice(t, nil, one, two[len(two)/5/PacketSize*PacketSize+77:])
	continuous(t, out)
	if v, _ := decode(t, out); v != 50+50 {
		t.Errorf("%d pictures, want those of the first run and two groups of the second", v)
	}
}

func TestTimestampsThatJumpAreMadeContinuousAndTold(t *testing.T) {
	for name, offset := range map[string]string{"ahead": "5000", "back": "0"} {
		t.Run(name, func(t *testing.T) {
			one, two := encode(t, 50, "-output_ts_offset", "1000"), encode(t, 50, "-output_ts_offset", offset)
			// One run: the counters of the second part go on, as an encoder's would.
			cc := map[uint16]byte{}
			in := append(bytes.Clone(one), two...)
			for at := 0; at < len(in); at += PacketSize {
				p, _ := parsePacket(in[at : at+PacketSize])
				if p.payload != nil {
					in[at+3] = in[at+3]&0xf0 | cc[p.pid]
					cc[p.pid] = (cc[p.pid] + 1) & 0x0f
				}
			}
			w := NewWatch(nil, 0, nil)
			out := splice(t, w, in)
			continuous(t, out)
			if v, _ := decode(t, out); v != 100 {
				t.Errorf("%d pictures, want 100", v)
			}
			if n := w.Input().Counts[NoticeJump]; n == 0 || !strings.Contains(w.Input().Warning, "timestamps jumped") {
				t.Errorf("%d jumps told: %q", n, w.Input().Warning)
			}
			w = NewWatch(nil, 0, nil)
			var exact bytes.Buffer
			s := NewSplicer(&exact, w, true)
			if _, err := s.Write(in); err != nil || s.Close() != nil || !bytes.Equal(exact.Bytes(), in) {
				t.Error("a file does not pass as it is")
			}
			if n := w.Input().Counts[NoticeJump]; n == 0 {
				t.Error("the jump of a file is not told")
			}
		})
	}
}

func TestLostStepAndLostPacketsAreCountedAndTheRestIsPlayed(t *testing.T) {
	in := encode(t, 50)
	at := len(in) / 2 / PacketSize * PacketSize
	broken := append(bytes.Clone(in[:at]), bytes.Repeat([]byte("noise"), 50)...)
	broken = append(broken, in[at+3*PacketSize:]...)
	w := NewWatch(nil, 0, nil)
	out := splice(t, w, broken)
	if len(out) != len(in)-3*PacketSize {
		t.Errorf("%d bytes, want whole packets alone, %d", len(out), len(in)-3*PacketSize)
	}
	if got := w.Input(); got.Counts[NoticeResync] != 1 || got.Lost != 3 {
		t.Errorf("resync %d times and %d packets lost, want 1 and 3", got.Counts[NoticeResync], got.Lost)
	}
}

func TestAnotherCodecIsToldAndCarried(t *testing.T) {
	w := NewWatch(nil, 0, nil)
	one := encode(t, 50)
	two := encode(t, 50, "-c:v", "mpeg2video")
	out := splice(t, w, one, two)
	if c := w.Input(); c.Counts[NoticeCodec] < 2 || !strings.Contains(c.Warning, "other streams (MPEG-2 video, AAC)") {
		t.Errorf("%d notices: %q", c.Counts[NoticeCodec], c.Warning)
	}
	g := &groups{}
	c := NewCutter(g)
	if _, err := c.Write(out); err != nil || c.Close() != nil || len(g.starts) < 4 {
		t.Errorf("%d groups: %v", len(g.starts), err)
	}
}

// Whatever comes, what goes out is whole packets, and nothing is kept for long.
func TestASplicerBearsAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b bytes.Buffer
		s := NewSplicer(&b, nil, false)
		for range rapid.IntRange(1, 6).Draw(t, "writes") {
			if rapid.Bool().Draw(t, "begin") {
				if err := s.Begin(); err != nil {
					t.Fatal(err)
				}
			}
			at := rapid.IntRange(0, len(clip)-40_000).Draw(t, "at")
			if rapid.Bool().Draw(t, "whole") {
				at = at / PacketSize * PacketSize
			}
			in := bytes.Clone(clip[at : at+rapid.IntRange(0, 40_000).Draw(t, "n")])
			for range rapid.IntRange(0, 20).Draw(t, "flips") {
				if len(in) > 0 {
					in[rapid.IntRange(0, len(in)-1).Draw(t, "flip")] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
				}
			}
			if _, err := s.Write(in); err != nil {
				t.Fatal(err)
			}
			held := len(s.part)
			for _, h := range s.queue {
				held += len(h.b)
			}
			if held > maxSplice+2*PacketSize {
				t.Fatalf("%d bytes are held", held)
			}
		}
		if s.Close() != nil || b.Len()%PacketSize != 0 {
			t.Fatalf("%d bytes", b.Len())
		}
		for at := 0; at < b.Len(); at += PacketSize {
			if b.Bytes()[at] != syncByte {
				t.Fatal("no packet")
			}
		}
	})
}
