package loopback

// This file answers: how is one process started, asked, hit and ended?

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/braidway/braidway/measure"
	"github.com/braidway/braidway/sim/stack"
)

// process is a running peer.
type process struct {
	number int
	file   string // of its report
	began  time.Time
	cmd    *exec.Cmd
	admin  string
	in     io.WriteCloser
	lines  chan string // standard output's first
	ended  chan struct{}
	dead   bool // killed by a fault; the run's

	mu  sync.Mutex
	log bytes.Buffer // the end of standard error
}

// start starts a peer command and waits until its admin API is there.
func (r *run) start(i int, args ...string) (*process, error) {
	args = append(args, "--no-mdns", "--no-nat", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1", "--admin", "127.0.0.1:0")
	p := &process{number: i, file: r.reportOf(i), began: time.Now(), cmd: exec.Command(r.o.Program, args...), lines: make(chan string, 4), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING=1")
	out, err1 := p.cmd.StdoutPipe()
	log, err2 := p.cmd.StderrPipe()
	in, err3 := p.cmd.StdinPipe()
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	p.in = in
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	admin := make(chan string, 1)
	var readers sync.WaitGroup
	readers.Go(func() {
		for sc := bufio.NewScanner(out); sc.Scan(); {
			select {
			case p.lines <- sc.Text():
			default:
			}
		}
	})
	readers.Go(func() {
		for sc := bufio.NewScanner(log); sc.Scan(); {
			if _, addr, ok := strings.Cut(sc.Text(), "admin API\" addr=http://"); ok {
				select {
				case admin <- addr:
				default:
				}
			}
			p.note(sc.Text())
		}
	})
	go func() {
		readers.Wait()
		_ = p.cmd.Wait() // its report says how it went
		close(p.ended)
	}()
	select {
	case p.admin = <-admin:
		return p, nil
	case <-p.ended:
		return nil, fmt.Errorf("process %d ended: %s", i, p.said())
	case <-time.After(startTime):
		p.kill()
		return nil, fmt.Errorf("process %d does not start within %v: %s", i, startTime, p.said())
	}
}

// note keeps the last few KB of what the process says.
func (p *process) note(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.log.Len() > 4<<10 {
		p.log.Reset()
	}
	p.log.WriteString(line + "\n")
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.TrimSpace(p.log.String())
}

// kill ends the process at once and waits for that.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// report waits for the viewer's report.
func (p *process) report(deadline time.Time) (*measure.Report, error) {
	select {
	case <-p.ended:
	case <-time.After(time.Until(deadline)):
		return nil, fmt.Errorf("no report within %v: %s", endTime, p.said())
	}
	b, err := os.ReadFile(p.file)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, p.said())
	}
	var rep measure.Report
	if err := json.Unmarshal(b, &rep); err != nil {
		return nil, fmt.Errorf("its report: %w", err)
	}
	if rep.DurationS == nil {
		return nil, errors.New("its report has no duration")
	}
	return &rep, nil
}

// place is what the admin API says of a viewer's place in the trees.
type place struct {
	Streams []struct {
		Stripes []struct {
			Path     []string `json:"path"`
			Children []string `json:"children"`
		} `json:"stripes"`
	} `json:"streams"`
}

// children counts them in all stripes.
func (s *place) children() (n int) {
	for _, st := range s.Streams {
		for _, k := range st.Stripes {
			n += len(k.Children)
		}
	}
	return n
}

// depths are those of the stripes that have a parent, as the model counts them:
// the path from the publisher to the peer, without the publisher.
func (s *place) depths() (all []int) {
	for _, st := range s.Streams {
		for _, k := range st.Stripes {
			if len(k.Path) > 1 {
				all = append(all, len(k.Path)-1)
			}
		}
	}
	return all
}

// state asks the process, which may be frozen, for its place.
func (p *process) state(ctx context.Context, within time.Duration) (*place, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin+"/api/v1/state", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var s place
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&s); err != nil {
		return nil, err
	}
	return &s, nil
}

// publish starts the publisher and its stream.
func (r *run) publish(ctx context.Context) (*process, error) {
	set := &r.Settings
	payload, err := stack.Payload(set)
	if err != nil {
		return nil, err
	}
	if payload < 1 {
		return nil, fmt.Errorf("object-size is %d, which leaves no room for a payload", set.ObjectSize)
	}
	p, err := r.start(0, "publish", "--raw", "-", "--stripes", fmt.Sprint(set.Stripes), "--bitrate", fmt.Sprintf("%dbps", int64(set.Bitrate())),
		"--upload-limit", r.upload(r.hosts.Line(0).Slots))
	if err != nil {
		return nil, err
	}
	select {
	case r.link = <-p.lines:
	case <-p.ended:
		return nil, fmt.Errorf("the publisher ended: %s", p.said())
	case <-time.After(startTime):
		p.kill()
		return nil, fmt.Errorf("the publisher gives no link within %v: %s", startTime, p.said())
	}
	go write(ctx, p.in, set.Objects*float64(payload)) // ends with ctx or with the publisher
	return p, nil
}

// pace is how often the input is written.
const pace = 10 * time.Millisecond

// write feeds the publisher with so many bytes a second, until ctx ends or it is gone.
func write(ctx context.Context, w io.WriteCloser, rate float64) {
	defer w.Close()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	began, sent := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		want := int(rate * time.Since(began).Seconds())
		if _, err := w.Write(make([]byte, want-sent)); err != nil {
			return
		}
		sent = want
	}
}
