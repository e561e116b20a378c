package main

// This file answers: does every setting come from where it should, and is each
// documented?

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfigShowTellsWhereEachValueComesFrom(t *testing.T) {
	file := binary.File(t)
	conf := write(t, t.TempDir(), "peer.toml", "max-children = 3\nupload-limit = '7Mbps'\nno-mdns = true\nlog-level = 'warn'\nbuffer = '2s' # of play\n", 0o600)
	cmd := exec.Command(file, "config", "show", "--config", conf, "--log-level", "debug")
	cmd.Env = append(os.Environ(), "BRAIDWAY_UPLOAD_LIMIT=9Mbps", "BRAIDWAY_LOG_LEVEL=error", "BRAIDWAY_BOOTSTRAP="+
		"/ip4/192.0.2.1/tcp/1/p2p/12D3KooWBf9nNNcb8F4sBwpbAMBNSEuV7ZK5ccyVYp9C4YHwV4Fq,/ip4/192.0.2.2/tcp/1/p2p/12D3KooWBf9nNNcb8F4sBwpbAMBNSEuV7ZK5ccyVYp9C4YHwV4Fq")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		rows[f[0]] = f[1:]
	}
	for name, want := range map[string][]string{
		"log-level":     {"debug", "flag"},
		"upload-limit":  {"9Mbps", "BRAIDWAY_UPLOAD_LIMIT"},
		"max-children":  {"3", conf},
		"no-mdns":       {"true", conf},
		"drain-timeout": {"5s", "default"},
		"config":        {conf, "flag"},
	} {
		if got := rows[name]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if got := strings.Join(rows["bootstrap"], " "); strings.Count(got, "192.0.2.") != 2 || !strings.HasSuffix(got, "BRAIDWAY_BOOTSTRAP") {
		t.Errorf("bootstrap: %s", got)
	}
}

func TestSmallCommandsSpeakJSON(t *testing.T) {
	file := binary.File(t)
	key := filepath.Join(t.TempDir(), "pub.key")
	var made, shown identity
	var all map[string]setting
	var v versions
	for _, c := range []struct {
		to   any
		args []string
	}{
		{&made, []string{"key", "new", key}}, {&shown, []string{"key", "show", key}},
		{&all, []string{"config", "show", "--max-children", "3"}}, {&v, []string{"version"}},
	} {
		out, err := exec.Command(file, append(c.args, "--json")...).Output()
		if err == nil {
			err = json.Unmarshal(out, c.to)
		}
		if err != nil {
			t.Errorf("%v: %v in %s", c.args, err, out)
		}
	}
	if made != shown || !strings.HasPrefix(made.PeerID, "12D3KooW") || len(made.PublicKey) != 43 {
		t.Errorf("made %+v, shown %+v", made, shown)
	}
	if _, ok := all["json"]; ok || all["max-children"] != (setting{"3", "flag"}) || all["config"].From != "" {
		t.Errorf("%+v", all)
	}
	if v.Braidway == "" || v.Libp2p == "unknown" || len(v.Protocols) != 6 {
		t.Errorf("%+v", v)
	}
}

func TestRatesAndSizesAreReadAsTheyAreShown(t *testing.T) {
	for text, want := range map[string]int64{"20Mbps": 20e6, "1.5 Gbps": 15e8, "300kbit/s": 3e5, "8bps": 8, "2MBIT/S": 2e6} {
		var r, back rate
		if err := r.Set(text); err != nil || int64(r) != want || back.Set(r.String()) != nil || back != r {
			t.Errorf("%s is %d, shown as %s, read as %d: %v", text, r, r.String(), back, err)
		}
	}
	for text, want := range map[string]int64{"64MiB": 64 << 20, "1.5GiB": 3 << 29, "100kB": 1e5, "7B": 7, "1tib": 1 << 40} {
		var z, back size
		if err := z.Set(text); err != nil || int64(z) != want || back.Set(z.String()) != nil || back != z {
			t.Errorf("%s is %d, shown as %s, read as %d: %v", text, z, z.String(), back, err)
		}
	}
	for _, text := range []string{"", "20", "Mbps", "-1Mbps", "0Mbps", "0.1bps", "NaNMbps", "InfMbps", "2000Gbps", "1e400bps", "20Mb", "1MiB"} {
		if err := new(rate).Set(text); err == nil {
			t.Errorf("%q is a rate", text)
		}
	}
	for _, text := range []string{"", "64", "MiB", "-1B", "0B", "NaNB", "9999TiB", "1Mbps"} {
		if err := new(size).Set(text); err == nil {
			t.Errorf("%q is a size", text)
		}
	}
}

func TestWaysInFromOutsideAndLimitsAreSettings(t *testing.T) {
	for name, c := range map[string]struct {
		set           settings
		nat, circuits bool
	}{
		"by default":         {settings{}, true, true},
		"on loopback only":   {settings{listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}}, false, false},
		"with --no-nat":      {settings{noNAT: true}, false, true},
		"with --no-circuits": {settings{noCircuits: true}, true, false},
	} {
		c.set.logLevel, c.set.logFormat = "info", "text"
		c.set.maxConns, c.set.maxMemory = 99, 64<<20
		cfg, err := c.set.nodeConfig()
		if err != nil || cfg.Host.NAT != c.nat || cfg.Host.RelayService != c.circuits {
			t.Errorf("%s: NAT %v, circuits %v, %v", name, cfg.Host.NAT, cfg.Host.RelayService, err)
		}
		if cfg.Host.Limits.Conns != 99 || cfg.Host.Limits.Memory != 64<<20 {
			t.Errorf("%s: limits %+v", name, cfg.Host.Limits)
		}
	}
}
