package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/braidway/braidway/internal/media"
	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/internal/web"
	"github.com/braidway/braidway/overlay"
)

const (
	// demoSettle is how long the first viewers get before the first death.
	demoSettle = 4 * time.Second
	// demoWatch is for how long after a death gaps are put down to it.
	demoWatch = 2 * time.Second
	// demoUpload gives every peer room for about three copies of the clip, so
	// that the trees have depth.
	demoUpload = 5_000_000
)

func demoCommand() *cobra.Command {
	set := &settings{}
	var d demo
	var httpAddr, report string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show it all on this machine: a stream, its viewers, and deaths that nobody sees",
		Long: `Runs a publisher of the embedded test video and viewers that relay it, each a
peer with its own host on real sockets, and a real DHT. Every --kill-every the
relay with most children dies without a goodbye (its packets stop, as when a
cable is cut) and a fresh peer joins. The table shows what each death cost.`,
		Example: "  peer demo\n  peer demo --duration 40s --kill-every 5s --report r.json",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case d.peers < 4 || d.peers > 200:
				return set.from.outside("peers", d.peers, "4 to 200")
			case d.every < time.Second && d.every != 0:
				return set.from.outside("kill-every", d.every, "0s (never) or 1s and more")
			case d.duration < 0:
				return set.from.outside("duration", d.duration, "0s (no end) and more")
			}
			if err := checkReport(report); err != nil {
				return err
			}
			d.log = slog.New(slog.DiscardHandler)
			if cmd.Flags().Changed("log-level") {
				d.log = set.logger()
			}
			return d.run(cmd.Context(), httpAddr, report)
		},
	}
	f := cmd.Flags()
	f.IntVar(&d.peers, "peers", 12, "peers, the publisher among them, 4 to 200")
	f.DurationVar(&d.every, "kill-every", 5*time.Second, "pace of deaths; 0s: nobody dies")
	f.DurationVar(&d.duration, "duration", 0, "end after so long (default: runs until stopped)")
	f.StringVar(&httpAddr, "http", "127.0.0.1:8080", "`ADDR` to watch the stream on; off to disable")
	f.StringVar(&report, "report", "", "`FILE` for the summary (JSON)")
	set.addLogFlags(f)
	cmd.PreRunE = set.load
	return cmd
}

// demo is a running demo.
type demo struct {
	peers    int
	every    time.Duration
	duration time.Duration
	log      *slog.Logger

	boot    *node.Node
	pubNode *node.Node
	pub     *node.Publication
	began   time.Time
	live    *web.Live

	mu      sync.Mutex
	viewers []*demoViewer
	made    int
	kills   int
	gaps    []float64 // ms, of viewers touched by a death
	last    string    // what the last death cost
}

// demoViewer is one viewer that relays.
type demoViewer struct {
	name    string
	node    *node.Node
	session *node.Session
	player  *node.Player
	fault   *p2p.Fault
	began   time.Time
	cost    string // of the last death
	cancel  context.CancelFunc
	done    chan struct{}
}

func (d *demo) run(ctx context.Context, httpAddr, report string) error {
	if d.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.duration)
		defer cancel()
	}
	d.began = time.Now()
	if httpAddr != "off" {
		d.live = web.NewLive()
		ln, err := net.Listen("tcp", httpAddr)
		if err != nil {
			return fmt.Errorf("--http cannot listen on %s: %w; choose another address, or off", httpAddr, err)
		}
		srv := &http.Server{Handler: d.live.Handler(), ReadHeaderTimeout: 5 * time.Second}
		defer func() { _ = srv.Close() }()
		go func() { _ = srv.Serve(ln) }()
		fmt.Fprintf(os.Stderr, "watch on http://%s/\n", ln.Addr())
	}
	defer d.close()
	if err := d.start(ctx); err != nil {
		if ctx.Err() == nil {
			return err
		}
	}
	d.loop(ctx)
	return d.finish(report)
}

func (d *demo) newNode(fault *p2p.Fault) (*node.Node, error) {
	key, err := newIdentity()
	if err != nil {
		return nil, err
	}
	cfg := node.Config{NoMDNS: true, UploadLimit: demoUpload, Log: d.log,
		Host: p2p.HostConfig{Key: key, Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, Version: version(), AllowLoopback: true, Fault: fault},
		DHT:  p2p.DHTConfig{Mode: p2p.ModeServer}}
	if d.boot != nil {
		cfg.DHT.Bootstrap = []peer.AddrInfo{d.boot.Host().AddrInfo()}
	}
	return node.New(cfg)
}

