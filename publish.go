package braidway

// This file answers: how does a program's stream come into the network?

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/braidway/braidway/internal/media"
	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/stream"
)

// PublishConfig says what is published. The zero value is live MPEG-TS.
type PublishConfig struct {
	// Raw: any bytes instead of MPEG-TS. A group begins every second, or, once
	// StartGroup was called, only there.
	Raw bool
	// Pace sends MPEG-TS that ReadFrom reads from a file at the pace of its
	// clock (PCR). Without it the bytes go out as they are read.
	Pace bool
	// Key is the stream's key; nil: the peer's. Key and name make the stream.
	Key ed25519.PrivateKey
	// Standby follows another publisher of the stream, with the same input, and
	// goes on when that one is gone. Without it, another publisher is ErrLocked.
	// The two peers need keys of their own, and the stream's in Key.
	Standby bool
	// Bitrate is a first guess, bit/s, up to 10^12; 0: measured.
	Bitrate int64
	// ContentType is a media type of up to 96 printable ASCII characters; empty:
	// video/mp2t, or none with Raw.
	ContentType string
	// Stripes is k, 1 to 16; 0 means 4.
	Stripes int
}

func (c *PublishConfig) validate(name string) error {
	if err := stream.CheckName(name); err != nil {
		return as(ErrConfig, err)
	}
	switch {
	case c.Key != nil && len(c.Key) != ed25519.PrivateKeySize:
		return outside("PublishConfig.Key", fmt.Sprintf("%d bytes", len(c.Key)), fmt.Sprintf("%d, or nil", ed25519.PrivateKeySize))
	case c.Raw && c.Pace:
		return outside("PublishConfig.Pace", true, "false with Raw, since only MPEG-TS has a clock")
	case c.Bitrate < 0 || c.Bitrate > stream.MaxBitrate:
		return outside("PublishConfig.Bitrate", c.Bitrate, "0 to 10^12 bit/s")
	case len(c.ContentType) > stream.MaxContentType || strings.ContainsFunc(c.ContentType, func(r rune) bool { return r < ' ' || r > '~' }):
		return outside("PublishConfig.ContentType", fmt.Sprintf("%q", c.ContentType), fmt.Sprintf("up to %d printable ASCII characters", stream.MaxContentType))
	case c.Stripes < 0 || c.Stripes > stream.MaxStripes:
		return outside("PublishConfig.Stripes", c.Stripes, fmt.Sprintf("1 to %d, or 0 for 4", stream.MaxStripes))
	}
	return nil
}

// Publication is a stream that a peer publishes. It is an io.Writer and an
// io.ReaderFrom: io.Copy(publication, reader) publishes what reader gives. What
// is written goes out within 25 ms.
type Publication struct {
	pub  *node.Publication
	cfg  PublishConfig
	ctx  context.Context // ends with Close, the peer, or the context of Publish
	stop context.CancelFunc
	done chan struct{} // the publication is closed

	mu     sync.Mutex // of what follows
	cut    io.WriteCloser
	manual bool
	ended  bool
}

// Publish begins the stream that the key and name make; it is live at once. When
// ctx ends the publication is closed.
//
// Errors are ErrConfig, ErrLocked, ErrTakesPart, ErrClosed, or of the network.
func (p *Peer) Publish(ctx context.Context, name string, cfg PublishConfig) (*Publication, error) {
	if err := cfg.validate(name); err != nil {
		return nil, err
	}
	nc := node.PublishConfig{Name: name, Stripes: cfg.Stripes, ContentType: cfg.ContentType, Bitrate: uint64(cfg.Bitrate),
		Align: media.PacketSize, Key: cfg.Key, Standby: cfg.Standby}
	switch {
	case cfg.Raw:
		nc.Align = 1
	case cfg.ContentType == "":
		nc.ContentType = "video/mp2t"
	}
	pub, err := p.node.Publish(ctx, nc)
	if err != nil {
		return nil, public(err)
	}
	s := &Publication{pub: pub, cfg: cfg, done: make(chan struct{})}
	s.ctx, s.stop = p.life(ctx)
	if cfg.Raw {
		s.cut = media.NewRawCutter(sink{s})
	} else {
		s.cut = media.NewCutter(sink{s})
	}
	context.AfterFunc(s.ctx, func() { pub.Close(); close(s.done) })
	return s, nil
}

