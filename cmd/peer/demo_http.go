package main

// This file answers: what does the page learn of the demo's peers, and what may
// it do to them?

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/braidway/braidway/internal/media/hls"
	"github.com/braidway/braidway/internal/media/rtc"
	"github.com/braidway/braidway/internal/web"
	"github.com/braidway/braidway/overlay"
)

// Roles of the demo's peers.
const (
	rolePublisher = "publisher"
	roleStandby   = "standby" // a publisher that waits
	roleViewer    = "viewer"
)

const (
	asideGuest = "guest" // of a crowd: its picture is counted by itself
	// rememberGone is for how long the page shows who is gone.
	rememberGone = 8 * time.Second
)

// gonePeer is a peer that has died or left.
type gonePeer struct {
	name, id, role string
	at             time.Time
}

// demoState is the answer to GET /api/v1/demo.
type demoState struct {
	Scenario string      `json:"scenario"`
	EveryMS  float64     `json:"every_ms"` // 0: nothing happens by itself
	Paused   bool        `json:"paused"`
	UptimeS  float64     `json:"uptime_s"`
	Watched  string      `json:"watched"` // id of the peer that the page plays from
	Count    int         `json:"events"`  // that were counted so far
	Missed   uint64      `json:"missed"`  // objects, by all that are there
	Peers    []demoPeer  `json:"peers"`   // publishers first; those that are gone for some seconds
	Log      []demoEntry `json:"log"`     // the last, newest first
}

// demoPeer is one peer. Peers are named by their libp2p id throughout.
type demoPeer struct {
	Name     string       `json:"name"`
	ID       string       `json:"id"`
	Role     string       `json:"role"`              // publisher, standby or viewer
	Alive    bool         `json:"alive"`             // false: it has died or left
	State    string       `json:"state"`             // ok, frozen, drains, guest or gone
	Refused  string       `json:"refused,omitempty"` // why it cannot be struck
	Slots    int          `json:"slots"`
	Children int          `json:"children"`
	Missed   uint64       `json:"missed"`
	GapMS    *float64     `json:"gap_ms,omitempty"`     // at the last event that touched it
	Startup  *float64     `json:"startup_ms,omitempty"` // of a viewer
	Stripes  []demoStripe `json:"stripes"`
}

// demoStripe is what a peer has in one stripe.
type demoStripe struct {
	Parent   string   `json:"parent,omitempty"`
	Path     []string `json:"path"` // from the publisher to this peer
	Standbys []string `json:"standbys"`
	Fed      bool     `json:"fed"`
}

// demoEntry is an event in the log.
type demoEntry struct {
	ID    int        `json:"id"`
	At    time.Time  `json:"at"`
	Fault string     `json:"fault,omitempty"`
	Peer  string     `json:"peer,omitempty"`
	Text  string     `json:"text"`
	Cost  *faultCost `json:"cost,omitempty"` // absent: not known yet
}

// serve opens the page's address; end closes it.
func (d *demo) serve(ctx context.Context, addr string) (end func(), err error) {
	d.live, d.whep = web.NewLive(), rtc.NewWHEP(rtc.WHEPConfig{Log: d.log})
	if d.hls, err = hls.New(hls.Config{Log: d.log}); err != nil {
		return nil, err
	}
	site, err := web.Serve(web.SiteConfig{Addr: addr, Handler: web.New(d.parts(ctx)), Log: d.log})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w, or off", err), d.hls.Close(), d.whep.Close())
	}
	fmt.Fprintf(os.Stderr, "watch on %s\n", site.URL)
	return func() { _, _, _ = d.whep.Close(), site.Close(), d.hls.Close() }, nil
}

// parts are what the demo's page is made of.
func (d *demo) parts(ctx context.Context) web.Parts {
	api := http.NewServeMux()
	api.HandleFunc("GET /api/v1/demo", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, d.state()) })
	api.HandleFunc("POST /api/v1/demo/peers/{n}/{fault}", func(w http.ResponseWriter, r *http.Request) { d.serveFault(ctx, w, r) })
	api.HandleFunc("POST /api/v1/demo/auto/{on}", d.serveAuto)
	return web.Parts{Live: d.live, HLS: d.hls, WHEP: d.whep, Demo: api, Events: http.HandlerFunc(d.serveEvents), State: http.HandlerFunc(d.serveState)}
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// serveState is the admin API's state of the peer that the page plays from.
func (d *demo) serveState(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	v := d.watched
	d.mu.Unlock()
	if v == nil {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "the demo is starting", http.StatusServiceUnavailable)
		return
	}
	v.node.ServeState(w, r)
}

