package hls

// This file answers: what does a player get for a request, and when?

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"time"
)

const (
	whyNoKey   = "the stream has had no key frame for 12s: HLS begins at one; set the encoder to one every second"
	whyEarly   = "the stream has not started, or not been here for a whole group"
	whyLeaving = "this peer is leaving"
	// sendTime bounds how long one answer may take to be read.
	sendTime = time.Minute
)

// ServeHTTP serves live.m3u8, multi.m3u8 and the media that they name, below
// any path: the last parts of the request's count.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "Content-Length, Content-Range, Date, ETag, Retry-After")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "Range, If-None-Match, If-Range, Cache-Control")
		h.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		h.Set("Allow", "GET, HEAD, OPTIONS")
		fail(w, http.StatusMethodNotAllowed, "only GET and HEAD")
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(sendTime))
	s.mu.Lock()
	s.asked = time.Now()
	s.mu.Unlock()
	dir, name := path.Split(r.URL.Path)
	switch {
	case name == "live.m3u8":
		s.serveLive(w, r)
	case name == "multi.m3u8":
		s.serveMulti(w, r)
	case path.Base(dir) == s.id:
		s.serveMedia(w, r, name)
	default:
		fail(w, http.StatusNotFound, "there is no "+r.URL.Path+": start with live.m3u8 or multi.m3u8 (media of an earlier run of this peer are gone)")
	}
}

// fail answers with a status and a line that says why.
func fail(w http.ResponseWriter, code int, why string) {
	w.Header().Set("Cache-Control", "no-store")
	if code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	http.Error(w, why, code)
}

// ready reports whether there is a playlist for who begins to play; else it has
// answered why not. s.mu is held.
func (s *Server) ready(w http.ResponseWriter, begins bool) bool {
	switch err := s.pack.why(); {
	case err != nil:
		fail(w, http.StatusNotAcceptable, err.Error()+"; /live.ts has the stream as it is")
	case s.leaving && begins:
		fail(w, http.StatusServiceUnavailable, whyLeaving)
	case len(s.list) > 0:
		return true
	case s.pack.noKey:
		fail(w, http.StatusServiceUnavailable, whyNoKey)
	default:
		fail(w, http.StatusServiceUnavailable, whyEarly)
	}
	return false
}

func (s *Server) serveMulti(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	var b []byte
	if s.ready(w, true) {
		b = s.multivariant()
	}
	s.mu.Unlock()
	if b != nil {
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("Content-Type", "application/vnd.apple.mpegurl")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	}
}

// directives are those of a blocking reload.
type directives struct {
	block bool
	msn   int64
	part  int // -1: the whole segment
	delta bool
}

// parseDirectives reads the query; the error says what is wrong with it.
func parseDirectives(r *http.Request) (d directives, err error) {
	q := r.URL.Query()
	d.part = -1
	if v := q.Get("_HLS_skip"); v != "" {
		if v != "YES" && v != "v2" {
			return d, fmt.Errorf("_HLS_skip is %.20q, allowed is YES and v2", v)
		}
		d.delta = true
	}
	if q.Has("_HLS_msn") {
		n, err := strconv.ParseUint(q.Get("_HLS_msn"), 10, 62)
		if err != nil {
			return d, fmt.Errorf("_HLS_msn is %.20q, allowed is a media sequence number", q.Get("_HLS_msn"))
		}
		d.block, d.msn = true, int64(n)
	}
	if q.Has("_HLS_part") {
		n, err := strconv.ParseUint(q.Get("_HLS_part"), 10, 30)
		switch {
		case err != nil:
			return d, fmt.Errorf("_HLS_part is %.20q, allowed is a part's number", q.Get("_HLS_part"))
		case !d.block:
			return d, fmt.Errorf("_HLS_part needs _HLS_msn")
		}
		d.part = int(n)
	}
	return d, nil
}

