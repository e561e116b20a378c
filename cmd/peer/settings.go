package main

// This file answers: where does each setting come from, and is it in range?
// Flags, then the environment, then the file of --config, then defaults.

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/internal/node/p2p"
)

const envPrefix = "BRAIDWAY_"

// settings of everything that opens a host.
type settings struct {
	key          string
	listen       []string
	bootstrap    []string
	upload       rate
	maxChildren  int
	admin        string
	pprof        bool
	logLevel     string
	logFormat    string
	noMDNS       bool
	drainTimeout time.Duration
	config       string
}

// rate is bits per second as people write them: 20Mbps.
type rate int64

var rateUnits = []struct {
	name string
	mul  float64
}{{"kbps", 1e3}, {"Mbps", 1e6}, {"Gbps", 1e9}, {"kbit/s", 1e3}, {"Mbit/s", 1e6}, {"Gbit/s", 1e9}, {"bps", 1}, {"bit/s", 1}}

// Set implements pflag.Value.
func (r *rate) Set(s string) error {
	for _, u := range rateUnits {
		num, ok := strings.CutSuffix(strings.ToLower(s), strings.ToLower(u.name))
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(num), 64)
		if err != nil || v <= 0 || v*u.mul > 1e12 {
			return fmt.Errorf("rate %q is not a number over 0 and up to 1000Gbps", s)
		}
		*r = rate(v * u.mul)
		return nil
	}
	return fmt.Errorf("rate %q has no unit; write for example 20Mbps (kbps, Mbps and Gbps are known)", s)
}

// String implements pflag.Value.
func (r *rate) String() string {
	if *r == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(*r)/1e6, 'f', -1, 64) + "Mbps"
}

// Type implements pflag.Value.
func (r *rate) Type() string { return "RATE" }

// addLogFlags adds what every command has that logs.
func (s *settings) addLogFlags(f *pflag.FlagSet) {
	f.StringVar(&s.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&s.logFormat, "log-format", "text", "text or json")
	f.StringVar(&s.config, "config", "", "`FILE` with settings (TOML; keys are the flags' names)")
}

// addFlags adds the common flags of everything that opens a host.
func (s *settings) addFlags(f *pflag.FlagSet) {
	f.StringVar(&s.key, "key", "", "`FILE` of the identity; made when missing (default: a new identity each time)")
	f.StringArrayVar(&s.listen, "listen", nil, "`MULTIADDR` to listen on; repeatable (default QUIC and TCP on a free port, all interfaces)")
	f.StringArrayVar(&s.bootstrap, "bootstrap", nil, "`MULTIADDR` of a DHT node to start from; repeatable")
	f.Var(&s.upload, "upload-limit", "most that children are sent, as 20Mbps (default: measured)")
	f.IntVar(&s.maxChildren, "max-children", 0, "most children in any one stripe, 0 to 65535 (default: what the upload allows)")
	f.StringVar(&s.admin, "admin", "127.0.0.1:0", "`ADDR` of the admin API; off to disable")
	f.BoolVar(&s.pprof, "pprof", false, "profiles on the admin API")
	f.BoolVar(&s.noMDNS, "no-mdns", false, "leave the local network alone")
	f.DurationVar(&s.drainTimeout, "drain-timeout", 5*time.Second, "most time to hand children over when leaving, 0s to 10m")
	s.addLogFlags(f)
}

// load fills in what no flag set, from the environment and the file, and
// checks the ranges. from tells where each setting came from.
func (s *settings) load(cmd *cobra.Command) (from map[string]string, err error) {
	from = make(map[string]string)
	flags := cmd.Flags()
	if env := os.Getenv(envPrefix + "CONFIG"); s.config == "" && env != "" {
		s.config = env
		from["config"] = envPrefix + "CONFIG"
	}
	file := map[string]any{}
	if s.config != "" {
		b, err := os.ReadFile(s.config)
		if err != nil {
			return nil, usagef("--config: %w", err)
		}
		if err := toml.Unmarshal(b, &file); err != nil {
			return nil, usagef("--config %s: %w", s.config, err)
		}
	}
	known := map[string]bool{}
	flags.VisitAll(func(f *pflag.Flag) {
		known[f.Name] = true
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		switch v, inFile := file[f.Name]; {
		case err != nil || f.Name == "help" || f.Name == "config":
		case f.Changed:
			from[f.Name] = "flag"
		case os.Getenv(name) != "":
			from[f.Name] = name
			err = setAll(flags, f, name, os.Getenv(name))
		case inFile:
			from[f.Name] = s.config
			err = setAll(flags, f, s.config+": "+f.Name, v)
		default:
			from[f.Name] = "default"
		}
	})
	if err != nil {
		return nil, err
	}
	keys := make([]string, 0, len(file))
	for k := range file {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		if !known[k] && !hostSettings[k] {
			return nil, usagef("--config %s: unknown key %q", s.config, k)
		}
	}
	return from, s.check()
}

