package rtc

// This file answers: what is the HTTP side that WHEP and WHIP share, and which
// sessions are there? RFC 9725; draft-ietf-wish-whep says the same of viewers.

import (
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"
)

const (
	sdpType      = "application/sdp"
	fragmentType = "application/trickle-ice-sdpfrag"
	// bodyWait bounds the time that a body may take to come.
	bodyWait = 10 * time.Second
	// maxCandidates bounds what a client may trickle in one session.
	maxCandidates = 64
)

// endpoint answers the requests and keeps the sessions.
type endpoint struct {
	path string // of the endpoint, "/whep"; sessions are below
	most int    // sessions at a time
	log  *slog.Logger
	// permit refuses a request, or sets the headers that let pages of other
	// origins read the answer.
	permit func(w http.ResponseWriter, r *http.Request) error
	// ready refuses new sessions; it is asked before the body is read.
	ready func() error
	// accept makes a session's connection and answers the offer; header is the
	// answer's. Errors are refusals, or ours.
	accept func(s *session, o *offer, header http.Header, r *http.Request) (answer string, err error)

	mu       sync.Mutex
	leaving  bool
	closed   bool
	sessions map[string]*session
	ending   sync.WaitGroup
}

// session is one client with its connection.
type session struct {
	id, tag string
	pc      *webrtc.PeerConnection // set by accept
	began   time.Time
	from    string // the client's address, for the log

	mu         sync.Mutex
	candidates int
	connected  bool

	once sync.Once
	done chan struct{} // closed when it is to end
	why  string        // valid when done is closed
}

// end lets the session end; only the first reason counts.
func (s *session) end(why string) {
	s.once.Do(func() {
		s.why = why
		close(s.done)
	})
}

// follow ends the session with its connection, and when there is none in time.
func (s *session) follow(up func()) {
	timer := time.AfterFunc(connectWait, func() {
		s.mu.Lock()
		ok := s.connected
		s.mu.Unlock()
		if !ok {
			s.end("no connection within " + connectWait.String())
		}
	})
	s.pc.OnConnectionStateChange(func(st webrtc.PeerConnectionState) {
		switch st {
		case webrtc.PeerConnectionStateConnected:
			s.mu.Lock()
			first := !s.connected
			s.connected = true
			s.mu.Unlock()
			if first {
				timer.Stop()
				up()
			}
		case webrtc.PeerConnectionStateFailed:
			timer.Stop()
			s.end("the other side is gone")
		case webrtc.PeerConnectionStateClosed:
			timer.Stop()
			s.end("closed by the other side")
		}
	})
}

// ServeHTTP implements http.Handler.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if err := e.permit(w, r); err != nil {
		e.fail(w, err)
		return
	}
	id, below := strings.CutPrefix(r.URL.Path, e.path+"/")
	if below && id != "" {
		e.serveSession(w, r, id)
		return
	}
	h.Set("Accept-Post", sdpType)
	switch r.Method {
	case http.MethodPost:
		e.post(w, r)
	case http.MethodOptions:
		h.Set("Allow", "POST, OPTIONS")
		w.WriteHeader(http.StatusNoContent)
	default:
		h.Set("Allow", "POST, OPTIONS")
		refuse(http.StatusMethodNotAllowed, "%s is not for %s: POST an SDP offer (%s)", r.Method, e.path, sdpType).write(w)
	}
}

func (e *endpoint) fail(w http.ResponseWriter, err error) {
	var no *refusal
	if !errors.As(err, &no) {
		e.log.Error("a session could not be made", "error", err)
		no = refuse(http.StatusInternalServerError, "the session could not be made; the log says more")
	}
	no.write(w)
}

// body reads a request's body of the media type want.
func body(w http.ResponseWriter, r *http.Request, want string) ([]byte, error) {
	if got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || got != want {
		return nil, refuse(http.StatusUnsupportedMediaType, "the body must be %s, not %q", want, r.Header.Get("Content-Type"))
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyWait)) // not over HTTP/3
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSDP))
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &big):
		return nil, refuse(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", maxSDP)
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "the body ended early: %v", err)
	}
	return b, nil
}

func (e *endpoint) post(w http.ResponseWriter, r *http.Request) {
	if err := e.ready(); err != nil {
		e.fail(w, err)
		return
	}
	b, err := body(w, r, sdpType)
	if err != nil {
		e.fail(w, err)
		return
	}
	o, err := parseOffer(b)
	if err != nil {
		e.fail(w, err)
		return
	}
	s := &session{id: rand.Text(), tag: `"` + rand.Text() + `"`, began: time.Now(), from: r.RemoteAddr, done: make(chan struct{})}
	if err := e.enter(s); err != nil {
		e.fail(w, err)
		return
	}
	sdp, err := e.accept(s, o, w.Header(), r)
	if err == nil && r.Context().Err() != nil {
		err = r.Context().Err()
	}
	if err != nil {
		s.end(err.Error())
		e.leave(s)
		e.fail(w, err)
		return
	}
	go func() {
		<-s.done
		e.leave(s)
	}()
	h := w.Header()
	h.Set("Content-Type", sdpType)
	h.Set("Location", e.path+"/"+s.id)
	h.Set("ETag", s.tag)
	h.Set("Accept-Patch", fragmentType)
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, sdp)
}

