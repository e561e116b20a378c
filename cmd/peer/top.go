package main

// This file answers: how does top follow a running peer, on a terminal and
// without one?

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/term"
	"github.com/spf13/cobra"

	_ "github.com/braidway/braidway/cmd/peer/silent" // no questions to the terminal
	"github.com/braidway/braidway/internal/node"
)

func topCommand() *cobra.Command {
	var c adminClient
	var interval time.Duration
	var count int
	var plain bool
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch a running peer, live",
		Long: `Shows the streams of a running peer as peer status does, with what comes in and goes
out, and the latest events (switches, silent parents, …), again every --interval.

On a terminal: ↑ ↓ PgUp PgDn Home End scroll, p or space pauses, ? helps, q quits.
Without one, or with --plain, one frame of text after the other, --count of them; the
first after one interval, over which rates are taken. Colour is used on a terminal,
unless NO_COLOR is set.`,
		Example: "  peer top --admin 127.0.0.1:7700\n  peer top --admin 127.0.0.1:7700 --interval 10s --count 6 | tee peer.log",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case interval < 100*time.Millisecond || interval > time.Hour:
				return c.from.outside("interval", interval, "100ms to 1h")
			case count < 0:
				return c.from.outside("count", count, "0 (no end) and more")
			}
			first, _, err := c.state(cmd.Context())
			if err != nil {
				return err
			}
			d := &topData{began: time.Now()}
			d.take(topSample{at: time.Now(), state: first})
			if plain || !term.IsTerminal(os.Stdout.Fd()) {
				return c.topPlain(cmd.Context(), os.Stdout, d, interval, count)
			}
			return c.topScreen(cmd.Context(), d, interval, count)
		},
	}
	f := cmd.Flags()
	f.DurationVar(&interval, "interval", time.Second, "between two looks, 100ms to 1h")
	f.IntVar(&count, "count", 0, "frames to show, then end (default: no end)")
	f.BoolVar(&plain, "plain", false, "text, one frame after the other, on a terminal too")
	c.bind(cmd, 5*time.Second, "give up when there is no answer within")
	return cmd
}

// topPlain writes a frame after each interval. A peer that has gone is an error,
// a signal the end.
func (c *adminClient) topPlain(ctx context.Context, w io.Writer, d *topData, interval time.Duration, count int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events := make(chan node.TraceEvent, 256)
	go c.follow(ctx, func(e node.TraceEvent) {
		select {
		case events <- e:
		case <-ctx.Done():
		}
	})
	style := newTopStyle(lipgloss.NewRenderer(io.Discard)) // no colour
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for shown := 0; count == 0 || shown < count; {
		select {
		case e := <-events:
			d.event(e)
		case <-tick.C:
			st, _, err := c.state(ctx)
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			d.take(topSample{at: time.Now(), state: st})
			if shown > 0 {
				fmt.Fprintln(w)
			}
			if _, err := fmt.Fprintln(w, strings.Join(d.lines(style, 0, plainEvents), "\n")); err != nil {
				return fmt.Errorf("writing the frame: %w", err)
			}
			shown++
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// topScreen runs the live screen until it is quit, or a signal comes.
func (c *adminClient) topScreen(ctx context.Context, d *topData, interval time.Duration, count int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	options := []tea.ProgramOption{tea.WithContext(ctx), tea.WithAltScreen(), tea.WithoutSignalHandler()}
	if !term.IsTerminal(os.Stdin.Fd()) {
		options = append(options, tea.WithInput(nil)) // no keys: a signal ends it
	}
	p := tea.NewProgram(newTopModel(d, newTopStyle(lipgloss.DefaultRenderer()), count), options...)
	go c.follow(ctx, func(e node.TraceEvent) { p.Send(e) })
	go func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				st, _, err := c.state(ctx)
				p.Send(topSample{time.Now(), st, err})
			case <-ctx.Done():
				return
			}
		}
	}()
	_, err := p.Run()
	if errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		return nil
	}
	return err
}

// followPause is between two attempts to hear of events.
const followPause = time.Second

// follow tells of every event until ctx ends; when the peer does not answer it
// tries again.
func (c *adminClient) follow(ctx context.Context, tell func(node.TraceEvent)) {
	for ctx.Err() == nil {
		if req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.addr+"/api/v1/events", nil); err == nil {
			if res, err := http.DefaultClient.Do(req); err == nil {
				readEvents(res.Body, tell)
				_ = res.Body.Close()
			}
		}
		select {
		case <-time.After(followPause):
		case <-ctx.Done():
		}
	}
}

// readEvents reads server-sent events to the end; those that do not parse are left out.
func readEvents(r io.Reader, tell func(node.TraceEvent)) {
	sc := bufio.NewScanner(r) // lines of up to 64 KiB
	for sc.Scan() {
		var e node.TraceEvent
		if data, ok := strings.CutPrefix(sc.Text(), "data: "); ok && json.Unmarshal([]byte(data), &e) == nil {
			tell(e)
		}
	}
}
