package main

// This file answers: how does a command open its node and leave it again?

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/stream"
)

func newIdentity() (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

// version returns the module's version, or "dev".
func version() string {
	if bi, ok := debug.ReadBuildInfo(); ok && bi.Main.Version != "" && bi.Main.Version != "(devel)" {
		return bi.Main.Version
	}
	return "dev"
}

// running is a command's node with its admin API.
type running struct {
	*node.Node
	set   *settings
	admin *node.Admin
	// ctx ends with a signal or a drain through the admin API.
	ctx context.Context
	end context.CancelFunc
}

// open loads the settings and starts a node.
func (s *settings) open(cmd *cobra.Command, ready func() bool) (*running, error) {
	if _, err := s.load(cmd); err != nil {
		return nil, err
	}
	cfg, err := s.nodeConfig()
	if err != nil {
		return nil, err
	}
	n, err := node.New(cfg)
	if err != nil {
		return nil, err
	}
	ctx, leave := context.WithCancel(cmd.Context())
	r := &running{Node: n, set: s, ctx: ctx, end: leave}
	if s.admin != "off" {
		r.admin, err = n.StartAdmin(node.AdminConfig{Addr: s.admin, Pprof: s.pprof, Drain: leave, Ready: ready})
		if err != nil {
			leave()
			return nil, errors.Join(err, n.Close())
		}
		cfg.Log.Info("admin API", "addr", "http://"+r.admin.Addr)
	}
	return r, nil
}

// leave hands children over and closes everything.
func (r *running) leave() error {
	if r.end != nil {
		defer r.end()
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.set.drainTimeout)
	defer cancel()
	r.Drain(ctx, r.set.drainTimeout)
	if r.admin != nil {
		_ = r.admin.Close()
	}
	done := make(chan error, 1)
	go func() { done <- r.Close() }()
	select {
	case err := <-done:
		return err
	case <-time.After(5 * time.Second):
		return nil // libp2p sometimes waits for dead peers; nothing of ours is left
	}
}

// parseLink reads a link as a usage error.
func parseLink(text string) (stream.Link, error) {
	link, err := stream.ParseLink(text)
	if err != nil {
		return link, usageError{err}
	}
	for _, a := range link.Addrs {
		if _, err := peer.AddrInfoFromString(a); err != nil {
			return link, usagef("link, position %d: address %s is broken or cut short: %w", max(0, strings.Index(text, a)), a, err)
		}
	}
	return link, nil
}

// waitStarted waits for the stream's first group.
func (r *running) waitStarted(s *node.Session, timeout time.Duration) error {
	var over <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-s.Started():
		return nil
	case <-r.ctx.Done():
		return r.ctx.Err()
	case <-over:
		return notFoundError{fmt.Errorf("stream %v was not found within %v; tried: %s. Is the publisher running? A link with its address (addr=) or --bootstrap helps", s.ID(), timeout, s.Tried())}
	}
}

// writeReport writes v as JSON; "" does nothing.
func writeReport(file string, v any) error {
	if file == "" {
		return nil
	}
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("--report: %w", err)
	}
	return nil
}
