package baseline

// This file answers: what is a baseline to its driver, and how does an event
// reach the system?

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/stream"
)

// Core is one peer of a baseline, driven as an overlay.Peer is.
type Core interface {
	// Step handles ev and appends what is to be done to out.
	Step(now time.Duration, ev overlay.Event, out []overlay.Action) []overlay.Action
	// Deadline is when EvTimeout is due; the zero time means at once.
	Deadline() time.Duration
	// Shape says what there is of a tree in stripe: the parent, the hops from
	// the publisher, and the children; zeros where there is none.
	Shape(stripe int) (parent overlay.PeerID, depth, children int)
}

// Config of one peer.
type Config struct {
	Publisher  bool          // makes the stream
	Stripes    int           // k, in [1, stream.MaxStripes]
	Slots      int           // upload/(bitrate/k): room for children in all stripes together
	Objects    float64       // a second
	Group      uint64        // objects in a group
	Buffer     time.Duration // of the player
	Neighbours int           // partners wanted by mesh-pull; 0 means 6, the core's default
}

// copies is how many copies of the whole stream the upload carries.
func (c *Config) copies() int { return c.Slots / c.Stripes }

// objectsIn returns how many objects d lasts.
func (c *Config) objectsIn(d time.Duration) uint64 { return uint64(c.Objects * d.Seconds()) }

// Systems are the names that New knows.
func Systems() []string { return []string{"single-tree", "dual-path", "mesh-pull", "gossip"} }

// New returns a core of system; the error names what is out of range.
func New(system string, cfg Config, self overlay.PeerID, rng *rand.Rand) (Core, error) {
	bad := func(name string, value any, allowed string) (Core, error) {
		return nil, fmt.Errorf("baseline: %s is %v, allowed is %s", name, value, allowed)
	}
	switch {
	case cfg.Stripes < 1 || cfg.Stripes > stream.MaxStripes:
		return bad("Stripes", cfg.Stripes, fmt.Sprintf("1 to %d", stream.MaxStripes))
	case cfg.Slots < 0:
		return bad("Slots", cfg.Slots, "0 or more")
	case !(cfg.Objects > 0) || cfg.Objects > 10_000:
		return bad("Objects", cfg.Objects, "above 0, to 10000")
	case cfg.Group == 0 || cfg.Group > 1<<20:
		return bad("Group", cfg.Group, "1 to 1048576")
	case cfg.Buffer < 0 || cfg.Buffer > time.Minute:
		return bad("Buffer", cfg.Buffer, "0 to 1m")
	case cfg.Neighbours < 0 || cfg.Neighbours > 64:
		return bad("Neighbours", cfg.Neighbours, "0 to 64")
	case self == 0:
		return bad("self", self, "any but 0")
	}
	if cfg.Neighbours == 0 {
		cfg.Neighbours = 6
	}
	b := &base{cfg: cfg, self: self, rng: rng, wait: findFirst}
	// Twice the buffer is what somebody behind may still want, 5 s a guess at
	// how long a repair or rejoin takes.
	b.have = stream.NewSeqSet(int(cfg.objectsIn(2*cfg.Buffer+5*time.Second) + 2*cfg.Group))
	switch system {
	case "single-tree":
		return &machine{b, newSingle(b)}, nil
	case "dual-path":
		return &machine{b, newDual(b)}, nil
	case "mesh-pull":
		return &machine{b, newMesh(b)}, nil
	case "gossip":
		return &machine{b, newGossip(b)}, nil
	}
	return bad("system", system, fmt.Sprint(Systems()))
}

// system is what differs between the baselines.
type system interface {
	object(ev *overlay.Event)           // arrived, or made here
	message(l *link, m overlay.Message) // from a connected peer
	connected(l *link)                  // l is open
	lost(l *link)                       // l closed or could not be opened; it is out of links
	look()                              // candidates are there
	tick() (next time.Duration)         // the deadline has come; returns the next one's distance
	drain(until time.Duration)          // leave gently
	Shape(int) (overlay.PeerID, int, int)
}

// stallLimit is how late a timeout may come before the peer concludes that it
// was stopped itself, and that the others' silence says nothing.
const stallLimit = 500 * time.Millisecond

// machine hands events to the system.
type machine struct {
	*base
	system
}

// Deadline implements Core.
func (m *machine) Deadline() time.Duration {
	if m.drained {
		return math.MaxInt64
	}
	return m.due
}

// Step implements Core.
func (m *machine) Step(now time.Duration, ev overlay.Event, out []overlay.Action) []overlay.Action {
	if m.drained {
		return out
	}
	m.now, m.out = now, out
	if late := now - m.due; m.due > 0 && late > stallLimit {
		for _, l := range m.links {
			l.heard += late
		}
	}
	l := m.link(ev.Peer)
	if l != nil && l.up {
		l.heard = max(l.heard, now)
	}
	switch ev.Kind {
	case overlay.EvObject:
		if m.cfg.Publisher == (ev.Peer == m.self) {
			m.object(&ev)
		}
	case overlay.EvMessage:
		if l != nil && l.up {
			m.message(l, ev.Msg)
		}
	case overlay.EvConnected:
		if l != nil && l.up { // it dialled anew before its old connection's end was seen here
			m.forget(l)
			m.lost(l)
			l = nil
		}
		if l == nil {
			l = m.add(ev.Peer, false)
		}
		l.up, l.heard, l.rtt = true, now, ev.RTT
		m.connected(l)
	case overlay.EvDisconnected, overlay.EvBad:
		if l != nil {
			if ev.Kind == overlay.EvBad {
				m.do(overlay.Action{Kind: overlay.ActDisconnect, Peer: l.id})
			}
			m.forget(l)
			m.lost(l)
		}
	case overlay.EvCandidates:
		for _, c := range ev.Candidates {
			if c.Source == overlay.SourceLink {
				m.root = c.Peer
			}
			m.learn(c.Peer)
		}
		m.look()
	case overlay.EvSlots:
		m.cfg.Slots = max(0, int(ev.Slots))
	case overlay.EvDrain:
		m.drain(now + ev.Wait)
	}
	if now >= m.due && !m.drained {
		m.sweep()
		m.due = now + m.tick()
	}
	out, m.out = m.out, nil
	return out
}
