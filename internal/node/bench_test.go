//go:build unix

package node

// This file answers: what does our relay cost, beside raw quic-go and beside a
// libp2p relay that only copies?
//
//	go test -run '^$' -bench RelayEgress -benchtime 4x ./internal/node
//
// One source, one relay, eight receivers, all in this process and on the
// loopback interface, so CPU time is that of all ten. Only the relays differ:
// every source writes bytes that were made before the clock starts, every
// receiver discards what it reads. Ours is a whole node that verifies and keeps
// every object; its source is its parent and its receivers are its children,
// speaking the protocol by hand, four streams each. The source writes what a
// publisher would: under one signature 16 objects of 16 KiB at full speed, and
// paced the two objects of 12.5 kB that a flush of 25 ms has at 8 Mbit/s, where
// the other sources write 25 kB at once. Bytes are those on the streams.
//
// The machine's speed drifts by more than the relays differ, so the three take
// turns, each on fresh connections that were warmed up, never two at a time;
// a ratio is the median of the rounds' ratios.
// BenchmarkRelayAlone runs one of them, to be profiled.

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
	"runtime"
	"slices"
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
	benchStripes   = 4
	benchAhead     = 2 << 20 // most bytes that the source is ahead of the slowest receiver
	benchWarm      = 4 << 20 // bytes before the clock starts
	benchGroup     = 1 << 20 // bytes of a group
	// benchWait bounds every wait: a relay that stands still fails, it does not hang.
	benchWait = 15 * time.Second
)

// benchMode is how a source writes.
type benchMode struct {
	name   string
	volume int // bytes
	chunk  int // bytes that it writes at once
	batch  int // bytes under one signature
	rate   int // bytes a second; 0: as fast as they are taken
}

var benchModes = []benchMode{
	{name: "full", volume: 48 << 20, chunk: 16 << 10, batch: 256 << 10},
	{name: "paced", volume: 4_000_000, chunk: 25_000, batch: 25_000, rate: 1_000_000},
}

// benchBytes are what all sources write.
var benchBytes = sync.OnceValue(func() []byte {
	b := make([]byte, benchModes[0].volume)
	_, _ = rand.Read(b)
	return b
})

// fixture is a source, a relay and its receivers.
type fixture struct {
	got      [benchReceivers]atomic.Int64 // bytes received
	prepare  func(volume, batch int)      // makes what is written next; nil: nothing to make
	write    func([]byte) (int, error)    // returns the bytes on the streams
	deadline func(time.Time) error        // of write
	dropped  func() int64                 // by the relay, for receivers that were too slow; nil: it cannot
	closers  []func()
}

func (f *fixture) onClose(fn func()) { f.closers = append(f.closers, fn) }

func (f *fixture) close(b *testing.B) {
	done := make(chan struct{})
	go func() {
		for _, c := range slices.Backward(f.closers) {
			c()
		}
		close(done)
	}()
	await(b, done, "closed")
}

// await waits for done and fails if it does not come in time.
func await(b *testing.B, done <-chan struct{}, what string) {
	b.Helper()
	select {
	case <-done:
	case <-time.After(benchWait):
		b.Fatalf("not %s within %v", what, benchWait)
	}
}

// slowest returns how much the receiver with the least has got since base.
func (f *fixture) slowest(base *[benchReceivers]int64) int64 {
	least := f.got[0].Load() - base[0]
	for i := range f.got {
		least = min(least, f.got[i].Load()-base[i])
	}
	return least
}

// receive counts what it discards.
func (f *fixture) receive(i int, r io.Reader) {
	b := make([]byte, 64<<10)
	for {
		n, err := r.Read(b)
		f.got[i].Add(int64(n))
		if err != nil {
			return
		}
	}
}

