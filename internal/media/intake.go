package media

// This file answers: through what does an input pass on its way to the publisher?

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/braidway/braidway/stream"
)

// IntakeConfig says what comes in.
type IntakeConfig struct {
	Raw        bool   // any bytes
	Live       bool   // encoders come and go: see Splicer
	MaxBitrate uint64 // bit/s; 0: no bound
	Watch      *Watch // may be nil
}

// Intake takes an input's bytes: it watches them, makes one stream of an encoder's
// runs, cuts that into groups, and bounds its bitrate.
type Intake struct {
	watch *Watch
	splic *Splicer // nil: raw
	cut   io.WriteCloser
	done  chan struct{}
}

// NewIntake returns an intake in front of out.
func NewIntake(out Sink, cfg IntakeConfig) *Intake {
	in := &Intake{watch: cfg.Watch, done: make(chan struct{})}
	sink := &limiter{out: &patient{out}, max: float64(cfg.MaxBitrate), watch: cfg.Watch, now: time.Now}
	if cfg.Raw {
		in.cut = NewRawCutter(sink)
	} else {
		c := NewCutter(sink)
		c.Watch = cfg.Watch
		in.cut, in.splic = c, NewSplicer(c, cfg.Watch, !cfg.Live)
	}
	go cfg.Watch.run(in.done)
	return in
}

// Begin says that an encoder begins with the next bytes.
func (in *Intake) Begin() error {
	if in.splic == nil {
		return nil
	}
	return in.splic.Begin()
}

// Write takes the next bytes. Errors are those of Cutter and of the sink.
func (in *Intake) Write(p []byte) (int, error) {
	in.watch.came(len(p))
	if in.splic == nil {
		return in.cut.Write(p)
	}
	return in.splic.Write(p)
}

// Copy writes a source to the intake until its end or the end of ctx, and then
// closes neither.
func (in *Intake) Copy(ctx context.Context, src Source) error {
	defer close(in.done)
	err := Copy(ctx, in, src)
	in.watch.end()
	return err
}

// Close passes on what is left; see Cutter.Close.
func (in *Intake) Close() error {
	if in.splic != nil {
		if err := in.splic.Close(); err != nil {
			return err
		}
	}
	return in.cut.Close()
}

// patient waits where the publisher holds all that it may between two flushes: a
// pipe is then read more slowly, and memory stays bounded.
type patient struct{ Sink }

// StartGroup implements Sink.
func (s *patient) StartGroup(preamble []byte) error {
	for {
		err := s.Sink.StartGroup(preamble)
		if !errors.Is(err, stream.ErrPending) {
			return err
		}
		time.Sleep(stream.FlushInterval / 2)
	}
}

// Write implements Sink.
func (s *patient) Write(p []byte) (n int, err error) {
	for {
		k, err := s.Sink.Write(p[n:])
		if n += k; !errors.Is(err, stream.ErrPending) {
			return n, err
		}
		time.Sleep(stream.FlushInterval / 2)
	}
}
