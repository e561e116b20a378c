package web

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestEveryClientGetsTheStreamAndThePageNamesIt(t *testing.T) {
	l := NewLive()
	srv := httptest.NewServer(New(Parts{Live: l}))
	defer srv.Close()
	get := func(path string) *http.Response {
		t.Helper()
		res, err := http.Get(srv.URL + path) //nolint:noctx // the server of this test
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	page := get("/")
	b, _ := io.ReadAll(page.Body)
	_ = page.Body.Close()
	if !strings.Contains(string(b), "/live.ts") {
		t.Errorf("the page says %s", b)
	}
	refused := func(when string) {
		t.Helper()
		res := get("/live.ts")
		_ = res.Body.Close()
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: status %d, Retry-After %q", when, res.StatusCode, res.Header.Get("Retry-After"))
		}
	}
	refused("before the stream")
	_, _ = l.Write([]byte("x"))
	done := make(chan struct{})
	go func() { // clients join whenever they like: go on until both have something
		for {
			select {
			case <-done:
				return
			default:
				_, _ = l.Write([]byte("x"))
			}
		}
	}()
	for range 2 {
		res := get("/live.ts")
		if c, err := bufio.NewReader(res.Body).ReadByte(); err != nil || c != 'x' {
			t.Errorf("got %q, %v", c, err)
		}
		_ = res.Body.Close()
	}
	close(done)
	l.Drain()
	refused("while leaving")
}

func TestAClientThatDoesNotReadIsCutOff(t *testing.T) {
	l := NewLive()
	c := make(chan []byte, clientQueue)
	l.clients[c] = struct{}{}
	for range clientQueue + 1 {
		_, _ = l.Write([]byte("x"))
	}
	if len(l.clients) != 0 {
		t.Error("it holds on")
	}
}
