package stream

// This file answers: how does a publisher cut its bytes into groups and objects?

import (
	"crypto/ed25519"
	"errors"
	"fmt"
)

// Errors of [Builder], for errors.Is.
var (
	// ErrPending: the builder holds all that it may; call Flush, then go on.
	ErrPending = errors.New("stream: too much is pending, flush first")
	// ErrEnded: the stream was ended; nothing can follow.
	ErrEnded = errors.New("stream: the stream has ended")
)

const (
	// minPiece is the size below which bytes are not divided to spread them
	// over more stripes: header and proof of a smaller object are over 10 % of it.
	minPiece = 1024
	// maxPendingGroups bounds the groups begun between two flushes: far more
	// than any encoder makes in 25 ms.
	maxPendingGroups = 1024
	// keepBuffer is the largest buffer that is kept for the next bytes after a burst.
	keepBuffer = 4 << 20
)

// BuilderConfig says whose objects a Builder makes.
type BuilderConfig struct {
	Key     ed25519.PrivateKey // signs the objects
	ID      ID                 // the stream's
	Epoch   uint64             // the publisher's term, 1 to MaxEpoch
	Stripes int                // data stripes (k), 1 to MaxStripes
	// Align is the size that pieces are multiples of, 1 to MaxPayload: 188 for
	// MPEG-TS; 0 means 1.
	Align int
	// Seal encrypts the payloads of a private stream; nil: the stream is not.
	Seal *Sealer
}

// Builder cuts a publisher's bytes into signed objects, numbered from Seq 0.
// It is owned by one goroutine, which calls Flush at least every [FlushInterval].
type Builder struct {
	cfg      BuilderConfig
	perFlush int // objects that a flush should have, so that each stripe gets 20 a second

	pending []byte
	groups  []pendingGroup // in order; groups[0] may be the open group of the last flush
	extra   int            // bytes of preambles in groups

	next    uint64 // Seq of the next object
	group   uint64 // group of the last object that was cut
	first   uint64 // its GroupFirst
	begun   bool   // an object was cut
	ending  bool
	ended   bool
	objects []Object // kept between flushes
	sealed  []byte   // likewise
}

// pendingGroup is a run of pending bytes that belong to one group.
type pendingGroup struct {
	start    int    // where it begins in pending
	preamble []byte // empty: none
	open     bool   // objects of the group were cut in an earlier flush
}

// room is how many bytes of the stream fit into one object.
func (c *BuilderConfig) room() int {
	if c.Seal != nil {
		return MaxPayload - SealOverhead
	}
	return MaxPayload
}

// NewBuilder returns a builder with nothing pending. The error names the
// field and its allowed range.
func NewBuilder(cfg BuilderConfig) (*Builder, error) {
	if cfg.Align == 0 {
		cfg.Align = 1
	}
	switch {
	case len(cfg.Key) != ed25519.PrivateKeySize:
		return nil, fmt.Errorf("stream: builder: Key of %d bytes, an ed25519 key has %d", len(cfg.Key), ed25519.PrivateKeySize)
	case cfg.ID.IsZero():
		return nil, errors.New("stream: builder: ID is not set")
	case cfg.Epoch < 1 || cfg.Epoch > MaxEpoch:
		return nil, fmt.Errorf("stream: builder: Epoch is %d, allowed is 1 to %d", cfg.Epoch, uint64(MaxEpoch))
	case cfg.Stripes < 1 || cfg.Stripes > MaxStripes:
		return nil, fmt.Errorf("stream: builder: Stripes is %d, allowed is 1 to %d", cfg.Stripes, MaxStripes)
	case cfg.Align < 1 || cfg.Align > cfg.room():
		return nil, fmt.Errorf("stream: builder: Align is %d, allowed is 1 to %d", cfg.Align, cfg.room())
	}
	// 20 objects a second and stripe, in flushes of 25 ms: k/2, rounded up.
	return &Builder{cfg: cfg, perFlush: (cfg.Stripes + 1) / 2}, nil
}

