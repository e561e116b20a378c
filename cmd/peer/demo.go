package main

// This file answers: of which peers does the demo consist, and when does what
// happen to them?

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/braidway/braidway/internal/media"
	"github.com/braidway/braidway/internal/media/hls"
	"github.com/braidway/braidway/internal/media/rtc"
	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/internal/web"
	"github.com/braidway/braidway/stream"
)

const (
	// demoSettle is how long the first viewers get before the first event.
	demoSettle = 4 * time.Second
	// demoWatch is for how long after an event gaps are put down to it.
	demoWatch = 2 * time.Second
	// demoUpload gives every peer room for about three copies of the clip, so
	// that the trees have depth.
	demoUpload = 5_000_000
)

func demoCommand() *cobra.Command {
	set := &settings{}
	var d demo
	var httpAddr, report, scenario string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show it all on this machine: a stream, its viewers, and deaths that nobody sees",
		Long: `Runs a publisher of the embedded test video and viewers that relay it, each a
peer with its own host on real sockets, and a real DHT. Every --kill-every a
transient failure strikes, and the table shows what it cost the viewers:

` + describeScenarios() + `
One event ends before the next begins, so that long ones come less often.`,
		Example: "  peer demo\n  peer demo --scenario publisher\n  peer demo --scenario drain --peers 20 --kill-every 3s\n" +
			"  peer demo --duration 40s --kill-every 5s --report r.json",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case d.peers < 4 || d.peers > 200:
				return set.from.outside("peers", d.peers, "4 to 200")
			case d.every < time.Second && d.every != 0:
				return set.from.outside("kill-every", d.every, "0s (never) or 1s and more")
			case d.duration < 0:
				return set.from.outside("duration", d.duration, "0s (no end) and more")
			}
			if d.scenario = findScenario(scenario); d.scenario == nil {
				return set.from.outside("scenario", strconv.Quote(scenario), scenarioNames())
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
	f.DurationVar(&d.every, "kill-every", 5*time.Second, "pace of what happens; 0s: nothing does")
	f.StringVar(&scenario, "scenario", demoScenarios[0].name, "`NAME` of what happens: "+scenarioNames())
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
	scenario *demoScenario
	log      *slog.Logger

	key   ed25519.PrivateKey // the stream's
	boot  *node.Node
	began time.Time
	live  *web.Live           // nil: there is no page
	hls   *hls.Server         // as live
	whep  *rtc.WHEP           // as live
	tasks sync.WaitGroup      // that find out what events cost, or play what the page asked for
	page  node.Hub[demoTrace] // for the page
	term  sync.Mutex          // held while one publisher follows another

	mu      sync.Mutex
	active  *demoPublisher
	standby *demoPublisher // nil: there is none
	viewers []*demoViewer
	watched *demoViewer  // whose stream the page plays; nil: there is no page
	gone    []gonePeer   // lately
	paused  bool         // nothing happens by itself
	ended   bool         // nothing happens any more
	made    int          // viewers so far
	terms   int          // publishers so far
	count   int          // events so far
	noted   int          // these and remarks
	events  []*demoEvent // the last, for the table
	history []*demoEvent // the last, for the page
	gaps    []float64    // ms, of viewers touched by an event
	returns []float64    // ms, of the others when a frozen relay came back
	starts  []float64    // ms, of those who came in crowds
	failed  int          // of these, had no picture in time
}

// demoPublisher publishes the stream, or stands by to.
type demoPublisher struct {
	name  string
	node  *node.Node
	pub   *node.Publication
	fault *p2p.Fault
	stop  context.CancelFunc // ends its input
}

// demoViewer is one viewer that relays.
type demoViewer struct {
	n       int // its number
	name    string
	node    *node.Node
	session *node.Session
	player  *node.Player
	fault   *p2p.Fault
	began   time.Time
	cancel  context.CancelFunc
	done    chan struct{}
	frozen  atomic.Pointer[standstill] // nil: it goes on

	// Guarded by the demo's mu.
	cost     *float64 // its gap at the last event, ms; nil: not touched
	aside    string   // why its own picture is not counted; "": it is
	forgiven uint64   // objects that it missed while it was aside
}

// missed returns how many objects the viewer missed while it was counted; the
// demo's mu is held.
func (v *demoViewer) missed() uint64 { return v.player.Stats().Missed - v.forgiven }