// enter takes a place for a session; leave must follow.
func (e *endpoint) enter(s *session) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed || e.leaving:
		return later(http.StatusServiceUnavailable, "this peer is leaving")
	case len(e.sessions) >= e.most:
		return later(http.StatusServiceUnavailable, "all %d sessions are taken; try another peer", e.most)
	}
	e.sessions[s.id] = s
	e.ending.Add(1)
	return nil
}

// leave closes a session's connection and waits for its goroutines.
func (e *endpoint) leave(s *session) {
	defer e.ending.Done()
	if s.pc != nil {
		if err := s.pc.GracefulClose(); err != nil {
			e.log.Debug("closing a session", "session", s.id, "error", err)
		}
		e.log.Info("session ended", "endpoint", e.path, "session", s.id, "client", s.from, "why", s.why, "after", time.Since(s.began).Round(time.Millisecond))
	}
	e.mu.Lock()
	delete(e.sessions, s.id)
	e.mu.Unlock()
}

// serveSession answers requests about one session.
func (e *endpoint) serveSession(w http.ResponseWriter, r *http.Request, id string) {
	const allow = "DELETE, OPTIONS, PATCH"
	w.Header().Set("Accept-Patch", fragmentType)
	if r.Method == http.MethodOptions {
		w.Header().Set("Allow", allow)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	e.mu.Lock()
	s := e.sessions[id]
	e.mu.Unlock()
	switch {
	case s == nil:
		refuse(http.StatusNotFound, "there is no such session, or it has ended").write(w)
	case r.Method == http.MethodDelete:
		s.end("ended by the client")
		w.WriteHeader(http.StatusOK)
	case r.Method == http.MethodPatch:
		if err := s.patch(w, r); err != nil {
			e.fail(w, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Allow", allow)
		refuse(http.StatusMethodNotAllowed, "%s is not for a session: DELETE ends it, PATCH adds ICE candidates", r.Method).write(w)
	}
}

// patch adds the candidates of an SDP fragment (RFC 8840).
func (s *session) patch(w http.ResponseWriter, r *http.Request) error {
	switch tag := r.Header.Get("If-Match"); tag {
	case s.tag, "":
	case "*":
		return refuse(http.StatusUnprocessableEntity, "ICE restarts are not supported: POST a new offer")
	default:
		return refuse(http.StatusPreconditionFailed, "the ETag %s is not this session's", tag)
	}
	b, err := body(w, r, fragmentType)
	if err != nil {
		return err
	}
	f, err := parseFragment(string(b))
	if err != nil {
		return err
	}
	if ufrag := remoteUfrag(s.pc); f.ufrag != "" && f.ufrag != ufrag {
		return refuse(http.StatusUnprocessableEntity, "ICE restarts are not supported: POST a new offer")
	}
	s.mu.Lock()
	s.candidates += len(f.candidates)
	many := s.candidates > maxCandidates
	s.mu.Unlock()
	if many {
		return refuse(http.StatusBadRequest, "more than %d ICE candidates in one session", maxCandidates)
	}
	for _, c := range f.candidates {
		if err := s.pc.AddICECandidate(c); err != nil {
			return refuse(http.StatusBadRequest, "candidate %q: %v", c.Candidate, err)
		}
	}
	return nil
}

// fragment is what a PATCH brings.
type fragment struct {
	ufrag      string
	candidates []webrtc.ICECandidateInit
}

// parseFragment reads a trickle-ice-sdpfrag.
func parseFragment(text string) (f fragment, err error) {
	var mid *string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		key, value, _ := strings.Cut(line, ":")
		switch key {
		case "a=ice-ufrag":
			f.ufrag = value
		case "a=mid":
			mid = &value
		case "a=candidate":
			f.candidates = append(f.candidates, webrtc.ICECandidateInit{Candidate: "candidate:" + value, SDPMid: mid})
		default:
			if line != "" && (len(line) < 2 || line[1] != '=') {
				return f, refuse(http.StatusBadRequest, "the body is not an SDP fragment: %q", line[:min(len(line), 80)])
			}
		}
	}
	if mid == nil && len(f.candidates) > 0 {
		zero := "0" // the first section: all are bundled
		for i := range f.candidates {
			f.candidates[i].SDPMid = &zero
		}
	}
	return f, nil
}

// remoteUfrag returns the client's ICE user fragment.
func remoteUfrag(pc *webrtc.PeerConnection) string {
	d := pc.RemoteDescription()
	if d == nil {
		return ""
	}
	for line := range strings.Lines(d.SDP) {
		if v, ok := strings.CutPrefix(line, "a=ice-ufrag:"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// Drain takes no more sessions; those that are there stay.
func (e *endpoint) Drain() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.leaving = true
}

// Sessions returns how many there are.
func (e *endpoint) Sessions() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.sessions)
}

// all returns the sessions.
func (e *endpoint) all() []*session {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]*session, 0, len(e.sessions))
	for _, s := range e.sessions {
		list = append(list, s)
	}
	return list
}

// close ends all sessions and waits until they have.
func (e *endpoint) close(why string) {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	for _, s := range e.all() {
		s.end(why)
	}
	e.ending.Wait()
}
