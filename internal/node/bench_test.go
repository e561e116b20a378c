package node

// Relay egress, ours beside raw quic-go and a plain libp2p copy relay, in one
// run: go test -run '^$' -bench RelayEgress -benchtime 1x ./internal/node
//
// One source, one relay, eight receivers, all in this process and on the
// loopback interface, so CPU is that of all ten; what differs is the relay
// (and, in ours, that the source signs). Receivers discard what they read.

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/quic-go/quic-go"

	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/stream"
)

const (
	benchReceivers = 8
	benchVolume    = 48 << 20 // bytes from the source at full speed
	benchPaced     = 4 * time.Second
	benchRate      = 8_000_000 / 8 // bytes a second, paced
	benchAhead     = 2 << 20       // most bytes that the source is ahead of the slowest receiver
)

// load feeds write and waits until every receiver has everything, or all that is wanted.
type load struct {
	got [benchReceivers]atomic.Int64
}

func (l *load) slowest() int64 {
	least := l.got[0].Load()
	for i := range l.got {
		least = min(least, l.got[i].Load())
	}
	return least
}

// receiver counts what it discards.
func (l *load) receiver(i int, r io.Reader) {
	b := make([]byte, 64<<10)
	for {
		n, err := r.Read(b)
		l.got[i].Add(int64(n))
		if err != nil {
			return
		}
	}
}

// run returns wall time, CPU time and bytes that all receivers got.
func (l *load) run(paced bool, write func([]byte)) (wall, cpu time.Duration, bytes int64) {
	base, cpu0, start := l.slowest(), cpuTime(), time.Now()
	var total int64
	for i := range l.got {
		total -= l.got[i].Load()
	}
	chunk := make([]byte, 16<<10)
	sent := int64(0)
	for paced && time.Since(start) < benchPaced || !paced && sent < benchVolume {
		if paced {
			if want := int64(time.Since(start).Seconds() * benchRate); sent+int64(len(chunk)) > want {
				time.Sleep(5 * time.Millisecond)
				continue
			}
		} else if sent-(l.slowest()-base) > benchAhead {
			time.Sleep(100 * time.Microsecond)
			continue
		}
		write(chunk)
		sent += int64(len(chunk))
	}
	for limit := time.Now().Add(10 * time.Second); l.slowest()-base < sent*98/100 && time.Now().Before(limit); {
		time.Sleep(time.Millisecond)
	}
	wall, cpu = time.Since(start), cpuTime()-cpu0
	for i := range l.got {
		total += l.got[i].Load()
	}
	return wall, cpu, total
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// copyRelay copies one reader to many writers, each with a queue and a goroutine.
func copyRelay(in io.Reader, outs []io.Writer) {
	queues := make([]chan []byte, len(outs))
	for i, o := range outs {
		q := make(chan []byte, 32)
		queues[i] = q
		go func() {
			for b := range q {
				if _, err := o.Write(b); err != nil {
					return
				}
			}
		}()
	}
	for {
		b := make([]byte, 64<<10)
		n, err := in.Read(b)
		if n > 0 {
			for _, q := range queues {
				q <- b[:n]
			}
		}
		if err != nil {
			for _, q := range queues {
				close(q)
			}
			return
		}
	}
}

type fixture struct {
	load  *load
	write func([]byte)
	close func()
}

func quicFixture(b *testing.B) fixture {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1)}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		b.Fatal(err)
	}
	srv := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}}, NextProtos: []string{"bench"}}
	cli := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"bench"}} //nolint:gosec // a benchmark on the loopback interface
	cfg := &quic.Config{MaxStreamReceiveWindow: 16 << 20, MaxConnectionReceiveWindow: 15 << 20}
	var f fixture
	f.load = &load{}
	ctx, cancel := context.WithCancel(context.Background())
	var closers []func()
	listen := func() *quic.Listener {
		ln, err := quic.ListenAddr("127.0.0.1:0", srv, cfg)
		if err != nil {
			b.Fatal(err)
		}
		closers = append(closers, func() { _ = ln.Close() })
		return ln
	}
	dial := func(ln *quic.Listener) *quic.SendStream {
		c, err := quic.DialAddr(ctx, ln.Addr().String(), cli, cfg)
		if err != nil {
			b.Fatal(err)
		}
		closers = append(closers, func() { _ = c.CloseWithError(0, "") })
		st, err := c.OpenUniStream()
		if err != nil {
			b.Fatal(err)
		}
		return st
	}
	accept := func(ln *quic.Listener, use func(io.Reader)) {
		go func() {
			c, err := ln.Accept(ctx)
			if err != nil {
				return
			}
			st, err := c.AcceptUniStream(ctx)
			if err == nil {
				use(st)
			}
		}()
	}
	var outs []io.Writer
	for i := range benchReceivers {
		ln := listen()
		accept(ln, func(r io.Reader) { f.load.receiver(i, r) })
		outs = append(outs, dial(ln))
	}
	ln := listen()
	accept(ln, func(r io.Reader) { copyRelay(r, outs) })
	src := dial(ln)
	f.write = func(p []byte) { _, _ = src.Write(p) }
	f.close = func() {
		cancel()
		for _, c := range closers {
			c()
		}
	}
	return f
}

func benchHost(b *testing.B) *p2p.Host {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	h, err := p2p.NewHost(p2p.HostConfig{Key: key, Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, AllowLoopback: true})
	if err != nil {
		b.Fatal(err)
	}
	return h
}

