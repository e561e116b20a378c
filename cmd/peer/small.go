package main

// This file answers: what do the small commands do? key, config, version.

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/internal/node/p2p"
)

func keyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "key", Short: "Make and show identities",
		Example: "  peer key new pub.key\n  peer key show pub.key", Args: cobra.ArbitraryArgs, RunE: group}
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
	cmd := &cobra.Command{Use: "config", Short: "Show settings",
		Example: "  peer config show", Args: cobra.ArbitraryArgs, RunE: group}
	set := &settings{}
	show := &cobra.Command{Use: "show", Short: "Print the settings in force and where each comes from",
		Long: `Prints the settings that publish, relay, play and bootstrap have in common, each
with its value and where that comes from: a flag, an environment variable
(--upload-limit is BRAIDWAY_UPLOAD_LIMIT), the file of --config, or the default.`,
		Example: "  peer config show\n  BRAIDWAY_UPLOAD_LIMIT=20Mbps peer config show --config peer.toml", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			t := tabwriter.NewWriter(os.Stdout, 2, 8, 2, ' ', 0)
			fmt.Fprintln(t, "SETTING\tVALUE\tFROM")
			for _, n := range slices.Sorted(maps.Keys(set.from)) {
				fmt.Fprintf(t, "%s\t%s\t%s\n", n, cmd.Flags().Lookup(n).Value, set.from[n])
			}
			return t.Flush()
		}}
	set.bind(show)
	cmd.AddCommand(show)
	return cmd
}

func versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Show versions and protocol ids", Example: "  peer version", Args: exactly(),
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
