package node

// This file answers: what does the admin API say? See docs/admin.md.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// AdminConfig says where the admin API listens.
type AdminConfig struct {
	Addr  string // host:port
	Pprof bool
	// Metrics alone are served, with /healthz and /readyz: for an address that others
	// than the operator can reach.
	Metrics bool
	// Token is asked of every request but probes; "" only on a loopback address.
	Token string
	// Drain is called by POST /api/v1/drain, once.
	Drain func()
	// Ready says whether the peer does its job; nil: always.
	Ready func() bool
}

// Admin is the running admin API.
type Admin struct {
	Addr string // where it listens
	srv  *http.Server
}

// StartAdmin serves the admin API of n. An address in use is an error that names
// it; so is one beyond loopback without a token.
func (n *Node) StartAdmin(cfg AdminConfig) (*Admin, error) {
	ln, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		flag := "--admin address, or off"
		if cfg.Metrics {
			flag = "--metrics address"
		}
		return nil, fmt.Errorf("admin API cannot listen on %s: %w; choose another %s", cfg.Addr, err, flag)
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &collector{n: n})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		switch {
		case n.Draining():
			unready(w, "draining")
		case cfg.Ready != nil && !cfg.Ready():
			unready(w, "starting")
		default:
			fmt.Fprintln(w, "ready")
		}
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	if cfg.Metrics {
		return n.serveAdmin(ln, cfg, mux)
	}
	mux.HandleFunc("GET /api/v1/state", n.ServeState)
	mux.HandleFunc("GET /api/v1/events", n.ServeEvents)
	mux.HandleFunc("GET /api/v1/checks", n.serveChecks)
	mux.HandleFunc("POST /api/v1/drain", func(w http.ResponseWriter, _ *http.Request) {
		if cfg.Drain == nil {
			http.Error(w, "this peer cannot be drained", http.StatusNotImplemented)
			return
		}
		// The whole answer goes out first: a peer without children has left in a moment.
		const said = "draining\n"
		w.Header().Set("Content-Length", strconv.Itoa(len(said)))
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, said)
		_ = http.NewResponseController(w).Flush()
		cfg.Drain()
	})
	if cfg.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	}
	return n.serveAdmin(ln, cfg, mux)
}

// serveAdmin serves mux; what is more than metrics behind a guard.
func (n *Node) serveAdmin(ln net.Listener, cfg AdminConfig, mux *http.ServeMux) (*Admin, error) {
	// Any page that the user visits may send requests to loopback; it is not to drain the peer.
	handler := http.NewCrossOriginProtection().Handler(mux)
	if !cfg.Metrics {
		guarded, err := newGuard(ln.Addr(), cfg.Token, handler)
		if err != nil {
			return nil, errors.Join(err, ln.Close())
		}
		handler = guarded
	}
	a := &Admin{Addr: ln.Addr().String()}
	a.srv, ln = newAdminServer(ln, LogRequests(n.log, handler))
	a.srv.BaseContext = func(net.Listener) context.Context { return n.ctx }
	go func() {
		if err := a.srv.Serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
			n.log.Error("admin API ended", "err", err)
		}
	}()
	return a, nil
}

// Started reports whether every stream that the node takes part in is there;
// true where there is none.
func (n *Node) Started() bool {
	for _, s := range n.Sessions() {
		if s.Role() == RolePublisher {
			continue
		}
		select {
		case <-s.started:
		default:
			return false
		}
	}
	return true
}

// Close stops the API; open requests are cut off.
func (a *Admin) Close() error { return a.srv.Close() }

func unready(w http.ResponseWriter, why string) {
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprintln(w, why)
}

// ServeState answers with the State as JSON.
func (n *Node) ServeState(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(n.State())
}

// ServeEvents sends trace events as server-sent events until the client leaves.
func (n *Node) ServeEvents(w http.ResponseWriter, r *http.Request) {
	if n.readers.Add(1) > maxEventReaders {
		n.readers.Add(-1)
		unready(w, fmt.Sprintf("%d read the events already", maxEventReaders))
		return
	}
	defer n.readers.Add(-1)
	c, stop := n.Events()
	defer stop()
	StreamEvents(w, r, c, func(e TraceEvent) string { return e.Event })
}

// StreamEvents sends what comes from c as server-sent events, JSON under the
// name that it has, until the client leaves.
func StreamEvents[E any](w http.ResponseWriter, r *http.Request, c <-chan E, name func(E) string) {
	f, ok := w.(http.Flusher)
	if !ok {
		http.Error(w, "streaming is not possible here", http.StatusInternalServerError)
		return
	}
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	f.Flush()
	alive := time.NewTicker(15 * time.Second)
	defer alive.Stop()
	for {
		_ = out.SetWriteDeadline(time.Now().Add(adminEventTime + 15*time.Second))
		select {
		case e := <-c:
			b, err := json.Marshal(e)
			if err != nil {
				return
			}
			if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name(e), b); err != nil {
				return
			}
		case <-alive.C:
			if _, err := fmt.Fprint(w, ": alive\n\n"); err != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
		_ = out.SetWriteDeadline(time.Now().Add(adminEventTime))
		f.Flush()
	}
}

// collector turns the node's counts into metrics when they are asked for.
type collector struct{ n *Node }

