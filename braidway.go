// Package braidway publishes, watches and relays live streams from another Go
// program. It is a thin layer over the live runtime; cmd/peer is the same
// runtime behind a command line.
//
//	peer, err := braidway.New(braidway.Config{})
//	stream, err := peer.Publish(ctx, "my show")
//	fmt.Println(stream.Link())
//	io.Copy(stream, input) // call stream.StartGroup(nil) where a decoder can start
package braidway

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/stream"
)

// ErrEnded is returned by Watch when the publisher ended the stream.
var ErrEnded = node.ErrEnded

// Config of a peer. The zero value is a peer with a new identity on free ports
// of all interfaces.
type Config struct {
	// Key is the identity; nil: a new one.
	Key ed25519.PrivateKey
	// Listen and Bootstrap are multiaddrs; bootstrap ones end in /p2p/<id>.
	Listen, Bootstrap []string
	// UploadLimit bounds what children are sent, bit/s; 0: measured.
	UploadLimit int64
	// NoMDNS leaves the local network alone.
	NoMDNS bool
	// Log may be nil.
	Log *slog.Logger
}

// Peer takes part in streams.
type Peer struct{ node *node.Node }

// New starts a peer.
func New(cfg Config) (*Peer, error) {
	if cfg.Key == nil {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		cfg.Key = key
	}
	nc := node.Config{NoMDNS: cfg.NoMDNS, UploadLimit: cfg.UploadLimit, Log: cfg.Log,
		Host: p2p.HostConfig{Key: cfg.Key, Listen: cfg.Listen, NAT: len(cfg.Listen) == 0, AllowLoopback: true}}
	for _, a := range cfg.Bootstrap {
		ai, err := peer.AddrInfoFromString(a)
		if err != nil {
			return nil, fmt.Errorf("braidway: bootstrap address %s: %w", a, err)
		}
		nc.DHT.Bootstrap = append(nc.DHT.Bootstrap, *ai)
	}
	n, err := node.New(nc)
	if err != nil {
		return nil, err
	}
	return &Peer{n}, nil
}

// Close hands children over, for at most wait, and leaves.
func (p *Peer) Close(wait time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	p.node.Drain(ctx, wait)
	return p.node.Close()
}

// Publication is a stream that this peer publishes.
type Publication struct{ pub *node.Publication }

// Publish begins the stream name of this peer's key; it is live at once.
func (p *Peer) Publish(ctx context.Context, name string) (*Publication, error) {
	pub, err := p.node.Publish(ctx, node.PublishConfig{Name: name})
	if err != nil {
		return nil, err
	}
	return &Publication{pub}, nil
}

// Link returns the share link.
func (p *Publication) Link() string { return p.pub.Link().String() }

// StartGroup says that a viewer can start with what is written next, after
// preamble, which only such viewers get.
func (p *Publication) StartGroup(preamble []byte) error { return p.pub.StartGroup(preamble) }

// Write adds bytes to the stream; they go out within 25 ms.
func (p *Publication) Write(b []byte) (int, error) { return p.pub.Write(b) }

// End ends the stream.
func (p *Publication) End() { p.pub.End() }

// Watch writes the stream of link to w, in order and from a group's start,
// until ctx ends, writing fails or the stream ends (ErrEnded). It relays too.
func (p *Peer) Watch(ctx context.Context, link string, w io.Writer) error {
	l, err := stream.ParseLink(link)
	if err != nil {
		return err
	}
	player := node.NewPlayer(w, 0)
	s, err := p.node.Join(l, node.SessionConfig{Role: node.RoleViewer, Observer: player})
	if err != nil {
		return err
	}
	defer s.Close()
	player.Attach(s)
	return player.Run(ctx, s)
}

// Relay relays the stream of link until ctx ends.
func (p *Peer) Relay(ctx context.Context, link string) error {
	l, err := stream.ParseLink(link)
	if err != nil {
		return err
	}
	s, err := p.node.Join(l, node.SessionConfig{Role: node.RoleRelay})
	if err != nil {
		return err
	}
	defer s.Close()
	<-ctx.Done()
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil
	}
	return ctx.Err()
}
