package media

// This file answers: where do a publisher's bytes come from, and when is each due?

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Chunk is a piece of the input.
type Chunk struct {
	Due  time.Duration // since the first chunk; negative: as it comes
	Span time.Duration // how long Data lasts, where known: it is due evenly over that time
	Data []byte
	// Fresh says that an encoder begins with this chunk: it may have its own
	// timestamps and counters.
	Fresh bool
}

// Source gives the input piece by piece.
type Source interface {
	// Next returns the next chunk; io.EOF: there is none. It returns when ctx ends.
	Next(ctx context.Context) (Chunk, error)
	Close() error
}

//go:embed clip/clip.ts
var clip []byte

// ClipBitrate is the bitrate of the embedded clip, bit/s.
func ClipBitrate() uint64 { return uint64(float64(len(clip)) * 8 / clipLength.Seconds()) }

// clipLength is 512 frames of 40 ms, 960 AAC frames of 1024 samples at 48 kHz.
const clipLength = 20480 * time.Millisecond

// Live reports whether an input is one that encoders push into or that may come
// back by itself: a URL. Files and pipes pass byte for byte, live inputs only
// until the encoder comes back (see Splicer).
func Live(input string) bool { return strings.Contains(input, "://") }

// Open opens an input: "test:", "-", a file, "udp://host:port", "rtmp://addr/app/key"
// to listen on, or whatever the installed ffmpeg reads ("srt://addr" listens). raw:
// it is not MPEG-TS, and a file is not paced. watch hears how it stands; nil:
// nobody does.
func Open(ctx context.Context, input string, raw bool, stdin io.Reader, watch *Watch) (Source, error) {
	switch {
	case input == "" || input == "test:":
		return &clockSource{now: time.Now}, nil
	case input == "-":
		return newReaderSource(io.NopCloser(stdin)), nil
	case strings.HasPrefix(input, "udp://"):
		return openUDP(input, watch)
	case strings.HasPrefix(input, "rtmp://"):
		return openRTMP(input, watch)
	case Live(input):
		return openChild(input, watch)
	}
	f, err := os.Open(input)
	if err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	if raw {
		return newReaderSource(f), nil
	}
	head := make([]byte, probePackets*PacketSize)
	n, err := io.ReadFull(f, head)
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		return nil, errors.Join(fmt.Errorf("input %s: %w", input, ErrEmpty), f.Close())
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errors.Join(fmt.Errorf("input %s: %w", input, err), f.Close())
	case !looksLikeTS(head[:n]):
		_ = f.Close()
		return openOther(ctx, input, watch)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &fileSource{f: f, r: bufio.NewReaderSize(f, 256<<10)}, nil
}

// looksLikeTS reports whether b begins with packets, as far as it goes.
func looksLikeTS(b []byte) bool {
	for i := 0; i < len(b); i += PacketSize {
		if b[i] != syncByte {
			return false
		}
	}
	return true
}

// openOther opens a file that is not MPEG-TS with ffmpeg, and waits until that
// is known to go well: nothing is to be started for a file that nobody reads.
func openOther(ctx context.Context, input string, watch *Watch) (Source, error) {
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		return nil, fmt.Errorf("input %s: %w", input, ErrNotTS)
	}
	src, err := openChild(input, watch)
	if err != nil {
		return nil, err
	}
	first, err := src.Next(ctx)
	if err != nil {
		return nil, errors.Join(err, src.Close())
	}
	return &begunSource{Source: src, first: &first}, nil
}

// begunSource is a source from which one chunk was taken.
type begunSource struct {
	Source
	first *Chunk
}

// Next returns that chunk first.
func (s *begunSource) Next(ctx context.Context) (Chunk, error) {
	if c := s.first; c != nil {
		s.first = nil
		return *c, nil
	}
	return s.Source.Next(ctx)
}

// fileSource paces a file by its PCRs.
type fileSource struct {
	f    io.Closer
	r    io.Reader
	pace pacer
	next []byte // the packet with the PCR that ended the last chunk
	end  error
}

// maxChunk bounds a chunk where there is no PCR.
const maxChunk = 256 << 10

