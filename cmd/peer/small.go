package main

// This file answers: what do the small commands do? key, config, version.

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/internal/node/p2p"
)

// identity is what is public of a key.
type identity struct {
	PublicKey string `json:"public_key"` // base64url
	PeerID    string `json:"peer_id"`
}

func keyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "key", Short: "Make and show identities",
		Example: "  peer key new pub.key\n  peer key show pub.key", Args: cobra.ArbitraryArgs, RunE: group}
	add := func(use, short, example string, get func(file string) (ed25519.PrivateKey, error)) {
		var asJSON bool
		sub := &cobra.Command{Use: use, Short: short, Example: example, Args: exactly("FILE"), RunE: func(_ *cobra.Command, args []string) error {
			key, err := get(args[0])
			if err != nil {
				return err
			}
			pub := key.Public().(ed25519.PublicKey)
			id, err := p2p.PeerID(pub)
			if err != nil {
				return err
			}
			is := identity{base64.RawURLEncoding.EncodeToString(pub), id.String()}
			if asJSON {
				return writeJSON(os.Stdout, is)
			}
			fmt.Printf("public key  %s\npeer id     %s\n", is.PublicKey, is.PeerID)
			return nil
		}}
		sub.Flags().BoolVar(&asJSON, "json", false, "as JSON")
		cmd.AddCommand(sub)
	}
	add("new FILE", "Make an identity", "  peer key new pub.key", func(file string) (ed25519.PrivateKey, error) {
		key, err := p2p.NewKey(file)
		if errors.Is(err, fs.ErrExist) {
			err = fmt.Errorf("%s exists already and is not overwritten", file)
		}
		return key, err
	})
	add("show FILE", "Show an identity's public key and peer id", "  peer key show pub.key\n  peer key show pub.key --json", p2p.LoadKey)
	return cmd
}

// setting is one of config show's.
type setting struct {
	Value string `json:"value"`
	From  string `json:"from"`
}

func configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Show settings",
		Example: "  peer config show", Args: cobra.ArbitraryArgs, RunE: group}
	set := &settings{}
	var asJSON bool
	show := &cobra.Command{Use: "show", Short: "Print the settings in force and where each comes from",
		Long: `Prints the settings that publish, relay, play and bootstrap have in common, each
with its value and where that comes from: a flag, an environment variable
(--upload-limit is BRAIDWAY_UPLOAD_LIMIT), the file of --config, or the default.`,
		Example: "  peer config show\n  BRAIDWAY_UPLOAD_LIMIT=20Mbps peer config show --config peer.toml\n  peer config show --json", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all := make(map[string]setting)
			for n, from := range set.from {
				if n != "json" { // of this command alone
					all[n] = setting{cmd.Flags().Lookup(n).Value.String(), from}
				}
			}
			if asJSON {
				return writeJSON(os.Stdout, all)
			}
			t := tabwriter.NewWriter(os.Stdout, 2, 8, 2, ' ', 0)
			fmt.Fprintln(t, "SETTING\tVALUE\tFROM")
			for _, n := range slices.Sorted(maps.Keys(all)) {
				fmt.Fprintf(t, "%s\t%s\t%s\n", n, all[n].Value, all[n].From)
			}
			return t.Flush()
		}}
	show.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	set.bind(show)
	cmd.AddCommand(show)
	return cmd
}

// versions is what version prints.
type versions struct {
	Braidway  string   `json:"braidway"`
	Go        string   `json:"go"`
	Libp2p    string   `json:"libp2p"`
	Protocols []string `json:"protocols"`
}

func versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{Use: "version", Short: "Show versions and protocol ids", Example: "  peer version\n  peer version --json", Args: exactly(), RunE: func(*cobra.Command, []string) error {
		v := versions{version(), runtime.Version(), "unknown", []string{string(node.ControlProtocol), string(node.ControlProtocol1), string(node.DataProtocol), string(node.PrivateProtocol), string(node.LeaseProtocol), string(p2p.DHTPrefix + "/kad/1.0.0")}}
		if bi, ok := debug.ReadBuildInfo(); ok {
			for _, m := range bi.Deps {
				if m.Path == "github.com/libp2p/go-libp2p" {
					v.Libp2p = m.Version
				}
			}
		}
		if asJSON {
			return writeJSON(os.Stdout, v)
		}
		fmt.Printf("braidway   %s\ngo         %s\nlibp2p     %s\nprotocols  %s\n", v.Braidway, v.Go, v.Libp2p, strings.Join(v.Protocols, " "))
		return nil
	}}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}
