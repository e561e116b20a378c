package main

// What CLI.md promises to scripts, held by the binary itself.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/internal/testnet"
)

// someLink is a valid link of a stream that nobody publishes.
const someLink = "braidway://q7u5icjungma23bfzzye6tygpgvwcyfyh4q62u55fmnrdp3l7tza?v=1&pk=-UR6Npja-jtLiXq4fRzoW7102yiPTe8QiP30irSBudc&name=live"

func write(t *testing.T, dir, name, content string, mode os.FileMode) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestCommandsKeepTheirContract(t *testing.T) {
	file := binary.File(t)
	dir := t.TempDir()
	loose := write(t, dir, "loose.key", "x", 0o644)
	broken := write(t, dir, "broken.key", "x", 0o600)
	unknown := write(t, dir, "unknown.toml", "colour = 'red'\n", 0o600)
	spelled := write(t, dir, "spelled.toml", "max_children = 3\n", 0o600)
	ranged := write(t, dir, "ranged.toml", "max-children = 70000\n", 0o600)
	noTOML := write(t, dir, "no.toml", "a = [\n", 0o600)
	text := write(t, dir, "text.txt", "hello world", 0o600)
	empty := write(t, dir, "empty.ts", "", 0o600)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() }) // the subtests run in parallel
	used := taken.Addr().String()
	_, port, _ := net.SplitHostPort(used)
	link := someLink
	local := func(args ...string) []string { return append(args, common...) }
	for name, c := range map[string]struct {
		args   []string
		env    string
		stdin  string
		status int
		says   []string
		out    string // on standard output, of what has failed
	}{
		"an unknown command":          {args: []string{"plya"}, status: 2, says: []string{"plya", "play"}},
		"an unknown command below":    {args: []string{"key", "make"}, status: 2, says: []string{"make", "new, show"}},
		"an unknown shell":            {args: []string{"completion", "tcsh"}, status: 2, says: []string{"tcsh", "fish"}},
		"help for nothing":            {args: []string{"help", "plya"}, status: 2, says: []string{"plya"}},
		"an unknown flag":             {args: []string{"play", "--colour", link}, status: 2, says: []string{"--colour", "--help"}},
		"an argument too many":        {args: []string{"version", "now"}, status: 2, says: []string{"now"}},
		"a link that is missing":      {args: []string{"play", "-o", "-"}, status: 2, says: []string{"LINK"}},
		"a link of another kind":      {args: []string{"play", "https://example.org", "-o", "-"}, status: 2, says: []string{"position 0", "braidway://"}},
		"a link cut short":            {args: []string{"play", link[:40], "-o", "-"}, status: 2, says: []string{"position"}},
		"a link of a new version":     {args: []string{"play", strings.Replace(link, "v=1", "v=9", 1), "-o", "-"}, status: 2, says: []string{"position", "9"}},
		"a link with a broken addr":   {args: []string{"play", link + "&addr=/ip4/127.0.0.1/udp/1/quic-v1/p2p/12D3Ko", "-o", "-"}, status: 2, says: []string{"position", "12D3Ko"}},
		"nothing to do with a stream": {args: []string{"play", link}, status: 2, says: []string{"-o", "--http"}},
		"a rate without unit":         {args: []string{"relay", link, "--upload-limit", "20"}, status: 2, says: []string{"20Mbps"}},
		"a rate in the environment":   {args: []string{"relay", link}, env: "BRAIDWAY_UPLOAD_LIMIT=20", status: 2, says: []string{"BRAIDWAY_UPLOAD_LIMIT", "20Mbps"}},
		"a size without unit":         {args: []string{"relay", link, "--max-memory", "64"}, status: 2, says: []string{"64MiB"}},
		"a size out of range":         {args: []string{"relay", link, "--max-memory", "1MiB"}, status: 2, says: []string{"--max-memory", "64MiB to 1TiB"}},
		"a buffer out of range":       {args: []string{"play", link, "-o", "-", "--buffer", "2h"}, status: 2, says: []string{"--buffer", "100ms"}},
		"a buffer in the environment": {args: []string{"play", link, "-o", "-"}, env: "BRAIDWAY_BUFFER=2h", status: 2, says: []string{"BRAIDWAY_BUFFER", "100ms"}},
		"stripes in the environment":  {args: []string{"publish"}, env: "BRAIDWAY_STRIPES=99", status: 2, says: []string{"BRAIDWAY_STRIPES", "1 to 16"}},
		"a content type of two lines": {args: []string{"publish", "--content-type", "a\nb"}, status: 2, says: []string{"--content-type", "ASCII"}},
		"few peers in a demo":         {args: []string{"demo", "--peers", "2"}, status: 2, says: []string{"--peers", "4 to 200"}},
		"an address that is none":     {args: []string{"relay", link, "--listen", "0.0.0.0:4001"}, status: 2, says: []string{"--listen", "/ip4/0.0.0.0/udp/4001/quic-v1"}},
		"a bootstrap without id":      {args: []string{"relay", link, "--bootstrap", "/ip4/192.0.2.1/udp/4001/quic-v1"}, status: 2, says: []string{"--bootstrap", "/p2p/"}},
		"an unknown key in the file":  {args: []string{"config", "show", "--config", unknown}, status: 2, says: []string{unknown, "colour"}},
		"a key spelled otherwise":     {args: []string{"config", "show", "--config", spelled}, status: 2, says: []string{"max_children", `"max-children"`}},
		"a value of the file":         {args: []string{"config", "show", "--config", ranged}, status: 2, says: []string{ranged, "max-children", "70000", "0 to 65535"}},
		"a file that is not TOML":     {args: []string{"config", "show", "--config", noTOML}, status: 2, says: []string{noTOML, "line"}},
		"a file that is not there":    {args: []string{"config", "show", "--config", "none.toml"}, status: 2, says: []string{"none.toml"}},
		"a loose key":                 {args: local("publish", "--key", loose), status: 1, says: []string{"chmod 600"}},
		"a broken key":                {args: []string{"key", "show", broken}, status: 1, says: []string{broken, "restore"}},
		"a key that is there":         {args: []string{"key", "new", broken}, status: 1, says: []string{broken, "not overwritten"}},
		"a key without a folder":      {args: local("publish", "--key", filepath.Join(dir, "no", "x.key")), status: 1, says: []string{"--key", "folder"}},
		"a report without a folder":   {args: local("play", link, "--report", filepath.Join(dir, "no", "r.json")), status: 1, says: []string{"--report", "folder"}},
		"input that is not MPEG-TS":   {args: local("publish", "-"), stdin: strings.Repeat("hello ", 999), status: 1, says: []string{"--raw"}},
		"a file that is not MPEG-TS":  {args: local("publish", text), status: 1, says: []string{text, "--raw"}},
		"input that is empty":         {args: local("publish", "-"), status: 1, says: []string{"empty"}},
		"a file that is empty":        {args: local("publish", empty), status: 1, says: []string{"empty.ts", "empty"}},
		"input that is not there":     {args: local("publish", filepath.Join(dir, "no.ts")), status: 1, says: []string{"no.ts"}},
		"udp without a port":          {args: local("publish", "udp://127.0.0.1"), status: 1, says: []string{"udp://host:port"}},
		"udp on no interface":         {args: local("publish", "udp://239.0.0.1:5000?iface=nosuch0"), status: 1, says: []string{"nosuch0"}},
		"an input's port in use":      {args: local("publish", "rtmp://"+used+"/live/secret"), status: 1, says: []string{used + "/live/…", "in use"}},
		"srt without a port":          {args: local("publish", "srt://127.0.0.1"), status: 1, says: []string{"srt://0.0.0.0:9000"}},
		"an input without ffmpeg":     {args: local("publish", "srt://127.0.0.1:9000"), env: "PATH=/nowhere", status: 1, says: []string{"ffmpeg", "apt install"}},
		"a bound below the bitrate":   {args: local("publish", "--bitrate", "4Mbps", "--max-bitrate", "1Mbps"), status: 2, says: []string{"--max-bitrate", "4Mbps and more"}},
		"a port in use":               {args: []string{"relay", link, "--no-mdns", "--admin", "off", "--listen", "/ip4/127.0.0.1/tcp/" + port}, status: 1, says: []string{"/tcp/" + port, "in use", "port 0"}},
		"an admin port in use":        {args: []string{"relay", link, "--no-mdns", "--admin", used}, status: 1, says: []string{used, "--admin"}},
		"a player's port in use":      {args: local("play", link, "--http", used), status: 1, says: []string{used, "--http"}},
		"a rewind out of range":       {args: []string{"play", link, "--http", "127.0.0.1:0", "--rewind", "5s"}, status: 2, says: []string{"--rewind", "1m to 24h"}},
		"a rewind without players":    {args: []string{"play", link, "-o", "-", "--rewind", "5m"}, status: 2, says: []string{"--rewind", "--http"}},
		"a small window":              {args: []string{"play", link, "--http", "127.0.0.1:0", "--rewind-size", "1MiB"}, status: 2, says: []string{"--rewind-size", "16MiB"}},
		"a certificate without key":   {args: []string{"play", link, "--http", "127.0.0.1:0", "--tls-cert", text}, status: 2, says: []string{"--tls-cert", "--tls-key"}},
		"a certificate that is none":  {args: local("play", link, "--http", "127.0.0.1:0", "--tls-cert", text, "--tls-key", text), status: 1, says: []string{"--tls-cert", text}},
		"nowhere to record":           {args: local("play", link, "--record", filepath.Join(text, "x")), status: 1, says: []string{"--record", text}},
		"nowhere to rewind":           {args: local("play", link, "--http", "127.0.0.1:0", "--rewind", "5m", "--rewind-dir", filepath.Join(dir, "no")), status: 1, says: []string{"rewind", "no"}},
		"nobody found":                {args: local("play", link, "-o", filepath.Join(dir, "o"), "--timeout", "1s"), status: 3, says: []string{"DHT", "mDNS", "link", "1s"}},
		"nobody to relay from":        {args: local("relay", link, "--timeout", "1s"), status: 3, says: []string{"DHT", "mDNS", "link"}},
		"no admin API":                {args: []string{"status", "--admin", "127.0.0.1:1"}, status: 3, says: []string{"127.0.0.1:1"}},
		"nobody to drain":             {args: []string{"drain"}, env: "BRAIDWAY_ADMIN=127.0.0.1:1", status: 3, says: []string{"127.0.0.1:1"}},
		"nobody to watch":             {args: []string{"top", "--admin", "127.0.0.1:1"}, status: 3, says: []string{"127.0.0.1:1"}},
		"an interval out of range":    {args: []string{"top", "--admin", "127.0.0.1:1", "--interval", "1ms"}, status: 2, says: []string{"--interval", "100ms to 1h"}},
		"nobody to examine":           {args: []string{"doctor", "--admin", "127.0.0.1:1"}, status: 3, says: []string{"127.0.0.1:1"}},
		"a doctor for no address":     {args: []string{"doctor", "--admin", "127.0.0.1"}, status: 2, says: []string{"--admin", "host:port"}},
		"a doctor's key of others":    {args: []string{"doctor", "--key", loose}, status: 1, says: []string{"chmod 600"}},
		"a DHT node that is dead":     {args: append([]string{"doctor", "--bootstrap", "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWBf9nNNcb8F4sBwpbAMBNSEuV7ZK5ccyVYp9C4YHwV4Fq"}, "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"), status: 1, out: "no node is known: bootstrap node", says: []string{"failed: dht"}},
		"no word where the peer is":   {args: []string{"status"}, status: 2, says: []string{"--admin", "BRAIDWAY_ADMIN"}},
		"the version":                 {args: []string{"version"}, status: 0},
		"the help":                    {args: []string{"play", "--help"}, status: 0},
		"a shell's completion":        {args: []string{"completion", "bash"}, status: 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(file, c.args...)
			cmd.Stdin = strings.NewReader(c.stdin)
			cmd.Env = append(os.Environ(), c.env)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			_ = cmd.Run()
			if got := cmd.ProcessState.ExitCode(); got != c.status {
				t.Errorf("exit status %d, want %d: %s", got, c.status, stderr.String())
			}
			for _, s := range c.says {
				if !strings.Contains(stderr.String(), s) {
					t.Errorf("the error does not name %q: %s", s, stderr.String())
				}
			}
			if !strings.Contains(stdout.String(), c.out) {
				t.Errorf("standard output does not say %q: %s", c.out, stdout.String())
			}
			if c.status == exitUsage && stdout.Len() > 0 {
				t.Errorf("standard output of a wrong usage: %s", stdout.String())
			}
			if c.status == exitDone && (stdout.Len() == 0 || stderr.Len() > 0) {
				t.Errorf("%d bytes on standard output; standard error: %s", stdout.Len(), stderr.String())
			}
		})
	}
}

