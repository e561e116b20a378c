package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/stream"
)

func relayCommand() *cobra.Command {
	set := &settings{}
	var timeout time.Duration
	var tokens tokenFlag
	cmd := &cobra.Command{
		Use:   "relay LINK...",
		Short: "Relay streams, play nothing",
		Long:  "Relays the streams of one or more links, and plays nothing. Prints its multiaddrs.",
		Example: "  peer relay 'braidway://…' --upload-limit 50Mbps\n" +
			"  peer relay 'braidway://…' 'braidway://…' --key relay.key --listen /ip4/0.0.0.0/udp/4001/quic-v1",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("LINK is missing")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if timeout < 0 {
				return set.from.outside("timeout", timeout, "0s (never) and more")
			}
			var links []stream.Link
			for _, a := range args {
				link, err := parseLink(a)
				if err != nil {
					return err
				}
				links = append(links, link)
			}
			r, err := set.open(cmd, nil)
			if err != nil {
				return err
			}
			return errors.Join(relay(r, links, &tokens, timeout), r.leave())
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up when a stream is not found within; 0s: never")
	tokens.bind(cmd)
	set.bind(cmd)
	return cmd
}

// relay runs until ctx ends, a token counts no more, or one of the streams is not found in time.
func relay(r *running, links []stream.Link, tokens *tokenFlag, timeout time.Duration) error {
	lost := make(chan error, 2*len(links))
	for _, link := range links {
		credential, err := tokens.of(link)
		if err != nil {
			return err
		}
		s, err := r.Join(link, node.SessionConfig{Role: node.RoleRelay, Token: credential})
		if err != nil {
			return err
		}
		go func() {
			select {
			case <-s.Denied():
				lost <- s.DeniedFor()
			case <-r.ctx.Done():
			}
		}()
		go func() {
			err := r.waitStarted(s, timeout)
			if err == nil {
				r.set.logger().Info("relaying", "stream", s.ID())
			} else if r.ctx.Err() == nil {
				lost <- err
			}
		}()
	}
	r.begun.Store(true)
	printAddrs(r)
	select {
	case err := <-lost:
		return err
	case <-r.ctx.Done():
		return nil
	}
}

func printAddrs(r *running) {
	for _, a := range r.Host().P2PAddrs() {
		fmt.Println(a)
	}
}

func bootstrapCommand() *cobra.Command {
	set := &settings{}
	cmd := &cobra.Command{
		Use:     "bootstrap",
		Short:   "Run a DHT node for others to start from",
		Long:    "Runs a DHT node that others name with --bootstrap. It must be reachable from everywhere. Prints its multiaddrs.",
		Example: "  peer bootstrap --key boot.key --listen /ip4/0.0.0.0/udp/4001/quic-v1",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := set.open(cmd, func(cfg *node.Config) error {
				cfg.DHT.Mode, cfg.Host.Public = p2p.ModeServer, true
				return nil
			})
			if err != nil {
				return err
			}
			r.begun.Store(true)
			printAddrs(r)
			<-r.ctx.Done()
			return r.leave()
		},
	}
	set.bind(cmd)
	return cmd
}
