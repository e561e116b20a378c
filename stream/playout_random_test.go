package stream

// This file answers: does playout keep its promises whatever it is given?

import (
	"encoding/binary"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// failer is what *testing.T and *rapid.T have in common.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// oracle watches a playout. It knows only what went in and what came out.
type oracle struct {
	t       failer
	p       *Playout
	buffer  time.Duration
	arrived map[[2]uint64]bool
	taken   map[[2]uint64]bool // since the start was moved
	lastAdd time.Duration
	now     time.Duration

	epoch, seq uint64 // of the object played last
	any        bool
	out        int
}

func newOracle(t failer, cfg PlayoutConfig) *oracle {
	return &oracle{t: t, p: NewPlayout(cfg), buffer: cfg.Buffer, arrived: map[[2]uint64]bool{}, taken: map[[2]uint64]bool{}}
}

func (or *oracle) add(o Parsed) {
	k := [2]uint64{o.Epoch, o.Seq}
	if or.p.Add(or.now, o) {
		if or.taken[k] {
			or.t.Fatalf("object %v is taken twice", k)
		}
		or.taken[k] = true
	}
	or.arrived[k] = true
	or.lastAdd = or.now
}

func (or *oracle) start(epoch, first uint64) {
	or.p.Start(epoch, first)
	clear(or.taken)
}

func (or *oracle) raise(first uint64) {
	or.p.Raise(first)
	clear(or.taken)
}

// drain takes all that is playable now.
func (or *oracle) drain() {
	or.t.Helper()
	for range 4 * MaxPlayoutObjects {
		o, ok := or.p.Next(or.now)
		if !ok {
			or.check()
			return
		}
		newEpoch := !or.any || o.Epoch > or.epoch
		switch {
		case !or.arrived[[2]uint64{o.Epoch, o.Seq}]:
			or.t.Fatalf("object %d/%d is played and never came", o.Epoch, o.Seq)
		case or.any && (o.Epoch < or.epoch || o.Epoch == or.epoch && o.Seq <= or.seq):
			or.t.Fatalf("object %d/%d is played after %d/%d", o.Epoch, o.Seq, or.epoch, or.seq)
		case newEpoch && !o.GroupStart():
			or.t.Fatalf("epoch %d starts at %d within group %d", o.Epoch, o.Seq, o.GroupFirst)
		case o.Flags == FlagPreamble && !newEpoch && o.Seq == or.seq+1:
			or.t.Fatalf("preamble %d is played without need", o.Seq)
		case o.Flags == FlagParity:
			or.t.Fatalf("parity is played")
		}
		or.any, or.epoch, or.seq = true, o.Epoch, o.Seq
		or.out++
	}
	or.t.Fatalf("Next does not come to an end")
}

func (or *oracle) check() {
	or.t.Helper()
	s := or.p.Stats()
	if s.Due != s.Played+s.Missed || s.Late > s.Missed || s.StallTime < 0 || s.Played < uint64(or.out) {
		or.t.Fatalf("%+v after %d objects", s, or.out)
	}
	if d := or.p.Deadline(); d != Never && d > or.lastAdd+or.buffer+MaxLag {
		or.t.Fatalf("the deadline is %v, %v after the last arrival; the buffer is %v", d, d-or.lastAdd, or.buffer)
	}
	for _, t := range []*playoutTrack{or.p.cur, or.p.then} {
		if t != nil && (len(t.ring.slots) > MaxPlayoutObjects || t.ring.bytes > MaxPlayoutBytes) {
			or.t.Fatalf("%d places, %d bytes", len(t.ring.slots), t.ring.bytes)
		}
	}
}

// end lets time pass until nothing is left to wait for.
func (or *oracle) end() {
	or.t.Helper()
	for range 4 * MaxPlayoutObjects {
		or.drain()
		d := or.p.Deadline()
		if d == Never {
			if c := or.p.cur; c != nil && (c.ring.count > 0 || or.p.then != nil && or.p.then.ring.count > 0) {
				or.t.Fatalf("%d objects wait forever", c.ring.count)
			}
			return
		}
		if d <= or.now {
			or.t.Fatalf("at %v the deadline is %v and nothing comes", or.now, d)
		}
		or.now = d
	}
	or.t.Fatalf("playout does not come to rest")
}

func TestPlayoutOfRandomSchedules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := PlayoutConfig{
			Buffer: rapid.SampledFrom([]time.Duration{1, 50 * ms, time.Second, MaxLag}).Draw(t, "buffer"),
			Eager:  rapid.Bool().Draw(t, "eager"),
		}
		or := newOracle(t, cfg)
		epoch, seq, first := uint64(1), uint64(rapid.IntRange(0, 30).Draw(t, "first seq")), uint64(0)
		clock := int64(1e15)
		var delayed []Parsed
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			switch rapid.IntRange(0, 30).Draw(t, "event") {
			case 0:
				epoch += rapid.Uint64Range(0, 2).Draw(t, "epochs")
				seq, first = 0, 0
			case 1:
				clock = min(max(clock+rapid.Int64Range(-1e11, 1e11).Draw(t, "clock step"), 0), MaxTime)
			case 2:
				or.now += time.Duration(rapid.IntRange(0, 100_000).Draw(t, "silence ms")) * ms
			case 3:
				or.start(epoch+rapid.Uint64Range(0, 1).Draw(t, "start epoch"), rapid.Uint64Range(0, seq).Draw(t, "start"))
			case 4:
				or.raise(rapid.Uint64Range(0, seq+20).Draw(t, "raise"))
			case 5:
				seq += rapid.Uint64Range(0, 20).Draw(t, "lost")
			}
			o := bare(epoch, seq, 10)
			if seq == 0 || rapid.IntRange(0, 9).Draw(t, "group") == 0 {
				first = seq
				o.Flags = rapid.SampledFrom([]Flags{0, FlagPreamble, FlagPreamble, FlagPreamble, FlagEnd}).Draw(t, "flag")
			}
			o.GroupFirst, o.Time = first, clock
			seq++
			step := rapid.IntRange(0, 30).Draw(t, "ms")
			clock = min(clock+int64(step)*1000, MaxTime)
			or.now += time.Duration(step) * ms
			switch rapid.IntRange(0, 9).Draw(t, "fate") {
			case 0: // lost
			case 1, 2:
				delayed = append(delayed, o)
			case 3:
				or.add(o)
				or.add(o)
			default:
				or.add(o)
			}
			for len(delayed) > 0 && rapid.Bool().Draw(t, "deliver") {
				i := rapid.IntRange(0, len(delayed)-1).Draw(t, "which")
				or.add(delayed[i])
				delayed = append(delayed[:i], delayed[i+1:]...)
			}
			if rapid.IntRange(0, 3).Draw(t, "look") > 0 {
				or.drain()
			}
		}
		or.end()
	})
}