// eachCommand calls f for every command that a user can run.
func eachCommand(cmd *cobra.Command, f func(*cobra.Command)) {
	f(cmd)
	for _, c := range cmd.Commands() {
		eachCommand(c, f)
	}
}

func TestEveryCommandHasHelpWithExamples(t *testing.T) {
	eachCommand(newRoot(), func(cmd *cobra.Command) {
		if cmd.Parent() != nil && cmd.Parent().Name() == "completion" {
			return // cobra's: the examples are in the long text
		}
		if cmd.Short == "" || !strings.Contains(cmd.Example, cmd.CommandPath()) {
			t.Errorf("%s: short help %q, examples %q", cmd.CommandPath(), cmd.Short, cmd.Example)
		}
	})
}

func TestAPeerIsReadyThenDrainedAndItsChildrenStay(t *testing.T) {
	file := binary.File(t)
	pub := start(t, "publisher", "publish", "test:", "--max-children", "1")
	link := pub.Line(t)
	alone := start(t, "relay of nothing", "relay", someLink)
	alone.Line(t)
	if got := alone.Readiness(); got != 503 {
		t.Errorf("a relay without its stream has readiness %d, want 503 with Retry-After", got)
	}
	one := start(t, "relay one", "relay", link)
	two := start(t, "relay two", "relay", link)
	dir := t.TempDir()
	out, report := filepath.Join(dir, "out.ts"), filepath.Join(dir, "r.json")
	viewer := start(t, "viewer", "play", link, "-o", out, "--no-relay", "--report", report)
	for _, p := range []*testnet.Process{pub, one, two, viewer} {
		testnet.WaitFor(t, p.Name+" is ready", 20*time.Second, func() bool { return p.Readiness() == 200 })
	}
	page, err := http.NewRequest(http.MethodPost, "http://"+one.Admin()+"/api/v1/drain", nil)
	if err != nil {
		t.Fatal(err)
	}
	page.Header.Set("Origin", "https://example.org")
	if res, err := http.DefaultClient.Do(page); err != nil || res.Body.Close() != nil || res.StatusCode != http.StatusForbidden {
		t.Errorf("a page of another site may drain the peer: %v, %v", res, err)
	}
	raw, err := exec.Command(file, "status", "--json", "--admin", one.Admin()).Output()
	var st node.State
	if err != nil || json.Unmarshal(raw, &st) != nil || len(st.Streams) != 1 || len(st.Streams[0].Stripes) != 4 {
		t.Fatalf("status --json: %v: %s", err, raw)
	}
	table, err := exec.Command(file, "status", "--admin", "http://"+one.Admin()).Output()
	if err != nil || !strings.Contains(string(table), st.Streams[0].ID) || !strings.Contains(string(table), "PARENT") {
		t.Fatalf("status: %v: %s", err, table)
	}
	said, err := exec.Command(file, "drain", "--admin", one.Admin()).CombinedOutput()
	if err != nil || !strings.HasPrefix(string(said), "draining\n") || !strings.HasSuffix(string(said), "left\n") {
		t.Errorf("drain: %v: %s", err, said)
	}
	select {
	case <-one.Done():
		if one.Err() != nil {
			t.Errorf("the drained relay: %v", one.Err())
		}
	case <-time.After(10 * time.Second):
		t.Error("the drained relay does not end")
	}
	before, _ := os.Stat(out)
	testnet.WaitFor(t, "the viewer plays on", 10*time.Second, func() bool {
		now, err := os.Stat(out)
		return err == nil && now.Size() > before.Size()+200_000
	})
	viewer.Signal(syscall.SIGTERM)
	<-viewer.Done()
	var r map[string]any
	if b, err := os.ReadFile(report); viewer.Err() != nil || err != nil || json.Unmarshal(b, &r) != nil || r["continuity"] != 1.0 || r["stalls"] != 0.0 {
		t.Errorf("%v, %v, report %v", viewer.Err(), err, r)
	}
}

