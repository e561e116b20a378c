package main

// Separate processes, killed and frozen while viewers watch.

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/braidway/braidway/internal/media"
	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/measure"
	"github.com/braidway/braidway/sim/stack"
)

// binary is built once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "braidway")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "peer")
	out, err := exec.Command("go", "build", "-o", file, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return file, nil
})

func TestMain(m *testing.M) {
	stack.Main()
	code := m.Run()
	if file, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(file))
	}
	os.Exit(code)
}

// process is a running peer.
type process struct {
	name  string
	cmd   *exec.Cmd
	lines chan string // first lines of standard output
	admin chan string
	addr  string
	done  chan struct{}
	err   error
	mu    sync.Mutex
	log   bytes.Buffer
	gone  bool // killed by the test
	still bool // frozen by the test
}

var common = []string{"--no-mdns", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1", "--admin", "127.0.0.1:0"}

func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	args = append(args, common...)
	logDir := os.Getenv("BRAIDWAY_CHAOS_LOG") // a directory for every process's debug log
	if logDir != "" {
		args = append(args, "--log-level", "debug")
	}
	p := &process{name: name, cmd: exec.Command(file, args...), lines: make(chan string, 16), admin: make(chan string, 1), done: make(chan struct{})}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	readers.Go(func() {
		for sc := bufio.NewScanner(stdout); sc.Scan(); {
			select {
			case p.lines <- sc.Text():
			default:
			}
		}
	})
	readers.Go(func() {
		for sc := bufio.NewScanner(stderr); sc.Scan(); {
			line := sc.Text()
			p.mu.Lock()
			p.log.WriteString(line + "\n")
			p.mu.Unlock()
			if _, addr, ok := strings.Cut(line, "admin API\" addr=http://"); ok {
				p.admin <- addr
			}
		}
	})
	go func() {
		readers.Wait()
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
		_ = p.cmd.Process.Kill()
		<-p.done
		if logDir != "" {
			_ = os.WriteFile(filepath.Join(logDir, strings.ReplaceAll(p.name, " ", "")+".log"), p.log.Bytes(), 0o600)
		} else if t.Failed() {
			p.mu.Lock()
			t.Logf("%s: %v\n%s", p.name, p.err, p.log.String())
			p.mu.Unlock()
		}
	})
	return p
}

func (p *process) line(t *testing.T) string {
	t.Helper()
	select {
	case l := <-p.lines:
		return l
	case <-p.done:
		t.Fatalf("%s ended: %v\n%s", p.name, p.err, p.log.String())
	case <-time.After(30 * time.Second):
		t.Fatalf("%s says nothing", p.name)
	}
	return ""
}

