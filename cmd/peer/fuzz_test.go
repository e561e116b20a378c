package main

// This file answers: can what users write, on the command line or in a file, do
// more than be refused by name?

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func FuzzUnits(f *testing.F) {
	for _, s := range []string{"20Mbps", "1.5 gbit/s", "64MiB", "1e3kB", "0x10B", "NaNMB", "infbps", "-1B", "1_000bps", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var r, again rate
		if err := r.Set(s); err != nil && !strings.Contains(err.Error(), "rate") {
			t.Errorf("%q does not say what it is about", err)
		} else if err == nil && (r < 1 || r > maxRate || again.Set(r.String()) != nil || again != r) {
			t.Errorf("rate %q is %d, written as %q, read as %d", s, r, r.String(), again)
		}
		var z, twice size
		if err := z.Set(s); err != nil && !strings.Contains(err.Error(), "size") {
			t.Errorf("%q does not say what it is about", err)
		} else if err == nil && (z < 1 || z > 1<<50 || twice.Set(z.String()) != nil || twice != z) {
			t.Errorf("size %q is %d, written as %q, read as %d", s, z, z.String(), twice)
		}
	})
}

func FuzzConfigFile(f *testing.F) {
	example, err := os.ReadFile("../../peer.example.toml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add([]byte("listen = [\"/ip4/127.0.0.1/udp/0/quic-v1\"]\nupload-limit = \"20Mbps\"\nmax-children = 3\n"))
	f.Add([]byte("max-conns = -1\n"))
	f.Add([]byte("[peer]\nlisten = 3\n"))
	file := filepath.Join(f.TempDir(), "peer.toml")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s := &settings{}
		cmd := &cobra.Command{Use: "relay"}
		s.bind(cmd)
		if err := cmd.ParseFlags([]string{"--config", file}); err != nil {
			t.Fatal(err)
		}
		err := s.load(cmd, nil)
		var usage usageError
		if err != nil && (!errors.As(err, &usage) || !strings.Contains(err.Error(), file)) {
			t.Errorf("%q does not name the file, or is no mistake of the user's", err)
		}
	})
}

func FuzzTrace(f *testing.F) {
	f.Add([]byte(`{"t":1.5,"ev":"join","peer":3,"id":"00000000000000ff"}`+"\n"+`{"t":2,"ev":"state","stripes":[]}`), "3")
	f.Add([]byte("{}\n"), "00000000000000ff")
	f.Fuzz(func(t *testing.T, trace []byte, peer string) {
		who, err := parsePeer(peer)
		if err != nil {
			return
		}
		r, err := readTrace(strings.NewReader(string(trace)), who, math.Inf(1))
		if (r == nil) == (err == nil) {
			t.Errorf("%v and %v", r, err)
		}
	})
}

func FuzzSweeps(f *testing.F) {
	f.Add("beacon=25ms,50ms", "100ms")
	f.Add("=", ",")
	f.Fuzz(func(t *testing.T, a, b string) {
		all, err := parseSweeps([]string{a, b}, origins{})
		for _, s := range all {
			if err == nil && len(s.values) == 0 {
				t.Errorf("%q has no values", s.name)
			}
		}
	})
}

func FuzzLinkArgument(f *testing.F) {
	f.Add("braidway://xxb3eqmaj6lpek3rsxqvukn2dw7wke7chzz72mdq6ffwisw7xwga?v=1&pk=6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw&name=test&addr=/ip4/127.0.0.1/udp/4001/quic-v1")
	f.Add("braidway://")
	f.Fuzz(func(t *testing.T, text string) {
		_, err := parseLink(text)
		var usage usageError
		if err != nil && !errors.As(err, &usage) {
			t.Errorf("%q is no mistake of the user's", err)
		}
	})
}
