package web

// This file answers: on which ports and in which versions of HTTP is a site served?

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// SiteConfig says how a handler is served.
type SiteConfig struct {
	Addr    string // host:port
	Handler http.Handler
	// CertFile and KeyFile are a certificate chain and its key, PEM. With them
	// the site speaks HTTP/1.1 and 2 over TLS, and HTTP/3 on the UDP port of
	// the same number; without, HTTP/1.1 in the clear.
	CertFile, KeyFile string
	Log               *slog.Logger // nil: nothing is logged
}

// Site is a running server.
type Site struct {
	URL string // http(s)://host:port/
	tcp *http.Server
	udp *http3.Server
	pc  net.PacketConn
}

// Serve listens and serves. Errors name the setting that is wrong.
func Serve(cfg SiteConfig) (*Site, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	secure := cfg.CertFile != "" || cfg.KeyFile != ""
	var cert tls.Certificate
	if secure {
		if cfg.CertFile == "" || cfg.KeyFile == "" {
			return nil, errors.New("--tls-cert and --tls-key belong together: one is missing")
		}
		var err error
		if cert, err = tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile); err != nil {
			return nil, fmt.Errorf("--tls-cert %s, --tls-key %s: %w", cfg.CertFile, cfg.KeyFile, err)
		}
	}
	ln, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("--http cannot listen on %s: %w; choose another address", cfg.Addr, err)
	}
	s := &Site{URL: fmt.Sprintf("http://%s/", ln.Addr())}
	quiet := slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug) // what browsers do at the TLS door
	s.tcp = &http.Server{Handler: cfg.Handler, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10, ErrorLog: quiet}
	if !secure {
		go func() { _ = s.tcp.Serve(ln) }()
		return s, nil
	}
	s.URL = fmt.Sprintf("https://%s/", ln.Addr())
	port := ln.Addr().(*net.TCPAddr).Port
	if s.pc, err = net.ListenUDP("udp", &net.UDPAddr{IP: ln.Addr().(*net.TCPAddr).IP, Port: port}); err != nil {
		return nil, errors.Join(fmt.Errorf("--http cannot listen on UDP port %d for HTTP/3: %w; choose another address", port, err), ln.Close())
	}
	base := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	s.udp = &http3.Server{Handler: cfg.Handler, TLSConfig: http3.ConfigureTLSConfig(base.Clone()), MaxHeaderBytes: 32 << 10}
	altSvc := fmt.Sprintf(`h3=":%d"; ma=86400`, port)
	s.tcp.TLSConfig = base
	s.tcp.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Alt-Svc", altSvc)
		cfg.Handler.ServeHTTP(w, r)
	})
	go func() { _ = s.tcp.ServeTLS(ln, "", "") }()
	go func() { _ = s.udp.Serve(s.pc) }()
	return s, nil
}

// Close ends all connections.
func (s *Site) Close() error {
	err := s.tcp.Close()
	if s.udp != nil {
		err = errors.Join(err, s.udp.Close(), s.pc.Close())
	}
	return err
}
