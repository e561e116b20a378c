package node

// This file answers: what does a standby publisher keep of its own input?

import (
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
)

// backlog is the input since the last group began: whoever takes over begins there.
type backlog struct {
	begun    bool
	at       time.Time // when the group began
	length   time.Duration
	preamble []byte
	pieces   []piece
	bytes    int
	broken   bool // too much to keep: there is nothing to begin with until the next group
}

// piece is what was written at one time.
type piece struct {
	at   time.Time
	data []byte
}

func (b *backlog) startGroup(now time.Time, preamble []byte) {
	*b = backlog{begun: true, at: now, length: now.Sub(b.at), preamble: append([]byte(nil), preamble...)}
}

func (b *backlog) write(now time.Time, data []byte) {
	if !b.begun {
		b.startGroup(now, nil)
	}
	if b.broken = b.broken || b.bytes+len(data) > stream.MaxPending; b.broken {
		b.pieces, b.bytes = nil, 0
		return
	}
	b.bytes += len(data)
	if last := len(b.pieces) - 1; last >= 0 && now.Sub(b.pieces[last].at) < stream.FlushInterval {
		b.pieces[last].data = append(b.pieces[last].data, data...)
		return
	}
	b.pieces = append(b.pieces, piece{now, append([]byte(nil), data...)})
}

// usable says whether to begin with the group that is going on, rather than
// with the next one.
func (b *backlog) usable(now time.Time) bool {
	age := now.Sub(b.at)
	return b.begun && !b.broken && (age <= oldestGroup || b.length-age > nextGroupSoon)
}
