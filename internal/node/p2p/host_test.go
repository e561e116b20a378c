package p2p

// This file answers: does a host listen where it was told to, name itself, and
// vanish without a goodbye when it is cut off?

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	ma "github.com/multiformats/go-multiaddr"
)

func TestAPortInUseIsNamedWithTheFix(t *testing.T) {
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = udp.Close() }()
	_, port, _ := net.SplitHostPort(udp.LocalAddr().String())
	// A libp2p host shares TCP ports (SO_REUSEPORT) unless it asks.
	first := newHost(t, HostConfig{Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	tcp, err := first.Addrs()[0].ValueForProtocol(6)
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{"/ip4/127.0.0.1/udp/" + port + "/quic-v1", "/ip4/127.0.0.1/tcp/" + tcp} {
		h, err := NewHost(HostConfig{Key: newKey(t), Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1", addr}})
		var le *ListenError
		if h != nil || !errors.As(err, &le) || le.Addr != addr || !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatalf("%s: %v", addr, err)
		}
		for _, want := range []string{addr, "already in use", "choose another port"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q lacks %q", err, want)
			}
		}
	}
}

func TestABadListenAddressIsNamed(t *testing.T) {
	for addr, want := range map[string]string{
		"0.0.0.0:4001":                    "not a multiaddr",
		"/ip4/127.0.0.1/udp/0":            "not QUIC or TCP",
		"/ip4/198.51.100.7/udp/0/quic-v1": "no interface",
	} {
		_, err := NewHost(HostConfig{Key: newKey(t), Listen: []string{addr}})
		var le *ListenError
		if !errors.As(err, &le) || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

func TestLimitsOutOfRangeAreNamed(t *testing.T) {
	for want, l := range map[string]Limits{
		"Conns is 3, allowed is 16 to 65536":  {Conns: 3},
		"Streams is 1, allowed is 256":        {Streams: 1},
		"Memory is 1, allowed is 67108864":    {Memory: 1},
		"ConnsPerIP is 2000, allowed is 1 to": {ConnsPerIP: 2000},
	} {
		if _, err := NewHost(HostConfig{Key: newKey(t), Limits: l}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", l, err, want)
		}
	}
}

func TestADefaultHostIsReachedOverQUICAndTCP(t *testing.T) {
	ctx := within(t, 10*time.Second)
	h := newHost(t, HostConfig{Version: "1.2.3", NAT: false, RelayService: true, Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"}})
	if n := len(h.P2PAddrs()); n != 2 {
		t.Fatalf("%d addresses: %v", n, h.P2PAddrs())
	}
	for _, a := range h.Addrs() {
		c := newHost(t, HostConfig{})
		if strings.Contains(a.String(), "/tcp/") {
			c = newHost(t, HostConfig{Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
		}
		ai := h.AddrInfo()
		ai.Addrs = ai.Addrs[:0:0]
		ai.Addrs = append(ai.Addrs, a)
		if err := c.Connect(ctx, ai); err != nil {
			t.Fatalf("%s: %v", a, err)
		}
		if v, err := c.Peerstore().Get(h.ID(), "AgentVersion"); err != nil || v != "braidway/1.2.3" {
			t.Errorf("agent %v, error %v", v, err)
		}
	}
}

func TestConnectionsFromOneAddressAreLimitedOnlyWhenItIsPublic(t *testing.T) {
	// Asked of the resource manager itself: on loopback libp2p's defaults allow
	// as much as ours do, so real hosts would show nothing.
	l := Limits{Conns: 256, ConnsPerIP: 40}.withDefaults()
	for addr, want := range map[string]int{
		"/ip4/192.168.1.5/udp/1/quic-v1":  100,
		"/ip6/fd00::5/udp/1/quic-v1":      100,
		"/ip4/198.51.100.7/udp/1/quic-v1": 40,
		"/ip6/2001:db8::7/udp/1/quic-v1":  40,
	} {
		rm, err := newResourceManager(l, false)
		if err != nil {
			t.Fatal(err)
		}
		let := 0
		for range 100 {
			if _, err := rm.OpenConnection(network.DirInbound, false, ma.StringCast(addr)); err == nil {
				let++
			}
		}
		if let != want {
			t.Errorf("%s: %d of 100 connections let in, want %d", addr, let, want)
		}
		if err := rm.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

const echoID protocol.ID = "/braidway-test/echo/1"

// pinger keeps a byte going to and fro between two hosts.
type pinger struct {
	s     network.Stream
	pongs chan struct{}
	ended chan error
}

func startPinger(t *testing.T, ctx context.Context, from, to *Host) *pinger {
	t.Helper()
	to.SetStreamHandler(echoID, func(s network.Stream) {
		_, _ = io.Copy(s, s)
		_ = s.Close()
	})
	if err := from.Connect(ctx, to.AddrInfo()); err != nil {
		t.Fatal(err)
	}
	s, err := from.NewStream(ctx, to.ID(), echoID)
	if err != nil {
		t.Fatal(err)
	}
	p := &pinger{s: s, pongs: make(chan struct{}, 1), ended: make(chan error, 1)}
	t.Cleanup(func() { _ = s.Reset() })
	go func() {
		b := make([]byte, 1)
		for {
			if _, err := s.Write(b); err != nil {
				p.ended <- err
				return
			}
			if _, err := io.ReadFull(s, b); err != nil {
				p.ended <- err
				return
			}
			select {
			case p.pongs <- struct{}{}:
			default:
			}
		}
	}()
	return p
}

func (p *pinger) alive(t *testing.T, ctx context.Context) {
	t.Helper()
	for range 3 { // one may have been waiting since before
		select {
		case <-p.pongs:
		case err := <-p.ended:
			t.Fatalf("the stream ended: %v", err)
		case <-ctx.Done():
			t.Fatal("no answer any more")
		}
	}
}

// silent checks that nothing is heard for d, not even a close.
func (p *pinger) silent(t *testing.T, d time.Duration) {
	t.Helper()
	quiet := time.After(d)
	for heard := 0; ; {
		select {
		case <-quiet:
			return
		case err := <-p.ended:
			t.Fatalf("the stream ended: %v", err)
		case <-p.pongs:
			if heard++; heard > 2 { // what was in flight, and what waited in pongs
				t.Fatal("still answering")
			}
		}
	}
}

func TestACutPeerFallsSilentWithoutAGoodbye(t *testing.T) {
	ctx := within(t, 15*time.Second)
	fault := new(Fault)
	a, b := newHost(t, HostConfig{}), newHost(t, HostConfig{Fault: fault})
	p := startPinger(t, ctx, a, b)
	p.alive(t, ctx)
	fault.Cut()
	p.silent(t, time.Second)
	// Closing it says nothing either.
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	p.silent(t, time.Second)
	if a.Network().Connectedness(b.ID()) != network.Connected {
		t.Fatal("the other side has noticed")
	}
}

func TestAFrozenPeerGoesOnAfterItsThaw(t *testing.T) {
	ctx := within(t, 15*time.Second)
	fault := new(Fault)
	a, b := newHost(t, HostConfig{}), newHost(t, HostConfig{Fault: fault})
	p := startPinger(t, ctx, a, b)
	p.alive(t, ctx)
	fault.Freeze()
	p.silent(t, 500*time.Millisecond)
	fault.Thaw()
	p.alive(t, ctx)
	fault.Freeze()
	closed := make(chan error, 1)
	go func() { closed <- b.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Fatal(err)
		}
	case <-ctx.Done():
		t.Fatal("closing a frozen host waits for a thaw")
	}
}

func TestAFaultReachesSocketsThatAreNotTheKernels(t *testing.T) {
	ctx := within(t, 15*time.Second)
	fault := new(Fault)
	plain := func(network string, laddr *net.UDPAddr) (net.PacketConn, error) {
		c, err := net.ListenUDP(network, laddr)
		return struct{ net.PacketConn }{c}, err
	}
	a, b := newHost(t, HostConfig{}), newHost(t, HostConfig{Fault: fault, ListenPacket: plain})
	p := startPinger(t, ctx, a, b)
	p.alive(t, ctx)
	fault.Cut()
	p.silent(t, 500*time.Millisecond)
}

func TestAFaultedHostHasNoTCP(t *testing.T) {
	h := newHost(t, HostConfig{Fault: new(Fault), Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"}})
	if len(h.Addrs()) != 1 || strings.Contains(h.Addrs()[0].String(), "tcp") {
		t.Fatalf("listens on %v", h.Addrs())
	}
	if _, err := NewHost(HostConfig{Key: newKey(t), Fault: new(Fault), Listen: []string{"/ip4/127.0.0.1/tcp/0"}}); err == nil {
		t.Fatal("a faulted host without QUIC started")
	}
}

func TestAHostListensOnQUICAndTCPWhenNotTold(t *testing.T) {
	h, err := NewHost(HostConfig{Key: newKey(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	var quic, tcp bool
	for _, a := range h.P2PAddrs() {
		quic = quic || strings.Contains(a.String(), "/quic-v1/p2p/"+h.ID().String())
		tcp = tcp || strings.Contains(a.String(), "/tcp/")
	}
	if !quic || !tcp {
		t.Fatalf("addresses %v", h.P2PAddrs())
	}
}

func TestLoopbackIsAdvertisedOnlyWhenThereIsNothingElse(t *testing.T) {
	loop, lan := ma.StringCast("/ip4/127.0.0.1/udp/1/quic-v1"), ma.StringCast("/ip4/192.168.1.2/udp/1/quic-v1")
	both := []ma.Multiaddr{loop, lan}
	if got := advertised(false)(both); len(got) != 1 || !got[0].Equal(lan) {
		t.Errorf("advertises %v", got)
	}
	if got := advertised(false)(both[:1]); len(got) != 1 {
		t.Errorf("advertises %v", got)
	}
	if got := advertised(true)(both); len(got) != 2 {
		t.Errorf("advertises %v", got)
	}
}

func TestAnUnreachablePeerIsReachedThroughARelay(t *testing.T) {
	ctx := within(t, 15*time.Second)
	relay := newHost(t, HostConfig{RelayService: true, Public: true})
	hidden, other := newHost(t, HostConfig{}), newHost(t, HostConfig{})
	if err := hidden.Connect(ctx, relay.AddrInfo()); err != nil {
		t.Fatal(err)
	}
	for { // the service starts in the background
		_, err := client.Reserve(ctx, hidden.Host, relay.AddrInfo())
		if err == nil {
			break
		}
		if !sleep(ctx, 20*time.Millisecond) {
			t.Fatal(err)
		}
	}
	circuit := ma.StringCast(relay.P2PAddrs()[0].String() + "/p2p-circuit")
	if err := other.Connect(network.WithAllowLimitedConn(ctx, "test"), peer.AddrInfo{ID: hidden.ID(), Addrs: []ma.Multiaddr{circuit}}); err != nil {
		t.Fatal(err)
	}
	if c := other.Network().Connectedness(hidden.ID()); c != network.Limited {
		t.Fatalf("connectedness %v", c)
	}
}
