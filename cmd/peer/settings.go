package main

// This file answers: where does each setting come from, and is it in range?
// Flags, then the environment, then the file of --config, then defaults.

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
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
	metrics      string
	adminToken   string
	pprof        bool
	logLevel     string
	logFormat    string
	noMDNS       bool
	noNAT        bool
	noCircuits   bool
	maxConns     int
	maxMemory    size
	drainTimeout time.Duration
	config       string

	from origins
}

// origins tells for each flag where its value comes from: "flag", "default", an
// environment variable, or a file.
type origins map[string]string

// where names a setting as the user gave it.
func (o origins) where(name string) string {
	switch from := o[name]; {
	case from == "" || from == "flag" || from == "default":
		return "--" + name
	case strings.HasPrefix(from, envPrefix):
		return from
	default:
		return from + ": " + name
	}
}

// outside says that a value is not in its range.
func (o origins) outside(name string, value any, allowed string) error {
	return usagef("%s is %v, allowed is %s", o.where(name), value, allowed)
}

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
	f.StringVar(&s.metrics, "metrics", "", "`ADDR` where /metrics, /healthz and /readyz alone are served, for others to reach (default: on --admin only)")
	f.StringVar(&s.adminToken, "admin-token-file", "", "`FILE` with the token that the admin API asks for (Authorization: Bearer); a must beyond loopback")
	f.BoolVar(&s.pprof, "pprof", false, "profiles on the admin API")
	f.BoolVar(&s.noMDNS, "no-mdns", false, "leave the local network alone")
	f.BoolVar(&s.noNAT, "no-nat", false, "no ways in from outside: no port mapping, AutoNAT, hole punching or circuits through others")
	f.BoolVar(&s.noCircuits, "no-circuits", false, "lend no circuits to peers behind NATs (only control traffic goes over them)")
	f.IntVar(&s.maxConns, "max-conns", 0, "most connections, 16 to 65536 (default: 1024)")
	f.Var(&s.maxMemory, "max-memory", "most memory of connections, 64MiB to 1TiB (default: a quarter of the machine's)")
	f.DurationVar(&s.drainTimeout, "drain-timeout", 5*time.Second, "most time to hand children over when leaving, 0s to 10m")
	s.addLogFlags(f)
}

// bind adds the common flags to cmd, and loads the settings before it runs.
func (s *settings) bind(cmd *cobra.Command) {
	s.addFlags(cmd.Flags())
	cmd.PreRunE = s.load
}

// load fills in what no flag set, and checks the ranges.
func (s *settings) load(cmd *cobra.Command, _ []string) (err error) {
	if s.from, err = loadFlags(cmd); err != nil {
		return err
	}
	return s.check()
}

// loadFlags sets the flags of cmd that were not given from the environment and
// the file of --config, and tells where each value comes from.
func loadFlags(cmd *cobra.Command) (from origins, err error) {
	from = make(origins)
	flags := cmd.Flags()
	config, _ := flags.GetString("config")
	if config != "" {
		from["config"] = "flag"
	} else if config = os.Getenv(envPrefix + "CONFIG"); config != "" {
		from["config"] = envPrefix + "CONFIG"
	}
	file := map[string]any{}
	if config != "" {
		b, err := os.ReadFile(config)
		if err != nil {
			return nil, usagef("%s: %w; name a readable TOML file", from.where("config"), err)
		}
		if err := toml.Unmarshal(b, &file); err != nil {
			return nil, usagef("%s: %w", config, tomlError(err))
		}
	}
	flags.VisitAll(func(f *pflag.Flag) {
		env := envName(f.Name)
		switch v, inFile := file[f.Name]; {
		case err != nil || f.Name == "help" || f.Name == "config":
		case f.Changed:
			from[f.Name] = "flag"
		case os.Getenv(env) != "":
			from[f.Name] = env
			err = setAll(flags, f, env, os.Getenv(env))
		case inFile:
			from[f.Name] = config
			err = setAll(flags, f, config+": "+f.Name, v)
		default:
			from[f.Name] = "default"
		}
	})
	if err != nil {
		return nil, err
	}
	return from, unknownKeys(cmd.Root(), config, file)
}

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// tomlError adds the position to what the parser says.
func tomlError(err error) error {
	var d *toml.DecodeError
	if errors.As(err, &d) {
		row, column := d.Position()
		return fmt.Errorf("line %d, column %d: %w", row, column, err)
	}
	return err
}

