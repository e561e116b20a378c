package main

// This file answers: what keeps a peer from being useful, and what can its user
// do about it?

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/internal/node/p2p"
)

// meetTime is how long doctor waits for peers on the local network where no
// bootstrap node is named.
const meetTime = 3 * time.Second

func doctorCommand() *cobra.Command {
	set := &settings{}
	var timeout time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find what keeps a peer from being useful",
		Long: `Checks reachability from outside, the kind of NAT, UDP buffers, the number of open
files, the clock, the DHT, and the upload, and says of each how it stands (ok, warn
or fail), what was found, and what to do.

With --admin it asks a running peer, which knows more: what others found out when
they connected, and what its line bore. Without, it starts a peer of its own with
the settings given, which takes part in no stream. What cannot be known is said to
be so, as a warning.

Exit status: 0 nothing has failed, 1 something has, 3 no running peer on --admin.`,
		Example: "  peer doctor --bootstrap /ip4/192.0.2.1/udp/4001/quic-v1/p2p/12D3…\n  peer doctor --admin 127.0.0.1:7700\n  peer doctor --config peer.toml --json",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if timeout <= 0 {
				return set.from.outside("timeout", timeout, "more than 0s")
			}
			checks, err := set.diagnose(cmd, timeout)
			if err != nil {
				return err
			}
			if asJSON {
				err = writeJSON(os.Stdout, checks)
			} else {
				err = printChecks(os.Stdout, checks)
			}
			if err != nil {
				return err
			}
			return failures(checks)
		},
	}
	set.bind(cmd)
	f := cmd.Flags()
	// Here the address is that of a peer that runs, as for status.
	admin := f.Lookup("admin")
	admin.Usage, admin.DefValue = "`ADDR` of a running peer's admin API (default: none, a peer of its own)", ""
	_ = admin.Value.Set("")
	f.DurationVar(&timeout, "timeout", 30*time.Second, "wait for what others tell, or for a running peer's answer, at most so long")
	f.BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// diagnose asks a running peer, or starts one.
func (s *settings) diagnose(cmd *cobra.Command, timeout time.Duration) (c node.Checks, err error) {
	if s.admin != "" && s.admin != "off" {
		client := adminClient{addr: s.admin, timeout: timeout, from: s.from}
		if err := client.check(); err != nil {
			return c, err
		}
		raw, err := client.request(cmd.Context(), http.MethodGet, "/api/v1/checks")
		if err == nil {
			if err = json.Unmarshal(raw, &c); err != nil {
				err = fmt.Errorf("admin API on %s does not speak this version's language: %w", client.addr, err)
			}
		}
		return c, err
	}
	s.admin = "off"
	r, err := s.open(cmd, func(cfg *node.Config) error {
		cfg.DHT.Mode = p2p.ModeClient // it is gone in a moment: nobody is to rely on it
		return nil
	})
	if err != nil {
		return c, err
	}
	defer func() { _ = r.Close() }()
	wait := timeout
	if len(s.bootstrap) == 0 {
		wait = min(wait, meetTime)
	}
	ctx, cancel := context.WithTimeout(r.ctx, wait)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !r.Settled() || r.DHT().Size() == 0 && len(s.bootstrap) > len(r.DHT().BootstrapErrors()) {
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
		}
		break
	}
	if r.ctx.Err() != nil {
		return c, fmt.Errorf("stopped before the checks were done")
	}
	return r.Checks(r.ctx)
}

// printChecks lists checks for people, in lines of about 80 characters.
func printChecks(w io.Writer, c node.Checks) error {
	fmt.Fprintf(w, "peer %s\n", c.Peer)
	for _, k := range c.Checks {
		fmt.Fprintf(w, "%-4s  %-13s %s\n", k.Level, k.Name, wrapped(k.Found, 20))
		if k.Fix != "" {
			fmt.Fprintf(w, "%20s→ %s\n", "", wrapped(k.Fix, 22))
		}
	}
	return nil
}

// wrapped breaks text at spaces, with so much room before the lines after the first.
func wrapped(text string, indent int) string {
	var b strings.Builder
	at := indent
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case at+1+len([]rune(word)) > 100:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += len([]rune(word))
	}
	return b.String()
}

// failures is an error that names what has failed.
func failures(c node.Checks) error {
	var failed []string
	for _, k := range c.Checks {
		if k.Level == node.CheckFail {
			failed = append(failed, k.Name)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("failed: %s; what to do stands beside each", strings.Join(failed, ", "))
}
