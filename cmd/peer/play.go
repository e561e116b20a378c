package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/internal/web"
	"github.com/braidway/braidway/stream"
)

func playCommand() *cobra.Command {
	set := &settings{}
	var out, httpAddr, report string
	var buffer, duration, timeout time.Duration
	var noRelay bool
	cmd := &cobra.Command{
		Use:   "play LINK",
		Short: "Play a stream, and relay it",
		Long: `Plays the stream's bytes in order, from a group's start, to a file, standard
output (-o -) or players (--http). It relays too, unless --no-relay.`,
		Example: "  peer play 'braidway://…' -o - | ffplay -\n  peer play 'braidway://…' -o show.ts --duration 1m --report r.json\n  peer play 'braidway://…' --http 127.0.0.1:8080",
		Args:    exactly("LINK"),
		RunE: func(cmd *cobra.Command, args []string) error {
			link, err := parseLink(args[0])
			if err != nil {
				return err
			}
			switch {
			case buffer < 100*time.Millisecond || buffer > stream.MaxLag:
				return set.from.outside("buffer", buffer, fmt.Sprintf("100ms to %v", stream.MaxLag))
			case duration < 0:
				return set.from.outside("duration", duration, "0s (no end) and more")
			case timeout < 0:
				return set.from.outside("timeout", timeout, "0s (never) and more")
			case out == "" && httpAddr == "" && report == "":
				return usagef("nothing to do with the stream: give -o FILE, -o - or --http ADDR")
			}
			if err := checkReport(report); err != nil {
				return err
			}
			var sinks []io.Writer
			switch out {
			case "":
			case "-":
				sinks = append(sinks, os.Stdout)
			default:
				f, err := os.Create(out)
				if err != nil {
					return fmt.Errorf("-o: %w", err)
				}
				defer func() { _ = f.Close() }()
				sinks = append(sinks, f)
			}
			var live *web.Live
			if httpAddr != "" {
				live = web.NewLive()
				sinks = append(sinks, live)
				ln, err := net.Listen("tcp", httpAddr)
				if err != nil {
					return fmt.Errorf("--http cannot listen on %s: %w; choose another address", httpAddr, err)
				}
				srv := &http.Server{Handler: web.New(web.Parts{Live: live}), ReadHeaderTimeout: 5 * time.Second}
				defer func() { _ = srv.Close() }()
				go func() { _ = srv.Serve(ln) }()
				fmt.Fprintf(cmd.ErrOrStderr(), "watch on http://%s/\n", ln.Addr())
			}
			player := node.NewPlayer(io.MultiWriter(sinks...), buffer)
			r, err := set.open(cmd, nil)
			if err != nil {
				return err
			}
			s, err := r.Join(link, node.SessionConfig{Role: node.RoleViewer, NoRelay: noRelay, Buffer: buffer, Observer: player})
			if err != nil {
				return errors.Join(err, r.leave())
			}
			r.begun.Store(true)
			player.Attach(s)
			err = play(r, s, player, timeout, duration)
			rep := player.Report()
			if live != nil {
				live.Drain()
			}
			return errors.Join(err, writeReport(report, rep), r.leave())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&out, "output", "o", "", "`FILE` to write the stream to; - is standard output")
	f.StringVar(&httpAddr, "http", "", "`ADDR` to serve players on")
	f.DurationVar(&buffer, "buffer", time.Second, "playout buffer, 100ms to 30s")
	f.DurationVar(&duration, "duration", 0, "play for so long, then leave (default: until the end)")
	f.DurationVar(&timeout, "timeout", 30*time.Second, "give up when the stream is not found within; 0s: never")
	f.StringVar(&report, "report", "", "`FILE` for the report (JSON)")
	f.BoolVar(&noRelay, "no-relay", false, "take no children")
	set.bind(cmd)
	return cmd
}

// play runs until the stream, its time or ctx ends.
func play(r *running, s *node.Session, player *node.Player, timeout, duration time.Duration) error {
	err := r.waitStarted(s, timeout)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	if err != nil {
		return err
	}
	ctx := r.ctx
	if duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, duration)
		defer cancel()
	}
	err = player.Run(ctx, s)
	if errors.Is(err, node.ErrEnded) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	if errors.Is(err, syscall.EPIPE) {
		return errors.New("the reader of the stream went away")
	}
	return fmt.Errorf("writing the stream: %w", err)
}