func TestASignalWritesTheReportWithWhatWasMeasuredOnly(t *testing.T) {
	report := filepath.Join(t.TempDir(), "r.json")
	p := start(t, "viewer of nothing", "play", someLink, "--report", report, "--timeout", "0s")
	if got := p.Readiness(); got != 503 {
		t.Errorf("readiness %d, want 503", got)
	}
	p.Signal(syscall.SIGINT)
	<-p.Done()
	b, err := os.ReadFile(report)
	if p.Err() != nil || err != nil {
		t.Fatal(p.Err(), err)
	}
	var r map[string]any
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	if r["duration_s"] == nil || r["stream"] == nil {
		t.Errorf("report %s", b)
	}
	for _, k := range []string{"startup_ms", "continuity", "objects_due", "stalls", "stall_ms", "max_gap_ms", "latency_ms", "redundancy"} {
		if v, ok := r[k]; ok {
			t.Errorf("%s is %v, but nothing was played", k, v)
		}
	}
}

func TestASecondSignalEndsAPeerAtOnce(t *testing.T) {
	pub := start(t, "publisher", "publish", "test:", "--max-children", "1")
	link := pub.Line(t)
	relay := start(t, "relay", "relay", link, "--drain-timeout", "1m")
	testnet.WaitFor(t, "the relay is ready", 20*time.Second, func() bool { return relay.Readiness() == 200 })
	viewer := start(t, "viewer", "play", link, "-o", os.DevNull)
	testnet.WaitFor(t, "the viewer plays from the relay", 20*time.Second, func() bool {
		st, ok := relay.Stream()
		return ok && st.Used > 0 && viewer.Readiness() == 200
	})
	pub.Freeze() // the viewer has nowhere to go
	relay.Signal(syscall.SIGTERM)
	testnet.WaitFor(t, "the relay drains", 10*time.Second, func() bool { return relay.Readiness() == 503 })
	again := time.Now()
	relay.Signal(syscall.SIGTERM)
	<-relay.Done()
	var exit *exec.ExitError
	if d := time.Since(again); d > 2*time.Second || !errors.As(relay.Err(), &exit) || exit.ExitCode() != exitFailed {
		t.Errorf("ended after %v with %v", d, relay.Err())
	}
}