// run writes volume bytes and waits until every receiver has them; it returns
// wall time, CPU time and the bytes that the relay sent.
func (f *fixture) run(b *testing.B, m benchMode) (wall, cpu time.Duration, sent int64) {
	b.Helper()
	if f.prepare != nil {
		f.prepare(m.volume, m.batch)
	}
	runtime.GC() // no run pays for what was left before it
	var base [benchReceivers]int64
	for i := range base {
		base[i] = f.got[i].Load()
	}
	bytes := benchBytes()
	start, cpu0 := time.Now(), cpuTime()
	limit := start.Add(benchWait)
	if err := f.deadline(limit); err != nil {
		b.Fatal(err)
	}
	wait := func(d time.Duration) {
		if time.Now().After(limit) {
			var got [benchReceivers]int64
			for i := range got {
				got[i] = f.got[i].Load() - base[i]
			}
			dropped := int64(0)
			if f.dropped != nil {
				dropped = f.dropped()
			}
			b.Fatalf("of %d bytes, receivers have %d after %v; groups dropped: %d", sent, got, benchWait, dropped)
		}
		time.Sleep(d)
	}
	for written := 0; written < m.volume; written += m.chunk {
		if m.rate > 0 {
			wait(time.Duration(float64(written+m.chunk)/float64(m.rate)*1e9) - time.Since(start))
		}
		for sent-f.slowest(&base) > benchAhead {
			wait(100 * time.Microsecond)
		}
		n, err := f.write(bytes[written:min(written+m.chunk, m.volume)])
		if err != nil {
			b.Fatalf("source, after %d bytes: %v", sent, err)
		}
		sent += int64(n)
	}
	for f.slowest(&base) < sent {
		wait(100 * time.Microsecond)
	}
	return time.Since(start), cpuTime() - cpu0, sent * benchReceivers
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

// quicFixture is quic-go without libp2p.
func quicFixture(b *testing.B, ctx context.Context, f *fixture) {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1)}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		b.Fatal(err)
	}
	srv := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}}, NextProtos: []string{"bench"}}
	cli := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"bench"}} //nolint:gosec // a benchmark on the loopback interface
	cfg := &quic.Config{MaxStreamReceiveWindow: 16 << 20, MaxConnectionReceiveWindow: 15 << 20}
	listen := func(use func(io.Reader)) *quic.Listener {
		ln, err := quic.ListenAddr("127.0.0.1:0", srv, cfg)
		if err != nil {
			b.Fatal(err)
		}
		f.onClose(func() { _ = ln.Close() })
		go func() {
			c, err := ln.Accept(context.Background())
			if err != nil {
				return
			}
			if st, err := c.AcceptUniStream(context.Background()); err == nil {
				use(st)
			}
		}()
		return ln
	}
	dial := func(ln *quic.Listener) *quic.SendStream {
		c, err := quic.DialAddr(ctx, ln.Addr().String(), cli, cfg)
		if err != nil {
			b.Fatal(err)
		}
		f.onClose(func() { _ = c.CloseWithError(0, "") })
		st, err := c.OpenUniStream()
		if err != nil {
			b.Fatal(err)
		}
		return st
	}
	var outs []io.Writer
	for i := range benchReceivers {
		outs = append(outs, dial(listen(func(r io.Reader) { f.receive(i, r) })))
	}
	src := dial(listen(func(r io.Reader) { copyRelay(r, outs) }))
	f.write, f.deadline = src.Write, src.SetWriteDeadline
}

func benchHost(b *testing.B, f *fixture) *p2p.Host {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	h, err := p2p.NewHost(p2p.HostConfig{Key: key, Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, AllowLoopback: true})
	if err != nil {
		b.Fatal(err)
	}
	f.onClose(func() { _ = h.Close() })
	return h
}

// benchOpen connects two hosts and opens a stream, whose deadline is that of ctx.
func benchOpen(b *testing.B, ctx context.Context, from, to *p2p.Host, proto protocol.ID) network.Stream {
	if err := from.Connect(ctx, to.AddrInfo()); err != nil {
		b.Fatal(err)
	}
	st, err := from.NewStream(ctx, to.ID(), proto)
	if err != nil {
		b.Fatal(err)
	}
	limit, _ := ctx.Deadline()
	_ = st.SetDeadline(limit)
	return st
}

