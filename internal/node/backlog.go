package node

// This file answers: what does a standby publisher keep of its own input?

import (
	"slices"
	"time"

	"github.com/braidway/braidway/stream"
)

const (
	// oldestGroup is how long a group may have been going on for a standby that
	// takes over to begin with it. What is older would come long after it is due,
	// and a new group is near.
	oldestGroup = 2 * time.Second
	// nextGroupSoon is what a viewer's buffer bears: within it a new group is waited for.
	nextGroupSoon = time.Second
	// maxKept bounds the groups that are kept.
	maxKept = 8
)

// backlog is the standby's input since about the last object of the stream: what
// viewers have and what they lack meet within a group.
type backlog struct {
	groups []keptGroup
	bytes  int
	fed    bool // something was written
}

// keptGroup is a group of the input.
type keptGroup struct {
	at       time.Time // when it began
	preamble []byte
	pieces   []piece
}

// piece is what was written at one time.
type piece struct {
	at   time.Time
	data []byte
}

// startGroup begins a group; seen is when the last object of the stream came. Of
// the groups that began before, the last one is enough.
func (b *backlog) startGroup(now, seen time.Time, preamble []byte) {
	b.groups = append(b.groups, keptGroup{at: now, preamble: append([]byte(nil), preamble...)})
	for len(b.groups) > 1 && (!b.groups[1].at.After(seen) || len(b.groups) > maxKept) {
		b.drop()
	}
}

// drop forgets the oldest group.
func (b *backlog) drop() {
	for _, p := range b.groups[0].pieces {
		b.bytes -= len(p.data)
	}
	b.groups = slices.Delete(b.groups, 0, 1)
}

func (b *backlog) write(now time.Time, data []byte) {
	b.fed = true
	for len(b.groups) > 0 && b.bytes+len(data) > stream.MaxPending {
		b.drop()
	}
	if len(b.groups) == 0 { // the rest of a group whose beginning is not here: nobody can begin with it
		return
	}
	b.bytes += len(data)
	g := &b.groups[len(b.groups)-1]
	if last := len(g.pieces) - 1; last >= 0 && now.Sub(g.pieces[last].at) < stream.FlushInterval {
		g.pieces[last].data = append(g.pieces[last].data, data...)
		return
	}
	g.pieces = append(g.pieces, piece{now, append([]byte(nil), data...)})
}

// from returns the groups with which to go on after the stream's last object came
// at seen: from the first that began afterwards, else the one that is on. So at
// most a part of one is skipped, or repeated. None: the next one is near.
func (b *backlog) from(now, seen time.Time) []keptGroup {
	if len(b.groups) == 0 {
		return nil
	}
	at := slices.IndexFunc(b.groups, func(g keptGroup) bool { return g.at.After(seen) })
	if at < 0 {
		at = len(b.groups) - 1
	}
	length := time.Duration(0)
	if last := len(b.groups) - 1; last > 0 {
		length = b.groups[last].at.Sub(b.groups[last-1].at)
	}
	if age := now.Sub(b.groups[at].at); age > oldestGroup && length-now.Sub(b.groups[len(b.groups)-1].at) <= nextGroupSoon {
		return nil
	}
	return b.groups[at:]
}
