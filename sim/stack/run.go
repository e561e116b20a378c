package stack

// This file answers: how is a run started, followed and stopped?

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/braidway/braidway/sim"
)

// mostPeers is how many live peers fit a machine (issue 4).
const mostPeers = 200

// stopTime is how long a child that was told to stop may take for its result.
const stopTime = 15 * time.Second

// Options of a run.
type Options struct {
	Peers int // the publisher among them; 0: the scenario's
	Seed  uint64
	// Progress is called about once a virtual second, if set.
	Progress func(sim.Progress)
}

// Run runs the scenario with live peers, in a child process of this program,
// which must call [Main] first thing. When ctx ends it returns what there is
// until then, marked as Partial. What the full stack cannot run is an error
// that names it (see [Fits]).
func Run(ctx context.Context, s sim.Scenario, o Options) (*sim.Result, error) {
	ord := order{Scenario: s, Peers: cmp.Or(o.Peers, s.Peers), Seed: o.Seed}
	if err := Fits(s, ord.Peers); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("stack: finding this program: %w", err)
	}
	c := child{cmd: exec.Command(exe), began: time.Now(), progress: o.Progress}
	c.cmd.Env = append(os.Environ(), childVar+"=1", "QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING=1")
	c.cmd.Stderr = &c.complaint
	r, err := c.run(ctx, ord)
	if err != nil {
		return nil, fmt.Errorf("stack: %w", err)
	}
	return r, nil
}

// child is the process that simulates.
type child struct {
	cmd       *exec.Cmd
	began     time.Time
	progress  func(sim.Progress)
	complaint tail
}

func (c *child) run(ctx context.Context, o order) (*sim.Result, error) {
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() {
		_ = in.Close()
		time.AfterFunc(stopTime, func() { _ = c.cmd.Process.Kill() }) // of a process that has ended: an error
	})
	defer stop()
	_, _ = in.Write(append(b, '\n')) // if that failed, there is no result
	r, err := c.follow(ctx, out)
	if ctx.Err() != nil {
		_ = c.cmd.Process.Kill() // nobody waits for the hosts to be closed
	}
	end := c.cmd.Wait()
	_ = in.Close()
	switch {
	case err != nil:
		return nil, err
	case r == nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case r == nil:
		return nil, fmt.Errorf("the child ended without a result (%w): %s", cmp.Or(end, errors.New("does this program call stack.Main?")), &c.complaint)
	case end != nil && ctx.Err() == nil: // goroutines were left, for one
		return nil, fmt.Errorf("the child failed after its result (%w): %s", end, &c.complaint)
	}
	r.Wall = time.Since(c.began)
	wall := r.Wall.Seconds()
	r.Summary.WallS = &wall
	return r, nil
}

// follow reads what the child says until it ends, or until the result when ctx has ended.
func (c *child) follow(ctx context.Context, out io.Reader) (r *sim.Result, failed error) {
	lines := bufio.NewReader(out)
	for {
		b, err := lines.ReadBytes('\n')
		if err != nil {
			return r, failed
		}
		var a answer
		if !bytes.HasPrefix(b, []byte("{")) || json.Unmarshal(b, &a) != nil {
			continue // what a test says
		}
		switch {
		case a.Error != "":
			failed = errors.New(a.Error)
		case a.Result != nil:
			r = a.Result
		case a.Progress != nil && c.progress != nil:
			a.Progress.Wall = time.Since(c.began)
			c.progress(*a.Progress)
		}
		if ctx.Err() != nil && r != nil {
			return r, failed
		}
	}
}

// tail keeps the beginning and the end of what was written: a panic says first what it is.
type tail struct{ head, b []byte }

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	const first, keep = 2 << 10, 16 << 10
	n := min(len(p), first-len(t.head))
	t.head, t.b = append(t.head, p[:n]...), append(t.b, p[n:]...)
	if len(t.b) > keep {
		t.b = append(t.b[:0], t.b[len(t.b)-keep:]...)
	}
	return len(p), nil
}

// String returns it.
func (t *tail) String() string {
	return string(bytes.TrimSpace(slices.Concat(t.head, t.b)))
}