// libp2pFixture is a relay of libp2p streams that copies.
func libp2pFixture(b *testing.B, ctx context.Context, f *fixture) {
	const proto protocol.ID = "/bench"
	source, relay := benchHost(b, f), benchHost(b, f)
	var outs []io.Writer
	for i := range benchReceivers {
		h := benchHost(b, f)
		h.SetStreamHandler(proto, func(st network.Stream) { f.receive(i, st) })
		st := benchOpen(b, ctx, relay, h, proto)
		_ = st.SetDeadline(time.Time{})
		outs = append(outs, st)
	}
	relay.SetStreamHandler(proto, func(st network.Stream) { copyRelay(st, outs) })
	src := benchOpen(b, ctx, source, relay, proto)
	f.write, f.deadline = src.Write, src.SetWriteDeadline
}

// benchSource speaks for the publisher by hand: it takes the relay as its
// child in every stripe, and writes objects that were signed before.
type benchSource struct {
	host    *p2p.Host
	id      stream.ID
	epoch   uint64
	builder *stream.Builder
	fed     chan struct{} // closed when the relay is a child in every stripe

	mu      sync.Mutex      // one writer at a time
	objects []stream.Parsed // of this run, signed before its clock starts
	done    int             // how many of them were written
	out     [benchStripes]network.Stream
	next    [benchStripes]uint64 // one past the highest Seq written
	wrote   [benchStripes]bool   // since the last beacon
	limit   time.Time            // of writing
	frame   []byte
}

func newBenchSource(b *testing.B, f *fixture) *benchSource {
	s := &benchSource{host: benchHost(b, f), epoch: uint64(time.Now().UnixMilli()), fed: make(chan struct{})}
	s.id = stream.NewID(pubOf(s.host.Key()), "bench")
	var err error
	s.builder, err = stream.NewBuilder(stream.BuilderConfig{Key: s.host.Key(), ID: s.id, Epoch: s.epoch, Stripes: benchStripes})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// prepare signs volume bytes.
func (s *benchSource) prepare(volume, batch int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects, s.done = nil, 0
	for done := 0; done < volume; done += batch {
		if done%benchGroup < batch {
			_ = s.builder.StartGroup(nil)
		}
		_, _ = s.builder.Write(benchBytes()[done:min(done+batch, volume)])
		objects, err := s.builder.Flush(time.Now().UnixMicro())
		if err != nil {
			panic(err)
		}
		s.objects = append(s.objects, objects...)
	}
}

// write writes the next objects, with about as many bytes of the stream as p has.
func (s *benchSource) write(p []byte) (sent int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for left := len(p); left > 0 && s.done < len(s.objects); s.done++ {
		o := &s.objects[s.done]
		sent, left = sent+s.writeObject(o), left-len(o.Payload)
	}
	return sent, nil
}

// writeObject returns the bytes on the stream. Those of a stream that the relay
// gave up are asked for again; if they are not, the run fails.
func (s *benchSource) writeObject(o *stream.Parsed) int {
	i := o.Stripe(benchStripes)
	s.next[i], s.wrote[i] = max(s.next[i], o.Seq+1), true
	s.frame = appendObjectFrame(s.frame[:0], o.Wire)
	_, _ = s.out[i].Write(s.frame)
	return len(s.frame)
}

func (s *benchSource) deadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = t
	for _, st := range s.out {
		_ = st.SetWriteDeadline(t)
	}
	return nil
}

// beacons tells in silent stripes how far the source is, as every parent does.
func (s *benchSource) beacons(ctx context.Context) {
	for t := time.NewTicker(50 * time.Millisecond); ; {
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
		s.mu.Lock()
		for i := range s.out {
			if !s.wrote[i] {
				_, _ = s.out[i].Write(appendBeaconFrame(nil, s.epoch, s.next[i]))
			}
			s.wrote[i] = false
		}
		s.mu.Unlock()
	}
}

