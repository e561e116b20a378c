package stream

// This file answers: does parity bring back what was lost, byte for byte, and nothing else?

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// rowOf returns a signed row of k objects of different sizes.
func rowOf(t testing.TB, row uint64, k int) []Parsed {
	t.Helper()
	objects := make([]Object, k)
	for i := range objects {
		seq := row*uint64(k) + uint64(i)
		objects[i] = Object{
			Header:  Header{Epoch: 3, Seq: seq, Group: row, GroupFirst: row * uint64(k), Time: 1e15},
			Payload: bytes.Repeat([]byte{byte(seq + 1)}, 1000+int(seq*37%200)),
		}
	}
	return signed(t, objects)
}

// parityOf signs payloads as the parity objects of a row.
func parityOf(t testing.TB, row uint64, payloads [][]byte) []Parsed {
	t.Helper()
	objects := make([]Object, len(payloads))
	for i, b := range payloads {
		seq := row*uint64(len(payloads)) + uint64(i)
		objects[i] = Object{Header: Header{Epoch: 3, Seq: seq, GroupFirst: seq, Time: 1e15, Flags: FlagParity}, Payload: b}
	}
	return signed(t, objects)
}

func encodeRow(t testing.TB, row []Parsed, n uint64, m int) [][]byte {
	t.Helper()
	payloads, err := EncodeRow(row, n, m)
	if err != nil {
		t.Fatal(err)
	}
	return payloads
}

func testDecoder(t testing.TB, k, m int) *RowDecoder {
	t.Helper()
	d, err := NewRowDecoder(k, m, testVerifier(t))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAnyKOfARowBringBackTheRest(t *testing.T) {
	v := testVerifier(t)
	type shape struct{ k, m int }
	rows := map[shape][]Parsed{}
	for _, s := range []shape{{1, 1}, {2, 1}, {4, 1}, {4, 2}, {8, 3}, {MaxStripes, MaxParity}} {
		row := rowOf(t, 5, s.k)
		rows[s] = append(row, parityOf(t, 5, encodeRow(t, row, 5, s.m))...)
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom([]shape{{1, 1}, {2, 1}, {4, 1}, {4, 2}, {8, 3}, {MaxStripes, MaxParity}}).Draw(t, "shape")
		all := rows[s]
		d, err := NewRowDecoder(s.k, s.m, v)
		if err != nil {
			t.Fatal(err)
		}
		order := rapid.Permutation(all).Draw(t, "order")
		come := rapid.IntRange(0, len(all)).Draw(t, "come")
		got, data := map[uint64][]byte{}, 0
		for i, p := range order[:come] {
			if p.Flags != FlagParity {
				data++
			}
			out, err := d.Add(p)
			if err != nil {
				t.Fatal(err)
			}
			if len(out) > 0 && i != s.k-1 {
				t.Fatalf("object %d of %d brings back %d", i, s.k, len(out))
			}
			if i == s.k-1 && len(out) != s.k-data {
				t.Fatalf("%d objects are brought back, %d were missing", len(out), s.k-data)
			}
			for _, o := range out {
				got[o.Seq] = o.Wire
			}
			if out, err := d.Add(p); len(out) != 0 || err != nil {
				t.Fatalf("a duplicate brings back %d: %v", len(out), err)
			}
		}
		for seq, wire := range got {
			if !bytes.Equal(wire, all[seq-all[0].Seq].Wire) {
				t.Fatalf("object %d is not what was sent", seq)
			}
		}
	})
}

func TestParityEndsEarlyAtEveryPrefix(t *testing.T) {
	b := encodeRow(t, rowOf(t, 700, 4), 700, 2)[1]
	if p, err := ParseParity(b); err != nil || p.Row != 700 || p.Index != 1 || p.K != 4 || p.M != 2 {
		t.Fatalf("%+v: %v", p, err)
	}
	for n := range len(b) {
		if _, err := ParseParity(b[:n]); !errors.Is(err, ErrTruncated) {
			t.Fatalf("%d bytes: %v, want ErrTruncated", n, err)
		}
	}
	if _, err := ParseParity(append(bytes.Clone(b), 0)); !errors.Is(err, ErrMalformed) {
		t.Fatalf("one byte too many: %v, want ErrMalformed", err)
	}
	if _, err := ParseParity(make([]byte, MaxParityPayload+1)); !errors.Is(err, ErrLimit) {
		t.Fatalf("too long: %v, want ErrLimit", err)
	}
}

