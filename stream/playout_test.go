package stream

// This file answers: does playout keep its rules, one by one?

import (
	"slices"
	"testing"
	"time"
)

const ms = time.Millisecond

// played is what a playout gave out, and when.
type played struct {
	seq uint64
	at  time.Duration
}

// player drives a playout as its owner would: at every arrival and deadline.
type player struct {
	t   testing.TB
	p   *Playout
	now time.Duration
	out []played
	all []Parsed
}

func newPlayer(t testing.TB, cfg PlayoutConfig) *player {
	return &player{t: t, p: NewPlayout(cfg)}
}

// object makes object seq of a stream of 10 objects a group and one each 10 ms,
// the publisher's clock being 1 hour ahead.
func object(seq uint64) Parsed {
	p := bare(1, seq, 100)
	p.Time = (time.Hour + time.Duration(seq)*10*ms).Microseconds()
	return p
}

func (pl *player) drain() {
	for {
		o, ok := pl.p.Next(pl.now)
		if !ok {
			return
		}
		pl.out = append(pl.out, played{o.Seq, pl.now})
		pl.all = append(pl.all, o)
	}
}

// until lets time pass, stopping at deadlines.
func (pl *player) until(now time.Duration) {
	for {
		pl.drain()
		d := pl.p.Deadline()
		if d > now {
			break
		}
		if d <= pl.now {
			pl.t.Fatalf("at %v the deadline is %v and nothing comes", pl.now, d)
		}
		pl.now = d
	}
	pl.now = max(pl.now, now)
}

func (pl *player) add(now time.Duration, objects ...Parsed) {
	pl.until(now)
	for _, o := range objects {
		pl.p.Add(now, o)
	}
	pl.drain()
}

func (pl *player) rest() { pl.until(Never - 1) }

func (pl *player) seqs() []uint64 {
	var s []uint64
	for _, o := range pl.out {
		s = append(s, o.seq)
	}
	return s
}

func seqs(from, to uint64) []uint64 {
	var s []uint64
	for ; from < to; from++ {
		s = append(s, from)
	}
	return s
}

func (pl *player) expect(want []uint64) {
	pl.t.Helper()
	if got := pl.seqs(); !slices.Equal(got, want) {
		pl.t.Fatalf("played %v\nwant   %v", got, want)
	}
	if s := pl.p.Stats(); s.Due != s.Played+s.Missed {
		pl.t.Fatalf("due is not played + missed: %+v", s)
	}
}

func TestObjectsArePlayedABufferAfterTheFastestPath(t *testing.T) {
	pl := newPlayer(t, PlayoutConfig{Buffer: 100 * ms})
	for seq := range uint64(50) {
		jitter := time.Duration(seq*7%5) * 10 * ms // 0 at seq 0
		pl.until(time.Duration(seq) * 10 * ms)
		pl.add(max(pl.now, time.Duration(seq)*10*ms+jitter), object(seq))
	}
	pl.rest()
	pl.expect(seqs(0, 50))
	for _, o := range pl.out {
		if want := time.Duration(o.seq)*10*ms + 100*ms; o.at != want {
			t.Fatalf("object %d is played at %v, want %v", o.seq, o.at, want)
		}
	}
	if s := pl.p.Stats(); s.Stalls != 0 || s.Late != 0 || s.Position != 50 || s.Epoch != 1 {
		t.Fatalf("%+v", s)
	}
}

func TestAnOldGroupIsPlayedAtOnceAndThenAtItsPace(t *testing.T) {
	pl := newPlayer(t, PlayoutConfig{Buffer: 100 * ms})
	pl.p.Start(1, 0)
	// The object at the live edge shows that the group is 500 ms old.
	pl.add(0, object(50))
	for seq := range uint64(50) {
		pl.add(0, object(seq))
	}
	pl.rest()
	pl.expect(seqs(0, 51))
	if pl.out[0].at != 0 || pl.out[50].at != 500*ms {
		t.Fatalf("first at %v, last at %v, want 0 and 500ms", pl.out[0].at, pl.out[50].at)
	}
	if s := pl.p.Stats(); s.Stalls != 0 {
		t.Fatalf("%+v", s)
	}
}

