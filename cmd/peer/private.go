package main

// This file answers: how do publish, play and relay take part in private streams?

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/internal/node/token"
	"github.com/braidway/braidway/stream"
)

// ledgerSuffix is what a ledger's name has more than its key's.
const ledgerSuffix = ".tokens"

// privateFlags are publish's.
type privateFlags struct {
	on     bool
	ledger string
	rotate time.Duration
}

func (p *privateFlags) bind(f *pflag.FlagSet) {
	f.BoolVar(&p.on, "private", false, "encrypt the stream end to end, and let only those in who have a token (peer token); needs --key or --stream-key")
	f.StringVar(&p.ledger, "tokens", "", "`FILE` in which peer token keeps count of the tokens (default: the key's file with "+ledgerSuffix+")")
	f.DurationVar(&p.rotate, "rotate", node.DefaultRotate, fmt.Sprintf("how often a private stream changes its content key, %v to %v", node.LeastRotate, node.MostRotate))
}

// check looks at the ranges; streamKey is --stream-key.
func (p *privateFlags) check(set *settings, streamKey string) error {
	switch {
	case !p.on:
		return nil
	case streamKey == "" && set.key == "":
		return usagef("--private needs a key that stays, or no token could be issued: give --key FILE, or --stream-key FILE")
	case p.rotate < node.LeastRotate || p.rotate > node.MostRotate:
		return set.from.outside("rotate", p.rotate, fmt.Sprintf("%v to %v", node.LeastRotate, node.MostRotate))
	}
	if p.ledger == "" {
		p.ledger = ledgerOf(streamKey, set.key)
	}
	return nil
}

// ledgerOf returns the ledger of the first key file that is named.
func ledgerOf(keys ...string) string {
	for _, k := range keys {
		if k != "" {
			return k + ledgerSuffix
		}
	}
	return ""
}

// config is the node's; nil: the stream is not private.
func (p *privateFlags) config() *node.PrivateConfig {
	if !p.on {
		return nil
	}
	return &node.PrivateConfig{Ledger: p.ledger, Rotate: p.rotate}
}

// tokenFlag is --token of play and relay.
type tokenFlag struct{ values []string }

func (t *tokenFlag) bind(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&t.values, "token", nil, "`FILE` with the token for a private stream, or in "+envName("token")+" the token itself; repeatable")
}

// of returns the credential for a link; "" where it needs none.
func (t *tokenFlag) of(link stream.Link) (string, error) {
	if link.Private == nil {
		return "", nil
	}
	if len(t.values) == 0 {
		return "", usagef("the stream %v is private: give the token that its publisher issued with --token FILE, or in %s", link.ID, envName("token"))
	}
	var last error
	for _, v := range t.values {
		text, err := readToken(v)
		if err == nil {
			_, tok, e := token.ParseCredential(text, link.PublicKey)
			if err = e; err == nil && tok.Stream == link.ID {
				return text, nil
			} else if err == nil {
				err = fmt.Errorf("it is for stream %v", tok.Stream)
			}
		}
		last = err
	}
	return "", fmt.Errorf("--token: none for stream %v: %w", link.ID, last)
}

// readToken returns a token that is given itself, or in a file; - is standard input.
func readToken(v string) (string, error) {
	if strings.HasPrefix(v, "eyJ") { // the base64url of {", with which every one begins
		return v, nil
	}
	in := io.Reader(os.Stdin)
	if v != "-" {
		f, err := os.Open(v)
		if err != nil {
			return "", fmt.Errorf("token: %w", err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, 2*token.MaxCredential+1))
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// hiddenFlags are play's, for who does not want to be known.
type hiddenFlags struct {
	via      []string
	unlisted bool
}

func (h *hiddenFlags) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&h.via, "relay-only-via", nil, "`MULTIADDR` of a relay, with /p2p/: talk to it and to others named so, and to nobody else; repeatable")
	f.BoolVar(&h.unlisted, "unlisted", false, "leave others no address of this peer that they could pass on: listen on nothing, be announced nowhere")
}

// tune changes the node's configuration.
func (h *hiddenFlags) tune(c *node.Config) error {
	c.Unlisted = h.unlisted
	for _, v := range h.via {
		ai, err := peer.AddrInfoFromString(v)
		if err != nil {
			return usagef("--relay-only-via %s: %w; write for example /ip4/192.0.2.1/udp/4001/quic-v1/p2p/12D3…", v, err)
		}
		c.Only = append(c.Only, *ai)
	}
	return nil
}

// readSecret returns the content of a small file that others may not read; "" for none.
func readSecret(flag, file string) (string, error) {
	if file == "" {
		return "", nil
	}
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return "", fmt.Errorf("--%s: %w", flag, err)
	case !info.Mode().IsRegular() || info.Size() > 4096:
		return "", fmt.Errorf("--%s %s: not a file of at most 4096 bytes", flag, file)
	case info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows":
		return "", fmt.Errorf("--%s %s has mode %04o, so others on this machine can read it: run chmod 600 %s", flag, file, info.Mode().Perm(), file)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("--%s: %w", flag, err)
	}
	return strings.TrimSpace(string(b)), nil
}
