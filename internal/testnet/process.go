// Package testnet starts real peers for tests: processes of the peer command on
// the loopback interface or on hosts of their own (namespaces that are joined by
// a switch in this process, which can cut, delay and lose what passes).
package testnet

// This file answers: how does a test run a peer as a process, and look into it?

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/braidway/braidway/internal/node"
)

// LogDir names the environment variable with a folder for every process's debug log.
const LogDir = "BRAIDWAY_CHAOS_LOG"

// Program is a command that is built when a test needs it, and once.
type Program struct {
	dir   string
	flags func(tmp string) ([]string, error) // of go build, which may need files in tmp; nil: none
	once  sync.Once
	tmp   string // the folder that it is in
	err   error
}

// Build returns the command in the package folder dir.
func Build(dir string) *Program { return &Program{dir: dir} }

// File returns the program's file.
func (p *Program) File(t testing.TB) string {
	t.Helper()
	if p.once.Do(p.build); p.err != nil {
		t.Fatal(p.err)
	}
	return filepath.Join(p.tmp, programName)
}

const programName = "peer"

func (p *Program) build() {
	if p.tmp, p.err = os.MkdirTemp("", "braidway"); p.err != nil {
		return
	}
	args := []string{"build", "-o", filepath.Join(p.tmp, programName)}
	if p.flags != nil {
		flags, err := p.flags(p.tmp)
		if err != nil {
			p.err = err
			return
		}
		args = append(args, flags...)
	}
	cmd := exec.Command("go", append(args, ".")...) //nolint:gosec // of a test
	cmd.Dir = p.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		p.err = fmt.Errorf("%w: %s", err, out)
	}
}

// Remove removes what was built, if anything was.
func (p *Program) Remove() {
	if p.tmp != "" {
		_ = os.RemoveAll(p.tmp)
	}
}

// Process is a running peer. It is killed when the test ends.
type Process struct {
	Name string
	// Gone and Still are the test's own notes: it was killed, or is frozen.
	Gone, Still bool

	cmd   *exec.Cmd
	host  *Host
	lines chan string
	admin chan struct{} // closed when addr is known
	done  chan struct{}
	err   error // valid when done is closed

	mu   sync.Mutex
	addr string // of the admin API
	log  bytes.Buffer
}

// Start runs the program file with args. Its admin API is at a free port.
func Start(t testing.TB, file, name string, args ...string) *Process {
	t.Helper()
	return Place{}.Start(t, file, name, args...)
}

// Place is where a process runs.
type Place struct {
	Host *Host // nil: on this machine's loopback interface
	// Nice lets others have the processor first: in life, those who come have
	// processors of their own.
	Nice bool
	// Clock is the process's own, of a command by BuildStepping; nil: the machine's.
	Clock *Clock
}

// Start runs the program file with args at the place.
func (at Place) Start(t testing.TB, file, name string, args ...string) *Process {
	t.Helper()
	host := at.Host
	ip := "127.0.0.1"
	if host != nil {
		ip = host.IP.String()
	}
	args = append(slices.Clone(args), "--no-mdns", "--listen", "/ip4/"+ip+"/udp/0/quic-v1", "--admin", "127.0.0.1:0")
	logs := os.Getenv(LogDir)
	if logs != "" {
		args = append(args, "--log-level", "debug")
	}
	command := append([]string{file}, args...)
	if at.Nice {
		command = append([]string{"nice", "-n", "10"}, command...)
	}
	if host != nil {
		command = append([]string{"ip", "netns", "exec", host.Name}, command...)
	}
	p := &Process{Name: name, host: host, cmd: exec.Command(command[0], command[1:]...), lines: make(chan string, 16),
		admin: make(chan struct{}), done: make(chan struct{})}
	if at.Clock != nil {
		p.cmd.Env = append(os.Environ(), clockFile+"="+at.Clock.file)
	}
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
			if _, addr, ok := strings.Cut(line, "admin API\" addr=http://"); ok && p.addr == "" {
				p.addr = addr
				close(p.admin)
			}
			p.mu.Unlock()
		}
	})
	go func() {
		readers.Wait()
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Thaw()
		p.Kill()
		<-p.done
		if logs != "" {
			_ = os.WriteFile(filepath.Join(logs, strings.ReplaceAll(t.Name()+"-"+p.Name, "/", "-")+".log"), p.log.Bytes(), 0o600)
		} else if t.Failed() {
			t.Logf("%s: %v\n%s", p.Name, p.err, p.Log())
		}
	})
	return p
}

// Line returns the next line of standard output.
func (p *Process) Line(t testing.TB) string {
	t.Helper()
	select {
	case l := <-p.lines:
		return l
	case <-p.done:
		t.Fatalf("%s ended: %v\n%s", p.Name, p.err, p.Log())
	case <-time.After(30 * time.Second):
		t.Fatalf("%s says nothing", p.Name)
	}
	return ""
}

// Log returns what the process wrote to standard error so far.
func (p *Process) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// Done is closed when the process has ended; Err then says how.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err returns how the process ended, after Done.
func (p *Process) Err() error { return p.err }

// Signal sends a signal; to a process that has ended it does nothing.
func (p *Process) Signal(s os.Signal) { _ = p.cmd.Process.Signal(s) }

// Pid returns the process's id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Kill ends the process at once, and says nothing to anybody.
func (p *Process) Kill() { _ = p.cmd.Process.Kill() }

// WaitEnd waits until the process has ended by itself, and returns how.
func (p *Process) WaitEnd(t testing.TB, limit time.Duration) error {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		t.Fatalf("%s does not end within %v", p.Name, limit)
	}
	return p.err
}

// Admin returns the address of the admin API; empty: there is none within 10 s.
func (p *Process) Admin() string {
	select {
	case <-p.admin:
	case <-p.done:
	case <-time.After(10 * time.Second):
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addr
}

// Get asks the admin API; the caller closes the answer's body.
func (p *Process) Get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Admin()+path, nil)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if p.host != nil {
			return p.host.dial(ctx, network, addr)
		}
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}}}
	return client.Do(req)
}

// State asks for the peer's state; false: there is no answer.
func (p *Process) State() (st node.State, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	res, err := p.Get(ctx, "/api/v1/state")
	if err != nil {
		return st, false
	}
	defer func() { _ = res.Body.Close() }()
	return st, json.NewDecoder(res.Body).Decode(&st) == nil
}

// Stream returns the state of the peer's only stream.
func (p *Process) Stream() (st node.StreamState, ok bool) {
	all, ok := p.State()
	if !ok || len(all.Streams) != 1 {
		return st, false
	}
	return all.Streams[0], true
}

// Readiness returns the status of /readyz; 0: there is no answer, -1: it is 503
// without Retry-After.
func (p *Process) Readiness() int {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	res, err := p.Get(ctx, "/readyz")
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	if res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") == "" {
		return -1
	}
	return res.StatusCode
}

// WaitFor polls a condition that another process brings about.
func WaitFor(t testing.TB, what string, limit time.Duration, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !cond(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}
