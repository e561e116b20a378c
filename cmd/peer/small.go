package main

// This file answers: what do the small commands do? status, drain, key,
// config, version.

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/internal/node/p2p"
)

// adminRequest asks a running peer's admin API.
func adminRequest(ctx context.Context, method, addr, path string, timeout time.Duration) ([]byte, error) {
	if addr == "" {
		return nil, usagef("--admin is missing: the address that the peer logged as admin API")
	}
	addr = strings.TrimPrefix(addr, "http://")
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, nil)
	if err != nil {
		return nil, usagef("--admin %s: %w", addr, err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, notFoundError{fmt.Errorf("no admin API on %s: %w; is the peer running, with --admin %s?", addr, err, addr)}
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return nil, err
	}
	if res.StatusCode >= 300 {
		return nil, fmt.Errorf("admin API on %s: %s: %s", addr, res.Status, strings.TrimSpace(string(b)))
	}
	return b, nil
}

func statusCommand() *cobra.Command {
	var addr string
	var asJSON bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "status", Short: "Show how a running peer stands",
		Example: "  peer status --admin 127.0.0.1:7700\n  peer status --admin 127.0.0.1:7700 --json",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := adminRequest(cmd.Context(), http.MethodGet, adminAddr(addr), "/api/v1/state", timeout)
			if err != nil {
				return err
			}
			if asJSON {
				_, err = os.Stdout.Write(b)
				return err
			}
			var st node.State
			if err := json.Unmarshal(b, &st); err != nil {
				return fmt.Errorf("admin API on %s does not speak this version's language: %w", addr, err)
			}
			return printState(os.Stdout, st)
		},
	}
	addAdminFlags(cmd.Flags(), &addr, &timeout)
	cmd.Flags().BoolVar(&asJSON, "json", false, "the admin API's JSON")
	return cmd
}

func addAdminFlags(f *pflag.FlagSet, addr *string, timeout *time.Duration) {
	f.StringVar(addr, "admin", "", "`ADDR` of the peer's admin API (or "+envPrefix+"ADMIN)")
	f.DurationVar(timeout, "timeout", 5*time.Second, "give up when there is no answer within")
}

func adminAddr(flag string) string {
	if flag == "" {
		return os.Getenv(envPrefix + "ADMIN")
	}
	return flag
}

// short is the end of a peer id, which tells peers apart.
func short(id string) string { return id[max(0, len(id)-6):] }

func printState(w io.Writer, st node.State) error {
	fmt.Fprintf(w, "peer %s, %d connections, %d DHT nodes\n", st.Peer, st.Peers, st.DHT)
	for _, s := range st.Streams {
		fmt.Fprintf(w, "\nstream %s: %s, epoch %d, position %d of %d, %d of %d slots used\n", s.ID, s.Role, s.Epoch, s.Position, s.Edge, s.Used, s.Slots)
		t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
		fmt.Fprintln(t, "STRIPE\tPARENT\tDEPTH\tSTANDBYS\tCHILDREN")
		for _, v := range s.Stripes {
			list := func(ids []string) string {
				names := make([]string, len(ids))
				for i, id := range ids {
					names[i] = short(id)
				}
				return strings.Join(names, " ")
			}
			fmt.Fprintf(t, "%d\t%s\t%d\t%s\t%s\n", v.Stripe, short(v.Parent), len(v.Path), list(v.Standbys), list(v.Children))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func drainCommand() *cobra.Command {
	var addr string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "drain", Short: "Ask a running peer to hand over its children and leave",
		Example: "  peer drain --admin 127.0.0.1:7700",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			addr = adminAddr(addr)
			if _, err := adminRequest(cmd.Context(), http.MethodPost, addr, "/api/v1/drain", timeout); err != nil {
				return err
			}
			fmt.Println("draining")
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for {
				var missing notFoundError
				if _, err := adminRequest(ctx, http.MethodGet, addr, "/healthz", time.Second); errors.As(err, &missing) && ctx.Err() == nil {
					fmt.Println("left")
					return nil
				}
				select {
				case <-tick.C:
				case <-ctx.Done():
					return fmt.Errorf("the peer on %s has not left within %v", addr, timeout)
				}
			}
		},
	}
	addAdminFlags(cmd.Flags(), &addr, &timeout)
	cmd.Flags().Lookup("timeout").DefValue = "30s"
	timeout = 30 * time.Second
	return cmd
}

func keyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "key", Short: "Make and show identities",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q; known are new and show", args[0])
			}
			return cmd.Help()
		}}
	print := func(pub []byte) error {
		id, err := p2p.PeerID(pub)
		if err != nil {
			return err
		}
		fmt.Printf("public key  %s\npeer id     %s\n", base64.RawURLEncoding.EncodeToString(pub), id)
		return nil
	}
	cmd.AddCommand(&cobra.Command{Use: "new FILE", Short: "Make an identity", Example: "  peer key new pub.key", Args: exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			key, err := p2p.NewKey(args[0])
			if errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%s exists already and is not overwritten", args[0])
			}
			if err != nil {
				return err
			}
			return print(key[32:])
		}}, &cobra.Command{Use: "show FILE", Short: "Show an identity's public key and peer id", Example: "  peer key show pub.key", Args: exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			key, err := p2p.LoadKey(args[0])
			if err != nil {
				return err
			}
			return print(key[32:])
		}})
	return cmd
}

func configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Show settings", RunE: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("unknown command %q; known is show", args[0])
		}
		return cmd.Help()
	}}
	set := &settings{}
	show := &cobra.Command{Use: "show", Short: "Print the settings in force and where each comes from",
		Example: "  BRAIDWAY_UPLOAD_LIMIT=20Mbps peer config show --config peer.toml", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := set.load(cmd)
			if err != nil {
				return err
			}
			names := make([]string, 0, len(from))
			for n := range from {
				names = append(names, n)
			}
			sort.Strings(names)
			t := tabwriter.NewWriter(os.Stdout, 2, 8, 2, ' ', 0)
			fmt.Fprintln(t, "SETTING\tVALUE\tFROM")
			for _, n := range names {
				fmt.Fprintf(t, "%s\t%s\t%s\n", n, cmd.Flags().Lookup(n).Value, from[n])
			}
			return t.Flush()
		}}
	set.addFlags(show.Flags())
	cmd.AddCommand(show)
	return cmd
}

func versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Show versions and protocol ids", Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			lib := "unknown"
			if bi, ok := debug.ReadBuildInfo(); ok {
				for _, m := range bi.Deps {
					if m.Path == "github.com/libp2p/go-libp2p" {
						lib = m.Version
					}
				}
			}
			fmt.Printf("braidway   %s\ngo         %s\nlibp2p     %s\nprotocols  %s %s %s\n", version(), runtime.Version(), lib,
				node.ControlProtocol, node.DataProtocol, p2p.DHTPrefix+"/kad/1.0.0")
			return nil
		}}
}
