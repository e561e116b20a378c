package main

// This file answers: how does a command open its node and leave it again?

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/stream"
)

func newIdentity() (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

// released is the version that scripts/release.sh builds in; empty: another build.
var released string

// version returns the release's or the module's version, or "dev".
func version() string {
	if released != "" {
		return released
	}
	if bi, ok := debug.ReadBuildInfo(); ok && bi.Main.Version != "" && bi.Main.Version != "(devel)" {
		return bi.Main.Version
	}
	return "dev"
}

// running is a command's node with its admin API.
type running struct {
	*node.Node
	set   *settings
	admin []*node.Admin
	begun atomic.Bool // the command has joined or published all its streams
	// ctx ends with a signal or a drain through the admin API.
	ctx context.Context
	end context.CancelFunc
}

// open starts a node with the settings; tune may change its configuration.
func (s *settings) open(cmd *cobra.Command, tune func(*node.Config) error) (*running, error) {
	cfg, err := s.nodeConfig()
	if err == nil && tune != nil {
		err = tune(&cfg)
	}
	if err != nil {
		return nil, err
	}
	n, err := node.New(cfg)
	if err != nil {
		return nil, err
	}
	r := &running{Node: n, set: s}
	r.ctx, r.end = context.WithCancel(cmd.Context())
	ready := func() bool { return r.begun.Load() && n.Started() }
	serve := func(what string, cfg node.AdminConfig) error {
		a, err := n.StartAdmin(cfg)
		if err != nil {
			r.end()
			r.closeAdmin()
			return errors.Join(err, n.Close())
		}
		r.admin = append(r.admin, a)
		s.logger().Info(what, "addr", "http://"+a.Addr)
		return nil
	}
	if s.admin != "off" {
		secret, err := readSecret("admin-token-file", s.adminToken)
		if err != nil {
			r.end()
			return nil, errors.Join(err, n.Close())
		}
		if err := serve("admin API", node.AdminConfig{Addr: s.admin, Token: secret, Pprof: s.pprof, Drain: r.end, Ready: ready}); err != nil {
			return nil, err
		}
	}
	if s.metrics != "" {
		if err := serve("metrics", node.AdminConfig{Addr: s.metrics, Metrics: true, Ready: ready}); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// laterNode is a node that is not there yet when its handlers are made.
type laterNode struct{ atomic.Pointer[node.Node] }

// handler answers with a handler of the node, once that is there.
func (l *laterNode) handler(serve func(*node.Node, http.ResponseWriter, *http.Request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := l.Load()
		if n == nil {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "this peer is starting", http.StatusServiceUnavailable)
			return
		}
		serve(n, w, r)
	})
}

// leave hands children over and closes everything, all within --drain-timeout.
func (r *running) leave() error {
	r.end()
	ctx, cancel := context.WithTimeout(context.Background(), r.set.drainTimeout)
	defer cancel()
	// What is queued for children needs a moment after they were asked to move.
	drain := r.set.drainTimeout - min(r.set.drainTimeout/5, 500*time.Millisecond)
	drainCtx, stop := context.WithTimeout(ctx, drain)
	r.Drain(drainCtx, drain)
	stop()
	done := make(chan error, 1)
	go func() { done <- r.Close() }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done(): // libp2p sometimes waits for dead peers; nothing of ours is left
	}
	r.closeAdmin() // last: `peer drain` waits for it to go
	return err
}

func (r *running) closeAdmin() {
	for _, a := range r.admin {
		_ = a.Close()
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
	case <-s.Denied():
		return s.DeniedFor()
	case <-r.ctx.Done():
		return r.ctx.Err()
	case <-over:
		if n := s.TurnedDown(overlay.CodeBusy); n > 0 {
			return notFoundError{fmt.Errorf("stream %v is full: within %v peers said %d times that all their slots are taken; tried: %s. Come back later, or add upload: peer relay, or play without --no-relay", s.ID(), timeout, n, s.Tried())}
		}
		return notFoundError{fmt.Errorf("stream %v was not found within %v; tried: %s. Is the publisher running? A link with its address (addr=) or --bootstrap helps", s.ID(), timeout, s.Tried())}
	}
}

// checkReport refuses a file for which there is no folder before hours of
// playing are over.
func checkReport(file string) error {
	if file == "" {
		return nil
	}
	if _, err := os.Stat(filepath.Dir(file)); err != nil {
		return fmt.Errorf("--report %s: %w; make the folder first", file, err)
	}
	return nil
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
