package stream

// This file answers: how does a publisher make parity over a row of objects,
// and what is in a parity object's payload?
//
// A row is k consecutive objects, the first with Seq row × k. The code is
// Reed–Solomon over GF(2⁸) as in klauspost/reedsolomon (polynomial 0x11d,
// Vandermonde matrix made systematic), over the encoded objects, each filled up
// with zeros to the longest. So what is rebuilt is what was sent, signature
// and all, and it is verified like what was received.

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/klauspost/reedsolomon"
)

// Parity is what the payload of a [FlagParity] object holds. Its header's Seq
// is Row × M + Index.
type Parity struct {
	Row     uint64
	Index   uint8 // which of the M shards of the row, below M
	K       uint8 // objects in the row, 1 to MaxStripes
	M       uint8 // parity objects of the row, 1 to MaxParity
	Lengths []int // encoded size of each object of the row, 1 to MaxDataObject
	Shard   []byte
}

// rowFits reports whether all Seqs of the row, of objects and of parity, are at most MaxSeq.
func rowFits(row uint64, k, m int) bool { return row <= MaxSeq/uint64(max(k, m))-1 }

// codecs keeps the encoder of every k and m that was used.
var codecs [MaxStripes + 1][MaxParity + 1]struct {
	once sync.Once
	enc  reedsolomon.Encoder
	err  error
}

// codec returns the encoder for k data and m parity shards; both are in range.
// It starts no goroutines and caches nothing per loss pattern.
func codec(k, m int) (reedsolomon.Encoder, error) {
	c := &codecs[k][m]
	c.once.Do(func() {
		c.enc, c.err = reedsolomon.New(k, m, reedsolomon.WithMaxGoroutines(1), reedsolomon.WithInversionCache(false))
	})
	return c.enc, c.err
}

func checkShape(k, m int) error {
	if k < 1 || k > MaxStripes {
		return fmt.Errorf("stream: parity over %d objects, allowed is 1 to %d", k, MaxStripes)
	}
	if m < 1 || m > MaxParity {
		return fmt.Errorf("stream: %d parity objects in a row, allowed is 1 to %d", m, MaxParity)
	}
	return nil
}

// EncodeRow returns the payloads of the m parity objects of a row, in the
// order of their Index. The objects are the row's, all of them, in order and
// signed. The error names the object that does not belong. An unfinished row
// at the end of a stream has no parity.
func EncodeRow(objects []Parsed, row uint64, m int) ([][]byte, error) {
	k := len(objects)
	if err := checkShape(k, m); err != nil {
		return nil, err
	}
	if !rowFits(row, k, m) {
		return nil, fmt.Errorf("stream: parity row %d, allowed is up to %d", row, MaxSeq/uint64(max(k, m))-1)
	}
	size := 0
	for i := range objects {
		o := &objects[i]
		if want := row*uint64(k) + uint64(i); o.Seq != want || o.Flags == FlagParity || o.Epoch != objects[0].Epoch {
			return nil, fmt.Errorf("stream: parity row %d: place %d holds %s object %d of epoch %d, wanted is object %d of epoch %d",
				row, i, o.Flags, o.Seq, o.Epoch, want, objects[0].Epoch)
		}
		if len(o.Wire) < 1 || len(o.Wire) > MaxDataObject {
			return nil, fmt.Errorf("stream: parity row %d: object %d has %d bytes encoded, allowed is 1 to %d",
				row, o.Seq, len(o.Wire), MaxDataObject)
		}
		size = max(size, len(o.Wire))
	}
	enc, err := codec(k, m)
	if err != nil {
		return nil, fmt.Errorf("stream: parity of %d and %d: %w", k, m, err)
	}
	padded := make([]byte, k*size)
	shards := make([][]byte, k+m)
	for i := range objects {
		shards[i] = objects[i].Wire
		if len(shards[i]) < size {
			shards[i] = padded[i*size : (i+1)*size]
			copy(shards[i], objects[i].Wire)
		}
	}
	payloads := make([][]byte, m)
	for i := range payloads {
		b := make([]byte, 0, 9+3+3*k+size)
		b = binary.AppendUvarint(b, row)
		b = append(b, byte(i), byte(k), byte(m))
		for j := range objects {
			b = binary.AppendUvarint(b, uint64(len(objects[j].Wire)))
		}
		payloads[i] = b[:len(b)+size]
		shards[k+i] = payloads[i][len(b):]
	}
	if err := enc.Encode(shards); err != nil {
		return nil, fmt.Errorf("stream: parity row %d: %w", row, err)
	}
	return payloads, nil
}

// ParseParity reads the payload of a parity object. Shard is part of b. The
// error is a *[WireError].
func ParseParity(b []byte) (Parity, error) {
	r := wireReader{what: "parity", b: b}
	if len(b) > MaxParityPayload {
		r.fail("size", 0, ErrLimit, "%d bytes, allowed is up to %d", len(b), MaxParityPayload)
		return Parity{}, r.err
	}
	var p Parity
	p.Row = r.uvarint("row", 0, MaxSeq)
	p.Index = uint8(r.uvarint("index", 0, MaxParity-1))
	p.K = uint8(r.uvarint("objects", 1, MaxStripes))
	p.M = uint8(r.uvarint("parity objects", uint64(p.Index)+1, MaxParity))
	if r.err == nil && !rowFits(p.Row, int(p.K), int(p.M)) {
		r.fail("row", 0, ErrLimit, "%d, allowed is 0 to %d", p.Row, MaxSeq/uint64(max(p.K, p.M))-1)
	}
	if r.err != nil {
		return Parity{}, r.err
	}
	p.Lengths = make([]int, p.K)
	size := 0
	for i := range p.Lengths {
		p.Lengths[i] = int(r.uvarint("length", 1, MaxDataObject))
		size = max(size, p.Lengths[i])
	}
	p.Shard = r.bytes("shard", size)
	r.end()
	if r.err != nil {
		return Parity{}, r.err
	}
	return p, nil
}