// handle answers an exchange that the relay opens. On a busy machine it may
// open another, subscribe anew or pull: then it gets again what it misses.
func (s *benchSource) handle(st network.Stream) {
	now := time.Now().Unix()
	rec, err := stream.SignRecord(s.host.Key(), stream.Record{Name: "bench", Epoch: s.epoch, K: benchStripes,
		PublisherID: []byte(s.host.ID()), Issued: now, Expires: now + 600})
	if err != nil {
		panic(err)
	}
	defer func() { _ = st.Reset() }()
	r := bufio.NewReader(st)
	_, _ = st.Write(appendFrame(nil, frameWelcome, append([]byte{welcomeYes}, rec...)))
	_, _ = st.Write(sayFrame(overlay.Hello{Publisher: true, Slots: benchStripes, Epoch: s.epoch}))
	for {
		kind, body, err := readFrame(r, maxFrame)
		if err != nil {
			return
		}
		if kind != frameMessage {
			continue
		}
		m, err := overlay.ParseMessage(body)
		if err != nil {
			return
		}
		if pull, ok := m.(overlay.Pull); ok {
			s.mu.Lock()
			s.again(func(seq uint64) bool {
				at := seq - pull.First
				return seq >= pull.First && at%benchStripes == 0 && at/benchStripes < 32 && pull.Bits>>(at/benchStripes)&1 != 0
			})
			s.mu.Unlock()
			continue
		}
		sub, ok := m.(overlay.Subscribe)
		if !ok {
			continue
		}
		out, err := s.host.NewStream(context.Background(), st.Conn().RemotePeer(), DataProtocol)
		if err != nil {
			return
		}
		_, _ = st.Write(sayFrame(overlay.Accept{Stripe: sub.Stripe, Epoch: s.epoch, Start: sub.From,
			Path: []overlay.PeerID{ShortID(s.host.ID(), s.id)}}))
		_, _ = out.Write(append(append([]byte(nil), s.id[:]...), sub.Stripe))
		s.feed(sub, out)
	}
}

// again writes objects again; s.mu is held.
func (s *benchSource) again(wanted func(seq uint64) bool) {
	for i := range s.objects[:s.done] {
		if o := &s.objects[i]; wanted(o.Seq) {
			s.writeObject(o)
		}
	}
}

// feed makes out the stream of a stripe, and writes again what was written of it since sub.From.
func (s *benchSource) feed(sub overlay.Subscribe, out network.Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = out.SetWriteDeadline(s.limit)
	s.out[sub.Stripe] = out
	s.again(func(seq uint64) bool { return seq >= sub.From && seq%benchStripes == uint64(sub.Stripe) })
	select {
	case <-s.fed:
	default:
		if !slices.Contains(s.out[:], nil) {
			close(s.fed)
		}
	}
}

func sayFrame(m overlay.Message) []byte {
	return appendFrame(nil, frameMessage, overlay.AppendMessage(nil, m))
}

