package stream

// This file answers: do a publisher's bytes come out as they went in, cut by the rules?

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

func testBuilder(t testing.TB, stripes, align int) *Builder {
	t.Helper()
	b, err := NewBuilder(BuilderConfig{Key: testKey(), ID: testID(), Epoch: 2, Stripes: stripes, Align: align})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func flush(t testing.TB, b *Builder, now int64) []Parsed {
	t.Helper()
	out, err := b.Flush(now)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func write(t testing.TB, b *Builder, p []byte) {
	t.Helper()
	if n, err := b.Write(p); n != len(p) || err != nil {
		t.Fatalf("wrote %d of %d: %v", n, len(p), err)
	}
}

// TestBuilderOutputIsItsInput throws random writes, groups and flushes at a
// builder and puts the objects together again.
func TestBuilderOutputIsItsInput(t *testing.T) {
	v := testVerifier(t)
	rapid.Check(t, func(t *rapid.T) {
		align := rapid.SampledFrom([]int{0, 1, 7, 188, MaxPayload}).Draw(t, "align")
		b, err := NewBuilder(BuilderConfig{
			Key: testKey(), ID: testID(), Epoch: 2, Stripes: rapid.IntRange(1, MaxStripes).Draw(t, "k"), Align: align,
		})
		if err != nil {
			t.Fatal(err)
		}
		type group struct{ preamble, data []byte }
		want := []group{{}}
		var got []Parsed
		fill := byte(0)
		bytesOf := func(n int) []byte {
			fill++
			return bytes.Repeat([]byte{fill}, n)
		}
		for step := range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "do") {
			case 0:
				p := bytesOf(rapid.SampledFrom([]int{0, 1, 376, MaxPayload}).Draw(t, "preamble"))
				if err := b.StartGroup(p); err != nil {
					t.Fatal(err)
				}
				if last := &want[len(want)-1]; len(last.data) == 0 {
					last.preamble = p
				} else {
					want = append(want, group{preamble: p})
				}
			case 1, 2:
				p := bytesOf(rapid.SampledFrom([]int{0, 1, 100, 188, 1316, 12500, 40000}).Draw(t, "bytes"))
				if _, err := b.Write(p); err != nil {
					t.Fatal(err)
				}
				want[len(want)-1].data = append(want[len(want)-1].data, p...)
			case 3:
				out, err := b.Flush(int64(step))
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, out...)
			}
		}
		b.End()
		out, err := b.Flush(1000)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, out...)
		if b.Next() != uint64(len(got)) || b.Pending() != 0 {
			t.Fatalf("%d objects, next %d, %d bytes pending", len(got), b.Next(), b.Pending())
		}
		if len(want[len(want)-1].data) == 0 {
			want = want[:len(want)-1] // nothing was written into it
		}
		back := make([]group, len(want))
		for i := range got {
			p := &got[i]
			if err := v.Verify(p); err != nil {
				t.Fatal(err)
			}
			if p.Seq != uint64(i) || p.Epoch != 2 {
				t.Fatalf("object %d: %+v", i, p.Header)
			}
			start := i == 0 || p.Group != got[i-1].Group
			if start != p.GroupStart() || i > 0 && p.Group-got[i-1].Group > 1 || !start && p.GroupFirst != got[i-1].GroupFirst {
				t.Fatalf("object %d: %+v after %+v", i, p.Header, got[max(i, 1)-1].Header)
			}
			if (p.Flags == FlagEnd) != (i == len(got)-1) || p.Flags == FlagPreamble && !start {
				t.Fatalf("object %d of %d: %s", i, len(got), p.Flags)
			}
			if p.Flags == FlagEnd {
				continue
			}
			g := &back[p.Group]
			if p.Flags == FlagPreamble {
				g.preamble = p.Payload
				continue
			}
			g.data = append(g.data, p.Payload...)
			if align > 1 && len(p.Payload)%align != 0 && i+1 < len(got)-1 && got[i+1].Group == p.Group {
				t.Fatalf("object %d has %d bytes, no multiple of %d, within its group", i, len(p.Payload), align)
			}
		}
		for i := range want {
			if !bytes.Equal(back[i].data, want[i].data) || !bytes.Equal(back[i].preamble, want[i].preamble) {
				t.Fatalf("group %d: %d and %d bytes, want %d and %d",
					i, len(back[i].preamble), len(back[i].data), len(want[i].preamble), len(want[i].data))
			}
		}
	})
}