// Two seconds of past come at once, but the stripe of the first object a little later.
func TestAnOldGroupIsStartedAtThoughItsFirstObjectComesLast(t *testing.T) {
	pl := newPlayer(t, PlayoutConfig{Eager: true})
	pl.p.Start(1, 0)
	var first, others []Parsed
	for seq := range uint64(200) {
		if seq%4 == 0 {
			first = append(first, object(seq))
		} else {
			others = append(others, object(seq))
		}
	}
	pl.add(5*time.Second, others...)
	pl.add(5*time.Second+50*ms, first...)
	pl.rest()
	pl.expect(seqs(0, 200))
}

func TestPlaybackStartsAtAGroupsFirstObject(t *testing.T) {
	pl := newPlayer(t, PlayoutConfig{Buffer: 100 * ms})
	pl.p.Start(1, 3)
	for seq := uint64(3); seq < 25; seq++ {
		pl.add(0, object(seq))
	}
	pl.rest()
	pl.expect(seqs(10, 25))
	if s := pl.p.Stats(); s.Missed != 0 {
		t.Fatalf("what comes before the start is missed: %+v", s)
	}
}

func TestAGroupWithoutItsFirstObjectIsNotStartedAt(t *testing.T) {
	pl := newPlayer(t, PlayoutConfig{Buffer: 100 * ms})
	pl.p.Start(1, 0)
	for seq := uint64(1); seq < 25; seq++ {
		pl.add(time.Duration(seq)*10*ms, object(seq))
	}
	pl.rest()
	pl.expect(seqs(10, 25))
}

func TestTheStartMayBeRaisedUntilItWasPlayed(t *testing.T) {
	pl := newPlayer(t, PlayoutConfig{Buffer: 100 * ms})
	pl.p.Start(1, 0)
	pl.p.Add(0, object(0))
	pl.p.Raise(10)
	pl.p.Raise(0)
	for seq := uint64(1); seq < 15; seq++ {
		pl.add(0, object(seq))
	}
	pl.rest()
	pl.p.Raise(100)
	pl.add(pl.now, object(15))
	pl.rest()
	pl.expect(seqs(10, 16))
}

func TestTheStartMayBeLoweredBeforeItWasPlayed(t *testing.T) {
	pl := newPlayer(t, PlayoutConfig{Buffer: 100 * ms})
	pl.p.Add(0, object(12)) // starts at its group, 10
	pl.p.Start(1, 0)
	for seq := range uint64(12) {
		pl.add(0, object(seq))
	}
	pl.rest()
	pl.expect(seqs(0, 13))
}

func TestPreamblesArePlayedOnlyAfterTheStartOrAHole(t *testing.T) {
	pl := newPlayer(t, PlayoutConfig{Buffer: 100 * ms})
	for seq := range uint64(40) {
		if seq == 19 || seq == 5 {
			continue // holes: before a preamble, and in the middle of a group
		}
		o := object(seq)
		if seq%10 == 0 {
			o.Flags = FlagPreamble
		}
		pl.add(time.Duration(seq)*10*ms, o)
	}
	pl.rest()
	want := slices.Concat(seqs(0, 5), seqs(6, 10), seqs(11, 19), seqs(20, 30), seqs(31, 40))
	pl.expect(want)
	if s := pl.p.Stats(); s.Played != 38 || s.Missed != 2 || s.Holes != 2 {
		t.Fatalf("%+v", s)
	}
}

func TestAHoleIsSkippedAtTheNextObjectsDeadlineAndLateOnesAreCounted(t *testing.T) {
	for _, eager := range []bool{false, true} {
		pl := newPlayer(t, PlayoutConfig{Buffer: 100 * ms, Eager: eager})
		for seq := range uint64(30) {
			if seq != 12 && seq != 13 {
				pl.add(time.Duration(seq)*10*ms, object(seq))
			}
		}
		pl.add(300*ms, object(13), object(13), object(5))
		pl.rest()
		pl.expect(slices.Concat(seqs(0, 12), seqs(14, 30)))
		s := pl.p.Stats()
		if s.Missed != 2 || s.Holes != 1 || s.Late != 1 || s.Stalls != 0 {
			t.Fatalf("eager %v: %+v", eager, s)
		}
		if at := pl.out[12].at; at != 240*ms {
			t.Fatalf("eager %v: object 14 is played at %v, want 240ms", eager, at)
		}
		if at := pl.out[3].at; eager && at != 30*ms {
			t.Fatalf("object 3 is played at %v, it came at 30ms", at)
		}
	}
}

