package web

// This file answers: how does the page tell a peer which stream to play?

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
)

// maxLink bounds the body of a request to open a stream, bytes.
const maxLink = 16 << 10

// Open waits for the link of the stream that a peer is to play: GET
// /api/v1/open tells whether it waits, POST brings the link. Only who sits at
// this machine may: a stream that is watched is relayed too. It is an
// http.Handler.
type Open struct {
	check func(link string) error
	mu    sync.Mutex
	came  bool
	link  chan string
}

// NewOpen returns one that takes the first link that check does not refuse; the
// error is what the page shows.
func NewOpen(check func(link string) error) *Open {
	return &Open{check: check, link: make(chan string, 1)}
}

// Link gives the link, once.
func (o *Open) Link() <-chan string { return o.link }

// ServeHTTP implements http.Handler.
func (o *Open) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	w.Header().Set("Cache-Control", "no-store")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]bool{"waiting": !o.came})
	case http.MethodPost:
		if status, err := o.take(w, r); err != nil {
			http.Error(w, err.Error(), status)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, r.Method+" is not for this: POST the link", http.StatusMethodNotAllowed)
	}
}

// take takes the link of a request, or says what is wrong.
func (o *Open) take(w http.ResponseWriter, r *http.Request) (status int, err error) {
	if !loopback(r) {
		return http.StatusForbidden, errors.New("only who sits at this machine opens a stream here")
	}
	if o.came {
		return http.StatusConflict, errors.New("this peer plays a stream already: another one takes another peer")
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxLink))
	if err != nil {
		return http.StatusRequestEntityTooLarge, errors.New("the link is too long, or came broken")
	}
	link := strings.TrimSpace(string(b))
	if err := o.check(link); err != nil {
		return http.StatusBadRequest, err
	}
	o.came = true
	o.link <- link
	return http.StatusAccepted, nil
}