// unknownKeys refuses keys that are no setting of any command: one file serves
// them all. A variable that is none is only a warning, since Kubernetes sets
// some for every service, whatever its name.
func unknownKeys(root *cobra.Command, config string, file map[string]any) error {
	known := map[string]bool{"config": true}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known[f.Name] = f.Name != "help" })
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(root)
	for _, k := range slices.Sorted(maps.Keys(file)) {
		if !known[k] {
			return usagef("%s: unknown key %q; known are the flags of the commands, without --%s", config, k, nearest(k, known))
		}
	}
	variables := map[string]bool{envPrefix + "STACK_CHILD": true} // package sim/stack starts this program with it
	for k := range known {
		variables[envName(k)] = true
	}
	for _, kv := range os.Environ() {
		if k, _, _ := strings.Cut(kv, "="); strings.HasPrefix(k, envPrefix) && !variables[k] && !strings.HasPrefix(k, envPrefix+"CHAOS") {
			fmt.Fprintf(os.Stderr, "warning: %s is set, but there is no such setting\n", k)
		}
	}
	return nil
}

// nearest proposes the known key that differs from k in nothing but _ and case.
func nearest(k string, known map[string]bool) string {
	if k = strings.ToLower(strings.ReplaceAll(k, "_", "-")); known[k] {
		return fmt.Sprintf("; did you mean %q?", k)
	}
	return ""
}

// setAll sets a flag from text, or from a TOML value; lists set it repeatedly.
func setAll(flags *pflag.FlagSet, f *pflag.Flag, where string, v any) error {
	values, many := []any{v}, f.Value.Type() == "stringArray"
	if list, ok := v.([]any); ok {
		if !many {
			return usagef("%s is a list, allowed is one value", where)
		}
		values = list
	} else if text, ok := v.(string); ok && many {
		values = nil
		for _, part := range strings.Split(text, ",") {
			values = append(values, strings.TrimSpace(part))
		}
	}
	for _, v := range values {
		if err := flags.Set(f.Name, fmt.Sprint(v)); err != nil {
			// pflag names the flag, which is not what the user wrote.
			if cause := errors.Unwrap(err); cause != nil {
				err = cause
			}
			return usagef("%s is %v: %w", where, v, err)
		}
	}
	return nil
}

func (s *settings) check() error {
	switch {
	case s.maxChildren < 0 || s.maxChildren > 65535:
		return s.from.outside("max-children", s.maxChildren, "0 to 65535")
	case s.maxConns != 0 && (s.maxConns < 16 || s.maxConns > 65536):
		return s.from.outside("max-conns", s.maxConns, "16 to 65536")
	case s.maxMemory != 0 && (s.maxMemory < 64<<20 || s.maxMemory > 1<<40):
		return s.from.outside("max-memory", &s.maxMemory, "64MiB to 1TiB")
	case s.drainTimeout < 0 || s.drainTimeout > 10*time.Minute:
		return s.from.outside("drain-timeout", s.drainTimeout, "0s to 10m")
	}
	if err := s.checkLog(); err != nil {
		return err
	}
	for _, a := range s.listen {
		if _, err := ma.NewMultiaddr(a); err != nil {
			return usagef("%s %s: %w; write for example /ip4/0.0.0.0/udp/4001/quic-v1", s.from.where("listen"), a, err)
		}
	}
	_, err := s.bootstrapPeers()
	return err
}

func (s *settings) checkLog() error {
	if s.logFormat != "text" && s.logFormat != "json" {
		return s.from.outside("log-format", strconv.Quote(s.logFormat), "text or json")
	}
	var l slog.Level
	if err := l.UnmarshalText([]byte(s.logLevel)); err != nil {
		return s.from.outside("log-level", strconv.Quote(s.logLevel), "debug, info, warn or error")
	}
	return nil
}

func (s *settings) bootstrapPeers() ([]peer.AddrInfo, error) {
	var infos []peer.AddrInfo
	for _, a := range s.bootstrap {
		ai, err := peer.AddrInfoFromString(a)
		if err != nil {
			return nil, usagef("%s %s: %w; write for example /ip4/192.0.2.1/udp/4001/quic-v1/p2p/12D3…", s.from.where("bootstrap"), a, err)
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
	outside := !loopbackOnly(s.listen)
	cfg.Host = p2p.HostConfig{Listen: s.listen, Version: version(), NAT: outside && !s.noNAT, RelayService: outside && !s.noCircuits, AllowLoopback: true,
		Limits: p2p.Limits{Conns: s.maxConns, Memory: int64(s.maxMemory)}}
	if s.key == "" {
		cfg.Host.Key, err = newIdentity()
	} else {
		cfg.Host.Key, err = s.loadKey("key", s.key)
	}
	return cfg, err
}

// loadKey reads the key file that flag names, and makes it when it is missing.
func (s *settings) loadKey(flag, file string) (ed25519.PrivateKey, error) {
	if dir := filepath.Dir(file); dir != "." {
		if _, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("--%s %s: %w; make the folder first", flag, file, err)
		}
	}
	key, made, err := p2p.LoadOrCreateKey(file)
	if made {
		s.logger().Info("made a new key", "file", file)
	}
	return key, err
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