// start brings up the DHT, the publisher and the first viewers.
func (d *demo) start(ctx context.Context) error {
	var err error
	if d.boot, err = d.newNode(nil); err != nil {
		return err
	}
	if d.pubNode, err = d.newNode(nil); err != nil {
		return err
	}
	d.pub, err = d.pubNode.Publish(ctx, node.PublishConfig{Name: "demo", ContentType: "video/mp2t", Bitrate: media.ClipBitrate(), Align: media.PacketSize})
	if err != nil {
		return err
	}
	go func() { _ = media.Copy(ctx, media.NewCutter(d.pub), media.NewTestSource()) }()
	for range d.peers - 1 {
		if _, err := d.add(ctx); err != nil {
			return err
		}
	}
	for _, v := range d.all() {
		select {
		case <-v.session.Started():
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Second):
			return notFoundError{fmt.Errorf("viewer %s did not find the stream; tried: %s", v.name, v.session.Tried())}
		}
	}
	return nil
}

// add starts one viewer. It gets the link without addresses: it must find the
// publisher through the DHT.
func (d *demo) add(ctx context.Context) (*demoViewer, error) {
	fault := &p2p.Fault{}
	n, err := d.newNode(fault)
	if err != nil {
		return nil, err
	}
	var out io.Writer
	d.mu.Lock()
	d.made++
	name := fmt.Sprintf("p%02d", d.made)
	if d.made == 1 && d.live != nil {
		out = d.live
	}
	d.mu.Unlock()
	player := node.NewPlayer(out, time.Second)
	link := d.pub.Link()
	link.Addrs = nil
	s, err := n.Join(link, node.SessionConfig{Role: node.RoleViewer, Observer: player})
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	player.Attach(s)
	v := &demoViewer{name: name, node: n, session: s, player: player, fault: fault, began: time.Now(), done: make(chan struct{})}
	runCtx, cancel := context.WithCancel(ctx)
	v.cancel = cancel
	go func() {
		defer close(v.done)
		_ = player.Run(runCtx, s)
	}()
	d.mu.Lock()
	d.viewers = append(d.viewers, v)
	d.mu.Unlock()
	return v, nil
}

func (d *demo) all() []*demoViewer {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.viewers)
}

// loop kills, adds and shows until ctx ends.
func (d *demo) loop(ctx context.Context) {
	show := time.NewTicker(time.Second)
	defer show.Stop()
	var next time.Time
	if d.every > 0 {
		next = time.Now().Add(min(demoSettle, d.every))
	}
	for {
		var due <-chan time.Time
		// The last death must leave time to see what it cost.
		if !next.IsZero() && (d.duration == 0 || next.Add(demoWatch).Before(d.began.Add(d.duration))) {
			due = time.After(time.Until(next))
		}
		select {
		case <-due:
			next = next.Add(d.every)
			d.kill(ctx)
			if _, err := d.add(ctx); err != nil && ctx.Err() == nil {
				d.log.Error("a fresh peer did not start", "err", err)
			}
		case <-show.C:
			d.show()
		case <-ctx.Done():
			return
		}
	}
}

// kill cuts the busiest relay off, the viewer of the page excepted, and puts
// what follows down to it.
func (d *demo) kill(ctx context.Context) {
	var victim *demoViewer
	most := -1
	snaps := map[*demoViewer]overlay.Snapshot{}
	for i, v := range d.all() {
		snap, ok := v.session.Snapshot()
		if !ok {
			continue
		}
		snaps[v] = snap
		if snap.Used > most && (i > 0 || d.live == nil) {
			victim, most = v, snap.Used
		}
	}
	if victim == nil {
		return
	}
	var touched []*demoViewer
	id := victim.session.Self()
	for _, v := range d.all() {
		if v != victim && slices.ContainsFunc(snaps[v].Stripes, func(s overlay.StripeSnapshot) bool { return slices.Contains(s.Path, id) }) {
			touched = append(touched, v)
		}
	}
	victim.fault.Cut()
	at := time.Now()
	d.mu.Lock()
	d.kills++
	d.viewers = slices.DeleteFunc(d.viewers, func(v *demoViewer) bool { return v == victim })
	d.last = fmt.Sprintf("%s died with %d children, %d viewers behind it", victim.name, most, len(touched))
	d.mu.Unlock()
	victim.cancel()
	go func() {
		select {
		case <-time.After(demoWatch):
		case <-ctx.Done():
		}
		d.mu.Lock()
		for _, v := range d.viewers {
			v.cost = ""
		}
		worst := 0.0
		for _, v := range touched {
			if !slices.Contains(d.viewers, v) {
				continue // died since
			}
			from := at.Sub(v.began)
			g := v.player.GapBetween(from, from+demoWatch, true)
			ms := float64(g.Microseconds()) / 1000
			v.cost = fmt.Sprintf("%.0f ms", ms)
			worst = max(worst, ms)
			d.gaps = append(d.gaps, ms)
		}
		d.last += fmt.Sprintf(": longest gap %.0f ms", worst)
		d.mu.Unlock()
		_ = victim.node.Close()
	}()
}

// close ends all peers.
func (d *demo) close() {
	var wg sync.WaitGroup
	for _, v := range d.all() {
		wg.Go(func() {
			v.cancel()
			<-v.done
			_ = v.node.Close()
		})
	}
	wg.Wait()
	for _, n := range []*node.Node{d.pubNode, d.boot} {
		if n != nil {
			_ = n.Close()
		}
	}
}
