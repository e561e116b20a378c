package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/internal/web"
	"github.com/braidway/braidway/stream"
)

func playCommand() *cobra.Command {
	set := &settings{}
	out := &outputs{}
	var report string
	var buffer, duration, timeout time.Duration
	var noRelay bool
	var tokens tokenFlag
	var hidden hiddenFlags
	cmd := &cobra.Command{
		Use:   "play [LINK]",
		Short: "Play a stream, and relay it",
		Long: `Plays the stream's bytes in order, from a group's start, to a file, standard
output (-o -), players (--http: MPEG-TS and HLS, docs/playing.md) or a directory
(--record). It relays too, unless --no-relay. With --http and no LINK it waits for
somebody at this machine to paste one on its page.`,
		Example: "  peer play 'braidway://…' -o - | ffplay -\n  peer play 'braidway://…' -o show.ts --duration 1m --report r.json\n  peer play 'braidway://…' --http 127.0.0.1:8080 --rewind 10m\n  peer play 'braidway://…' --record shows",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && out.http != "" {
				return nil
			}
			return exactly("LINK")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var link stream.Link
			var credential string
			know := func(text string) (err error) {
				if link, err = parseLink(text); err == nil {
					credential, err = tokens.of(link)
				}
				return err
			}
			if len(args) > 0 {
				if err := know(args[0]); err != nil {
					return err
				}
			}
			switch {
			case buffer < 100*time.Millisecond || buffer > stream.MaxLag:
				return set.from.outside("buffer", buffer, fmt.Sprintf("100ms to %v", stream.MaxLag))
			case duration < 0:
				return set.from.outside("duration", duration, "0s (no end) and more")
			case timeout < 0:
				return set.from.outside("timeout", timeout, "0s (never) and more")
			case out.file == "" && out.http == "" && out.record == "" && report == "":
				return usagef("nothing to do with the stream: give -o FILE, -o -, --http ADDR or --record DIR")
			}
			if err := errors.Join(out.check(set.from), checkReport(report)); err != nil {
				return err
			}
			if len(args) == 0 {
				out.start = web.NewOpen(know)
			}
			defer out.end()
			sink, err := out.open(set.logger(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if out.start != nil {
				select {
				case <-out.start.Link():
				case <-cmd.Context().Done():
					return nil
				}
			}
			if link.Private != nil && out.beyondLoopback() {
				set.logger().Warn("the stream is private, and --http gives it to everyone who reaches its address", "addr", out.http)
			}
			player := node.NewPlayer(sink, buffer)
			r, err := set.open(cmd, hidden.tune)
			if err != nil {
				return err
			}
			s, err := r.Join(link, node.SessionConfig{Role: node.RoleViewer, NoRelay: noRelay, Buffer: buffer, Observer: player, Token: credential})
			if err != nil {
				return errors.Join(err, r.leave())
			}
			r.begun.Store(true)
			player.Attach(s)
			out.node.Store(r.Node)
			ended, err := play(r, s, player, timeout, duration)
			rep := player.Report()
			if ended {
				out.ended(r.ctx.Done())
			}
			out.drain()
			return errors.Join(err, writeReport(report, rep), r.leave())
		},
	}
	f := cmd.Flags()
	out.bind(cmd)
	f.DurationVar(&buffer, "buffer", time.Second, "playout buffer, 100ms to 30s")
	f.DurationVar(&duration, "duration", 0, "play for so long, then leave (default: until the end)")
	f.DurationVar(&timeout, "timeout", 30*time.Second, "give up when the stream is not found within; 0s: never")
	f.StringVar(&report, "report", "", "`FILE` for the report (JSON)")
	f.BoolVar(&noRelay, "no-relay", false, "take no children")
	tokens.bind(cmd)
	hidden.bind(cmd)
	set.bind(cmd)
	return cmd
}

// play runs until the stream, its time or ctx ends; ended: it was the stream.
func play(r *running, s *node.Session, player *node.Player, timeout, duration time.Duration) (ended bool, err error) {
	err = r.waitStarted(s, timeout)
	if errors.Is(err, context.Canceled) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	ctx := r.ctx
	if duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, duration)
		defer cancel()
	}
	switch err = player.Run(ctx, s); {
	case errors.Is(err, node.ErrEnded):
		return true, nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false, nil
	case errors.Is(err, syscall.EPIPE):
		return false, errors.New("the reader of the stream went away")
	case errors.Is(err, node.ErrDenied):
		return false, err
	}
	return false, fmt.Errorf("writing the stream: %w", err)
}
