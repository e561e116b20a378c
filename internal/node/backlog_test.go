package node

import (
	"testing"
	"time"

	"github.com/braidway/braidway/stream"
)

// input writes groups of a second, in pieces of 50 ms, until d; the stream's last
// object came at seen.
func input(b *backlog, zero time.Time, d, seen time.Duration) {
	for at := time.Duration(0); at < d; at += 50 * time.Millisecond {
		last := zero.Add(min(at, seen))
		if at%time.Second == 0 {
			b.startGroup(zero.Add(at), last, []byte("tables"))
		}
		b.write(zero.Add(at), make([]byte, 1000))
	}
}

func TestAStandbyGoesOnWithinAGroupOfWhereTheStreamStopped(t *testing.T) {
	zero := time.UnixMilli(1_800_000_000_000)
	for _, c := range []struct{ seen, over, first time.Duration }{
		{5400 * time.Millisecond, 5950 * time.Millisecond, 5 * time.Second}, // the group that is on
		{5400 * time.Millisecond, 6300 * time.Millisecond, 6 * time.Second}, // the one that began since
		{5900 * time.Millisecond, 7200 * time.Millisecond, 6 * time.Second}, // the first of two that began since
		{5900 * time.Millisecond, 12200 * time.Millisecond, 0},              // too long ago: the next one
	} {
		var b backlog
		input(&b, zero, c.over, c.seen)
		groups := b.from(zero.Add(c.over), zero.Add(c.seen))
		if c.first == 0 {
			if len(groups) > 0 {
				t.Errorf("silent at %v, over at %v: goes on with %v", c.seen, c.over, groups[0].at.Sub(zero))
			}
			continue
		}
		if len(groups) == 0 || groups[0].at.Sub(zero) != c.first {
			t.Errorf("silent at %v, over at %v: goes on with %v, want %v", c.seen, c.over, groups, c.first)
		}
	}
}

func TestABacklogIsBounded(t *testing.T) {
	var b backlog
	now := time.UnixMilli(1_800_000_000_000)
	for n := range 200 {
		if n%10 == 0 {
			b.startGroup(now, time.Time{}, nil)
		}
		b.write(now, make([]byte, stream.MaxPending/50))
		now = now.Add(time.Second)
		if b.bytes > stream.MaxPending || len(b.groups) > maxKept {
			t.Fatalf("%d bytes in %d groups", b.bytes, len(b.groups))
		}
	}
	b = backlog{}
	b.startGroup(now, time.Time{}, nil)
	for range 60 { // one group that is larger than what may be kept
		b.write(now, make([]byte, stream.MaxPending/50))
	}
	if b.bytes != 0 || len(b.from(now, now)) > 0 || !b.fed {
		t.Errorf("%d bytes, %d groups: a player cannot begin in the middle", b.bytes, len(b.groups))
	}
}