func (s *Server) serveLive(w http.ResponseWriter, r *http.Request) {
	d, err := parseDirectives(r)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	s.mu.Lock()
	if !s.ready(w, !d.block) {
		s.mu.Unlock()
		return
	}
	if d.block && !s.ended {
		next, _ := s.next()
		ahead := max(int((3*s.pack.partTarget+leastSegment)/s.pack.partTarget), 3)
		if last := s.lastWhole(); d.msn > last+2 || d.msn == next && d.part > len(s.pack.partsOut())+ahead {
			s.mu.Unlock()
			fail(w, http.StatusBadRequest, fmt.Sprintf("_HLS_msn %d, _HLS_part %d is too far ahead: the newest whole segment is %d", d.msn, d.part, last))
			return
		}
		if !s.wait(r, func() bool { return s.ended || s.has(d.msn, d.part) }) {
			s.mu.Unlock()
			fail(w, http.StatusServiceUnavailable, fmt.Sprintf("segment %d did not come: the stream pauses", d.msn))
			return
		}
	}
	b, version := s.playlist(d.delta), s.version
	s.mu.Unlock()
	h := w.Header()
	h.Set("Content-Type", "application/vnd.apple.mpegurl")
	h.Set("ETag", fmt.Sprintf(`"%s-%d-%t"`, s.id, version, d.delta))
	if d.block { // the same for all who ask, once it is there
		h.Set("Cache-Control", fmt.Sprintf("max-age=%d", int(leastTarget/time.Second)))
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

// partsOut are those of the segment in progress.
func (p *packager) partsOut() []*part {
	if p.seg == nil {
		return nil
	}
	return p.seg.parts
}

// has reports whether the playlist has part number part of segment msn, or what
// came in its place; -1: the whole segment. s.mu is held.
func (s *Server) has(msn int64, part int) bool {
	last := s.lastWhole()
	if msn < last || msn == last && part < s.list[len(s.list)-1].count {
		return true
	}
	if msn == last { // there is no such part: the next segment's first is meant
		msn, part = msn+1, 0
	}
	g := s.pack.seg
	return part >= 0 && g != nil && g.msn == msn && len(g.parts) > part
}

// wait waits until done, for three target durations at most; s.mu is held when
// done is called, and on return.
func (s *Server) wait(r *http.Request, done func() bool) bool {
	timer := time.NewTimer(3 * max(s.pack.target, leastTarget))
	defer timer.Stop()
	for !done() {
		news := s.news
		s.mu.Unlock()
		ok := true
		select {
		case <-news:
		case <-timer.C:
			ok = false
		case <-r.Context().Done():
			ok = false
		}
		s.mu.Lock()
		if !ok {
			return done()
		}
	}
	return true
}

// serveMedia serves init0.mp4, 12.m4s (a segment) and 12.3.m4s (a part).
func (s *Server) serveMedia(w http.ResponseWriter, r *http.Request, name string) {
	var body io.ReadSeeker
	var file, why string
	code := http.StatusNotFound
	s.mu.Lock()
	if n, ok := number(name, "init", ".mp4"); ok {
		if in := s.inits[int(n)]; in != nil {
			body = bytes.NewReader(in.b)
		}
		why = "there is no such initialization segment any more"
	} else if msn, part, ok := mediaName(name); ok {
		body, file, code, why = s.media(r, msn, part)
	} else {
		why = "there is no " + name
	}
	s.mu.Unlock()
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			fail(w, http.StatusNotFound, "this part of the rewind window is gone")
			return
		}
		defer func() { _ = f.Close() }()
		body = f
	}
	if body == nil {
		fail(w, code, why)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "video/mp4")
	h.Set("Cache-Control", "public, max-age=3600, immutable")
	h.Set("ETag", `"`+s.id+"-"+name+`"`)
	http.ServeContent(w, r, "", time.Time{}, body)
}

// number reads the digits between prefix and suffix.
func number(name, prefix, suffix string) (int64, bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	rest, ok2 := strings.CutSuffix(rest, suffix)
	n, err := strconv.ParseUint(rest, 10, 40)
	return int64(n), ok && ok2 && err == nil
}

// mediaName reads "12.m4s" and "12.3.m4s"; part is -1 in the first.
func mediaName(name string) (msn int64, part int, ok bool) {
	if n, ok := number(name, "", ".m4s"); ok {
		return n, -1, true
	}
	a, b, _ := strings.Cut(name, ".")
	m, ok1 := number(a, "", "")
	n, ok2 := number(b, "", ".m4s")
	return m, int(n), ok1 && ok2 && n < 1<<20
}

// media returns a segment's or a part's bytes, or the file that has them, or
// the status and why there are none. It waits for the part that is next. s.mu is held.
func (s *Server) media(r *http.Request, msn int64, part int) (body io.ReadSeeker, file string, code int, why string) {
	if nextMSN, next := s.next(); !s.ended && msn == nextMSN && part == next && len(s.list) > 0 {
		s.wait(r, func() bool {
			return s.ended || s.find(msn) != nil || s.pack.seg != nil && s.pack.seg.msn == msn && len(s.pack.seg.parts) > part
		})
		if nextMSN, next = s.next(); msn == nextMSN && part == next {
			return nil, "", http.StatusServiceUnavailable, fmt.Sprintf("part %d of segment %d did not come: the stream pauses", part, msn)
		}
	}
	g := s.find(msn)
	if g == nil && s.pack.seg != nil && s.pack.seg.msn == msn && part >= 0 {
		g = s.pack.seg
	}
	switch {
	case g == nil && msn > s.lastWhole():
		return nil, "", http.StatusNotFound, fmt.Sprintf("segment %d is not there yet: the newest is %d", msn, s.lastWhole())
	case g == nil:
		oldest := s.lastWhole()
		if len(s.list) > 0 {
			oldest = s.list[0].msn
		}
		return nil, "", http.StatusNotFound, fmt.Sprintf("segment %d is gone: the window begins with %d", msn, oldest)
	case part < 0 && g.parts != nil:
		return &pieces{parts: g.parts, size: g.size}, "", 0, ""
	case part < 0 && g.saved != "":
		return nil, g.saved, 0, ""
	case part >= 0 && part < len(g.parts):
		return bytes.NewReader(g.parts[part].data), "", 0, ""
	case part >= g.count && g.whole:
		return nil, "", http.StatusNotFound, fmt.Sprintf("segment %d has %d parts", msn, g.count)
	}
	return nil, "", http.StatusNotFound, fmt.Sprintf("part %d of segment %d is gone: ask for the segment", part, msn)
}
