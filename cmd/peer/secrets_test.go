package main

// This file answers: does a secret ever leave the file that it is kept in?

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/braidway/braidway/internal/testnet"
)

// spellings are the ways in which the key in file could be written down.
func spellings(t *testing.T, file string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		t.Fatalf("%s is no PEM", file)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key := k.(ed25519.PrivateKey)
	seed := key.Seed()
	var numbers []string
	for _, c := range seed[:16] {
		numbers = append(numbers, strconv.Itoa(int(c)))
	}
	return map[string]string{
		"raw":             string(seed),
		"hex":             hex.EncodeToString(seed),
		"base64":          base64.RawStdEncoding.EncodeToString(seed)[:40],
		"base64url":       base64.RawURLEncoding.EncodeToString(seed)[:40],
		"libp2p's base64": base64.StdEncoding.EncodeToString(append([]byte{8, 1, 18, 64}, key...))[:40],
		"base32":          strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(seed)[:50]),
		"PEM":             strings.Split(string(b), "\n")[1][22:60],
		"as a list":       strings.Join(numbers, " "),
		"as JSON's list":  strings.Join(numbers, ","),
	}
}

func TestNoSecretGetsIntoLogsReportsEventsOrMetrics(t *testing.T) {
	dir := t.TempDir()
	publisher, streamKey, viewer := filepath.Join(dir, "publisher.key"), filepath.Join(dir, "stream.key"), filepath.Join(dir, "viewer.key")
	report := filepath.Join(dir, "report.json")
	p := start(t, "publisher", "publish", "test:", "--key", publisher, "--stream-key", streamKey, "--log-level", "debug", "--pprof")
	link := p.Line(t)
	v := start(t, "viewer", "play", link, "--key", viewer, "--report", report, "--log-level", "debug", "--log-format", "text", "--pprof")
	testnet.WaitFor(t, "the viewer plays", 30*time.Second, func() bool { s, ok := v.Stream(); return ok && s.Started && s.Position > 100 })

	said := map[string]string{"the link": link}
	for name, q := range map[string]*testnet.Process{"publisher": p, "viewer": v} {
		for _, path := range []string{"/metrics", "/api/v1/state", "/healthz", "/readyz", "/debug/pprof/goroutine?debug=2", "/debug/pprof/cmdline"} {
			said[name+path] = ofPeer(t, q, path, 10*time.Second)
		}
		said[name+" events"] = ofPeer(t, q, "/api/v1/events", 2*time.Second)
	}
	file := binary.File(t)
	for _, args := range [][]string{{"key", "show", publisher}, {"key", "show", publisher, "--json"}, {"status", "--admin", p.Admin()}, {"status", "--json", "--admin", v.Admin()}} {
		out, err := exec.Command(file, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
		said[strings.Join(args[:2], " ")+" "+args[len(args)-1]] = string(out)
	}
	// A wrong use of a key names its file, never what is in it.
	loose := filepath.Join(dir, "loose.key")
	b, err := os.ReadFile(publisher)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(loose, b[:len(b)-40], 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(file, "publish", "test:", "--key", loose).CombinedOutput()
	if err == nil {
		t.Fatal("half a key is used")
	}
	said["the refusal of half a key"] = string(out)

	v.Signal(syscall.SIGTERM)
	if err := v.WaitEnd(t, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	p.Signal(syscall.SIGTERM)
	if err := p.WaitEnd(t, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	if b, err = os.ReadFile(report); err != nil {
		t.Fatal(err)
	}
	said["the report"], said["publisher's log"], said["viewer's log"] = string(b), p.Log(), v.Log()

	for _, name := range []string{publisher, streamKey, viewer} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
		spelt := spellings(t, name)
		if b, err := os.ReadFile(name); err != nil || !bytes.Contains(b, []byte(spelt["PEM"])) {
			t.Errorf("the key is not found where it is: %v", err)
		}
		for spelling, secret := range spelt {
			for where, text := range said {
				if len(text) == 0 && !strings.Contains(where, "events") {
					t.Errorf("%s is empty", where)
				}
				if bytes.Contains([]byte(strings.ToLower(text)), []byte(strings.ToLower(secret))) {
					t.Errorf("%s has the key %s, spelt %s", where, filepath.Base(name), spelling)
				}
			}
		}
	}
}

// fetch returns what the admin API answers, or has answered after limit.
func ofPeer(t *testing.T, p *testnet.Process, path string, limit time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	res, err := p.Get(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, _ := io.ReadAll(res.Body) // events have no end
	return string(b)
}
