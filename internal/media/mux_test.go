package media

// This file answers: is what is put together again what was taken apart?

import (
	"bytes"
	"testing"
)

func TestWhatIsTakenApartAndPutTogetherAgainPlays(t *testing.T) {
	for name, args := range map[string][]string{
		"H.264 with B-frames":   {"-bf", "3", "-preset", "veryfast"},
		"H.265 and Opus":        {"-c:v", "libx265", "-x265-params", "log-level=none:keyint=25", "-c:a", "libopus"},
		"sound alone":           {"-vn"},
		"pictures alone, small": {"-an", "-b:v", "20k"},
	} {
		t.Run(name, func(t *testing.T) {
			in := encode(t, 75, args...)
			v1, a1 := decode(t, in)
			var frames []Frame
			d := NewDemuxer(func(f Frame) {
				f.Data = bytes.Clone(f.Data)
				frames = append(frames, f)
			})
			if _, err := d.Write(in); err != nil {
				t.Fatal(err)
			}
			d.Flush()
			var out bytes.Buffer
			m, err := NewMuxer(&out, d.Tracks())
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range frames {
				if err := m.WriteFrame(f); err != nil {
					t.Fatal(err)
				}
			}
			continuous(t, out.Bytes())
			if v, a := decode(t, out.Bytes()); v != v1 || a != a1 {
				t.Errorf("%d pictures and %d frames of sound, want %d and %d", v, a, v1, a1)
			}
			g := &groups{}
			c := NewCutter(g)
			if _, err := c.Write(out.Bytes()); err != nil || c.Close() != nil {
				t.Fatal(err)
			}
			for i := range g.starts {
				if v1 > 0 && len(g.preambles[i]) > 0 {
					t.Errorf("group %d does not begin with its tables", i)
				}
			}
			if len(g.starts) < 3 {
				t.Errorf("%d groups", len(g.starts))
			}
		})
	}
}
