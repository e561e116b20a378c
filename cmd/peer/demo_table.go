package main

// This file answers: what does the demo show while it runs, and at its end?

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/braidway/braidway/measure"
	"github.com/braidway/braidway/overlay"
)

// show draws the table.
func (d *demo) show() {
	st, err := os.Stdout.Stat()
	terminal := err == nil && st.Mode()&os.ModeCharDevice != 0
	var b strings.Builder
	if terminal {
		b.WriteString("\x1b[H\x1b[2J")
	}
	viewers := d.all()
	names := map[overlay.PeerID]string{d.pub.Session().Self(): "pub"}
	for _, v := range viewers {
		names[v.session.Self()] = v.name
	}
	name := func(id overlay.PeerID) string {
		if id == 0 {
			return "-"
		}
		if n := names[id]; n != "" {
			return n
		}
		return "dead"
	}
	d.mu.Lock()
	kills, last := d.kills, d.last
	d.mu.Unlock()
	fmt.Fprintf(&b, "%4.0f s  %d viewers  %d deaths  %s\n", time.Since(d.began).Seconds(), len(viewers), kills, last)
	if terminal {
		fmt.Fprintf(&b, "%-5s %-24s %-24s %8s %8s %8s\n", "peer", "parents", "first standbys", "children", "missed", "last gap")
		for _, v := range viewers {
			snap, ok := v.session.Snapshot()
			if !ok {
				continue
			}
			var parents, standbys []string
			for _, s := range snap.Stripes {
				parents = append(parents, name(s.Parent))
				if len(s.Standbys) > 0 {
					standbys = append(standbys, name(s.Standbys[0]))
				} else {
					standbys = append(standbys, "-")
				}
			}
			d.mu.Lock()
			cost := v.cost
			d.mu.Unlock()
			fmt.Fprintf(&b, "%-5s %-24s %-24s %8d %8d %8s\n", v.name, strings.Join(parents, " "), strings.Join(standbys, " "), snap.Used, v.player.Stats().Missed, cost)
		}
	}
	fmt.Print(b.String())
}

// finish computes and prints the summary.
func (d *demo) finish(report string) error {
	viewers := d.all()
	var reports []measure.Report
	without, failed, intact, whole := 0, 0, 0, 0
	for _, v := range viewers {
		if snap, ok := v.session.Snapshot(); ok {
			for _, s := range snap.Stripes {
				if s.Lacking {
					without++
				}
			}
		}
		r := v.player.Report()
		reports = append(reports, r)
		if r.StartupMS == nil && time.Since(v.began) > 10*time.Second {
			failed++
		}
		if r.Continuity != nil {
			whole++
			if *r.Continuity == 1 {
				intact++
			}
		}
	}
	wall := time.Since(d.began).Seconds()
	d.mu.Lock()
	kills, gaps := d.kills, slices.Clone(d.gaps)
	d.mu.Unlock()
	s := measure.Summary{Scenario: "demo", Peers: d.peers, Kills: &kills, FailedJoins: &failed, WallS: &wall, WithoutStandby: &without}
	s.Add(reports)
	s.Survivors(intact, whole)
	s.Touch(gaps)
	fmt.Print(s.Table())
	return writeReport(report, &s)
}
