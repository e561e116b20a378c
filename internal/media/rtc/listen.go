package rtc

// This file answers: how is whip://ADDR an input of a publisher?

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/braidway/braidway/internal/media"
)

//go:embed publish.html
var pages embed.FS

// Scheme begins inputs that Listen opens.
const Scheme = "whip://"

// Input is a publisher's input that encoders push into over WHIP.
type Input struct {
	*media.Ingest
	// URL of the endpoint.
	URL  string
	whip *WHIP
	srv  *http.Server
}

// Listen opens whip://HOST:PORT[/PATH][?token=TOKEN], and serves a page at / that
// publishes a camera. Without a token HOST must be a loopback address.
func Listen(input string, watch *media.Watch, log *slog.Logger) (*Input, error) {
	u, err := url.Parse(input)
	if err != nil || !strings.HasPrefix(input, Scheme) || u.Port() == "" {
		return nil, fmt.Errorf("input %s: give whip://ADDR:PORT, as whip://127.0.0.1:8081, or whip://0.0.0.0:8081?token=SECRET for encoders elsewhere", media.Redact(input))
	}
	token := u.Query().Get("token")
	if token == "" && !loopback(u.Host) {
		return nil, fmt.Errorf("input %s: everybody could publish: listen on 127.0.0.1, or add ?token=SECRET, which encoders then send as bearer token", media.Redact(input))
	}
	ln, err := net.Listen("tcp", u.Host)
	if err != nil {
		return nil, fmt.Errorf("input %s: %w; choose another address", media.Redact(input), err)
	}
	in := media.NewIngest(watch)
	path := strings.TrimSuffix(u.Path, "/")
	w := NewWHIP(in, WHIPConfig{Path: path, Token: token, Log: log})
	mux := http.NewServeMux()
	mux.Handle(w.path, w)
	mux.Handle(w.path+"/", w)
	mux.HandleFunc("GET /{$}", func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'")
		http.ServeFileFS(rw, r, pages, "publish.html")
	})
	i := &Input{Ingest: in, URL: fmt.Sprintf("http://%s%s", ln.Addr(), w.path), whip: w,
		srv: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, MaxHeaderBytes: 32 << 10}}
	go func() { _ = i.srv.Serve(ln) }()
	log.Info("waiting for an encoder over WHIP", "url", i.URL, "page", fmt.Sprintf("http://%s/?path=%s", ln.Addr(), w.path))
	return i, nil
}

// Close implements media.Source: it ends the session, and nobody can publish any more.
func (i *Input) Close() error {
	err := i.Ingest.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if e := i.srv.Shutdown(ctx); e != nil {
		err = errors.Join(err, i.srv.Close())
	}
	return errors.Join(err, i.whip.Close())
}
