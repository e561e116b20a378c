package braidway

// This file answers: how does a program get a stream's bytes, or relay them?

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/internal/node/token"
	"github.com/braidway/braidway/measure"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/stream"
)

// findTime is for how long Watch looks for a stream where its Config does not
// say: the default of the peer command.
const findTime = 30 * time.Second

// WatchConfig says how a stream is watched. The zero value is a viewer that
// relays.
type WatchConfig struct {
	// Buffer is how long what is missing is waited for, 100 ms to 30 s; 0 means 1 s.
	Buffer time.Duration
	// Timeout is how long the stream is looked for; 0 means 30 s, less than 0: until
	// the context ends.
	Timeout time.Duration
	// NoRelay takes no children.
	NoRelay bool
}

// Viewer gives a stream's bytes: it is an io.Reader. Read gives what there is, in
// order and from the start of a group; io.EOF: the stream has ended. While 8192
// objects or 64 MiB wait for a reader that is slower than the stream, what comes
// is lost to it.
type Viewer struct {
	player *node.Player
	out    *io.PipeReader
	stop   context.CancelFunc
	ctx    context.Context
	done   chan struct{} // the session is closed
}

// Watch joins the stream of a link and returns when it is there. When ctx ends
// the viewer is closed.
//
// Errors are ErrLink, ErrConfig, ErrDenied, ErrNotFound or ErrFull after
// cfg.Timeout, ErrTakesPart, ErrClosed, or that of ctx.
func (p *Peer) Watch(ctx context.Context, link string, cfg WatchConfig) (*Viewer, error) {
	if cfg.Buffer != 0 && (cfg.Buffer < 100*time.Millisecond || cfg.Buffer > stream.MaxLag) {
		return nil, outside("WatchConfig.Buffer", cfg.Buffer, fmt.Sprintf("100ms to %v, or 0 for 1s", stream.MaxLag))
	}
	in, out := io.Pipe()
	player := node.NewPlayer(out, cfg.Buffer)
	s, err := p.join(link, node.SessionConfig{Role: node.RoleViewer, NoRelay: cfg.NoRelay, Buffer: cfg.Buffer, Observer: player})
	if err != nil {
		return nil, err
	}
	player.Attach(s)
	v := &Viewer{player: player, out: in, done: make(chan struct{})}
	v.ctx, v.stop = p.life(ctx)
	context.AfterFunc(v.ctx, func() {
		_ = out.CloseWithError(context.Cause(v.ctx)) // frees the player's Write too
		s.Close()
		close(v.done)
	})
	if err := found(v.ctx, s, cfg.Timeout); err != nil {
		_ = v.Close()
		return nil, err
	}
	go func() {
		err := player.Run(v.ctx, s)
		switch {
		case errors.Is(err, node.ErrEnded):
			err = io.EOF
		case v.ctx.Err() != nil:
			err = context.Cause(v.ctx)
		case errors.Is(err, node.ErrDenied):
			err = public(err)
		}
		_ = out.CloseWithError(err)
	}()
	return v, nil
}

// join takes part in the stream of a link.
func (p *Peer) join(text string, cfg node.SessionConfig) (*node.Session, error) {
	link, err := stream.ParseLink(text)
	if err != nil {
		return nil, as(ErrLink, err)
	}
	for _, a := range link.Addrs {
		if _, err := peer.AddrInfoFromString(a); err != nil {
			return nil, as(ErrLink, fmt.Errorf("link: address %s is broken or cut short: %w", a, err))
		}
	}
	if cfg.Token, err = p.tokenFor(link); err != nil {
		return nil, err
	}
	s, err := p.node.Join(link, cfg)
	return s, public(err)
}

// tokenFor returns the token for a link's stream; "" where it needs none.
func (p *Peer) tokenFor(link stream.Link) (string, error) {
	if link.Private == nil {
		return "", nil
	}
	why := errors.New("there is none")
	for _, text := range p.tokens {
		_, t, err := token.ParseCredential(text, link.PublicKey)
		if err == nil && t.Stream == link.ID {
			return text, nil
		} else if err != nil {
			why = err
		}
	}
	return "", as(ErrDenied, fmt.Errorf("stream %v is private: give a token for it in Config.Tokens: %w", link.ID, why))
}

// found waits for the first group of a stream.
func found(ctx context.Context, s *node.Session, limit time.Duration) error {
	if limit == 0 {
		limit = findTime
	}
	var over <-chan time.Time
	if limit > 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-s.Started():
		return nil
	case <-s.Denied():
		return public(s.DeniedFor())
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-over:
	}
	if n := s.TurnedDown(overlay.CodeBusy); n > 0 {
		return as(ErrFull, fmt.Errorf("stream %v is full: within %v peers said %d times that all their slots are taken; tried: %s. Come back later, or add relays", s.ID(), limit, n, s.Tried()))
	}
	return as(ErrNotFound, fmt.Errorf("stream %v was not found within %v; tried: %s. Is the publisher running? A link with its address (addr=) or Config.Bootstrap helps", s.ID(), limit, s.Tried()))
}

// Read implements io.Reader. After Close it returns ErrClosed, after the end of
// its context the error of that.
func (v *Viewer) Read(b []byte) (int, error) { return v.out.Read(b) }

// Report describes what the viewer has experienced so far (docs/measures.md).
func (v *Viewer) Report() measure.Report { return v.player.Report() }

// Close leaves the stream at once. Peers behind this one switch to their
// standbys; Peer.Drain hands them over before.
func (v *Viewer) Close() error {
	v.stop()
	<-v.done
	return nil
}

// Relay relays the streams of the links, and plays nothing, until ctx ends, with
// its error, or the peer is closed (ErrClosed). It does not wait for a stream to
// be there. An error that wraps ErrLink, ErrDenied or ErrTakesPart comes before anything
// was relayed.
func (p *Peer) Relay(ctx context.Context, links ...string) error {
	ctx, stop := p.life(ctx)
	defer stop()
	var all sync.WaitGroup
	defer all.Wait()
	for _, l := range links {
		s, err := p.join(l, node.SessionConfig{Role: node.RoleRelay})
		if err != nil {
			stop()
			return err
		}
		all.Go(func() { <-ctx.Done(); s.Close() })
	}
	<-ctx.Done()
	return context.Cause(ctx)
}
