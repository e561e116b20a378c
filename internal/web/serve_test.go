package web

// This file answers: does a site speak HTTP/1.1, 2 and 3, and say what is wrong
// with its settings?

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/braidway/braidway/stream"
)

// certificate writes a self-signed certificate for 127.0.0.1.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	kder, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for file, b := range map[string][]byte{cert: chain, key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kder})} {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(chain)
	return cert, key, pool
}

func TestASiteSpeaksHTTP12And3(t *testing.T) {
	cert, key, pool := certificate(t)
	l := NewLive()
	s, err := Serve(SiteConfig{Addr: "127.0.0.1:0", Handler: New(Parts{Live: l}), CertFile: cert, KeyFile: key})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	l.StartGroup(stream.Header{})
	_, _ = l.Write([]byte("a group's start"))
	trust := &tls.Config{RootCAs: pool}
	h3 := &http3.Transport{TLSClientConfig: trust.Clone()}
	defer func() { _ = h3.Close() }()
	h1 := &http.Transport{TLSClientConfig: trust.Clone(), TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
	h2 := &http.Transport{TLSClientConfig: trust.Clone(), ForceAttemptHTTP2: true}
	_, port, _ := net.SplitHostPort(strings.TrimSuffix(strings.TrimPrefix(s.URL, "https://"), "/"))
	for major, tr := range map[int]http.RoundTripper{1: h1, 2: h2, 3: h3} {
		t.Run(fmt.Sprintf("HTTP/%d", major), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"live.ts", nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			if want := `h3=":` + port + `"; ma=86400`; res.ProtoMajor != major || major < 3 && res.Header.Get("Alt-Svc") != want {
				t.Errorf("%s, Alt-Svc %q, want %q", res.Proto, res.Header.Get("Alt-Svc"), want)
			}
			b := make([]byte, len("a group's start"))
			if _, err := io.ReadFull(res.Body, b); err != nil || string(b) != "a group's start" {
				t.Errorf("got %q, %v: it is to come before the answer ends", b, err)
			}
		})
	}
	h1.CloseIdleConnections()
	h2.CloseIdleConnections()
}

func TestASiteNamesTheSettingThatIsWrong(t *testing.T) {
	cert, key, _ := certificate(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	bad := filepath.Join(t.TempDir(), "bad.pem")
	if err := os.WriteFile(bad, bytes.Repeat([]byte("x"), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cfg  SiteConfig
		says []string
	}{
		"a port in use":          {SiteConfig{Addr: taken.Addr().String()}, []string{"--http", taken.Addr().String()}},
		"a certificate alone":    {SiteConfig{Addr: "127.0.0.1:0", CertFile: cert}, []string{"--tls-cert", "--tls-key"}},
		"no such certificate":    {SiteConfig{Addr: "127.0.0.1:0", CertFile: "none.pem", KeyFile: key}, []string{"none.pem"}},
		"a key that is none":     {SiteConfig{Addr: "127.0.0.1:0", CertFile: cert, KeyFile: bad}, []string{bad}},
		"an address that's none": {SiteConfig{Addr: "nowhere"}, []string{"--http", "nowhere"}},
	} {
		s, err := Serve(c.cfg)
		if err == nil {
			_ = s.Close()
			t.Errorf("%s: no error", name)
			continue
		}
		for _, want := range c.says {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q lacks %q", name, err, want)
			}
		}
	}
}