func TestTheEndIsTheEnd(t *testing.T) {
	pl := newPlayer(t, PlayoutConfig{Buffer: 100 * ms})
	end := object(5)
	end.Flags, end.Payload = FlagEnd, nil
	for seq := range uint64(5) {
		pl.add(0, object(seq))
	}
	pl.add(0, end, object(6))
	if pl.p.Ended() {
		t.Fatal("ended before the end was played")
	}
	pl.rest()
	pl.expect(seqs(0, 6))
	if !pl.p.Ended() || pl.p.Deadline() != Never || pl.p.Add(pl.now, object(7)) {
		t.Fatal("it does not end")
	}
	// The publisher comes back.
	o := object(0)
	o.Epoch = 2
	pl.add(pl.now, o)
	if pl.p.Ended() {
		t.Fatal("ended though a higher epoch plays")
	}
	pl.rest()
	pl.expect(append(seqs(0, 6), 0))
}

func TestAHigherEpochFollowsTheContiguousPartOfTheLower(t *testing.T) {
	of := func(epoch, seq uint64, at time.Duration) Parsed {
		o := object(seq)
		o.Epoch, o.Time = epoch, (time.Hour + at).Microseconds()
		return o
	}
	pl := newPlayer(t, PlayoutConfig{Buffer: 500 * ms})
	for seq := range uint64(30) {
		if seq != 25 {
			pl.add(time.Duration(seq)*10*ms, of(1, seq, time.Duration(seq)*10*ms))
		}
	}
	// The standby publisher takes over 200 ms after the last object.
	for seq := range uint64(30) {
		at := 490*ms + time.Duration(seq)*10*ms
		pl.add(at, of(2, seq, at))
		if pl.p.Add(at, of(1, 200+seq, at)) {
			t.Fatal("the fenced publisher goes on")
		}
	}
	pl.rest()
	pl.expect(append(seqs(0, 25), seqs(0, 30)...))
	s := pl.p.Stats()
	if s.Missed != 5 || s.Stalls != 0 || s.Epoch != 2 || s.Position != 30 {
		t.Fatalf("%+v", s)
	}
	if at := pl.out[25].at; at != 990*ms {
		t.Fatalf("the new epoch begins at %v, want 990ms: its publisher has the same time", at)
	}
	if pl.p.Add(pl.now, of(1, 26, 0)) {
		t.Fatal("the lower epoch is taken again")
	}
}

func TestPlayoutHoldsNoMoreThanItsLimits(t *testing.T) {
	pl := newPlayer(t, PlayoutConfig{Buffer: 100 * ms})
	pl.p.Start(1, 0)
	for seq := range uint64(MaxPlayoutObjects + 100) {
		pl.p.Add(0, object(seq))
	}
	if s := pl.p.Stats(); s.Refused != 100 || s.Position != MaxPlayoutObjects {
		t.Fatalf("%+v", s)
	}
	pl.rest()
	pl.expect(seqs(0, MaxPlayoutObjects))
	p := NewPlayout(PlayoutConfig{})
	big := bare(1, 0, MaxDataObject)
	for seq := range uint64(MaxPlayoutObjects) {
		big.Seq, big.GroupFirst = seq, seq
		p.Add(0, big)
	}
	if p.cur.ring.bytes > MaxPlayoutBytes || p.Stats().Refused == 0 {
		t.Fatalf("%d bytes held", p.cur.ring.bytes)
	}
	for _, o := range []Parsed{{}, func() Parsed { o := object(0); o.Flags = FlagParity; return o }()} {
		if NewPlayout(PlayoutConfig{}).Add(0, o) {
			t.Fatal("what cannot be played is taken")
		}
	}
}

func BenchmarkPlayout(b *testing.B) {
	p := NewPlayout(PlayoutConfig{Buffer: time.Second})
	o := object(0)
	o.GroupFirst = 0
	b.ReportAllocs()
	for seq := uint64(0); b.Loop(); seq++ {
		now := time.Duration(seq) * 10 * ms
		o.Seq, o.Time = seq, now.Microseconds()
		if !p.Add(now, o) {
			b.Fatal("not taken")
		}
		p.Next(now)
	}
}
