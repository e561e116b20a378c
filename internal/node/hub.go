package node

// This file answers: how does one sender reach whoever listens, without waiting
// for any of them?

import (
	"sync"
	"sync/atomic"
)

// hubQueue bounds what waits for one listener of a Hub, in events.
const hubQueue = 256

// Hub hands events to whoever listens; a slow listener misses some. The zero value
// is ready.
type Hub[E any] struct {
	mu   sync.Mutex
	subs map[chan E]struct{}
	n    atomic.Int32
}

func (h *Hub[E]) idle() bool { return h.n.Load() == 0 }

// Send hands e to all listeners that have room for it.
func (h *Hub[E]) Send(e E) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.subs {
		select {
		case c <- e:
		default:
		}
	}
}

// Listen returns a channel of events, until stop is called.
func (h *Hub[E]) Listen() (c chan E, stop func()) {
	c = make(chan E, hubQueue)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subs == nil {
		h.subs = make(map[chan E]struct{})
	}
	h.subs[c] = struct{}{}
	h.n.Add(1)
	return c, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.subs, c)
		h.n.Add(-1)
	}
}