func TestStandardOutputIsTheStreamAndNothingElse(t *testing.T) {
	file := binary.File(t)
	linkFile := filepath.Join(t.TempDir(), "link")
	pub := exec.Command(file, append([]string{"publish", "--raw", "-", "--link-file", linkFile}, common...)...)
	in, err := pub.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	pub.Stdout = &said
	if err := pub.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pub.Process.Kill(); _ = pub.Wait() })
	testnet.WaitFor(t, "the link file", 10*time.Second, func() bool { _, err := os.Stat(linkFile); return err == nil })
	link, err := os.ReadFile(linkFile)
	if err != nil {
		t.Fatal(err)
	}
	play := exec.Command(file, append([]string{"play", strings.TrimSpace(string(link)), "-o", "-", "--log-level", "debug"}, common...)...)
	var got bytes.Buffer
	play.Stdout = &got
	if err := play.Start(); err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	for i := range 30 {
		line := fmt.Sprintf("line %d of any bytes\x00\xff\n", i)
		want.WriteString(line)
		if _, err := in.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond) // the pace of the input
	}
	_ = in.Close()
	if err := play.Wait(); err != nil {
		t.Error(err)
	}
	if got.Len() == 0 || !bytes.HasSuffix(want.Bytes(), got.Bytes()) {
		t.Errorf("played %q", got.Bytes())
	}
	if err := pub.Wait(); err != nil || said.String() != string(link) {
		t.Errorf("the publisher: %v, it said %q", err, said.String())
	}
}