func TestEachStripeGetsTwentyObjectsASecondWhereBytesSuffice(t *testing.T) {
	for _, c := range []struct{ stripes, flushBytes, objects int }{
		{4, 25000, 2}, // 8 Mbit/s
		{1, 12500, 1},
		{8, 25000, 4},
		{16, 25000, 8},
		{3, 25000, 2},
		{4, 1504, 1},      // half of it would be under minPiece
		{8, 2256, 2},      // a quarter would
		{4, 188 * 700, 9}, // 42 Mbit/s: MaxPayload decides
		{4, 188, 1},
		{4, 100, 0}, // waits for the rest of its packet
	} {
		b := testBuilder(t, c.stripes, 188)
		write(t, b, make([]byte, c.flushBytes))
		out := flush(t, b, 1)
		if len(out) != c.objects {
			t.Errorf("k=%d, %d bytes: %d objects, want %d", c.stripes, c.flushBytes, len(out), c.objects)
		}
		for i := range out {
			if d := len(out[i].Payload) - len(out[0].Payload); d < -188 || d > 188 {
				t.Errorf("k=%d, %d bytes: pieces of %d and %d bytes", c.stripes, c.flushBytes, len(out[0].Payload), len(out[i].Payload))
			}
		}
	}
}

func TestABurstIsSignedInSeveralBatches(t *testing.T) {
	b := testBuilder(t, 4, 1)
	in := bytes.Repeat([]byte("burst"), 3*MaxBatch*MaxPayload/5)
	write(t, b, in)
	out := flush(t, b, 1)
	var back []byte
	v := testVerifier(t)
	for i := range out {
		if err := v.Verify(&out[i]); err != nil {
			t.Fatal(err)
		}
		back = append(back, out[i].Payload...)
	}
	if !bytes.Equal(back, in) || len(v.seen) != (len(out)+MaxBatch-1)/MaxBatch {
		t.Fatalf("%d of %d bytes, %d objects under %d signatures", len(back), len(in), len(out), len(v.seen))
	}
	if cap(b.pending) > keepBuffer {
		t.Errorf("the buffer of %d bytes is kept", cap(b.pending))
	}
}

func TestBuilderHoldsNoMoreThanItsLimit(t *testing.T) {
	b := testBuilder(t, 4, 1)
	if err := b.StartGroup(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	n, err := b.Write(make([]byte, MaxPending))
	if n != MaxPending-1000 || !errors.Is(err, ErrPending) {
		t.Fatalf("wrote %d: %v", n, err)
	}
	if n, err := b.Write([]byte{1}); n != 0 || !errors.Is(err, ErrPending) {
		t.Fatalf("wrote %d: %v", n, err)
	}
	if err := b.StartGroup([]byte{1}); !errors.Is(err, ErrPending) {
		t.Fatal(err)
	}
	b = testBuilder(t, 4, 1)
	for i := 0; ; i++ {
		if err := b.StartGroup(nil); err != nil {
			if !errors.Is(err, ErrPending) || i != maxPendingGroups {
				t.Fatalf("group %d: %v", i, err)
			}
			break
		}
		write(t, b, []byte{1})
	}
	if out := flush(t, b, 1); len(out) != maxPendingGroups {
		t.Fatalf("%d objects", len(out))
	}
	if err := b.StartGroup(make([]byte, MaxPayload+1)); err == nil {
		t.Fatal("a preamble over MaxPayload is taken")
	}
}

func TestNothingFollowsTheEnd(t *testing.T) {
	b := testBuilder(t, 4, 188)
	write(t, b, make([]byte, 100))
	b.End()
	if _, err := b.Write([]byte{1}); !errors.Is(err, ErrEnded) {
		t.Error(err)
	}
	if err := b.StartGroup(nil); !errors.Is(err, ErrEnded) {
		t.Error(err)
	}
	if _, err := b.Flush(-1); err == nil {
		t.Error("a clock before 1970 is taken")
	}
	if out := flush(t, b, 1); len(out) != 2 || len(out[0].Payload) != 100 || out[1].Flags != FlagEnd || out[1].Group != 0 {
		t.Errorf("%d objects", len(out))
	}
	if out := flush(t, b, 2); len(out) != 0 {
		t.Errorf("%d objects after the end", len(out))
	}
	b = testBuilder(t, 4, 1)
	b.End()
	if out := flush(t, b, 1); len(out) != 1 || !out[0].GroupStart() || out[0].Flags != FlagEnd {
		t.Errorf("an empty stream has %d objects", len(out))
	}
}

func TestBuilderConfigOutsideItsRangesIsNamed(t *testing.T) {
	good := BuilderConfig{Key: testKey(), ID: testID(), Epoch: 1, Stripes: 4, Align: 188}
	for name, change := range map[string]func(*BuilderConfig){
		"Key":     func(c *BuilderConfig) { c.Key = nil },
		"ID":      func(c *BuilderConfig) { c.ID = ID{} },
		"Epoch":   func(c *BuilderConfig) { c.Epoch = 0 },
		"Stripes": func(c *BuilderConfig) { c.Stripes = MaxStripes + 1 },
		"Align":   func(c *BuilderConfig) { c.Align = -1 },
	} {
		c := good
		change(&c)
		if _, err := NewBuilder(c); err == nil || !bytes.Contains([]byte(err.Error()), []byte(name)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func BenchmarkBuilder(b *testing.B) {
	bu := testBuilder(b, 4, 188)
	in := make([]byte, 188*133)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		write(b, bu, in)
		if out := flush(b, bu, 1); len(out) != 2 {
			b.Fatal(len(out))
		}
	}
}
