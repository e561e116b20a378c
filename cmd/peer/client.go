package main

// This file answers: how do status and drain talk to a running peer?

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/braidway/braidway/internal/node"
)

// adminClient asks a running peer's admin API.
type adminClient struct {
	addr    string
	token   string // file
	timeout time.Duration
	from    origins
}

// bind adds the flags of a command that asks a running peer.
func (c *adminClient) bind(cmd *cobra.Command, timeout time.Duration, about string) {
	f := cmd.Flags()
	f.StringVar(&c.addr, "admin", "", "`ADDR` of the peer's admin API, which it logged when it started")
	f.StringVar(&c.token, "admin-token-file", "", "`FILE` with the admin API's token")
	f.DurationVar(&c.timeout, "timeout", timeout, about)
	f.String("config", "", "`FILE` with settings (TOML; keys are the flags' names)")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) (err error) {
		if c.from, err = loadFlags(cmd); err != nil {
			return err
		}
		return c.check()
	}
}

// check refuses an address that cannot be one, and a time-out that is none.
func (c *adminClient) check() error {
	c.addr = strings.TrimSuffix(strings.TrimPrefix(c.addr, "http://"), "/")
	switch _, port, _ := net.SplitHostPort(c.addr); {
	case c.addr == "":
		return usagef("--admin is missing: the address that the peer logged as admin API (or %s)", envName("admin"))
	case port == "" || port == "0":
		return c.from.outside("admin", c.addr, "the host:port that the peer logged as admin API")
	case c.timeout <= 0:
		return c.from.outside("timeout", c.timeout, "more than 0s")
	}
	return nil
}

// request returns the answer's body. Nobody there is a notFoundError.
func (c *adminClient) request(ctx context.Context, method, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.addr+path, nil)
	if err != nil {
		return nil, usagef("--admin %s: %w", c.addr, err)
	}
	secret, err := readSecret("admin-token-file", c.token)
	if err != nil {
		return nil, err
	}
	if secret != "" {
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, notFoundError{fmt.Errorf("no admin API on %s: %w; is the peer running, with --admin %s?", c.addr, err, c.addr)}
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("admin API on %s: %w", c.addr, err)
	}
	if res.StatusCode == http.StatusUnauthorized {
		return nil, fmt.Errorf("admin API on %s asks for its token: give --admin-token-file FILE", c.addr)
	}
	if res.StatusCode >= 300 {
		return nil, fmt.Errorf("admin API on %s: %s: %s", c.addr, res.Status, strings.TrimSpace(string(b)))
	}
	return b, nil
}

// state returns how the peer stands, parsed and as it was sent.
func (c *adminClient) state(ctx context.Context) (st node.State, raw []byte, err error) {
	raw, err = c.request(ctx, http.MethodGet, "/api/v1/state")
	if err == nil {
		if err = json.Unmarshal(raw, &st); err != nil {
			err = fmt.Errorf("admin API on %s does not speak this version's language: %w", c.addr, err)
		}
	}
	return st, raw, err
}

func statusCommand() *cobra.Command {
	var c adminClient
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show how a running peer stands",
		Long: `Shows the streams of a running peer, what is out of the ordinary there, and for each
stripe its parent, how that stands (fed, silent, starved or none), how deep the
peer is in the stripe's tree, its standbys and its children.`,
		Example: "  peer status --admin 127.0.0.1:7700\n  peer status --admin 127.0.0.1:7700 --json",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, raw, err := c.state(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				_, err = os.Stdout.Write(raw)
				return err
			}
			return printState(os.Stdout, st)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "the admin API's JSON")
	c.bind(cmd, 5*time.Second, "give up when there is no answer within")
	return cmd
}

// short is the end of a peer id, which tells peers apart.
func short(id string) string { return id[max(0, len(id)-6):] }

func shorts(ids []string) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = short(id)
	}
	return strings.Join(names, " ")
}

