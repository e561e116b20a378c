package main

// This file answers: what did one peer know and do up to a moment, and what
// happened to the world around it? Read from a file of peer sim run --trace.

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/braidway/braidway/sim"
)

// traceLine is one line of a trace.
type traceLine struct {
	T       float64           `json:"t"`              // s, from the beginning of the measures
	Peer    *uint32           `json:"peer,omitempty"` // nil: a fault that hit no viewer
	ID      string            `json:"id,omitempty"`
	Ev      string            `json:"ev"`
	What    string            `json:"what,omitempty"`
	Stripe  *int              `json:"stripe,omitempty"`
	Other   *uint32           `json:"other,omitempty"`
	Seq     *uint64           `json:"seq,omitempty"`
	WaitMS  *float64          `json:"wait_ms,omitempty"`
	Stripes []sim.TraceStripe `json:"stripes,omitempty"`
}

// ofWorld reports whether the line tells what happened to a peer from outside.
func (l *traceLine) ofWorld() bool {
	return l.Ev == "fault" || l.Ev == "join" && l.Stripe == nil || l.Ev == "leave"
}

// replay is what a trace says of one peer, or of the world.
type replay struct {
	Peer   *uint32     `json:"peer,omitempty"`
	ID     string      `json:"id,omitempty"`
	UntilS *float64    `json:"until_s,omitempty"`
	Events []traceLine `json:"events"`
	// State is the last that the peer noted, and when.
	State []sim.TraceStripe `json:"state,omitempty"`
	AtS   *float64          `json:"state_at_s,omitempty"`
}

func simReplayCommand() *cobra.Command {
	var until time.Duration
	var peer string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "replay FILE", Short: "Show what one peer knew and did up to a moment",
		Long: `Reads a trace of peer sim run --trace and shows what happened to a peer and what it
did until a moment, then where it stood in every stripe's tree. Times count from
the beginning of the measures: what came before is negative. Without --peer it
shows what happened to the world: joins, leaves and faults.`,
		Example: "  peer sim run relay-kill --peers 100 --trace t.jsonl\n  peer sim replay t.jsonl --peer 17 --until 12.5s\n  peer sim replay t.jsonl",
		Args:    exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted, err := parsePeer(peer)
			if err != nil {
				return err
			}
			end := math.Inf(1)
			if cmd.Flags().Changed("until") {
				end = until.Seconds()
			}
			f, err := os.Open(args[0])
			if err != nil {
				return notFoundError{fmt.Errorf("trace: %w; peer sim run --trace FILE writes one", err)}
			}
			defer f.Close()
			r, err := readTrace(f, wanted, end)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if peer != "" && len(r.Events) == 0 && r.State == nil {
				return notFoundError{fmt.Errorf("%s says nothing of peer %s until then; peer sim replay %s lists the peers that joined", args[0], peer, args[0])}
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), r)
			}
			return r.print(cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.DurationVar(&until, "until", 0, "the moment, as 12.5s (default: the end)")
	f.StringVar(&peer, "peer", "", "`ID` of the peer: its index, or the 16 digits of its id (default: the world)")
	f.BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// wanted says which lines are asked for.
type wanted struct {
	index *uint32
	id    string
}

func parsePeer(s string) (wanted, error) {
	if s == "" {
		return wanted{}, nil
	}
	if len(s) == 16 {
		if _, err := strconv.ParseUint(s, 16, 64); err == nil {
			return wanted{id: strings.ToLower(s)}, nil
		}
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return wanted{}, usagef("--peer is %q, allowed is a peer's index, or the 16 hexadecimal digits of its id", s)
	}
	index := uint32(n)
	return wanted{index: &index}, nil
}

// has reports whether l is asked for: of the peer, or else of the world.
func (w *wanted) has(l *traceLine) bool {
	switch {
	case w.id != "":
		return l.ID == w.id
	case w.index != nil:
		return l.Peer != nil && *l.Peer == *w.index
	}
	return l.ofWorld()
}

// mostLine bounds a line of a trace: a publisher of 10,000 children in 16 stripes.
const mostLine = 4 << 20

func readTrace(from io.Reader, who wanted, until float64) (*replay, error) {
	r := &replay{Events: []traceLine{}}
	if !math.IsInf(until, 1) {
		r.UntilS = &until
	}
	in := bufio.NewScanner(from)
	in.Buffer(make([]byte, 0, 64<<10), mostLine)
	for n := 1; in.Scan(); n++ {
		if len(bytes.TrimSpace(in.Bytes())) == 0 {
			continue
		}
		var l traceLine
		if err := json.Unmarshal(in.Bytes(), &l); err != nil || l.Ev == "" {
			return nil, fmt.Errorf("line %d is not a trace's: %w", n, errors.Join(err, errNoEvent(l.Ev)))
		}
		if l.T > until {
			break
		}
		if !who.has(&l) {
			continue
		}
		if who != (wanted{}) {
			r.Peer, r.ID = l.Peer, l.ID
		}
		if l.Ev == "state" {
			r.State, r.AtS = l.Stripes, &l.T
			continue
		}
		r.Events = append(r.Events, l)
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	return r, nil
}

func errNoEvent(ev string) error {
	if ev == "" {
		return errors.New("it has no ev")
	}
	return nil
}

// text says in words what happened.
func (l *traceLine) text() string {
	var b strings.Builder
	if l.What != "" {
		fmt.Fprintf(&b, " %s", l.What)
	}
	if l.Stripe != nil && !l.ofWorld() {
		fmt.Fprintf(&b, " stripe %d", *l.Stripe)
	}
	if l.Other != nil {
		fmt.Fprintf(&b, ", peer %d", *l.Other)
	}
	if l.Seq != nil {
		fmt.Fprintf(&b, ", seq %d", *l.Seq)
	}
	if l.WaitMS != nil {
		fmt.Fprintf(&b, ", after %g ms", *l.WaitMS)
	}
	return strings.TrimPrefix(strings.TrimSpace(b.String()), ", ")
}

func (r *replay) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	if r.Peer != nil {
		fmt.Fprintf(w, "peer %d (%s)\n\n", *r.Peer, r.ID)
	}
	for i := range r.Events {
		l := &r.Events[i]
		who := ""
		if r.Peer == nil {
			who = "–\t"
			if l.Peer != nil {
				who = fmt.Sprintf("peer %d\t", *l.Peer)
			}
		}
		fmt.Fprintf(t, "%.6f s\t%s%s\t%s\n", l.T, who, l.Ev, l.text())
	}
	if err := t.Flush(); err != nil || r.State == nil {
		return err
	}
	fmt.Fprintf(w, "\nwhere it stood at %.6f s\n", *r.AtS)
	fmt.Fprintln(t, "STRIPE\tPARENT\tPOSITION\tPATH\tSTANDBYS\tCHILDREN")
	for _, s := range r.State {
		parent := "–"
		if s.Parent != nil {
			parent = strconv.FormatUint(uint64(*s.Parent), 10)
		}
		list := func(v []uint32) string { return strings.Trim(fmt.Sprint(v), "[]") }
		fmt.Fprintf(t, "%d\t%s\t%d\t%s\t%s\t%s\n", s.Stripe, parent, s.Position, list(s.Path), list(s.Standbys), list(s.Children))
	}
	return t.Flush()
}
