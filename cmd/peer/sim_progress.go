package main

// This file answers: how far are the runs, how fast are they, and how long will
// they take? A bar on a terminal, a line now and then elsewhere.

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/braidway/braidway/sim"
)

const (
	drawEvery = 250 * time.Millisecond
	lineEvery = 10 * time.Second
)

// meter adds up the progress of several runs.
type meter struct {
	w        io.Writer
	terminal bool
	began    time.Time
	ticker   *time.Ticker
	ended    chan struct{}
	idle     sync.WaitGroup

	mu     sync.Mutex
	phases []int // that each run has
	seen   []sim.Progress
	before []uint64 // events of each run's earlier phases
	whole  int
}

func newMeter(w io.Writer, points []point, noFloor bool) *meter {
	m := &meter{w: w, terminal: isTerminal(w), began: time.Now(), ended: make(chan struct{}),
		phases: make([]int, len(points)), seen: make([]sim.Progress, len(points)), before: make([]uint64, len(points))}
	for i := range points {
		m.phases[i] = 1
		if !noFloor && hasFloor(&points[i].scenario) {
			m.phases[i] = 2
		}
	}
	every := lineEvery
	if m.terminal {
		every = drawEvery
	}
	m.ticker = time.NewTicker(every)
	m.idle.Go(m.loop)
	return m
}

// hasFloor reports whether single deaths of the scenario are laid beside a run without them.
func hasFloor(s *sim.Scenario) bool {
	for i := range s.Faults {
		switch s.Faults[i].What {
		case sim.Kill, sim.Freeze, sim.Flap:
			return s.Faults[i].Share == 0
		}
	}
	return false
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

func (m *meter) loop() {
	for {
		select {
		case <-m.ticker.C:
			m.show()
		case <-m.ended:
			return
		}
	}
}

// note takes the progress of run i.
func (m *meter) note(i int, now sim.Progress) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if was := m.seen[i]; was.Phase != now.Phase {
		m.before[i] += was.Events
	}
	m.seen[i] = now
}

// done ends run i.
func (m *meter) done(i int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.whole++
	m.seen[i].Now, m.seen[i].End, m.phases[i] = 1, 1, 1
}

// share returns how much of all runs is done, from 0 to 1, and their events.
func (m *meter) share() (share float64, events uint64) {
	for i, p := range m.seen {
		events += m.before[i] + p.Events
		if p.End > 0 {
			part := p.Now.Seconds() / p.End.Seconds()
			if p.Phase == "floor" && m.phases[i] > 1 {
				part++
			}
			share += part / float64(m.phases[i])
		}
	}
	return min(1, share/float64(max(1, len(m.seen)))), events
}

func (m *meter) show() {
	m.mu.Lock()
	share, events := m.share()
	whole, runs := m.whole, len(m.seen)
	m.mu.Unlock()
	text := progressText(share, events, time.Since(m.began))
	if runs > 1 {
		text += fmt.Sprintf(", %d of %d runs done", whole, runs)
	}
	if !m.terminal {
		fmt.Fprintln(m.w, text)
		return
	}
	const wide = 24
	full := int(share * wide)
	fmt.Fprintf(m.w, "\r[%s%s] %s\x1b[K", strings.Repeat("=", full), strings.Repeat(" ", wide-full), text)
}

// progressText says how far, how fast and how long.
func progressText(share float64, events uint64, wall time.Duration) string {
	text := fmt.Sprintf("%3.0f %%", 100*share)
	if events > 0 { // the full stack counts none
		text += fmt.Sprintf(", %s events/s", rounded(float64(events)/max(1e-3, wall.Seconds())))
	}
	if share >= 0.01 {
		left := time.Duration(float64(wall) * (1 - share) / share)
		text += fmt.Sprintf(", %v left", left.Round(time.Second))
	}
	return text
}

// rounded writes a large number shortly: 1.2M.
func rounded(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.1fM", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%.0fk", v/1e3)
	}
	return fmt.Sprintf("%.0f", v)
}

// stop removes the bar.
func (m *meter) stop() {
	m.ticker.Stop()
	close(m.ended)
	m.idle.Wait()
	if m.terminal {
		fmt.Fprint(m.w, "\r\x1b[K")
	}
}