// remarks are the lines about a stream that go beyond its figures: how it stands
// with each failure, where there is something to say.
func remarks(s node.StreamState) (lines []string) {
	say := func(when bool, format string, args ...any) {
		if when {
			lines = append(lines, fmt.Sprintf(format, args...))
		}
	}
	say(!s.Started, "not there yet; tried: %s", s.Waiting)
	say(s.Standing == node.StandingStandby, "standing by for publisher %s", short(s.Publisher))
	say(s.Standing == node.StandingFenced, "fenced off: publisher %s has begun a higher epoch", short(s.Publisher))
	say(s.Standing == node.StandingEnded, "the publication has ended")
	if in := s.Input; in != nil {
		lines = append(lines, inputLine(in))
		say(in.Warning != "", "input: %s", in.Warning)
	}
	say(len(s.Heirs) > 0, "standby publishers: %s", shorts(s.Heirs))
	say(s.Resting, "waits for room: there is too little upload for everyone, and those who give some come first")
	say(s.Confined, "reaches few of the peers that it dials: see peer doctor")
	say(s.Open, "is reached by those who reach few")
	say(s.Pressed, "children wait behind the uplink: nobody is let in")
	say(s.Troubles > 0, "slots given up, since children waited for long: %d times", s.Troubles)
	say(len(s.Refused) > 0, "turned down: %s", byCode(s.Refused))
	say(len(s.RefusedBy) > 0, "turned down by others: %s", byCode(s.RefusedBy))
	c := s.Counts
	say(c.Suspects+c.Switches > 0, "parents that fell silent: %d, came back: %d, were replaced: %d", c.Suspects, c.Cancels, c.Switches)
	say(c.Pushed > 0, "children asked to move: %d", c.Pushed)
	say(c.Stalls > 0, "this peer itself was stopped: %d times", c.Stalls)
	return lines
}

// byCode lists counts with their codes.
func byCode(counts map[string]int64) string {
	var list []string
	for _, code := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, fmt.Sprintf("%d %s", counts[code], code))
	}
	return strings.Join(list, ", ")
}

func printState(w io.Writer, st node.State) error {
	leaving := ""
	if st.Draining {
		leaving = ", draining"
	}
	fmt.Fprintf(w, "peer %s, %d connections, %d DHT nodes%s\n", st.Peer, st.Peers, st.DHT, leaving)
	for _, s := range st.Streams {
		fmt.Fprintf(w, "\nstream %s: %s, epoch %d, position %d of %d, %d of %d slots used\n", s.ID, s.Role, s.Epoch, s.Position, s.Edge, s.Used, s.Slots)
		for _, line := range remarks(s) {
			fmt.Fprintf(w, "  %s\n", line)
		}
		t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
		fmt.Fprintln(t, "STRIPE\tPARENT\tSTATE\tDEPTH\tSTANDBYS\tCHILDREN")
		for _, v := range s.Stripes {
			state, standbys := v.State, shorts(v.Standbys)
			if v.Silence > 0 {
				state = fmt.Sprintf("%s %.0f ms", state, v.Silence)
			}
			if v.Lacking {
				standbys = "lacking"
			}
			fmt.Fprintf(t, "%d\t%s\t%s\t%d\t%s\t%s\n", v.Stripe, short(v.Parent), state, len(v.Path), standbys, shorts(v.Children))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func drainCommand() *cobra.Command {
	var c adminClient
	var noWait bool
	cmd := &cobra.Command{
		Use: "drain", Short: "Ask a running peer to hand over its children and leave",
		Long:    "Asks a running peer to hand over its children and leave, and waits until it has left.",
		Example: "  peer drain --admin 127.0.0.1:7700\n  peer drain --admin 127.0.0.1:7700 --no-wait   # as a preStop hook",
		Args:    exactly(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.drain(cmd.Context(), !noWait) },
	}
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "only ask: do not wait until it has left")
	c.bind(cmd, 30*time.Second, "give up when the peer has not left within")
	return cmd
}

// drain prints how many children are left, until the peer has gone.
func (c *adminClient) drain(ctx context.Context, wait bool) error {
	if _, err := c.request(ctx, http.MethodPost, "/api/v1/drain"); err != nil {
		return err
	}
	fmt.Println("draining")
	if !wait {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for last := 0; ; {
		st, _, err := c.state(ctx)
		left := 0
		for _, s := range st.Streams {
			left += s.Used
		}
		var gone notFoundError
		switch {
		case ctx.Err() != nil: // told below
		case errors.As(err, &gone):
			fmt.Println("left")
			return nil
		case left > 0 && left != last:
			fmt.Printf("%d children to hand over\n", left)
			last = left
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the peer on %s has not left within %v; look with peer status --admin %s", c.addr, c.timeout, c.addr)
		}
	}
}
