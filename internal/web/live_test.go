package web

// This file answers: does every client get the stream from a group's start, and
// does a slow one harm nobody?

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/braidway/braidway/stream"
)

// answer is what a request got; its body is closed when the test ends.
type answer struct {
	StatusCode int
	Header     http.Header
	Body       io.Reader
}

// get asks for a path of a server of this test.
func get(t *testing.T, url string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return answer{res.StatusCode, res.Header, res.Body}
}

// group is what one group of a test looks like.
func group(n int) []byte { return bytes.Repeat([]byte{byte(n)}, 1000) }

func (l *Live) sendGroup(n int) {
	l.StartGroup(stream.Header{})
	for range 3 {
		_, _ = l.Write(group(n))
	}
}

func TestAClientBeginsAtAGroupAndGetsAllThatFollows(t *testing.T) {
	l := NewLive()
	srv := httptest.NewServer(New(Parts{Live: l}))
	defer srv.Close()
	refused := func(when string) {
		t.Helper()
		res := get(t, srv.URL+"/live.ts")
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: status %d, Retry-After %q", when, res.StatusCode, res.Header.Get("Retry-After"))
		}
	}
	refused("before the stream")
	l.sendGroup(1) // nobody knows how long groups are: who comes begins with it
	first := get(t, srv.URL+"/live.ts")
	if first.Header.Get("Content-Type") != "video/mp2t" || first.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("headers %v", first.Header)
	}
	l.mu.Lock()
	l.at, l.length = time.Now().Add(-time.Second), time.Second // it is old, and they are short
	l.mu.Unlock()
	second := get(t, srv.URL+"/live.ts")
	l.mu.Lock()
	l.length = 10 * time.Second // long: nobody is to wait
	l.mu.Unlock()
	third := get(t, srv.URL+"/live.ts")
	_, _ = l.Write(group(1))
	l.sendGroup(2)
	l.Drain()
	refused("while leaving")
	l.End()
	for i, want := range [][2]int{{4, 3}, {0, 3}, {4, 3}} {
		b, err := io.ReadAll([]answer{first, second, third}[i].Body)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Count(b, group(1)) != want[0] || bytes.Count(b, group(2)) != want[1] || len(b) != 1000*(want[0]+want[1]) {
			t.Errorf("client %d got %d bytes, %d pieces of the first group and %d of the second", i, len(b), bytes.Count(b, group(1)), bytes.Count(b, group(2)))
		}
	}
}

func TestASlowClientLosesWholeGroupsAndHarmsNobody(t *testing.T) {
	l := NewLive()
	srv := httptest.NewServer(New(Parts{Live: l}))
	defer srv.Close()
	_, _ = l.Write(group(0)) // it has begun
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = conn.Write([]byte("GET /live.ts HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")) // and reads nothing for now
	quick := get(t, srv.URL+"/live.ts")
	waitClients(t, l, 2)
	got := make(chan int, 1)
	go func() {
		b, _ := io.ReadAll(quick.Body)
		got <- len(b)
	}()
	big := bytes.Repeat([]byte{'x'}, 16<<10)
	sent := 0
	deadline := time.Now().Add(20 * time.Second)
	for slow := false; !slow; sent += 4 {
		l.StartGroup(stream.Header{})
		for range 4 {
			_, _ = l.Write(big)
		}
		l.mu.Lock()
		for c := range l.clients {
			slow = slow || c.lost > 0
		}
		l.mu.Unlock()
		if time.Now().After(deadline) {
			t.Fatal("nobody was slow")
		}
		for queued(l) { // it reads as fast as it is sent
			time.Sleep(time.Millisecond)
		}
	}
	l.mu.Lock()
	lost := 0
	for c := range l.clients {
		lost += c.lost
	}
	l.mu.Unlock()
	l.End()
	if n := <-got; n != sent*len(big) || lost != 1 {
		t.Errorf("the quick client got %d bytes of %d; %d losses, want 1", n, sent*len(big), lost)
	}
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	b, _ := io.ReadAll(conn)
	if n := bytes.Count(b, []byte{'x'}) / len(big); n == 0 || n >= sent || n%4 != 0 && n < clientQueue {
		t.Errorf("the slow client got %d pieces of %d", n, sent)
	}
}

// queued reports whether every client has something waiting.
func queued(l *Live) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	least := clientQueue
	for c := range l.clients {
		least = min(least, len(c.queue))
	}
	return least > 0
}

// waitClients waits until n clients are connected.
func waitClients(t *testing.T, l *Live, n int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		l.mu.Lock()
		have := len(l.clients)
		l.mu.Unlock()
		if have == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d clients, want %d", have, n)
		}
	}
}