// serveFault strikes the peer that the path names: by its number or its name.
func (d *demo) serveFault(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	name, fault := r.PathValue("n"), r.PathValue("fault")
	if asides[fault] == "" {
		http.Error(w, fmt.Sprintf("%q cannot be done to a peer: kill, freeze or drain", fault), http.StatusNotFound)
		return
	}
	active, standby := d.publishers()
	if active != nil && name == active.name {
		if fault != faultKill || standby == nil {
			http.Error(w, name+" is the only publisher: without it there is no stream. With --scenario publisher it has a standby, and can be killed", http.StatusConflict)
			return
		}
		d.spawn(func() { d.succeed(ctx) })
		answer(w, http.StatusAccepted, map[string]string{"peer": name, "fault": fault})
		return
	}
	n, err := strconv.Atoi(strings.TrimPrefix(name, "p"))
	all := d.all()
	i := slices.IndexFunc(all, func(v *demoViewer) bool { return v.n == n })
	if err != nil || i < 0 {
		http.Error(w, fmt.Sprintf("there is no peer %q: it has left, or never was", name), http.StatusNotFound)
		return
	}
	if err := d.aim(all[i], fault); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	d.spawn(func() { d.hurt(ctx, all[i], fault) })
	answer(w, http.StatusAccepted, map[string]string{"peer": all[i].name, "fault": fault})
}

// spawn does what the page asked for, unless the demo ends.
func (d *demo) spawn(do func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.ended {
		d.tasks.Go(do)
	}
}

// serveAuto lets things happen by themselves, or not.
func (d *demo) serveAuto(w http.ResponseWriter, r *http.Request) {
	on := r.PathValue("on")
	if on != "on" && on != "off" {
		http.Error(w, "auto is on or off", http.StatusNotFound)
		return
	}
	d.mu.Lock()
	d.paused = on == "off"
	d.mu.Unlock()
	answer(w, http.StatusOK, map[string]string{"auto": on})
}

func (d *demo) isPaused() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.paused
}

func (p *demoPublisher) id() string { return p.node.Host().ID().String() }

func (v *demoViewer) id() string { return v.node.Host().ID().String() }

// bury remembers who is gone for a while; the demo's mu is held.
func (d *demo) bury(name, id, role string) {
	d.gone = slices.DeleteFunc(d.gone, func(g gonePeer) bool { return time.Since(g.at) > rememberGone })
	d.gone = append(d.gone, gonePeer{name, id, role, time.Now()})
}

// state describes all peers.
func (d *demo) state() demoState {
	d.mu.Lock()
	viewers, watched := slices.Clone(d.viewers), d.watched
	st := demoState{Scenario: d.scenario.name, EveryMS: millis(d.every), Paused: d.paused, UptimeS: time.Since(d.began).Seconds(),
		Count: d.count, Peers: []demoPeer{}, Log: []demoEntry{}}
	for _, e := range slices.Backward(d.history) {
		st.Log = append(st.Log, demoEntry{ID: e.id, At: e.at, Fault: e.fault, Peer: e.peer, Text: e.text, Cost: e.cost})
	}
	var gone []demoPeer
	for _, g := range d.gone {
		if time.Since(g.at) < rememberGone {
			gone = append(gone, demoPeer{Name: g.name, ID: g.id, Role: g.role, State: "gone", Stripes: []demoStripe{}})
		}
	}
	d.mu.Unlock()
	if watched != nil {
		st.Watched = watched.id()
	}
	active, standby := d.publishers()
	for _, p := range []*demoPublisher{active, standby} {
		if p == nil {
			continue
		}
		v := demoPeer{Name: p.name, ID: p.id(), Role: rolePublisher, Alive: true, State: "ok", Stripes: []demoStripe{}}
		if p == standby {
			v.Role, v.Refused = roleStandby, "it waits for the publisher to die"
		} else if standby == nil {
			v.Refused = "without its only publisher there is no stream"
		}
		if snap, ok := p.pub.Session().Snapshot(); ok {
			v.Slots, v.Children = snap.Slots, snap.Used
		}
		st.Peers = append(st.Peers, v)
	}
	for _, v := range viewers {
		p := d.describe(v, v == watched)
		st.Missed += p.Missed
		st.Peers = append(st.Peers, p)
	}
	st.Peers = append(st.Peers, gone...)
	return st
}

// describe describes one viewer.
func (d *demo) describe(v *demoViewer, watched bool) demoPeer {
	p := demoPeer{Name: v.name, ID: v.id(), Role: roleViewer, Alive: true, State: "ok", Startup: v.player.Report().StartupMS, Stripes: []demoStripe{}}
	d.mu.Lock()
	if v.aside == "" {
		p.Missed, p.GapMS = v.missed(), v.cost
	} else {
		p.State = v.aside
	}
	d.mu.Unlock()
	switch {
	case watched:
		p.Refused = "it plays for this page"
	case p.State != "ok" && p.State != asideGuest:
		p.Refused = "it has been struck already"
	}
	snap, ok := v.snapshot()
	if !ok {
		return p
	}
	p.Slots, p.Children = snap.Slots, snap.Used
	named := func(ids []overlay.PeerID) []string {
		names := make([]string, 0, len(ids))
		for _, id := range ids {
			names = append(names, v.session.Name(id))
		}
		return names
	}
	for _, s := range snap.Stripes {
		t := demoStripe{Path: named(s.Path), Standbys: named(s.Standbys), Fed: s.Fed}
		if s.Parent != 0 {
			t.Parent = v.session.Name(s.Parent)
		}
		p.Stripes = append(p.Stripes, t)
	}
	return p
}