// Next returns the Seq that the next object will have.
func (b *Builder) Next() uint64 { return b.next }

// Pending returns the number of bytes that wait for a flush.
func (b *Builder) Pending() int { return len(b.pending) + b.extra }

// StartGroup makes the bytes written from now on a new group. A preamble, of
// at most [MaxPayload] bytes, [SealOverhead] fewer where they are sealed, becomes the group's first object; it is copied.
// A group into which nothing is written leaves no trace. The error wraps
// [ErrPending] or [ErrEnded] or says that the preamble is too long.
func (b *Builder) StartGroup(preamble []byte) error {
	if b.ending {
		return ErrEnded
	}
	if len(preamble) > b.cfg.room() {
		return fmt.Errorf("stream: preamble of %d bytes, allowed is up to %d", len(preamble), b.cfg.room())
	}
	if n := len(b.groups); n > 0 && b.groups[n-1].start == len(b.pending) && !b.groups[n-1].open {
		b.extra -= len(b.groups[n-1].preamble)
		b.groups = b.groups[:n-1]
	}
	if len(b.groups) >= maxPendingGroups || b.Pending()+len(preamble) > MaxPending {
		return fmt.Errorf("%w: %d groups and %d bytes, allowed are %d and %d",
			ErrPending, len(b.groups), b.Pending(), maxPendingGroups, MaxPending)
	}
	b.extra += len(preamble)
	b.groups = append(b.groups, pendingGroup{start: len(b.pending), preamble: append([]byte(nil), preamble...)})
	return nil
}

// Write adds bytes to the group that was started last, or to a first group
// without a preamble. It keeps at most [MaxPending] bytes: when not all of p
// fits, it takes what fits and returns an error that wraps [ErrPending].
func (b *Builder) Write(p []byte) (int, error) {
	if b.ending {
		return 0, ErrEnded
	}
	if len(p) == 0 {
		return 0, nil
	}
	if len(b.groups) == 0 {
		b.groups = append(b.groups, pendingGroup{})
	}
	n := min(len(p), MaxPending-b.Pending())
	b.pending = append(b.pending, p[:n]...)
	if n < len(p) {
		return n, fmt.Errorf("%w: %d bytes, allowed are %d", ErrPending, b.Pending(), MaxPending)
	}
	return n, nil
}

// End makes the next Flush finish the stream with an empty [FlagEnd] object.
func (b *Builder) End() { b.ending = true }

// Flush cuts the pending bytes into objects and signs them, at most
// [MaxBatch] under one signature. now is the publisher's clock in µs since the
// Unix epoch, 0 to [MaxTime]; it becomes the objects' Time. What is left of the
// last group behind the last multiple of Align stays pending until more comes
// or the group ends. After an error everything is pending as before. With
// nothing to cut it returns nothing.
func (b *Builder) Flush(now int64) ([]Parsed, error) {
	if b.ended {
		return nil, nil
	}
	if now < 0 || now > MaxTime {
		return nil, fmt.Errorf("stream: publisher clock is %d µs, allowed is 0 to %d", now, int64(MaxTime))
	}
	c := cutter{
		objects: b.objects[:0],
		header:  Header{Epoch: b.cfg.Epoch, Seq: b.next, Group: b.group, GroupFirst: b.first, Time: now},
		begun:   b.begun,
		room:    b.cfg.room(),
	}
	used, left := 0, []pendingGroup(nil) // what is dropped of pending, and whose the rest is
	for i, g := range b.groups {
		last := i == len(b.groups)-1
		end := len(b.pending)
		if !last {
			end = b.groups[i+1].start
		}
		run := b.pending[g.start:end]
		if last && !b.ending {
			run = run[:len(run)-len(run)%b.cfg.Align]
			rest := pendingGroup{open: true}
			if len(run) == 0 {
				rest = pendingGroup{preamble: g.preamble, open: g.open}
			}
			left = append(left, rest)
		}
		used = g.start + len(run)
		if len(run) == 0 {
			continue
		}
		if !g.open {
			c.startGroup(g.preamble)
		}
		c.cut(run, b.cfg.Align, b.perFlush)
	}
	if b.ending {
		c.add(FlagEnd, nil)
	}
	b.objects = c.objects
	b.seal(c.objects)
	out, err := b.sign(c.objects)
	clear(b.objects) // they point into pending
	if err != nil {
		return nil, err
	}
	b.next, b.group, b.first, b.begun = c.header.Seq, c.header.Group, c.header.GroupFirst, c.begun
	b.keep(used, left)
	b.ended = b.ending
	return out, nil
}