// state asks the admin API; false: no answer.
func (p *process) state() (st node.State, ok bool) {
	if p.addr == "" {
		select {
		case p.addr = <-p.admin:
		case <-time.After(10 * time.Second):
			return st, false
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.addr+"/api/v1/state", nil)
	if err != nil {
		return st, false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return st, false
	}
	defer func() { _ = res.Body.Close() }()
	return st, json.NewDecoder(res.Body).Decode(&st) == nil
}

// waitFor polls a condition that another process brings about.
func waitFor(t *testing.T, what string, limit time.Duration, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !cond(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}

// clipFile writes d of the looped test clip.
func clipFile(t *testing.T, d time.Duration) (file string, content []byte) {
	t.Helper()
	src := media.NewTestSource()
	var b bytes.Buffer
	for {
		c, err := src.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if c.Due >= d {
			break
		}
		b.Write(c.Data)
	}
	file = filepath.Join(t.TempDir(), "in.ts")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, b.Bytes()
}

func TestRelaysDieAndFreezeAndViewersGetEveryByte(t *testing.T) {
	length, faults, pace, frozen := 24*time.Second, 4, 4*time.Second, 6*time.Second
	if os.Getenv("BRAIDWAY_CHAOS") == "full" {
		length, faults, pace, frozen = 60*time.Second, 10, 5*time.Second, 20*time.Second
	} else if testing.Short() {
		t.Skip("SKIPPED: -short")
	}
	dir := t.TempDir()
	input, content := clipFile(t, length)
	boot := start(t, "bootstrap", "bootstrap")
	bootstrap := []string{"--bootstrap", boot.line(t)}
	pub := start(t, "publisher", append([]string{"publish", input, "--max-children", "2"}, bootstrap...)...)
	link := pub.line(t)

	var relays, viewers []*process
	addRelay := func() {
		name := fmt.Sprintf("relay %d", len(relays)+1)
		relays = append(relays, start(t, name, append([]string{"relay", link, "--upload-limit", "6Mbps"}, bootstrap...)...))
	}
	for range 8 {
		addRelay()
	}
	outs := make([]string, 4)
	for i := range outs {
		outs[i] = filepath.Join(dir, fmt.Sprintf("out%d.ts", i))
		viewers = append(viewers, start(t, fmt.Sprintf("viewer %d", i+1), append([]string{"play", link, "-o", outs[i], "--buffer", "1s",
			"--upload-limit", "1Mbps", "--report", outs[i] + ".json"}, bootstrap...)...))
	}
	for _, p := range append(slices.Clone(relays), viewers...) {
		waitFor(t, p.name+" takes the stream", 20*time.Second, func() bool {
			st, ok := p.state()
			return ok && len(st.Streams) == 1 && st.Streams[0].Started
		})
	}
	tick := time.NewTicker(pace)
	defer tick.Stop()
	behind := 0
	for n := range faults {
		if n > 0 {
			<-tick.C
		}
		var victim *process
		var victimID string
		most := -1
		for _, p := range relays {
			if p.gone || p.still {
				continue
			}
			if st, ok := p.state(); ok && len(st.Streams) == 1 && st.Streams[0].Used > most {
				victim, most, victimID = p, st.Streams[0].Used, st.Peer
			}
		}
		if victim == nil {
			t.Fatal("no relay is left")
		}
		for _, v := range viewers {
			st, ok := v.state()
			for i := 0; ok && len(st.Streams) == 1 && i < len(st.Streams[0].Stripes); i++ {
				s := st.Streams[0].Stripes[i]
				if at := slices.Index(s.Path, victimID); at >= 0 && at < len(s.Path)-2 {
					behind++
				}
			}
		}
		if n%2 == 0 {
			t.Logf("%s, with %d children, is killed", victim.name, most)
			victim.gone = true
			_ = victim.cmd.Process.Kill()
		} else {
			t.Logf("%s, with %d children, is frozen", victim.name, most)
			victim.still = true
			_ = victim.cmd.Process.Signal(syscall.SIGSTOP)
			time.AfterFunc(frozen, func() { _ = victim.cmd.Process.Signal(syscall.SIGCONT) })
		}
		addRelay()
	}
	t.Logf("%d stripes of viewers were behind a child of the victim", behind)
	if behind == 0 && faults >= 10 { // with few faults it may be so by chance
		t.Error("no viewer was ever behind a victim's child: the trees had no depth")
	}
	for i, v := range viewers {
		select {
		case <-v.done:
		case <-time.After(length + 30*time.Second):
			t.Fatalf("%s does not end", v.name)
		}
		if v.err != nil {
			t.Errorf("%s: %v", v.name, v.err)
		}
		checkOutput(t, v.name, outs[i], content)
	}
	select {
	case <-pub.done:
		if pub.err != nil {
			t.Errorf("publisher: %v", pub.err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the publisher does not end")
	}
}

// checkOutput compares what a viewer wrote with the publisher's input, from the viewer's first group on.
func checkOutput(t *testing.T, name, file string, content []byte) {
	t.Helper()
	got, err := os.ReadFile(file)
	if err != nil || len(got) < 1000 {
		t.Errorf("%s: %d bytes, %v", name, len(got), err)
		return
	}
	var r measure.Report
	if b, err := os.ReadFile(file + ".json"); err != nil || json.Unmarshal(b, &r) != nil {
		t.Errorf("%s: no report: %v", name, err)
	} else {
		t.Logf("%s: start-up %.0f ms, longest gap %.0f ms, continuity %v, redundancy %.4f, %d switches, %d hedges, %d repairs",
			name, *r.StartupMS, *r.MaxGapMS, *r.Continuity, *r.Redundancy, *r.Switches, *r.Hedges, *r.Repairs)
	}
	at := len(content) - len(got)
	if at < 0 || !bytes.Equal(content[at:], got) {
		first := bytes.Index(content, got[:min(len(got), 1880)])
		same := 0
		if first >= 0 {
			for same < len(got) && first+same < len(content) && got[same] == content[first+same] {
				same++
			}
		}
		t.Errorf("%s: %d bytes are not the last ones of %d: they begin at %d and are the same for %d", name, len(got), len(content), first, same)
		return
	}
	if float64(len(got)) < 0.4*float64(len(content)) {
		t.Errorf("%s: only the last %d of %d bytes", name, len(got), len(content))
	}
	ffprobe, err := exec.LookPath("ffprobe")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Error("ffprobe is not installed")
		}
		return
	}
	frames := func(file string) string {
		out, err := exec.Command(ffprobe, "-v", "error", "-count_frames", "-select_streams", "v", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", file).CombinedOutput()
		if err != nil {
			t.Errorf("%s: ffprobe: %v", name, err)
		}
		return strings.Join(strings.Fields(string(out)), " ")
	}
	want := filepath.Join(t.TempDir(), "want.ts")
	if err := os.WriteFile(want, content[at:], 0o600); err != nil {
		t.Fatal(err)
	}
	if g, w := frames(file), frames(want); g != w || strings.Contains(g, "rror") {
		t.Errorf("%s: ffprobe says %s, want %s", name, g, w)
	}
}
