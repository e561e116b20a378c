package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/stream"
)

func relayCommand() *cobra.Command {
	set := &settings{}
	cmd := &cobra.Command{
		Use:     "relay LINK...",
		Short:   "Relay streams, play nothing",
		Example: "  peer relay 'braidway://…' --upload-limit 50Mbps",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("LINK is missing")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var links []stream.Link
			for _, a := range args {
				link, err := parseLink(a)
				if err != nil {
					return err
				}
				links = append(links, link)
			}
			var sessions []*node.Session
			r, err := set.open(cmd, func() bool { return true })
			if err != nil {
				return err
			}
			for _, link := range links {
				s, err := r.Join(link, node.SessionConfig{Role: node.RoleRelay})
				if err != nil {
					_ = r.leave()
					return err
				}
				sessions = append(sessions, s)
			}
			printAddrs(r)
			for _, s := range sessions {
				go func() {
					select {
					case <-s.Started():
						set.logger().Info("relaying", "stream", s.ID())
					case <-r.ctx.Done():
					}
				}()
			}
			<-r.ctx.Done()
			return r.leave()
		},
	}
	set.addFlags(cmd.Flags())
	return cmd
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
		Example: "  peer bootstrap --key boot.key --listen /ip4/0.0.0.0/udp/4001/quic-v1",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := set.load(cmd); err != nil {
				return err
			}
			cfg, err := set.nodeConfig()
			if err != nil {
				return err
			}
			cfg.DHT.Mode, cfg.Host.Public = p2p.ModeServer, true
			n, err := node.New(cfg)
			if err != nil {
				return err
			}
			r := &running{Node: n, set: set, ctx: cmd.Context()}
			if set.admin != "off" {
				if r.admin, err = n.StartAdmin(node.AdminConfig{Addr: set.admin, Pprof: set.pprof}); err != nil {
					_ = n.Close()
					return err
				}
				cfg.Log.Info("admin API", "addr", "http://"+r.admin.Addr)
			}
			printAddrs(r)
			<-r.ctx.Done()
			return r.leave()
		},
	}
	set.addFlags(cmd.Flags())
	return cmd
}