// braidwayFixture is our relay.
func braidwayFixture(b *testing.B, ctx context.Context, f *fixture) {
	src := newBenchSource(b, f)
	src.host.SetStreamHandler(ControlProtocol, src.handle)
	link, err := stream.NewLink(pubOf(src.host.Key()), "bench", nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, a := range src.host.P2PAddrs() {
		link.Addrs = append(link.Addrs, a.String())
	}
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	relay, err := New(Config{NoMDNS: true, UploadLimit: 100_000_000_000,
		Host: p2p.HostConfig{Key: key, Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, AllowLoopback: true}})
	if err != nil {
		b.Fatal(err)
	}
	f.onClose(func() { _ = relay.Close() })
	s, err := relay.Join(link, SessionConfig{Role: RoleRelay})
	if err != nil {
		b.Fatal(err)
	}
	await(b, src.fed, "fed by the source")
	await(b, s.Started(), "started")
	beaconCtx, stop := context.WithCancel(context.Background())
	f.onClose(stop)
	go src.beacons(beaconCtx)
	var ready sync.WaitGroup
	for i := range benchReceivers {
		ready.Add(benchStripes)
		h := benchHost(b, f)
		h.SetStreamHandler(DataProtocol, func(st network.Stream) {
			if _, err := io.ReadFull(st, make([]byte, dataHeader)); err != nil {
				return
			}
			ready.Done()
			f.receive(i, st)
		})
		ctl := benchOpen(b, ctx, h, relay.Host(), ControlProtocol)
		_, _ = ctl.Write(appendFrame(nil, frameOpen, src.id[:]))
		r := bufio.NewReader(ctl)
		if _, _, err := readFrame(r, maxFrame); err != nil {
			b.Fatal(err)
		}
		_ = ctl.SetDeadline(time.Time{})
		_, _ = ctl.Write(append(appendFrame(nil, frameReady, nil), sayFrame(overlay.Hello{})...))
		for stripe := range uint8(benchStripes) {
			_, _ = ctl.Write(sayFrame(overlay.Subscribe{Stripe: stripe, Latest: true}))
		}
		go func() { _, _ = io.Copy(io.Discard, r) }()
		go func() { // a child that says nothing is taken for dead
			for {
				if _, err := ctl.Write(sayFrame(overlay.Shuffle{Reply: true})); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
	}
	all := make(chan struct{})
	go func() { ready.Wait(); close(all) }()
	await(b, all, "parent of all receivers in all stripes")
	f.prepare, f.write, f.deadline = src.prepare, src.write, src.deadline
	f.dropped = s.count.dropped.Load
}

// benchRelays are what is compared, braidway last.
var benchRelays = []struct {
	name string
	make func(*testing.B, context.Context, *fixture)
}{{"quic-go", quicFixture}, {"libp2p", libp2pFixture}, {"braidway", braidwayFixture}}

// benchResult is what one relay did, once for each of its turns.
type benchResult struct {
	rate []float64 // Gbit/s
	cost []float64 // CPU seconds for a GB
}

// turn builds a fixture, warms it up and runs it once.
func (t *benchResult) turn(b *testing.B, m benchMode, build func(*testing.B, context.Context, *fixture)) {
	f := &fixture{}
	defer f.close(b)
	ctx, cancel := context.WithTimeout(context.Background(), benchWait)
	defer cancel()
	build(b, ctx, f)
	warm := m
	warm.volume, warm.rate = benchWarm, 0
	f.run(b, warm)
	wall, cpu, sent := f.run(b, m)
	t.rate = append(t.rate, float64(sent)*8/1e9/wall.Seconds())
	t.cost = append(t.cost, cpu.Seconds()/(float64(sent)/1e9))
}

// median sorts v.
func median(v []float64) float64 {
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// ratios returns a over b, round by round.
func ratios(a, b []float64) []float64 {
	r := make([]float64, len(a))
	for i := range r {
		r[i] = a[i] / b[i]
	}
	return r
}

func BenchmarkRelayEgress(b *testing.B) {
	for _, m := range benchModes {
		b.Run(m.name, func(b *testing.B) {
			results := make([]benchResult, len(benchRelays))
			for round := 0; b.Loop(); round++ {
				for i := range benchRelays {
					at := (round + i) % len(benchRelays) // who is first pays for a cold machine
					results[at].turn(b, m, benchRelays[at].make)
				}
			}
			raw, plain, ours := &results[0], &results[1], &results[2]
			b.ReportMetric(median(ratios(ours.rate, raw.rate)), "×quic-go-egress")
			b.ReportMetric(median(ratios(ours.cost, plain.cost)), "×libp2p-CPU")
			for i, r := range benchRelays {
				b.ReportMetric(median(results[i].rate), r.name+"-Gbit/s")
				b.ReportMetric(median(results[i].cost), r.name+"-CPU-s/GB")
			}
		})
	}
}

func BenchmarkRelayAlone(b *testing.B) {
	for _, m := range benchModes {
		for _, r := range benchRelays {
			b.Run(m.name+"/"+r.name, func(b *testing.B) {
				var t benchResult
				for b.Loop() {
					t.turn(b, m, r.make)
				}
				b.ReportMetric(median(t.rate), "Gbit/s")
				b.ReportMetric(median(t.cost), "CPU-s/GB")
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
