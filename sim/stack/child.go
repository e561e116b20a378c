package stack

// This file answers: how does an ordinary program run something in virtual
// time? As a child process of itself that plays a test.

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/braidway/braidway/sim"
)

// childVar tells a process that it is the child.
const childVar = "BRAIDWAY_STACK_CHILD"

// order is what the child reads, one line on standard input. When that is
// closed, it stops.
type order struct {
	Scenario sim.Scenario
	Peers    int
	Seed     uint64
}

// answer is what the child writes, one line each, on standard output.
type answer struct {
	Progress *sim.Progress `json:",omitempty"`
	Result   *sim.Result   `json:",omitempty"`
	Error    string        `json:",omitempty"`
}

// Main is the child process of [Run]: a program that calls Run calls Main
// before anything else. In all other processes it returns at once.
func Main() {
	if os.Getenv(childVar) == "" {
		return
	}
	_ = os.Unsetenv(childVar)
	signal.Ignore(os.Interrupt, syscall.SIGTERM) // a terminal and timeout(1) tell both; the parent decides
	slog.SetDefault(slog.New(slog.DiscardHandler))
	// Packets and frames are most of what is allocated; the peak is bounded.
	debug.SetGCPercent(100)
	debug.SetMemoryLimit(1800 << 20)
	out := json.NewEncoder(os.Stdout)
	in := bufio.NewReader(os.Stdin)
	var o order
	b, err := in.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(b, &o)
	}
	if err != nil {
		_ = out.Encode(answer{Error: fmt.Sprintf("reading the scenario: %v", err)})
		os.Exit(1)
	}
	var stopped atomic.Bool
	go func() {
		_, _ = io.Copy(io.Discard, in)
		stopped.Store(true)
	}()
	testing.Init()
	os.Args = os.Args[:1]
	// testing.RunTests would say "no tests to run", and pass.
	testing.Main(regexp.MatchString, []testing.InternalTest{{Name: "stack", F: func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			err := simulate(o, hooks{stop: stopped.Load,
				progress: func(p sim.Progress) { _ = out.Encode(answer{Progress: &p}) },
				result: func(r *sim.Result) {
					if err := out.Encode(answer{Result: r}); err != nil {
						t.Error(err)
					}
				}})
			if err != nil {
				_ = out.Encode(answer{Error: err.Error()})
			}
		})
	}}}, nil, nil)
}
