// Command hostilepeer is an attacker as a real process, for tests on this machine
// alone: the live runtime around an adversary.Core. It takes part in the stream
// of a link until it is killed. A polluter is honest until its first SIGINT, so
// that a test can let it have children first.
package main

import (
	"crypto/ed25519"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/sim/adversary"
	"github.com/braidway/braidway/stream"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "hostilepeer:", err)
		os.Exit(1)
	}
}

// spoiler breaks a byte of every object before it is passed on: what the observer
// is shown is what is kept for others.
type spoiler struct{ told atomic.Bool }

func (*spoiler) Started(time.Duration, uint64, uint64)                {}
func (*spoiler) Traced(time.Duration, overlay.Trace, *overlay.Action) {}
func (s *spoiler) Delivered(_ time.Duration, o *stream.Parsed) { // its own window holds the same bytes
	if s.told.Load() && len(o.Payload) > 0 {
		o.Payload[len(o.Payload)/2] ^= 1
	}
}

func run() error {
	attack := flag.String("attack", "", "one of "+strings.Join(adversary.Attacks(), ", "))
	number := flag.Int("number", 0, "among the attackers")
	objects := flag.Float64("objects", 80, "objects of the stream in a second")
	stripes := flag.Int("stripes", 4, "of the stream")
	listen := flag.String("listen", "/ip4/127.0.0.1/udp/0/quic-v1", "multiaddr, on this machine")
	admin := flag.String("admin", "127.0.0.1:0", "address of the admin API")
	bootstrap := flag.String("bootstrap", "", "multiaddr of a DHT node")
	flag.Bool("no-mdns", true, "mDNS is never used")
	link := flag.String("link", "", "of the stream")
	flag.Parse()
	if !slices.Contains(adversary.Attacks(), *attack) {
		return fmt.Errorf("--attack is %q, allowed is one of %s", *attack, strings.Join(adversary.Attacks(), ", "))
	}
	l, err := stream.ParseLink(*link)
	if err != nil {
		return err
	}
	if a, err := ma.NewMultiaddr(*listen); err != nil {
		return fmt.Errorf("--listen: %w", err)
	} else if ip, err := a.ValueForProtocol(ma.P_IP4); err != nil || !net.ParseIP(ip).IsLoopback() {
		return errors.New("--listen is to be on this machine: this is no tool against others")
	}
	boot, err := peer.AddrInfoFromString(*bootstrap)
	if err != nil {
		return fmt.Errorf("--bootstrap: %w", err)
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	n, err := node.New(node.Config{Host: p2p.HostConfig{Key: key, Listen: []string{*listen}}, DHT: p2p.DHTConfig{Bootstrap: []peer.AddrInfo{*boot}}, NoMDNS: true, Log: log})
	if err != nil {
		return err
	}
	defer func() { _ = n.Close() }()
	cfg := node.SessionConfig{Role: node.RoleRelay, Around: func(c *overlay.Peer, self overlay.PeerID) node.Core {
		return adversary.New(c, adversary.Config{Attack: *attack, Number: *number, Self: self, Stripes: *stripes, Objects: *objects,
			Rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), Strike: 10 * time.Second})
	}}
	if *attack == adversary.Pollute {
		s, told := &spoiler{}, make(chan os.Signal, 1)
		signal.Notify(told, os.Interrupt)
		go func() {
			<-told
			s.told.Store(true)
		}()
		cfg.Observer = s
	}
	if _, err := n.Join(l, cfg); err != nil {
		return err
	}
	a, err := n.StartAdmin(node.AdminConfig{Addr: *admin, Ready: n.Started})
	if err != nil {
		return err
	}
	log.Info("admin API", "addr", "http://"+a.Addr)
	select {}
}