// hostSettings are the keys that one file may hold for several commands.
var hostSettings = func() map[string]bool {
	m := map[string]bool{}
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	new(settings).addFlags(f)
	f.VisitAll(func(f *pflag.Flag) { m[f.Name] = true })
	return m
}()

// setAll sets a flag from text, or from a TOML value; lists set it repeatedly.
func setAll(flags *pflag.FlagSet, f *pflag.Flag, where string, v any) error {
	values := []any{v}
	if list, ok := v.([]any); ok {
		values = list
	} else if text, ok := v.(string); ok && f.Value.Type() == "stringArray" {
		values = nil
		for _, part := range strings.Split(text, ",") {
			values = append(values, strings.TrimSpace(part))
		}
	}
	for _, v := range values {
		if err := flags.Set(f.Name, fmt.Sprint(v)); err != nil {
			return usagef("%s: %w", where, err)
		}
	}
	return nil
}

func (s *settings) check() error {
	switch {
	case s.maxChildren < 0 || s.maxChildren > 65535:
		return usagef("--max-children is %d, allowed is 0 to 65535", s.maxChildren)
	case s.drainTimeout < 0 || s.drainTimeout > 10*time.Minute:
		return usagef("--drain-timeout is %v, allowed is 0s to 10m", s.drainTimeout)
	case s.logFormat != "text" && s.logFormat != "json":
		return usagef("--log-format is %q, allowed are text and json", s.logFormat)
	}
	var l slog.Level
	if err := l.UnmarshalText([]byte(s.logLevel)); err != nil {
		return usagef("--log-level is %q, allowed are debug, info, warn and error", s.logLevel)
	}
	for _, a := range s.listen {
		if _, err := ma.NewMultiaddr(a); err != nil {
			return usagef("--listen %s: %w; write for example /ip4/0.0.0.0/udp/4001/quic-v1", a, err)
		}
	}
	_, err := s.bootstrapPeers()
	return err
}

func (s *settings) bootstrapPeers() ([]peer.AddrInfo, error) {
	var infos []peer.AddrInfo
	for _, a := range s.bootstrap {
		ai, err := peer.AddrInfoFromString(a)
		if err != nil {
			return nil, usagef("--bootstrap %s: %w; write for example /ip4/192.0.2.1/udp/4001/quic-v1/p2p/12D3…", a, err)
		}
		infos = append(infos, *ai)
	}
	return infos, nil
}

func (s *settings) logger() *slog.Logger {
	var l slog.Level
	_ = l.UnmarshalText([]byte(s.logLevel)) // checked by load
	opts := &slog.HandlerOptions{Level: l}
	if s.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, opts))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, opts))
}

// nodeConfig turns the settings into a node's.
func (s *settings) nodeConfig() (node.Config, error) {
	cfg := node.Config{NoMDNS: s.noMDNS, UploadLimit: int64(s.upload), MaxChildren: s.maxChildren, Log: s.logger()}
	var err error
	if cfg.DHT.Bootstrap, err = s.bootstrapPeers(); err != nil {
		return cfg, err
	}
	cfg.Host = p2p.HostConfig{Listen: s.listen, Version: version(), NAT: !loopbackOnly(s.listen), RelayService: !loopbackOnly(s.listen), AllowLoopback: true}
	if s.key == "" {
		cfg.Host.Key, err = newIdentity()
		return cfg, err
	}
	if dir := filepath.Dir(s.key); dir != "." {
		if _, err := os.Stat(dir); err != nil {
			return cfg, fmt.Errorf("--key: %w", err)
		}
	}
	var made bool
	cfg.Host.Key, made, err = p2p.LoadOrCreateKey(s.key)
	if made {
		cfg.Log.Info("made a new identity", "file", s.key)
	}
	return cfg, err
}

// loopbackOnly reports whether nothing outside this machine can be meant.
func loopbackOnly(listen []string) bool {
	for _, a := range listen {
		if !strings.HasPrefix(a, "/ip4/127.") && !strings.HasPrefix(a, "/ip6/::1/") {
			return false
		}
	}
	return len(listen) > 0
}
