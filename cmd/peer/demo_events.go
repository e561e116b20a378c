package main

// This file answers: what does the page hear of the demo's peers as it happens?

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/braidway/braidway/internal/node"
)

// Events of the demo itself, beside those of its peers.
const (
	eventFault = "demo_fault" // Code strikes the peer that Name names
	eventCost  = "demo_cost"  // more is known of what that cost
	eventPeers = "demo_peers" // somebody has come or gone
)

// shownEvents are those of the peers' own events that the page draws.
var shownEvents = []string{"join", "suspect", "cancel", "switch", "move", "gone", "orphan", "goaway", "starved", "epoch", "takeover"}

// demoTrace is one event, with whom it happened to.
type demoTrace struct {
	node.TraceEvent
	Self string `json:"self,omitempty"` // the peer id
	Name string `json:"name,omitempty"` // the demo's name for a peer
}

// follow passes a peer's events on until ctx ends, where there is a page.
func (d *demo) follow(ctx context.Context, n *node.Node) {
	if d.live == nil {
		return
	}
	self := n.Host().ID().String()
	c, stop := n.Events()
	go func() {
		defer stop()
		for {
			select {
			case e := <-c:
				if slices.Contains(shownEvents, e.Event) {
					d.page.Send(demoTrace{TraceEvent: e, Self: self})
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	d.tellPage(eventPeers, "", "")
}

// tellPage sends an event of the demo itself.
func (d *demo) tellPage(event, fault, name string) {
	d.page.Send(demoTrace{TraceEvent: node.TraceEvent{Time: time.Now(), Event: event, Code: fault}, Name: name})
}

// serveEvents sends what happens to all peers as server-sent events.
func (d *demo) serveEvents(w http.ResponseWriter, r *http.Request) {
	c, stop := d.page.Listen()
	defer stop()
	node.StreamEvents(w, r, c, func(e demoTrace) string { return e.Event })
}