// keep drops the first used pending bytes; left is the group of what remains.
func (b *Builder) keep(used int, left []pendingGroup) {
	n := copy(b.pending, b.pending[used:])
	b.pending = b.pending[:n]
	if cap(b.pending) > keepBuffer && n <= keepBuffer/2 {
		b.pending = append([]byte(nil), b.pending...)
	}
	clear(b.groups)
	b.groups = append(b.groups[:0], left...)
	b.extra = 0
	for _, g := range b.groups {
		b.extra += len(g.preamble)
	}
}

// seal encrypts the payloads, where the stream is private.
func (b *Builder) seal(objects []Object) {
	if b.cfg.Seal == nil {
		return
	}
	size := 0
	for i := range objects {
		size += len(objects[i].Payload) + SealOverhead
	}
	if cap(b.sealed) < size || cap(b.sealed) > keepBuffer && size < keepBuffer/2 {
		b.sealed = make([]byte, 0, size)
	}
	b.sealed = b.sealed[:0]
	for i := range objects {
		o := &objects[i]
		o.Encrypted = true
		at := len(b.sealed)
		b.sealed = b.cfg.Seal.append(b.sealed, &o.Header, o.Payload)
		o.Payload = b.sealed[at:len(b.sealed):len(b.sealed)]
	}
}

func (b *Builder) sign(objects []Object) ([]Parsed, error) {
	if len(objects) <= MaxBatch && len(objects) > 0 {
		return SignBatch(b.cfg.Key, b.cfg.ID, objects)
	}
	var out []Parsed
	for len(objects) > 0 {
		n := min(len(objects), MaxBatch)
		part, err := SignBatch(b.cfg.Key, b.cfg.ID, objects[:n])
		if err != nil {
			return nil, err
		}
		out, objects = append(out, part...), objects[n:]
	}
	return out, nil
}

// cutter collects the objects of one flush. Its header is that of the next object.
type cutter struct {
	objects []Object
	header  Header
	begun   bool // the header's group has an object, here or in an earlier flush
	room    int  // bytes of the stream in one object, at most
}

func (c *cutter) startGroup(preamble []byte) {
	if c.begun {
		c.header.Group++
	}
	c.header.GroupFirst = c.header.Seq
	if len(preamble) > 0 {
		c.add(FlagPreamble, preamble)
	}
}

func (c *cutter) add(flag Flags, payload []byte) {
	h := c.header
	h.Flags = flag
	c.objects = append(c.objects, Object{Header: h, Payload: payload})
	c.header.Seq++
	c.begun = true
}

// cut divides run into want objects if they are then not smaller than
// minPiece, more if they would be larger than there is room, of about the same
// size; all but the last are multiples of align.
func (c *cutter) cut(run []byte, align, want int) {
	units := (len(run) + align - 1) / align
	most := c.room / align // units in one object
	pieces := max((units+most-1)/most, min(want, len(run)/minPiece, units), 1)
	from := 0
	for i := range pieces {
		to := min((i+1)*units/pieces*align, len(run))
		c.add(0, run[from:to])
		from = to
	}
}