func TestTheLargestParityFitsAnObject(t *testing.T) {
	objects := make([]Object, MaxStripes)
	for i := range objects {
		objects[i] = Object{Header: Header{Epoch: MaxEpoch, Seq: uint64(i), Group: MaxSeq, Time: MaxTime}, Payload: make([]byte, MaxPayload)}
	}
	for _, b := range encodeRow(t, signed(t, objects), 0, MaxParity) {
		if len(b) > MaxParityPayload {
			t.Fatalf("%d bytes, MaxParityPayload is %d", len(b), MaxParityPayload)
		}
	}
}

func TestLyingParityIsAnErrorAndEndsItsRow(t *testing.T) {
	row := rowOf(t, 5, 4)
	payloads := encodeRow(t, row, 5, 2)
	other := encodeRow(t, rowOf(t, 6, 4), 6, 2)
	lie := func(change func(b []byte) []byte) [][]byte {
		return [][]byte{change(bytes.Clone(payloads[0])), payloads[1]}
	}
	for name, c := range map[string]struct {
		payloads [][]byte
		kind     error
	}{
		"changed shard":       {lie(func(b []byte) []byte { b[200] ^= 1; return b }), ErrParity},
		"changed last byte":   {lie(func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), ErrParity},
		"changed length":      {lie(func(b []byte) []byte { b[4]--; return b }), ErrParity},
		"other row's":         {other, ErrParity},
		"other shape":         {lie(func(b []byte) []byte { b[3] = 3; return b }), ErrParity},
		"other index":         {lie(func(b []byte) []byte { b[1] = 1; return b }), ErrParity},
		"not parity":          {[][]byte{{1, 2, 3}, {4}}, ErrTruncated},
		"different lengths":   {[][]byte{payloads[0], append(bytes.Clone(other[1][:0]), relength(payloads[1])...)}, ErrParity},
		"shard of other data": {[][]byte{append(bytes.Clone(payloads[0][:len(payloads[0])-len(row[0].Wire)]), make([]byte, len(row[0].Wire))...), payloads[1]}, ErrParity},
	} {
		d := testDecoder(t, 4, 2)
		var errs []error
		add := func(p Parsed) {
			out, err := d.Add(p)
			if err != nil {
				errs = append(errs, err)
			}
			for i := range out {
				if !bytes.Equal(out[i].Wire, row[out[i].Seq-20].Wire) {
					t.Errorf("%s: object %d is not what was sent", name, out[i].Seq)
				}
			}
		}
		for _, p := range parityOf(t, 5, c.payloads) {
			add(p)
		}
		add(row[0])
		add(row[2])
		if len(errs) == 0 || !errors.Is(errs[0], c.kind) {
			t.Errorf("%s: %v, want %v", name, errs, c.kind)
		}
	}
	// Given up: neither its objects nor its parity bring anything back.
	d := testDecoder(t, 4, 2)
	bad := parityOf(t, 5, lie(func(b []byte) []byte { b[200] ^= 1; return b }))
	for _, p := range append(row[:3:3], bad[0]) {
		if _, err := d.Add(p); err != nil && !errors.Is(err, ErrParity) {
			t.Fatal(err)
		}
	}
	for _, p := range append(row, bad[1]) {
		if out, err := d.Add(p); err != nil || len(out) != 0 {
			t.Fatalf("%d objects, %v", len(out), err)
		}
	}
}

// relength swaps the last two lengths of a parity payload of row < 128, k = 4.
func relength(b []byte) []byte {
	b = bytes.Clone(b)
	copy(b[8:12], append(bytes.Clone(b[10:12]), b[8:10]...))
	return b
}

func TestRowsOfWrongObjectsHaveNoParity(t *testing.T) {
	row := rowOf(t, 5, 4)
	swapped := []Parsed{row[1], row[0], row[2], row[3]}
	for name, encode := range map[string]func() ([][]byte, error){
		"no objects":       func() ([][]byte, error) { return EncodeRow(nil, 0, 1) },
		"17 objects":       func() ([][]byte, error) { return EncodeRow(make([]Parsed, MaxStripes+1), 0, 1) },
		"no parity":        func() ([][]byte, error) { return EncodeRow(row, 5, 0) },
		"9 parity":         func() ([][]byte, error) { return EncodeRow(row, 5, MaxParity+1) },
		"another row":      func() ([][]byte, error) { return EncodeRow(row, 6, 1) },
		"a row too high":   func() ([][]byte, error) { return EncodeRow(row, MaxSeq, 1) },
		"wrong order":      func() ([][]byte, error) { return EncodeRow(swapped, 5, 1) },
		"unsigned objects": func() ([][]byte, error) { return EncodeRow(make([]Parsed, 1), 0, 1) },
	} {
		if _, err := encode(); err == nil {
			t.Errorf("%s: parity is made", name)
		}
	}
	for _, s := range [][2]int{{0, 1}, {17, 1}, {4, 0}, {4, 9}} {
		if _, err := NewRowDecoder(s[0], s[1], testVerifier(t)); err == nil {
			t.Errorf("a decoder of %d and %d is made", s[0], s[1])
		}
	}
	if _, err := NewRowDecoder(4, 1, nil); err == nil {
		t.Error("a decoder without a verifier is made")
	}
}