func (s *fileSource) Next(ctx context.Context) (Chunk, error) {
	if err := ctx.Err(); err != nil {
		return Chunk{}, err
	}
	if s.end != nil {
		return Chunk{}, s.end
	}
	c := Chunk{Due: s.pace.due, Data: append([]byte(nil), s.next...)}
	s.next = nil
	for {
		b := make([]byte, PacketSize)
		n, err := io.ReadFull(s.r, b)
		if err != nil {
			s.end = io.EOF
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				s.end = err
			}
			c.Data = append(c.Data, b[:n]...)
			if len(c.Data) == 0 {
				return Chunk{}, s.end
			}
			return c, nil
		}
		if p, ok := parsePacket(b); ok && p.hasPCR && s.pace.saw(p.pid, p.pcr) && len(c.Data) > 0 {
			s.next, c.Span = b, s.pace.due-c.Due
			return c, nil
		}
		if c.Data = append(c.Data, b...); len(c.Data) >= maxChunk {
			return c, nil
		}
	}
}

func (s *fileSource) Close() error { return s.f.Close() }

// pacer turns PCRs into due times.
type pacer struct {
	pid   uint16
	last  uint64
	begun bool
	due   time.Duration
}

// pcrJump is the longest step that is believed; others are discontinuities.
const pcrJump = 10 * time.Second

// saw takes a PCR and reports whether due moved on.
func (p *pacer) saw(pid uint16, pcr uint64) bool {
	if !p.begun {
		p.pid, p.last, p.begun = pid, pcr, true
		return false
	}
	if pid != p.pid {
		return false
	}
	ticks := (pcr + pcrWrap - p.last) % pcrWrap
	p.last = pcr
	step := time.Duration(ticks) * time.Microsecond / 27
	if step > pcrJump {
		return false
	}
	p.due += step
	return step > 0
}

// TestSource loops the embedded clip for ever with continuous timestamps.
type TestSource struct {
	at    int
	loop  uint64
	pace  pacer
	early time.Duration // how long ago the first frame was due
	count [8192]uint8   // payload packets of each PID in one loop, mod 16
}

// NewTestSource returns a source that begins with the clip's first frame.
func NewTestSource() *TestSource {
	s := &TestSource{}
	for i := 0; i+PacketSize <= len(clip); i += PacketSize {
		if p, ok := parsePacket(clip[i : i+PacketSize]); ok && p.payload != nil {
			s.count[p.pid]++
		}
	}
	return s
}

// NewTestSourceAt returns a source that is where one would be at t that has been
// looping since the beginning of Unix time: publishers of the clip are in step,
// whenever they were started. It begins with the group that is on at t, and what
// of that was due before t is due at once.
func NewTestSourceAt(t time.Time) *TestSource {
	since := time.Duration(t.UnixNano())
	on := since % clipLength
	var starts offsets
	c := NewCutter(&starts)
	_, _ = c.Write(clip) // it is MPEG-TS
	_ = c.Close()
	s, scan := NewTestSource(), NewTestSource()
	for end := 0; scan.loop == 0; {
		c, _ := scan.Next(context.Background()) // fails with its context alone
		for end += len(c.Data); len(starts.at) > 0 && starts.at[0] < end && c.Due <= on; starts.at = starts.at[1:] {
			s.at, s.early = starts.at[0], on-c.Due
		}
	}
	s.loop = uint64(since / clipLength)
	return s
}

// longestSleep is how far a clockSource may fall behind before it leaves out what
// it missed: more than the part of a group with which it begins.
const longestSleep = 2 * time.Second

// clockSource is a TestSource that is in step with the clock from the first chunk
// that is asked for, as a camera is: what was due while nobody read, since the
// process stood still or was only starting, is not made up for.
type clockSource struct {
	now   func() time.Time
	began time.Time
	at    time.Duration // when src was made, since began
	src   *TestSource
}

// Next implements Source.
func (s *clockSource) Next(ctx context.Context) (c Chunk, err error) {
	now := s.now()
	if s.src == nil {
		s.began, s.src = now, NewTestSourceAt(now)
	}
	c, err = s.src.Next(ctx)
	if err == nil && now.Sub(s.began)-s.at-c.Due > longestSleep {
		s.at, s.src = now.Sub(s.began), NewTestSourceAt(now)
		c, err = s.src.Next(ctx)
	}
	c.Due += s.at
	return c, err
}

// Close does nothing.
func (s *clockSource) Close() error { return nil }

// offsets is a Sink that notes where groups begin.
type offsets struct {
	at   []int
	past int
}