func libp2pFixture(b *testing.B) fixture {
	const proto protocol.ID = "/bench"
	var f fixture
	f.load = &load{}
	ctx := context.Background()
	hosts := []*p2p.Host{benchHost(b), benchHost(b)}
	source, relay := hosts[0], hosts[1]
	open := func(from, to *p2p.Host) network.Stream {
		if err := from.Connect(ctx, to.AddrInfo()); err != nil {
			b.Fatal(err)
		}
		st, err := from.NewStream(ctx, to.ID(), proto)
		if err != nil {
			b.Fatal(err)
		}
		return st
	}
	var outs []io.Writer
	for i := range benchReceivers {
		h := benchHost(b)
		hosts = append(hosts, h)
		h.SetStreamHandler(proto, func(st network.Stream) { f.load.receiver(i, st) })
		outs = append(outs, open(relay, h))
	}
	relay.SetStreamHandler(proto, func(st network.Stream) { copyRelay(st, outs) })
	src := open(source, relay)
	f.write = func(p []byte) { _, _ = src.Write(p) }
	f.close = func() {
		for _, h := range hosts {
			_ = h.Close()
		}
	}
	return f
}

// braidwayFixture is a publisher, our relay, and receivers that speak the
// protocol by hand and verify nothing.
func braidwayFixture(b *testing.B) fixture {
	var f fixture
	f.load = &load{}
	newNode := func() *Node {
		_, key, _ := ed25519.GenerateKey(rand.Reader)
		n, err := New(Config{NoMDNS: true, Host: p2p.HostConfig{Key: key, Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, AllowLoopback: true}})
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	pn, rn := newNode(), newNode()
	p, err := pn.Publish(context.Background(), PublishConfig{Name: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	r, err := rn.Join(p.Link(), SessionConfig{Role: RoleRelay})
	if err != nil {
		b.Fatal(err)
	}
	written := 0
	f.write = func(c []byte) {
		if written%(1<<20) == 0 {
			_ = p.StartGroup(nil)
		}
		_, _ = p.Write(c)
		written += len(c)
		if p.builder.Pending() >= 256<<10 {
			p.flush()
		}
	}
	for range 64 {
		f.write(make([]byte, 16<<10))
	}
	<-r.Started()
	r.Do(func() { r.core.Step(r.Now(), overlay.Event{Kind: overlay.EvSlots, Slots: 4 * benchReceivers * 2}, nil) })
	id := p.ID()
	var ready sync.WaitGroup
	var hosts []*p2p.Host
	for i := range benchReceivers {
		h := benchHost(b)
		hosts = append(hosts, h)
		ready.Add(4)
		h.SetStreamHandler(DataProtocol, func(st network.Stream) {
			br := bufio.NewReaderSize(st, 64<<10)
			if _, err := io.CopyN(io.Discard, br, dataHeader); err != nil {
				return
			}
			ready.Done()
			f.load.receiver(i, br)
		})
		if err := h.Connect(context.Background(), rn.Host().AddrInfo()); err != nil {
			b.Fatal(err)
		}
		ctl, err := h.NewStream(context.Background(), rn.Host().ID(), ControlProtocol)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = ctl.Write(appendFrame(nil, frameOpen, id[:]))
		cr := bufio.NewReader(ctl)
		if _, _, err := readFrame(cr, maxFrame); err != nil {
			b.Fatal(err)
		}
		say := func(m overlay.Message) []byte { return appendFrame(nil, frameMessage, overlay.AppendMessage(nil, m)) }
		_, _ = ctl.Write(append(appendFrame(nil, frameReady, nil), say(overlay.Hello{})...))
		for s := range uint8(4) {
			_, _ = ctl.Write(say(overlay.Subscribe{Stripe: s, Latest: true}))
		}
		go func() { _, _ = io.Copy(io.Discard, cr) }()
		go func() {
			for {
				if _, err := ctl.Write(say(overlay.Unsubscribe{Stripe: 15})[:0]); err != nil {
					return
				}
				if _, err := ctl.Write(say(overlay.Shuffle{Reply: true})); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
	}
	ready.Wait()
	f.close = func() {
		for _, h := range hosts {
			_ = h.Close()
		}
		_ = rn.Close()
		_ = pn.Close()
	}
	return f
}

func BenchmarkRelayEgress(b *testing.B) {
	for _, mode := range []string{"full", "paced"} {
		var quicRate, libCPU float64
		for _, kind := range []struct {
			name string
			make func(*testing.B) fixture
		}{{"quic-go", quicFixture}, {"libp2p", libp2pFixture}, {"braidway", braidwayFixture}} {
			b.Run(mode+"/"+kind.name, func(b *testing.B) {
				f := kind.make(b)
				defer f.close()
				b.ResetTimer()
				var wall, cpu time.Duration
				var n int64
				for b.Loop() {
					w, c, m := f.load.run(mode == "paced", f.write)
					wall, cpu, n = wall+w, cpu+c, n+m
				}
				rate, cost := float64(n)*8/1e9/wall.Seconds(), cpu.Seconds()/(float64(n)/1e9)
				b.ReportMetric(rate, "Gbit/s")
				b.ReportMetric(cost, "CPU-s/GB")
				switch kind.name {
				case "quic-go":
					quicRate = rate
				case "libp2p":
					libCPU = cost
				case "braidway":
					b.ReportMetric(rate/quicRate, "×quic-egress")
					b.ReportMetric(cost/libCPU, "×libp2p-CPU")
				}
			})
		}
	}
}

func BenchmarkSignAndVerify(b *testing.B) {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	id := stream.NewID(pubOf(key), "bench")
	objects := make([]stream.Object, 2)
	for i := range objects {
		objects[i] = stream.Object{Header: stream.Header{Epoch: 1, Seq: uint64(i)}, Payload: bytes.Repeat([]byte{1}, 2100)}
	}
	b.Run("sign 2 of 2.1 kB", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := stream.SignBatch(key, id, objects); err != nil {
				b.Fatal(err)
			}
		}
	})
}
