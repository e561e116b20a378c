package web

// This file answers: what does the address of --http serve, and to whom?

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Parts are what a peer has to offer over HTTP; nil: it has not. Each handler
// gets its requests with their whole path. The page shows what is there.
type Parts struct {
	Live   http.Handler // /live.ts
	HLS    http.Handler // /hls/ and below
	WHEP   http.Handler // /whep and below
	WHIP   http.Handler // /whip and below
	Open   http.Handler // /api/v1/open; see Open
	State  http.Handler // GET /api/v1/state; for this machine alone, but in a demo
	Events http.Handler // GET /api/v1/events; likewise
	Demo   http.Handler // GET /api/v1/demo, POST /api/v1/demo/…
}

// part is one of Parts, with where it is mounted.
type part struct {
	name    string // for the page
	handler http.Handler
	paths   []string // patterns of http.ServeMux
	absent  string   // said where there is no handler
}

func (p Parts) list() []part {
	return []part{
		{"live", p.Live, []string{"/live.ts"}, "this peer serves no MPEG-TS"},
		{"hls", p.HLS, []string{"/hls/"}, "this peer serves no HLS"},
		{"whep", p.WHEP, []string{"/whep", "/whep/"}, "this peer serves no WebRTC (WHEP)"},
		{"whip", p.WHIP, []string{"/whip", "/whip/"}, "nothing can be published here (WHIP): peer publish whip:// takes a browser's camera"},
		{"open", p.Open, []string{"/api/v1/open"}, "this peer has its stream: peer play --http ADDR without a link waits for one"},
		{"state", p.State, []string{"GET /api/v1/state"}, "this peer tells its state on its admin API alone"},
		{"events", p.Events, []string{"GET /api/v1/events"}, "this peer tells its events on its admin API alone"},
		{"demo", p.Demo, []string{"/api/v1/demo", "/api/v1/demo/"}, "this is no demo: peer demo starts one"},
	}
}

// New returns the handler of everything: the page at / and what parts has.
// Requests that change anything are refused when another site's page sends them,
// but for WebRTC's, whose handlers say themselves who may.
func New(parts Parts) http.Handler {
	for _, h := range []*http.Handler{&parts.Demo, &parts.Open} {
		if *h != nil {
			*h = local(*h)
		}
	}
	mux := http.NewServeMux()
	var there, elsewhere []string // parts, for this machine and for others
	for _, p := range parts.list() {
		h := p.handler
		if h == nil {
			h = absent(p.absent)
		} else {
			there = append(there, p.name)
			if parts.Demo == nil && (p.name == "state" || p.name == "events") {
				h = here(h)
			} else {
				elsewhere = append(elsewhere, p.name)
			}
		}
		for _, pattern := range p.paths {
			mux.Handle(pattern, h)
		}
	}
	ours, theirs := newPage(there), newPage(elsewhere)
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if loopback(r) {
			ours.ServeHTTP(w, r)
		} else {
			theirs.ServeHTTP(w, r)
		}
	})
	mux.Handle("GET /{$}", page)
	mux.Handle("GET /assets/", page)
	mux.Handle("/", absent("there is no such page here; the stream is at /"))
	guard := http.NewCrossOriginProtection()
	// Players of other sites may watch, over WebRTC as over HLS, and their encoders
	// publish where they bring the token; who may is the handler's affair.
	for _, path := range []string{"/whep", "/whip"} {
		guard.AddInsecureBypassPattern(path)
		guard.AddInsecureBypassPattern(path + "/")
	}
	return headers(guard.Handler(mux))
}

func absent(why string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, why, http.StatusNotFound) })
}

// policy lets the page load what this server serves, and nothing else: no
// inline script or style, no frame around it. hls.js hands the video element a
// blob of this page.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// headers are said of every answer.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}

// local refuses what a page of another site would change by the name that it
// believes this server to have (DNS rebinding): what is for this machine alone
// has no name but localhost.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead && rebound(r) {
			http.Error(w, "this server is not called "+r.Host+": use its address, or localhost", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// here refuses who is not at this machine: who else watches is nobody's affair.
func here(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopback(r) {
			http.Error(w, "what this peer knows of others it tells here to its own machine alone; its admin API tells who has the token", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// loopback says whether a request comes from this machine.
func loopback(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && from.Addr().Unmap().IsLoopback()
}

// rebound says whether a request over loopback asks for a host that is neither
// an address nor localhost.
func rebound(r *http.Request) bool {
	if !loopback(r) {
		return false
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return false
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host != "localhost" && !strings.HasSuffix(host, ".localhost")
}
