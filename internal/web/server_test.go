package web

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// ask sends a request to h as if from loopback.
func ask(h http.Handler, method, url string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, url, nil)
	r.RemoteAddr = "127.0.0.1:50000"
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// named answers with a name and the path it was asked for.
func named(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, name+" "+r.URL.Path) })
}

func TestPartsAreWhereThePathsSayAndAbsentOnesSayWhatToDo(t *testing.T) {
	all := New(Parts{Live: named("live"), HLS: named("hls"), WHEP: named("whep"), WHIP: named("whip"), Open: named("open"), State: named("state"), Events: named("events"), Demo: named("demo")})
	none := New(Parts{})
	for _, c := range []struct{ method, path, want, missing string }{
		{"GET", "/live.ts", "live /live.ts", "MPEG-TS"},
		{"GET", "/hls/live.m3u8", "hls /hls/live.m3u8", "HLS"},
		{"OPTIONS", "/hls/multi.m3u8", "hls /hls/multi.m3u8", "HLS"},
		{"POST", "/whep", "whep /whep", "WHEP"},
		{"DELETE", "/whep/x1", "whep /whep/x1", "WHEP"},
		{"POST", "/whip", "whip /whip", "WHIP"},
		{"POST", "/api/v1/open", "open /api/v1/open", "without a link"},
		{"GET", "/api/v1/state", "state /api/v1/state", "admin API"},
		{"GET", "/api/v1/events", "events /api/v1/events", "admin API"},
		{"GET", "/api/v1/demo", "demo /api/v1/demo", "peer demo"},
		{"POST", "/api/v1/demo/peers/3/kill", "demo /api/v1/demo/peers/3/kill", "peer demo"},
	} {
		if got := ask(all, c.method, "http://127.0.0.1:8080"+c.path).Body.String(); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.method, c.path, got, c.want)
		}
		res := ask(none, c.method, "http://127.0.0.1:8080"+c.path)
		if got := res.Body.String(); res.Code != http.StatusNotFound || !strings.Contains(got, c.missing) {
			t.Errorf("%s %s without the part: %d %q, want 404 and %q", c.method, c.path, res.Code, got, c.missing)
		}
	}
	for want, h := range map[string]http.Handler{`data-parts="live hls whep whip open state events demo"`: all, `data-parts="live"`: New(Parts{Live: named("live")})} {
		if got := ask(h, "GET", "http://127.0.0.1:8080/").Body.String(); !strings.Contains(got, want) {
			t.Errorf("the page does not say %s", want)
		}
	}
}

func TestWhatAPeerKnowsOfOthersStaysOnItsMachine(t *testing.T) {
	live, state, events, demo := named("live"), named("state"), named("events"), named("demo")
	from := func(h http.Handler, addr, path string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "http://192.0.2.7:8080"+path, nil)
		r.RemoteAddr = addr
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	viewer, show := New(Parts{Live: live, State: state, Events: events}), New(Parts{Live: live, State: state, Events: events, Demo: demo})
	for _, c := range []struct {
		h          http.Handler
		addr, path string
		status     int
		says       string
	}{
		{viewer, "127.0.0.1:5", "/api/v1/state", 200, "state"},
		{viewer, "[::1]:5", "/api/v1/events", 200, "events"},
		{viewer, "192.0.2.9:5", "/api/v1/state", 403, "admin API"},
		{viewer, "192.0.2.9:5", "/api/v1/events", 403, "admin API"},
		{viewer, "192.0.2.9:5", "/live.ts", 200, "live"},
		{viewer, "192.0.2.9:5", "/", 200, `data-parts="live"`},
		{viewer, "127.0.0.1:5", "/", 200, `data-parts="live state events"`},
		{show, "192.0.2.9:5", "/api/v1/state", 200, "state"},
		{show, "192.0.2.9:5", "/", 200, `data-parts="live state events demo"`},
	} {
		if res := from(c.h, c.addr, c.path); res.Code != c.status || !strings.Contains(res.Body.String(), c.says) {
			t.Errorf("%s from %s: %d %.80q, want %d and %s", c.path, c.addr, res.Code, res.Body, c.status, c.says)
		}
	}
}