// StartGroup implements Sink.
func (o *offsets) StartGroup([]byte) error {
	o.at = append(o.at, o.past)
	return nil
}

// Write implements Sink.
func (o *offsets) Write(p []byte) (int, error) {
	o.past += len(p)
	return len(p), nil
}

// Next returns the packets up to the next PCR.
func (s *TestSource) Next(ctx context.Context) (Chunk, error) {
	if err := ctx.Err(); err != nil {
		return Chunk{}, err
	}
	c := Chunk{Due: s.pace.due - s.early}
	for {
		c.Data = append(c.Data, clip[s.at:s.at+PacketSize]...)
		b := c.Data[len(c.Data)-PacketSize:]
		s.shift(b)
		// A packet with a PCR that moved on begins the next chunk: it is read
		// again there, and does not move then.
		if p, _ := parsePacket(b); p.hasPCR && s.pace.saw(p.pid, p.pcr) && len(c.Data) > PacketSize {
			c.Data, c.Span = c.Data[:len(c.Data)-PacketSize], s.pace.due-s.early-c.Due
			return c, nil
		}
		if s.at += PacketSize; s.at+PacketSize > len(clip) {
			s.at = 0
			s.loop++
		}
	}
}

// shift moves a packet's timestamps and counter on by the loops so far.
func (s *TestSource) shift(b []byte) {
	p, ok := parsePacket(b)
	if !ok || s.loop == 0 {
		return
	}
	const ticks = uint64(clipLength / time.Microsecond * 9 / 100)
	if p.payload != nil {
		b[3] = b[3]&0xf0 | (b[3]+byte(s.loop)*s.count[p.pid])&0x0f
	}
	if p.hasPCR {
		writePCR(b[p.pcrAt:], p.pcr+s.loop*ticks*300)
	}
	if p.start {
		pts, dts := stamps(p.payload)
		for _, at := range []int{pts, dts} {
			if at >= 0 {
				writeStamp(p.payload[at:], readStamp(p.payload[at:])+s.loop*ticks)
			}
		}
	}
}

// Close does nothing.
func (s *TestSource) Close() error { return nil }

// readerSource passes on what comes, as it comes.
type readerSource struct {
	c    chan Chunk
	err  error // set before c is closed
	r    io.Closer
	done chan struct{}
}

func newReaderSource(r io.ReadCloser) *readerSource {
	s := &readerSource{c: make(chan Chunk, 16), done: make(chan struct{}), r: r}
	go func() {
		defer close(s.c)
		for {
			b := make([]byte, 64<<10)
			n, err := r.Read(b)
			if n > 0 {
				select {
				case s.c <- Chunk{Due: -1, Data: b[:n]}:
				case <-s.done:
					return
				}
			}
			if err != nil {
				s.err = err
				return
			}
		}
	}()
	return s
}

func (s *readerSource) Next(ctx context.Context) (Chunk, error) {
	select {
	case c, ok := <-s.c:
		switch {
		case ok:
			return c, nil
		case ctx.Err() != nil: // then the reader's end is only a consequence
			return Chunk{}, ctx.Err()
		case s.err == nil:
			return Chunk{}, io.EOF
		}
		return Chunk{}, s.err
	case <-ctx.Done():
		return Chunk{}, ctx.Err()
	}
}

func (s *readerSource) Close() error {
	close(s.done)
	return s.r.Close()
}

// smooth is the pace at which a chunk is written: a frame at once would keep
// the stripes silent until the next.
const smooth = 20 * time.Millisecond

// beginner is a writer that is to know where an encoder begins.
type beginner interface{ Begin() error }

// Copy writes a source to w when each chunk is due, until its end or the end of ctx.
func Copy(ctx context.Context, w io.Writer, src Source) error {
	began := time.Now()
	for {
		c, err := src.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if b, ok := w.(beginner); ok && c.Fresh {
			if err := b.Begin(); err != nil {
				return err
			}
		}
		for due, rest := c.Due, c.Data; len(rest) > 0; due += smooth {
			if wait := due - time.Since(began); due >= 0 && wait > 0 {
				select {
				case <-time.After(wait):
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			n := len(rest)
			if left := c.Due + c.Span - due; c.Due >= 0 && left > smooth {
				n = int(int64(n)*int64(smooth)/int64(left))/PacketSize*PacketSize + PacketSize
			}
			n = min(n, len(rest))
			if _, err := w.Write(rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
	}
}