// life returns a context that ends with ctx and with the peer.
func (p *Peer) life(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(p.ctx, func() { cancel(ErrClosed) })
	return ctx, func() { stop(); cancel(ErrClosed) }
}

// Link returns the share link, with the peer's present addresses.
func (s *Publication) Link() string { return s.pub.Link().String() }

// Write adds bytes to the stream. It takes them at all times, and waits while
// 64 MiB have not gone out yet.
//
// Errors are ErrFormat, ErrFenced, ErrEnded, ErrClosed, or that of the context.
func (s *Publication) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.err(); err != nil {
		return 0, err
	}
	w := io.Writer(s.cut)
	if s.manual {
		w = sink{s}
	}
	n, err := w.Write(b)
	return n, s.say(err)
}

// err says why nothing can be written; s.mu is held.
func (s *Publication) err() error {
	if s.ended {
		return ErrEnded
	}
	if err := s.pub.Err(); err != nil {
		return public(err)
	}
	return context.Cause(s.ctx)
}

// say makes err the reason why the publication is over, where it is.
func (s *Publication) say(err error) error {
	if cause := context.Cause(s.ctx); err != nil && cause != nil {
		return cause
	}
	return public(err)
}

// ReadFrom publishes what r gives until its end, and returns then: the stream
// goes on until End or Close. Errors are those of Write, and r's.
func (s *Publication) ReadFrom(r io.Reader) (int64, error) {
	c := &counted{r: r}
	if s.cfg.Pace {
		err := media.Copy(s.ctx, s, media.NewPaced(c))
		if cause := context.Cause(s.ctx); err != nil && cause != nil {
			err = cause
		}
		return c.n, err
	}
	// Without ReadFrom, or io.Copy would come back here.
	_, err := io.Copy(struct{ io.Writer }{s}, c)
	return c.n, err
}

// counted counts what was read.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// StartGroup says that a viewer can start with what is written next, after
// preamble, of at most 16 KiB, which only such viewers get. It is for Raw
// publications, whose groups begin only there from now on.
func (s *Publication) StartGroup(preamble []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.cfg.Raw {
		return as(ErrConfig, errors.New("StartGroup is for publications with PublishConfig.Raw: MPEG-TS is cut at its random-access points"))
	}
	if err := s.err(); err != nil {
		return err
	}
	s.manual = true
	return s.say(sink{s}.StartGroup(preamble))
}

// End ends the stream: viewers play what there is, then get io.EOF. The peer
// goes on serving those that are behind until Close.
func (s *Publication) End() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.err(); err != nil {
		return err
	}
	err := s.cut.Close() // what it holds back goes out
	if errors.Is(err, media.ErrEmpty) {
		err = nil
	}
	s.pub.End()
	s.ended = true
	return s.say(err)
}

// Done is closed when the publication is over by itself: another publisher has
// taken over, or the one for which it stood by has ended the stream. Err says which.
func (s *Publication) Done() <-chan struct{} { return s.pub.Done() }

// Err returns why the publication is over: ErrFenced, ErrEnded, ErrClosed or the
// error of its context; nil while it is not.
func (s *Publication) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err()
}

// Close leaves the stream at once, and does not say that it has ended: the same
// key and name may go on with it elsewhere, under a higher epoch.
func (s *Publication) Close() error {
	s.stop()
	<-s.done
	return nil
}

// sink waits where the runtime would refuse what does not fit.
type sink struct{ s *Publication }

// StartGroup implements media.Sink.
func (k sink) StartGroup(preamble []byte) error {
	return k.wait(func() error { return k.s.pub.StartGroup(preamble) })
}

// Write implements media.Sink.
func (k sink) Write(b []byte) (int, error) {
	done := 0
	err := k.wait(func() error {
		n, err := k.s.pub.Write(b[done:])
		done += n
		return err
	})
	return done, err
}

// wait tries again after each flush while too much is pending.
func (k sink) wait(try func() error) error {
	for {
		err := try()
		if !errors.Is(err, stream.ErrPending) {
			return err
		}
		select {
		case <-time.After(stream.FlushInterval):
		case <-k.s.ctx.Done():
			return context.Cause(k.s.ctx)
		}
	}
}
