package node

// Who may ask the admin API, and how much.

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestTheAdminAPIAnswersItsOwnerAndNobodyElse(t *testing.T) {
	n := newNode(t, newKey(t))
	var drained atomic.Int32
	secret := strings.Repeat("s3", 20)
	for _, c := range []AdminConfig{{Addr: "0.0.0.0:0"}, {Addr: "[::]:0"}, {Addr: "127.0.0.1:0", Token: "short"}} {
		if a, err := n.StartAdmin(c); err == nil {
			t.Errorf("%+v: it listens", c)
			_ = a.Close()
		}
	}
	open, err := n.StartAdmin(AdminConfig{Addr: "127.0.0.1:0", Drain: func() { drained.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Close() }()
	wide, err := n.StartAdmin(AdminConfig{Addr: "0.0.0.0:0", Token: secret, Drain: func() { drained.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = wide.Close() }()
	_, port, _ := net.SplitHostPort(wide.Addr)
	for name, c := range map[string]struct {
		method, addr, path, host, origin, auth string
		status                                 int
	}{
		"state on loopback":             {"GET", open.Addr, "/api/v1/state", "", "", "", 200},
		"by name":                       {"GET", open.Addr, "/api/v1/state", "localhost:1", "", "", 200},
		"under a name of a page":        {"GET", open.Addr, "/api/v1/state", "evil.example", "", "", 421},
		"under its name, with drain":    {"POST", open.Addr, "/api/v1/drain", "evil.example:80", "", "", 421},
		"from another site":             {"POST", open.Addr, "/api/v1/drain", "", "https://evil.example", "", 403},
		"from another site, to read":    {"GET", open.Addr, "/api/v1/state", "", "https://evil.example", "", 403},
		"drain by GET":                  {"GET", open.Addr, "/api/v1/drain", "", "", "", 405},
		"beyond loopback, no token":     {"GET", "127.0.0.1:" + port, "/api/v1/state", "", "", "", 401},
		"beyond loopback, another":      {"GET", "127.0.0.1:" + port, "/metrics", "", "", "Bearer " + secret + "x", 401},
		"beyond loopback, as a word":    {"GET", "127.0.0.1:" + port, "/metrics", "", "", secret, 401},
		"beyond loopback, drain":        {"POST", "127.0.0.1:" + port, "/api/v1/drain", "", "", "", 401},
		"beyond loopback, with it":      {"GET", "127.0.0.1:" + port, "/metrics", "", "", "Bearer " + secret, 200},
		"a probe":                       {"GET", "127.0.0.1:" + port, "/healthz", "", "", "", 200},
		"a header of a hundred kB":      {"GET", open.Addr, "/healthz", "", "", strings.Repeat("x", 100<<10), 431},
		"drain, with all that is asked": {"POST", "127.0.0.1:" + port, "/api/v1/drain", "", "", "Bearer " + secret, 202},
	} {
		req, err := http.NewRequest(c.method, "http://"+c.addr+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.host != "" {
			req.Host = c.host
		}
		if c.origin != "" {
			req.Header.Set("Origin", c.origin)
		}
		if c.auth != "" {
			req.Header.Set("Authorization", c.auth)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != c.status {
			t.Errorf("%s: status %d, want %d: %s", name, res.StatusCode, c.status, b)
		}
	}
	if drained.Load() != 1 {
		t.Errorf("drained %d times, want once", drained.Load())
	}
}

func TestTheAdminAPIBoundsWhatItsClientsTake(t *testing.T) {
	n := newNode(t, newKey(t))
	a, err := n.StartAdmin(AdminConfig{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	// A header that never ends costs its connection.
	conn, err := net.Dial("tcp", a.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprint(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ")
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	// As many event readers as there may be, and one more.
	for i := range maxEventReaders + 1 {
		res, err := client.Get("http://" + a.Addr + "/api/v1/events")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		if want := map[bool]int{true: 503, false: 200}[i == maxEventReaders]; res.StatusCode != want {
			t.Errorf("reader %d: status %d, want %d", i, res.StatusCode, want)
		}
	}
	// More requests than there may be.
	g, err := newGuard(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, "", http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	began, let := time.Now(), 0
	for range 4 * adminBurst {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1/x", nil))
		if w.Code != http.StatusTooManyRequests {
			let++
		}
	}
	if most := adminBurst + int(time.Since(began).Seconds()*adminRate) + 1; let > most || let < adminBurst {
		t.Errorf("%d of %d requests were let through, at most %d may be", let, 4*adminBurst, most)
	}
	_ = conn.SetReadDeadline(time.Now().Add(adminHeaderTime + 5*time.Second))
	if b, err := io.ReadAll(conn); err != nil {
		t.Errorf("the connection stays open: %q, %v", b, err)
	}
}
