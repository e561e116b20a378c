package rtc

// This file answers: how is whip://ADDR an input of a publisher?

import (
	"context"
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

// ListenConfig of Listen; its zero value works.
type ListenConfig struct {
	Watch *media.Watch
	Log   *slog.Logger // nil: nothing is logged
	// Site makes what the address serves of the endpoint, which answers at /whip
	// and below; guarded: it asks for a token. nil: the endpoint is all.
	Site func(endpoint http.Handler, guarded bool) http.Handler
	// Link is the stream's link, which who publishes is told; empty: there is none yet.
	Link func() string
}

// Listen opens whip://HOST:PORT[?token=TOKEN]. Without a token HOST must be a
// loopback address.
func Listen(input string, cfg ListenConfig) (*Input, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Site == nil {
		cfg.Site = func(endpoint http.Handler, _ bool) http.Handler { return endpoint }
	}
	u, err := url.Parse(input)
	if err != nil || !strings.HasPrefix(input, Scheme) || u.Port() == "" {
		return nil, fmt.Errorf("input %s: give whip://ADDR:PORT, as whip://127.0.0.1:8081, or whip://0.0.0.0:8081?token=SECRET for encoders elsewhere", media.Redact(input))
	}
	if path := strings.TrimSuffix(u.Path, "/"); path != "" && path != whipPath {
		return nil, fmt.Errorf("input %s: encoders push to %s at this address, no other path", media.Redact(input), whipPath)
	}
	token := u.Query().Get("token")
	if token == "" && !loopback(u.Host) {
		return nil, fmt.Errorf("input %s: everybody could publish: listen on 127.0.0.1, or add ?token=SECRET, which encoders then send as bearer token", media.Redact(input))
	}
	ln, err := net.Listen("tcp", u.Host)
	if err != nil {
		return nil, fmt.Errorf("input %s: %w; choose another address", media.Redact(input), err)
	}
	in := media.NewIngest(cfg.Watch)
	w := NewWHIP(in, WHIPConfig{Token: token, Link: cfg.Link, Log: cfg.Log})
	site := "http://" + ln.Addr().String()
	i := &Input{Ingest: in, URL: site + whipPath, whip: w,
		srv: &http.Server{Handler: cfg.Site(w, token != ""), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10}}
	go func() { _ = i.srv.Serve(ln) }()
	cfg.Log.Info("waiting for an encoder over WHIP", "url", i.URL, "page", site+"/")
	return i, nil
}

// Close implements media.Source: it ends the session, and nobody can publish any more.
func (i *Input) Close() error {
	err := errors.Join(i.Ingest.Close(), i.whip.Close())
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if e := i.srv.Shutdown(ctx); e != nil { // somebody listens to events
		err = errors.Join(err, i.srv.Close())
	}
	return err
}