var (
	descReceived = prometheus.NewDesc("braidway_received_bytes_total", "Bytes received, by kind: object, control.", []string{"stream", "kind"}, nil)
	descUnique   = prometheus.NewDesc("braidway_unique_bytes_total", "Bytes of objects received for the first time.", []string{"stream"}, nil)
	descSent     = prometheus.NewDesc("braidway_sent_bytes_total", "Bytes sent, by kind: object, control.", []string{"stream", "kind"}, nil)
	descObjects  = prometheus.NewDesc("braidway_objects_total", "Objects received for the first time.", []string{"stream"}, nil)
	descRejected = prometheus.NewDesc("braidway_rejected_total", "What did not verify or parse, by kind: object, message.", []string{"stream", "kind"}, nil)
	descDropped  = prometheus.NewDesc("braidway_dropped_groups_total", "Groups dropped for children that did not keep up.", []string{"stream"}, nil)
	descChildren = prometheus.NewDesc("braidway_children", "Children in all stripes together.", []string{"stream"}, nil)
	descSlots    = prometheus.NewDesc("braidway_slots", "Room for children in all stripes together.", []string{"stream"}, nil)
	descNbrs     = prometheus.NewDesc("braidway_neighbours", "Peers with an open exchange.", []string{"stream"}, nil)
	descPosition = prometheus.NewDesc("braidway_position", "Seq below which everything was received or given up.", []string{"stream"}, nil)
	descEpoch    = prometheus.NewDesc("braidway_epoch", "Publisher's term that is followed, or 0.", []string{"stream"}, nil)
	descStarted  = prometheus.NewDesc("braidway_started", "1: the stream is there; 0: it is waited for.", []string{"stream"}, nil)
	descStripes  = prometheus.NewDesc("braidway_stripes", "Stripes by how their parent stands: fed, silent, starved, none.", []string{"stream", "state"}, nil)
	descRefused  = prometheus.NewDesc("braidway_refused_total", "Subscriptions and objects of pulls that were refused, by code; received: to this peer.", []string{"stream", "kind", "code", "direction"}, nil)
	descPressed  = prometheus.NewDesc("braidway_uplink_pressed", "1: children wait behind the uplink, and nobody is let in.", []string{"stream"}, nil)
	descTroubles = prometheus.NewDesc("braidway_slot_troubles_total", "How often slots were given up, since children waited for long.", []string{"stream"}, nil)
	descStanding = prometheus.NewDesc("braidway_publisher", "1 for how a publisher stands: active, standby, fenced, ended.", []string{"stream", "standing"}, nil)
	descHeirs    = prometheus.NewDesc("braidway_standby_publishers", "Standbys of this publisher.", []string{"stream"}, nil)
	descDraining = prometheus.NewDesc("braidway_draining", "1: the peer is leaving.", nil, nil)
	descEvents   = prometheus.NewDesc("braidway_events_total", "Trace events, by kind.", []string{"event"}, nil)
	descDHT      = prometheus.NewDesc("braidway_dht_nodes", "Nodes in the DHT's routing table.", nil, nil)
	descDoor     = prometheus.NewDesc("braidway_connections_refused_total", "Connections from outside that were turned away before their handshake: more came than the upload bears.", nil, nil)
	descPeers    = prometheus.NewDesc("braidway_connected_peers", "Open libp2p connections.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	c.n.vitals(ch)
	gauge(descDHT, float64(c.n.dht.Size()))
	counter(descDoor, c.n.host.Refused())
	gauge(descPeers, float64(c.n.connectedPeers()))
	gauge(descDraining, one(c.n.Draining()))
	for name, n := range c.n.traces {
		counter(descEvents, n.Load(), name)
	}
	for _, s := range c.n.Sessions() {
		id := s.id.String()
		counter(descReceived, s.count.objects.Load(), id, "object")
		counter(descReceived, s.count.control.Load(), id, "control")
		counter(descSent, s.count.outData.Load(), id, "object")
		counter(descSent, s.count.outCtl.Load(), id, "control")
		counter(descUnique, s.count.unique.Load(), id)
		counter(descObjects, s.count.delivered.Load(), id)
		counter(descRejected, s.count.rejected.Load(), id, "object")
		counter(descRejected, s.count.malformed.Load(), id, "message")
		counter(descDropped, s.count.dropped.Load(), id)
		for direction, r := range map[string]*refusals{"sent": &s.count.refused, "received": &s.count.refusedBy} {
			for _, code := range subscriptionCodes {
				counter(descRefused, r.subscriptions[code].Load(), id, "subscription", code.String(), direction)
			}
			for _, code := range objectCodes {
				counter(descRefused, r.objects[code].Load(), id, "object", code.String(), direction)
			}
		}
		if s.pub != nil {
			standing, heirs := s.pub.standing()
			for _, name := range standings {
				gauge(descStanding, one(name == standing), id, name)
			}
			gauge(descHeirs, float64(len(heirs)), id)
			if in := s.pub.input(); in != nil {
				collectInput(ch, id, in)
			}
		}
		snap, ok := s.inside()
		gauge(descStarted, one(snap.Started), id)
		if !ok {
			continue
		}
		s.vitals(ch, &snap)
		gauge(descChildren, float64(snap.Used), id)
		gauge(descSlots, float64(snap.Slots), id)
		gauge(descPressed, one(snap.pressed), id)
		counter(descTroubles, int64(snap.troubles), id)
		gauge(descNbrs, float64(len(snap.Neighbours)), id)
		gauge(descPosition, float64(snap.Position), id)
		gauge(descEpoch, float64(snap.Epoch), id)
		stripes := make(map[string]int)
		for i := range snap.Stripes {
			stripes[stripeState(&snap.Stripes[i])]++
		}
		for _, state := range stripeStates {
			gauge(descStripes, float64(stripes[state]), id, state)
		}
	}
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
