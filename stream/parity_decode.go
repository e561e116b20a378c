package stream

// This file answers: how are lost objects rebuilt from parity, and what if it lies?

import (
	"errors"
	"fmt"
	"slices"
)

// ErrParity: parity does not fit the objects of its row. Only the publisher
// can make such parity, since it is signed.
var ErrParity = errors.New("stream: parity does not fit its row")

// RowDecoder rebuilds lost objects of one epoch. It keeps the objects of the
// last [MaxParityRows] rows that are not complete. It is owned by one goroutine.
type RowDecoder struct {
	k, m  int
	v     *Verifier
	epoch uint64 // 0: any
	rows  [MaxParityRows]decodeRow
}

// decodeRow is what came of one row.
type decodeRow struct {
	used bool
	row  uint64
	done bool // complete, rebuilt or given up

	data    [MaxStripes][]byte // wire bytes
	shards  [MaxParity][]byte
	lengths []int // from the first parity object
	have    int   // data and shards
	lost    int   // data that is missing
}

// NewRowDecoder returns a decoder for a stream of k data and m parity stripes,
// whose objects v verifies. It takes the epoch of the first object.
func NewRowDecoder(k, m int, v *Verifier) (*RowDecoder, error) {
	if err := checkShape(k, m); err != nil {
		return nil, err
	}
	if v == nil {
		return nil, errors.New("stream: parity decoder without a verifier")
	}
	return &RowDecoder{k: k, m: m, v: v}, nil
}

// Reset drops everything and takes objects of epoch only; of any when it is 0.
func (d *RowDecoder) Reset(epoch uint64) {
	d.epoch = epoch
	clear(d.rows[:])
}

// Add hands over a verified object, of the stream or parity, which it keeps
// until its row is complete. It returns the objects that can now be rebuilt,
// verified, lowest Seq first. The error is a *[WireError] when the parity
// object is not one, and wraps [ErrParity] when it does not fit its row, which
// is then given up: nothing more is rebuilt in it.
func (d *RowDecoder) Add(p Parsed) ([]Parsed, error) {
	if p.Epoch == 0 || len(p.Wire) == 0 {
		return nil, nil
	}
	if d.epoch == 0 {
		d.epoch = p.Epoch
	}
	if p.Epoch != d.epoch {
		return nil, nil
	}
	if p.Flags != FlagParity {
		row := p.Seq / uint64(d.k)
		if !rowFits(row, d.k, d.m) || len(p.Wire) > MaxDataObject {
			return nil, nil
		}
		r := d.row(row)
		if i := p.Seq % uint64(d.k); r != nil && r.data[i] == nil {
			r.data[i] = p.Wire
			r.have++
			r.lost--
			return d.rebuild(r)
		}
		return nil, nil
	}
	par, err := ParseParity(p.Payload)
	if err != nil {
		return nil, err
	}
	if int(par.K) != d.k || int(par.M) != d.m || p.Seq != par.Row*uint64(par.M)+uint64(par.Index) {
		return nil, fmt.Errorf("%w: parity object %d says row %d, shard %d of %d over %d objects; the stream has %d over %d",
			ErrParity, p.Seq, par.Row, par.Index, par.M, par.K, d.m, d.k)
	}
	r := d.row(par.Row)
	if r == nil || r.shards[par.Index] != nil {
		return nil, nil
	}
	if r.lengths == nil {
		r.lengths = par.Lengths
	} else if !slices.Equal(r.lengths, par.Lengths) {
		return nil, r.giveUp("two parity objects tell different lengths")
	}
	r.shards[par.Index] = par.Shard
	r.have++
	return d.rebuild(r)
}

// row returns the state of a row; nil when it is done, or too old.
func (d *RowDecoder) row(n uint64) *decodeRow {
	r := &d.rows[n%MaxParityRows]
	if r.used && r.row > n || r.used && r.row == n && r.done {
		return nil
	}
	if !r.used || r.row < n {
		*r = decodeRow{used: true, row: n, lost: d.k}
	}
	return r
}

// giveUp ends the row and frees what it held.
func (r *decodeRow) giveUp(format string, args ...any) error {
	r.end()
	return fmt.Errorf("%w: row %d: %s", ErrParity, r.row, fmt.Sprintf(format, args...))
}

func (r *decodeRow) end() { *r = decodeRow{used: true, row: r.row, done: true} }

// rebuild rebuilds what is missing, once there is enough.
func (d *RowDecoder) rebuild(r *decodeRow) ([]Parsed, error) {
	if r.lost == 0 {
		r.end()
		return nil, nil
	}
	if r.have < d.k {
		return nil, nil
	}
	// So there is a parity object, and with it the lengths.
	size := slices.Max(r.lengths)
	shards := make([][]byte, d.k+d.m)
	for i, w := range r.data[:d.k] {
		switch {
		case w == nil:
			// Room for the result; the owner keeps parts of it, so it is not reused.
			shards[i] = make([]byte, 0, size)
		case len(w) != r.lengths[i]:
			return nil, r.giveUp("object %d has %d bytes encoded, parity says %d", r.row*uint64(d.k)+uint64(i), len(w), r.lengths[i])
		case len(w) == size:
			shards[i] = w
		default:
			shards[i] = make([]byte, size)
			copy(shards[i], w)
		}
	}
	copy(shards[d.k:], r.shards[:d.m])
	enc, err := codec(d.k, d.m)
	if err == nil {
		err = enc.ReconstructData(shards)
	}
	if err != nil {
		return nil, r.giveUp("%v", err)
	}
	var out []Parsed
	for i := range d.k {
		if r.data[i] != nil {
			continue
		}
		p, err := d.accept(r.row*uint64(d.k)+uint64(i), shards[i], r.lengths[i])
		if err != nil {
			return nil, r.giveUp("object %d: %v", r.row*uint64(d.k)+uint64(i), err)
		}
		out = append(out, p)
	}
	r.end()
	return out, nil
}

// accept reads and verifies what was rebuilt in the place of object seq.
func (d *RowDecoder) accept(seq uint64, shard []byte, n int) (Parsed, error) {
	for _, b := range shard[n:] {
		if b != 0 {
			return Parsed{}, fmt.Errorf("rebuilt bytes behind its end, %d, are not zero", n)
		}
	}
	p, err := ParseObject(shard[:n])
	if err != nil {
		return Parsed{}, err
	}
	if p.Epoch != d.epoch || p.Seq != seq || p.Flags == FlagParity {
		return Parsed{}, fmt.Errorf("rebuilt was %s object %d of epoch %d", p.Flags, p.Seq, p.Epoch)
	}
	return p, d.v.Verify(&p)
}