// FuzzPlayout feeds a playout from bytes: 8 of them are an object or a wait.
func FuzzPlayout(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01\x00\x01\x00\x0a\x00"), true)
	f.Add([]byte("\x00\x05\x00\x00\x00\x00\x00\x00\x03\xff\x01\x00\x01\x00\x0a\x80\x00\x00\x02\x04\xff\x00\x0a\x00"), false)
	f.Fuzz(func(t *testing.T, b []byte, eager bool) {
		if len(b) > 8<<10 {
			return
		}
		or := newOracle(t, PlayoutConfig{Buffer: 100 * ms, Eager: eager})
		for ; len(b) >= 8; b = b[8:] {
			or.now += time.Duration(b[6]) * 10 * ms
			seq := uint64(b[1])
			if b[0]&8 != 0 {
				seq = (seq << (b[2] & 63)) & MaxSeq
			}
			o := bare(1+uint64(b[0]>>4&3), seq, 10)
			o.Flags = []Flags{0, 0, 0, FlagPreamble, FlagEnd, FlagParity}[b[0]&7%6]
			o.GroupFirst = seq - min(seq, uint64(b[3]&15))
			o.Time = int64(binary.LittleEndian.Uint16(b[4:])) << (b[7] & 31) * 100
			switch b[7] >> 5 {
			case 7:
				or.start(o.Epoch, seq)
			case 6:
				or.raise(seq)
			default:
				o.Time = min(o.Time, MaxTime)
				or.add(o)
			}
			if b[2]&64 != 0 {
				or.drain()
			}
		}
		or.end()
	})
}