func TestAnotherSitesPageCanChangeNothing(t *testing.T) {
	h := New(Parts{Demo: named("demo"), State: named("state"), WHEP: named("whep"), WHIP: named("whip"), Open: named("open")})
	const kill = "/api/v1/demo/peers/3/kill"
	for name, c := range map[string]struct {
		method, url string
		header      []string
		status      int
	}{
		"the page itself":                       {"POST", "http://127.0.0.1:8080" + kill, []string{"Origin", "http://127.0.0.1:8080", "Sec-Fetch-Site", "same-origin"}, 200},
		"curl":                                  {"POST", "http://127.0.0.1:8080" + kill, nil, 200},
		"curl by name":                          {"POST", "http://localhost:8080" + kill, nil, 200},
		"curl over IPv6":                        {"POST", "http://[::1]:8080" + kill, nil, 200},
		"another site":                          {"POST", "http://127.0.0.1:8080" + kill, []string{"Origin", "https://example.org", "Sec-Fetch-Site", "cross-site"}, 403},
		"another site, an old browser":          {"POST", "http://127.0.0.1:8080" + kill, []string{"Origin", "https://example.org"}, 403},
		"another site that renamed its address": {"POST", "http://example.org:8080" + kill, []string{"Origin", "http://example.org:8080", "Sec-Fetch-Site", "same-origin"}, 403},
		"another site's player":                 {"POST", "http://127.0.0.1:8080/whep", []string{"Origin", "https://example.org", "Sec-Fetch-Site", "cross-site"}, 200},
		"another site's camera":                 {"POST", "http://127.0.0.1:8080/whip", []string{"Origin", "https://example.org", "Sec-Fetch-Site", "cross-site"}, 200}, // WHIP itself asks for the token
		"another site's link":                   {"POST", "http://127.0.0.1:8080/api/v1/open", []string{"Origin", "https://example.org", "Sec-Fetch-Site", "cross-site"}, 403},
		"another site's link, renamed":          {"POST", "http://example.org:8080/api/v1/open", []string{"Origin", "http://example.org:8080", "Sec-Fetch-Site", "same-origin"}, 403},
		"reading under another name":            {"GET", "http://example.org:8080/api/v1/state", nil, 200},
	} {
		if res := ask(h, c.method, c.url, c.header...); res.Code != c.status {
			t.Errorf("%s: status %d, want %d", name, res.Code, c.status)
		}
	}
}

func TestEveryAnswerForbidsWhatThePageDoesNotNeed(t *testing.T) {
	h := New(Parts{State: named("state")})
	for _, path := range []string{"/", "/assets/vendor/uPlot.min.css", "/api/v1/state", "/nothing", "/live.ts"} {
		head := ask(h, "GET", "http://127.0.0.1"+path).Header()
		csp := head.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "http") {
			t.Errorf("%s: Content-Security-Policy %q", path, csp)
		}
		if head.Get("X-Content-Type-Options") != "nosniff" || head.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %v", path, head)
		}
	}
}

func TestFilesAreTypedCompressedAndAskedForAgainCheaply(t *testing.T) {
	h := New(Parts{})
	for name, a := range files() {
		if a.kind == "" {
			t.Errorf("%s has no content type", name)
		}
		res := ask(h, "GET", "http://127.0.0.1/assets/"+name, "Accept-Encoding", "gzip")
		z, err := gzip.NewReader(res.Body)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if b, err := io.ReadAll(z); err != nil || string(b) != string(a.plain) {
			t.Errorf("%s: gzip changes it: %v", name, err)
		}
		if res := ask(h, "GET", "http://127.0.0.1/assets/"+name, "If-None-Match", res.Header().Get("ETag")); res.Code != http.StatusNotModified {
			t.Errorf("%s: asked for again: status %d", name, res.Code)
		}
	}
	if res := ask(h, "GET", "http://127.0.0.1/assets/../page.go"); res.Code == http.StatusOK {
		t.Error("files outside of assets are served")
	}
}