func (d *demo) run(ctx context.Context, httpAddr, report string) error {
	if d.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.duration)
		defer cancel()
	}
	d.began = time.Now()
	if httpAddr != "off" {
		end, err := d.serve(ctx, httpAddr)
		if err != nil {
			return err
		}
		defer end()
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

// newNode starts a host in the DHT. maxChildren is node.Config's.
func (d *demo) newNode(fault *p2p.Fault, maxChildren int) (*node.Node, error) {
	key, err := newIdentity()
	if err != nil {
		return nil, err
	}
	cfg := node.Config{NoMDNS: true, UploadLimit: demoUpload, MaxChildren: maxChildren, Log: d.log,
		Host: p2p.HostConfig{Key: key, Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, Version: version(), AllowLoopback: true, Fault: fault},
		DHT:  p2p.DHTConfig{Mode: p2p.ModeServer}}
	if d.boot != nil {
		cfg.DHT.Bootstrap = []peer.AddrInfo{d.boot.Host().AddrInfo()}
	}
	return node.New(cfg)
}

// start brings up the DHT, the publisher, the first viewers and the standby.
func (d *demo) start(ctx context.Context) error {
	var err error
	if d.key, err = newIdentity(); err != nil {
		return err
	}
	if d.boot, err = d.newNode(nil, 0); err != nil {
		return err
	}
	if d.active, err = d.publish(ctx, false); err != nil {
		return err
	}
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
	if d.scenario.standby {
		d.standby, err = d.publish(ctx, true)
	}
	return err
}

// publish starts a publisher of the stream, or a standby for the one that there is.
func (d *demo) publish(ctx context.Context, standby bool) (*demoPublisher, error) {
	p := &demoPublisher{name: "pub", fault: &p2p.Fault{}}
	if d.terms++; d.terms > 1 {
		p.name += strconv.Itoa(d.terms)
	}
	var err error
	if p.node, err = d.newNode(p.fault, d.scenario.slots); err != nil {
		return nil, err
	}
	p.pub, err = p.node.Publish(ctx, node.PublishConfig{Name: "demo", ContentType: "video/mp2t", Bitrate: media.ClipBitrate(), Align: media.PacketSize,
		Key: d.key, Standby: standby})
	if err != nil {
		return nil, errors.Join(err, p.node.Close())
	}
	ctx, p.stop = context.WithCancel(ctx)
	// In step with the other publisher's, which this one may have to go on with.
	go func() { _ = media.Copy(ctx, media.NewCutter(p.pub), media.NewTestSourceAt(time.Now())) }()
	return p, nil
}

// publishers returns who publishes, and who stands by.
func (d *demo) publishers() (active, standby *demoPublisher) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.active, d.standby
}

// add starts one viewer. It gets the link without addresses: it must find the
// publisher through the DHT.
func (d *demo) add(ctx context.Context) (*demoViewer, error) {
	p, _ := d.publishers()
	link := p.pub.Link()
	link.Addrs = nil
	return d.join(ctx, link, "")
}

// join starts one viewer with a link. aside is demoViewer's.
func (d *demo) join(ctx context.Context, link stream.Link, aside string) (*demoViewer, error) {
	fault := &p2p.Fault{}
	n, err := d.newNode(fault, 0)
	if err != nil {
		return nil, err
	}
	var out node.GroupSink
	d.mu.Lock()
	d.made++
	number := d.made
	// The last of the first viewers is a viewer as others are; the first has the
	// publisher to itself.
	if number == d.peers-1 && d.live != nil {
		out = node.Outputs(d.live, d.hls, d.whep)
	}
	d.mu.Unlock()
	player := node.NewPlayer(out, time.Second)
	s, err := n.Join(link, node.SessionConfig{Role: node.RoleViewer, Observer: player})
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	player.Attach(s)
	v := &demoViewer{n: number, name: fmt.Sprintf("p%02d", number), node: n, session: s, player: player, fault: fault, began: time.Now(), aside: aside, done: make(chan struct{})}
	runCtx, cancel := context.WithCancel(ctx)
	v.cancel = cancel
	go func() {
		defer close(v.done)
		_ = player.Run(runCtx, s)
	}()
	d.mu.Lock()
	d.viewers = append(d.viewers, v)
	if out != nil {
		d.watched = v
	}
	d.mu.Unlock()
	d.follow(runCtx, n)
	return v, nil
}

func (d *demo) all() []*demoViewer {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.viewers)
}

// loop lets things happen and shows them until ctx ends.
func (d *demo) loop(ctx context.Context) {
	defer d.wait()
	show := time.NewTicker(time.Second)
	defer show.Stop()
	var next time.Time
	if d.every > 0 {
		next = time.Now().Add(min(demoSettle, d.every))
	}
	// An event takes room; of the first its main cost is enough to see.
	room := demoWatch
	var over chan struct{} // of the event that is on
	for {
		var due <-chan time.Time
		// The last event must leave time to see what it cost.
		if over == nil && !next.IsZero() && (d.duration == 0 || next.Add(room).Before(d.began.Add(d.duration))) {
			due = time.After(time.Until(next))
		}
		select {
		case <-due:
			next, room = next.Add(d.every), d.scenario.lasts
			if d.isPaused() {
				continue
			}
			done := make(chan struct{})
			over = done
			go func() {
				defer close(done)
				d.scenario.play(d, ctx)
			}()
		case <-over:
			over = nil
			// What a long event cost is seen before the next one begins.
			if seen := time.Now().Add(min(d.every, demoWatch)); next.Before(seen) {
				next = seen
			}
		case <-show.C:
			d.show()
		case <-ctx.Done():
			if over != nil {
				<-over
			}
			return
		}
	}
}

// wait waits for what is still going on; nothing more begins.
func (d *demo) wait() {
	d.mu.Lock()
	d.ended = true
	d.mu.Unlock()
	d.tasks.Wait()
}

// close ends the viewer at once.
func (v *demoViewer) close() {
	v.cancel()
	<-v.done
	_ = v.node.Close()
}

// close ends all peers.
func (d *demo) close() {
	var wg sync.WaitGroup
	for _, v := range d.all() {
		wg.Go(v.close)
	}
	wg.Wait()
	active, standby := d.publishers()
	for _, p := range []*demoPublisher{active, standby} {
		if p != nil {
			p.stop()
			_ = p.node.Close()
		}
	}
	if d.boot != nil {
		_ = d.boot.Close()
	}
}
