// Package web serves a stream to players over HTTP, and the page that shows it
// and the peers that carry it.
package web

// This file answers: how do many HTTP clients get one stream without any of
// them holding up the others?

import (
	"net/http"
	"sync"
	"time"
)

// clientQueue bounds what waits for one client, in writes of the stream: about
// 10 s of 80 objects a second. Who is further behind is cut off.
const clientQueue = 800

// Live is a writer whose bytes go to every client that is connected. Before the
// first of them, and after Drain, who comes is told to come again (503).
type Live struct {
	mu      sync.Mutex
	begun   bool
	leaving bool
	clients map[chan []byte]struct{}
}

// NewLive returns a Live without clients.
func NewLive() *Live { return &Live{clients: make(map[chan []byte]struct{})} }

// Write hands b to all clients; it never waits and never fails.
func (l *Live) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun = true
	for c := range l.clients {
		select {
		case c <- b:
		default:
			close(c)
			delete(l.clients, c)
		}
	}
	return len(b), nil
}

// Drain takes no more clients; those that are there stay.
func (l *Live) Drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leaving = true
}

// join adds a client; why it cannot be, otherwise.
func (l *Live) join(c chan []byte) (why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.leaving:
		return "this peer is leaving"
	case !l.begun:
		return "the stream has not started"
	}
	l.clients[c] = struct{}{}
	return ""
}

// ServeHTTP sends the stream until the client leaves.
func (l *Live) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := make(chan []byte, clientQueue)
	if why := l.join(c); why != "" {
		w.Header().Set("Retry-After", "1")
		http.Error(w, why, http.StatusServiceUnavailable)
		return
	}
	defer func() {
		l.mu.Lock()
		delete(l.clients, c)
		l.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "video/mp2t")
	w.Header().Set("Cache-Control", "no-store")
	rc := http.NewResponseController(w)
	for {
		select {
		case b, ok := <-c:
			if !ok {
				return
			}
			_ = rc.SetWriteDeadline(time.Now().Add(10 * time.Second))
			if _, err := w.Write(b); err != nil {
				return
			}
			if len(c) == 0 && rc.Flush() != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}