func TestTheDecoderKeepsOnlyTheLastRows(t *testing.T) {
	d := testDecoder(t, 4, 1)
	first := rowOf(t, 0, 4)
	for _, p := range first[:3] {
		if _, err := d.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Add(rowOf(t, MaxParityRows, 4)[0]); err != nil {
		t.Fatal(err)
	}
	for _, p := range append(parityOf(t, 0, encodeRow(t, first, 0, 1)), first[3]) {
		if out, err := d.Add(p); len(out) != 0 || err != nil {
			t.Fatalf("%d objects of a row that was left: %v", len(out), err)
		}
	}
	d.Reset(4)
	if out, err := d.Add(first[0]); len(out) != 0 || err != nil || d.rows[0].used {
		t.Fatalf("an object of another epoch is kept: %v", err)
	}
}

// appendParity is the slow obvious writer of what PROTOCOL.md, section 3, says.
func appendParity(p Parity) []byte {
	b := binary.AppendUvarint(nil, p.Row)
	b = append(b, p.Index, p.K, p.M)
	for _, n := range p.Lengths {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return append(b, p.Shard...)
}

func FuzzParseParity(f *testing.F) {
	for _, b := range encodeRow(f, rowOf(f, 700, 4), 700, 2) {
		f.Add(b)
	}
	f.Add([]byte{5, 0, 1, 1, 1, 0})
	f.Add([]byte{5, 0, 4, 2, 0xf0, 0x80, 0x01, 1, 1, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseParity(b)
		if err != nil {
			var we *WireError
			if !errors.As(err, &we) || we.Offset < 0 || we.Offset > len(b) {
				t.Fatalf("%#v", err)
			}
			return
		}
		if !bytes.Equal(appendParity(p), b) {
			t.Fatalf("two encodings of row %d, shard %d", p.Row, p.Index)
		}
		if len(p.Lengths) != int(p.K) || p.Index >= p.M || !rowFits(p.Row, int(p.K), int(p.M)) {
			t.Fatalf("%+v", p)
		}
	})
}

func FuzzRowDecoder(f *testing.F) {
	row := rowOf(f, 5, 4)
	payloads := encodeRow(f, row, 5, 2)
	f.Add(payloads[0], payloads[1], uint8(3))
	f.Add(payloads[0], payloads[1], uint8(15))
	f.Add(relength(payloads[0]), payloads[1], uint8(5))
	f.Add([]byte{5, 0, 4, 2, 1, 1, 1, 1, 0}, []byte{}, uint8(6))
	v := testVerifier(f)
	f.Fuzz(func(t *testing.T, a, b []byte, come uint8) {
		d, err := NewRowDecoder(4, 2, v)
		if err != nil {
			t.Fatal(err)
		}
		add := func(p Parsed) {
			out, _ := d.Add(p)
			for i := range out {
				if !bytes.Equal(out[i].Wire, row[out[i].Seq-20].Wire) {
					t.Fatalf("object %d is not what was sent", out[i].Seq)
				}
			}
		}
		for i, payload := range [][]byte{a, b} {
			p := Parsed{Wire: []byte{1}} // as if the publisher had signed it
			p.Epoch, p.Seq, p.Flags, p.Payload = 3, 10+uint64(i), FlagParity, payload
			add(p)
		}
		for i := range row {
			if come>>i&1 == 1 {
				add(row[i])
			}
		}
	})
}

func BenchmarkParity(b *testing.B) {
	row := rowOf(b, 5, 4)
	payloads := encodeRow(b, row, 5, 1)
	par := parityOf(b, 5, payloads)[0]
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := EncodeRow(row, 5, 1); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("rebuild", func(b *testing.B) {
		b.ReportAllocs()
		d := testDecoder(b, 4, 1)
		for b.Loop() {
			d.Reset(3)
			for _, p := range row[:3] {
				_, _ = d.Add(p)
			}
			if out, err := d.Add(par); len(out) != 1 || err != nil {
				b.Fatal(fmt.Sprint(len(out), err))
			}
		}
	})
}
