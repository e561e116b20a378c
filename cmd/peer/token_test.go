package main

// Private streams as their users have them: processes, links, tokens in files.

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/braidway/braidway/internal/testnet"
)

// peerOutput runs the command and returns its standard output.
func peerOutput(t *testing.T, args ...string) string {
	t.Helper()
	file := binary.File(t)
	cmd := exec.Command(file, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("peer %s: %v: %s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

func TestAPrivateStreamIsPlayedWithATokenUntilItIsRevoked(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "pub.key")
	mine := []string{"--key", key, "--name", "secret show"}
	linkFile := filepath.Join(dir, "link")
	pub := start(t, "publisher", append([]string{"publish", "test:", "--private", "--link-file", linkFile}, mine...)...)
	link := pub.Line(t)
	if info, err := os.Stat(linkFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the link's file: %v, %v", info, err)
	}
	forRelay := peerOutput(t, "token", "relay-link", link)
	if !strings.Contains(link, "#k=") || strings.Contains(forRelay, "#k=") || !strings.Contains(forRelay, "#r=") {
		t.Fatalf("links %s and %s", link, forRelay)
	}
	viewerKey, relayKey := filepath.Join(dir, "viewer.key"), filepath.Join(dir, "relay.key")
	id := func(file string) string {
		var is identity
		if err := json.Unmarshal([]byte(peerOutput(t, "key", "new", file, "--json")), &is); err != nil {
			t.Fatal(err)
		}
		return is.PeerID
	}
	relayToken := write(t, dir, "relay.token", peerOutput(t, append([]string{"token", "issue", "--peer", id(relayKey), "--rights", "relay"}, mine...)...), 0o600)
	viewerToken := write(t, dir, "viewer.token", peerOutput(t, append([]string{"token", "issue", "--peer", id(viewerKey), "--label", "Ann"}, mine...)...), 0o600)
	bearer := peerOutput(t, append([]string{"token", "issue", "--rights", "watch", "--expires", "1h"}, mine...)...)
	relay := start(t, "relay", "relay", forRelay, "--key", relayKey, "--token", relayToken)
	relay.Line(t)
	testnet.WaitFor(t, "the relay carries the stream", 20*time.Second, func() bool { st, ok := relay.Stream(); return ok && st.Started })
	out, other := filepath.Join(dir, "out.ts"), filepath.Join(dir, "other.ts")
	viewer := start(t, "viewer", "play", link, "-o", out, "--key", viewerKey, "--token", viewerToken)
	t.Setenv("BRAIDWAY_TOKEN", bearer)
	friend := start(t, "friend", "play", link, "-o", other)
	if err := os.Unsetenv("BRAIDWAY_TOKEN"); err != nil {
		t.Fatal(err)
	}
	plays(t, "the viewer plays", out, 200_000)
	plays(t, "the friend plays", other, 200_000)
	for _, file := range []string{out, other} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at+188 <= len(b); at += 188 {
			if b[at] != 0x47 {
				t.Fatalf("%s is not MPEG-TS at byte %d", filepath.Base(file), at)
			}
		}
	}
	list := peerOutput(t, append([]string{"token", "show"}, mine...)...)
	if !strings.Contains(list, "Ann") || strings.Count(list, "in force") != 3 {
		t.Errorf("the list is\n%s", list)
	}
	if said := peerOutput(t, "token", "show", viewerToken, "--link", link); !strings.Contains(said, "watch relay") || !strings.Contains(said, "number   2") {
		t.Errorf("the token is\n%s", said)
	}
	began := time.Now()
	peerOutput(t, append([]string{"token", "revoke", "2"}, mine...)...)
	err := viewer.WaitEnd(t, 10*time.Second)
	if took := time.Since(began); err == nil || !strings.Contains(viewer.Log(), "revoked") {
		t.Errorf("the revoked viewer ended after %v with %v: %s", took, err, viewer.Log())
	} else {
		t.Logf("cut off %v after peer token revoke", took.Round(10*time.Millisecond))
	}
	plays(t, "the friend plays on", other, 300_000)
	// What operators see has no secret.
	for _, p := range []*testnet.Process{pub, relay, viewer, friend} {
		said := p.Log()
		for _, path := range []string{"/metrics", "/api/v1/state"} {
			if p == viewer {
				break // it has ended
			}
			res, err := p.Get(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if err != nil || len(b) < 100 {
				t.Fatalf("%s: %d bytes, %v", path, len(b), err)
			}
			said += string(b)
		}
		for what, secret := range map[string]string{"link secret": strings.SplitN(link, "#k=", 2)[1][:43], "token": bearer[60:100], "keys": bearer[len(bearer)-40:]} {
			if strings.Contains(said, secret) {
				t.Errorf("%s shows the %s", p.Name, what)
			}
		}
	}
}

func TestPrivateStreamsRefuseWrongUsage(t *testing.T) {
	file := binary.File(t)
	dir := t.TempDir()
	private := someLink + "#k=" + strings.Repeat("A", 42) + "E&b=" + strings.Repeat("A", 43)
	key := filepath.Join(dir, "k.key")
	peerOutput(t, "key", "new", key)
	for name, c := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"private without a key":  {[]string{"publish", "--private"}, 2, "--key"},
		"a rotation too fast":    {[]string{"publish", "--private", "--key", key, "--rotate", "1s"}, 2, "10s to 24h"},
		"play without a token":   {[]string{"play", private, "-o", "-"}, 2, "--token"},
		"relay without a token":  {[]string{"relay", private, "--admin", "off", "--no-mdns"}, 2, "--token"},
		"a token of another":     {[]string{"play", private, "-o", "-", "--token", key}, 1, "none for stream"},
		"issue without a key":    {[]string{"token", "issue"}, 2, "--key"},
		"an unknown right":       {[]string{"token", "issue", "--key", key, "--rights", "own"}, 2, "watch, relay, publish"},
		"a life too long":        {[]string{"token", "issue", "--key", key, "--expires", "90000h"}, 2, "--expires"},
		"a peer that is none":    {[]string{"token", "issue", "--key", key, "--peer", "me"}, 2, "peer key show"},
		"revoke what is not":     {[]string{"token", "revoke", "3", "--key", key}, 1, "no token 3"},
		"revoke the publisher":   {[]string{"token", "revoke", "0", "--key", key}, 2, "1 to 65535"},
		"an empty list":          {[]string{"token", "show", "--key", key}, 3, "peer token issue"},
		"a relay's of a public":  {[]string{"token", "relay-link", someLink}, 2, "not of a private stream"},
		"a link with half a key": {[]string{"play", someLink + "#k=AAAA", "-o", "-"}, 2, "secret cut short"},
	} {
		cmd := exec.Command(file, c.args...)
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != c.status || !strings.Contains(string(out), c.says) {
			t.Errorf("%s: status %d, want %d, and …%s…: %s", name, cmd.ProcessState.ExitCode(), c.status, c.says, out)
		}
	}
}
