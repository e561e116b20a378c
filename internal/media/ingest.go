package media

// This file answers: how do frames that an encoder pushes become the input? One
// encoder at a time; it may go and come back. RTMP and WHIP are of this kind.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// ErrIngestClosed says that the publisher leaves.
var ErrIngestClosed = errors.New("the publisher is leaving")

// BusyError says that another encoder has the input.
type BusyError struct {
	Holder string // its address
}

// Error implements error.
func (e *BusyError) Error() string {
	return fmt.Sprintf("another encoder publishes here since before (%s): stop it first; when it is gone, its place is free after %v", e.Holder, InputIdle)
}

// Ingest is a Source of what encoders push.
type Ingest struct {
	watch *Watch
	out   chan item
	done  chan struct{}
	stop  func() error // closes what listens; nil: nothing does
	once  sync.Once

	mu     sync.Mutex
	holder *Push
}

// NewIngest returns an input that nobody pushes into yet. watch may be nil.
func NewIngest(watch *Watch) *Ingest {
	return &Ingest{watch: watch, out: make(chan item, 64), done: make(chan struct{})}
}

// Next implements Source.
func (in *Ingest) Next(ctx context.Context) (Chunk, error) {
	for {
		select {
		case i := <-in.out:
			if i.tell(in.watch) {
				return i.Chunk, nil
			}
		case <-in.done:
			return Chunk{}, io.EOF
		case <-ctx.Done():
			return Chunk{}, ctx.Err()
		}
	}
}

// item is a chunk, or that an encoder has come or gone: told in its turn, when
// what came before has been read.
type item struct {
	Chunk
	up   string // its address
	down string // why
}

// tell tells the watch, and returns whether there is a chunk too.
func (i *item) tell(w *Watch) bool {
	if i.down != "" {
		w.down(i.down)
	}
	if i.up != "" {
		w.up(i.up)
	}
	return len(i.Data) > 0
}

// Close implements Source: nobody can push any more.
func (in *Ingest) Close() error {
	var err error
	in.once.Do(func() {
		close(in.done)
		if in.stop != nil {
			err = in.stop()
		}
	})
	return err
}

// Push is one encoder's run. It is owned by one goroutine.
type Push struct {
	in    *Ingest
	peer  string
	mux   *Muxer
	fresh bool
	gone  chan struct{} // closed when another has its place

	mu   sync.Mutex
	last time.Time
}

// Begin gives the input to the encoder at address peer. While another one has it
// and sent something within InputIdle, that is a *BusyError; one that is silent
// loses its place.
func (in *Ingest) Begin(peer string) (*Push, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	select {
	case <-in.done:
		return nil, ErrIngestClosed
	default:
	}
	down := ""
	if h := in.holder; h != nil {
		if h.silent() < InputIdle {
			return nil, &BusyError{Holder: h.peer}
		}
		close(h.gone)
		down = "the encoder fell silent, and another one has come"
	}
	in.holder = &Push{in: in, peer: peer, fresh: true, gone: make(chan struct{}), last: time.Now()}
	select {
	case in.out <- item{up: peer, down: down}:
	case <-in.done:
	}
	return in.holder, nil
}

func (p *Push) silent() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.last)
}

// Gone is closed when another encoder was given the place.
func (p *Push) Gone() <-chan struct{} { return p.gone }

// Tracks says what the frames will be of; see NewMuxer for what is allowed.
func (p *Push) Tracks(tracks []Track) (err error) {
	p.mux, err = NewMuxer(p, tracks)
	return err
}

// Frame adds a frame of a track; it waits while the publisher is behind. The
// Data is not kept.
func (p *Push) Frame(f Frame) error {
	if p.mux == nil {
		return errors.New("media: a frame before its tracks")
	}
	return p.mux.WriteFrame(f)
}

// Write adds whole packets of MPEG-TS; the muxer writes here.
func (p *Push) Write(b []byte) (int, error) {
	p.mu.Lock()
	p.last = time.Now()
	p.mu.Unlock()
	c := item{Chunk: Chunk{Due: -1, Data: append([]byte(nil), b...), Fresh: p.fresh}}
	p.fresh = false
	select {
	case <-p.gone:
		return 0, &BusyError{}
	default:
	}
	select {
	case p.in.out <- c:
		return len(b), nil
	case <-p.gone:
		return 0, &BusyError{}
	case <-p.in.done:
		return 0, ErrIngestClosed
	}
}

// End gives the place back; why is told to the user.
func (p *Push) End(why string) {
	p.in.mu.Lock()
	mine := p.in.holder == p
	if mine {
		p.in.holder = nil
	}
	p.in.mu.Unlock()
	if mine {
		select {
		case p.in.out <- item{down: why}:
		case <-p.in.done:
		}
	}
}
