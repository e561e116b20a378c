package node

// This file answers: which HTTP requests reach the admin API at all?

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/time/rate"
)

// Limits of the admin API; docs/limits.md says why.
const (
	adminHeaderTime  = 5 * time.Second  // for a request's header to come
	adminReadTime    = 10 * time.Second // for a request to come whole
	adminIdleTime    = 60 * time.Second // between two requests of a connection
	adminWriteTime   = 30 * time.Second // for an answer to be taken; profiles have longer
	adminEventTime   = 10 * time.Second // for one event to be taken
	adminProfileTime = 2 * time.Minute
	adminHeaderBytes = 16 << 10
	adminBodyBytes   = 4 << 10 // no request has a body that is read
	adminConns       = 64
	adminRate        = 200 // requests a second, all clients together
	adminBurst       = 400
	maxEventReaders  = 16
	// leastAdminToken is the fewest characters of a token: 128 bits in hexadecimal.
	leastAdminToken = 32
	maxAdminToken   = 1024
)

// guard lets a request through to next, or says why not.
type guard struct {
	token    [sha256.Size]byte // its hash, so that comparing takes the same time
	secret   bool              // a token is asked for
	loopback bool
	limit    *rate.Limiter
	next     http.Handler
}

// newGuard checks who listens where. Outside of loopback, a token is a must.
func newGuard(addr net.Addr, token string, next http.Handler) (*guard, error) {
	g := &guard{token: sha256.Sum256([]byte(token)), secret: token != "", limit: rate.NewLimiter(adminRate, adminBurst), next: next}
	if ap, err := netip.ParseAddrPort(addr.String()); err == nil {
		g.loopback = ap.Addr().Unmap().IsLoopback()
	}
	switch {
	case !g.loopback && !g.secret:
		return nil, fmt.Errorf("the admin API on %s would be open to everyone who reaches it: give a token (--admin-token-file FILE), or an address of the loopback interface", addr)
	case g.secret && (len(token) < leastAdminToken || len(token) > maxAdminToken):
		return nil, fmt.Errorf("the admin API's token has %d characters, allowed are %d to %d: openssl rand -hex 32 makes one", len(token), leastAdminToken, maxAdminToken)
	}
	return g, nil
}

// ServeHTTP implements http.Handler.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	if !g.limit.Allow() {
		h.Set("Retry-After", "1")
		http.Error(w, "too many requests", http.StatusTooManyRequests)
		return
	}
	if g.loopback && !loopbackHost(r.Host) {
		// A name that some page's owner lets point to 127.0.0.1 (DNS rebinding).
		http.Error(w, "this Host is not the admin API's", http.StatusMisdirectedRequest)
		return
	}
	if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host && origin != "https://"+r.Host {
		http.Error(w, "no page of another site may ask", http.StatusForbidden)
		return
	}
	// Whether it lives and is ready is for load balancers, and says no more.
	if probe := r.URL.Path == "/healthz" || r.URL.Path == "/readyz"; g.secret && !probe && !g.knows(r) {
		h.Set("WWW-Authenticate", `Bearer realm="braidway"`)
		http.Error(w, "a token is needed: Authorization: Bearer …", http.StatusUnauthorized)
		return
	}
	wait := adminWriteTime
	if strings.HasPrefix(r.URL.Path, "/debug/pprof/") {
		wait = adminProfileTime
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(wait))
	r.Body = http.MaxBytesReader(w, r.Body, adminBodyBytes)
	g.next.ServeHTTP(w, r)
}

// knows reports whether the request has the token.
func (g *guard) knows(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	hash := sha256.Sum256([]byte(token))
	return ok && subtle.ConstantTimeCompare(hash[:], g.token[:]) == 1
}

// loopbackHost says whether a Host header names this machine's loopback.
func loopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.Unmap().IsLoopback()
}

// newAdminServer returns the server with its time-outs and sizes, and the listener
// that bounds its connections.
func newAdminServer(ln net.Listener, h http.Handler) (*http.Server, net.Listener) {
	return &http.Server{Handler: h, ReadHeaderTimeout: adminHeaderTime, ReadTimeout: adminReadTime, IdleTimeout: adminIdleTime,
		MaxHeaderBytes: adminHeaderBytes}, netutil.LimitListener(ln, adminConns)
}
