// Package web serves a stream to players over HTTP, and the page that shows it
// and the peers that carry it.
package web

// This file answers: how do many HTTP clients get one stream without any of
// them holding up the others?

import (
	"net/http"
	"sync"
	"time"

	"github.com/braidway/braidway/internal/media"
	"github.com/braidway/braidway/stream"
)

const (
	// clientQueue bounds what waits for one client, in writes of the stream:
	// about 10 s of 80 objects a second. Who is further behind loses what there
	// is until the next group.
	clientQueue = 800
	// freshGroup is how old the group in progress may be for a client to begin
	// with it; else it begins with the next, so as not to be behind.
	freshGroup = 300 * time.Millisecond
	// longGroup is how long groups are for which nobody is to wait.
	longGroup = 2 * time.Second
	// maxGroup bounds what is kept of the group in progress, in bytes.
	maxGroup = 16 << 20
	// stuck is how long a client may take nothing before it is cut off.
	stuck = 10 * time.Second
)

// Live is an output whose bytes go to every client that is connected, from a
// group's start. Before the first of them, and after Drain, who comes is told
// to come again (503).
type Live struct {
	mu      sync.Mutex
	begun   bool
	leaving bool
	ended   bool
	clients map[*liveClient]struct{}

	tables media.Tables
	groups bool          // it is told where groups begin
	starts bool          // the next Write begins one
	group  [][]byte      // the one in progress, from its start; nil: not whole
	size   int           // of it
	at     time.Time     // when it began
	length time.Duration // of the one before
}

// liveClient is who reads.
type liveClient struct {
	queue chan []byte
	first [][]byte // to be written before queue
	waits bool     // for a group to begin
	lost  int      // times that it was too slow
}

// NewLive returns a Live without clients.
func NewLive() *Live { return &Live{clients: make(map[*liveClient]struct{})} }

// StartGroup says that the next Write begins a group.
func (l *Live) StartGroup(stream.Header) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.groups, l.starts = true, true
}

// Gap says that bytes are missing before the next Write: players notice.
func (l *Live) Gap() {}

// Write hands b to all clients; it never waits and never fails. It keeps b,
// which is not written to any more.
func (l *Live) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun = true
	l.tables.Scan(b)
	starts := l.starts
	l.starts = false
	var preamble []byte
	if starts {
		now := time.Now()
		if !l.at.IsZero() {
			l.length = now.Sub(l.at)
		}
		preamble = l.tables.Preamble(b)
		l.at, l.size, l.group = now, 0, [][]byte{preamble}
	}
	if l.group != nil {
		l.group = append(l.group, b)
		if l.size += len(b); l.size > maxGroup {
			l.group = nil
		}
	}
	for c := range l.clients {
		c.give(preamble, b, starts)
	}
	return len(b), nil
}

// give queues b, the beginning of a group if starts.
func (c *liveClient) give(preamble, b []byte, starts bool) {
	if c.waits {
		if !starts || len(c.queue) > clientQueue/2 {
			return
		}
		c.waits = false
		if len(preamble) > 0 {
			c.queue <- preamble // half of it is free
		}
	}
	select {
	case c.queue <- b:
	default:
		c.waits = true
		c.lost++
	}
}

// Drain takes no more clients; those that are there stay.
func (l *Live) Drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leaving = true
}

// End lets the clients read what there is, and ends their answers.
func (l *Live) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	l.ended, l.leaving = true, true
	for c := range l.clients {
		close(c.queue)
	}
	clear(l.clients)
}

// join adds a client; why it cannot be, otherwise.
func (l *Live) join() (c *liveClient, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.leaving:
		return nil, "this peer is leaving"
	case !l.begun:
		return nil, "the stream has not started"
	}
	c = &liveClient{queue: make(chan []byte, clientQueue)}
	switch now := l.group != nil && !l.starts && (time.Since(l.at) < freshGroup || l.length == 0 || l.length > longGroup); {
	case now:
		c.first = append(c.first, l.group...)
	case l.groups:
		c.waits = true
	}
	l.clients[c] = struct{}{}
	return c, ""
}

func (l *Live) leave(c *liveClient) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.clients, c)
}

// ServeHTTP serves the stream as it is, to one client for as long as that reads.
func (l *Live) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cache-Control", "no-store")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "Range")
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		h.Set("Allow", "GET, HEAD, OPTIONS")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	c, why := l.join()
	if why != "" {
		h.Set("Retry-After", "1")
		http.Error(w, why, http.StatusServiceUnavailable)
		return
	}
	defer l.leave(c)
	h.Set("Content-Type", "video/mp2t")
	h.Set("Accept-Ranges", "none")
	if r.Method == http.MethodHead {
		return
	}
	rc := http.NewResponseController(w)
	send := func(b []byte) bool {
		_ = rc.SetWriteDeadline(time.Now().Add(stuck))
		_, err := w.Write(b)
		return err == nil
	}
	for _, b := range c.first {
		if !send(b) {
			return
		}
	}
	c.first = nil
	if rc.Flush() != nil {
		return
	}
	for {
		select {
		case b, ok := <-c.queue:
			if !ok || !send(b) || len(c.queue) == 0 && rc.Flush() != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}
