package node

// This file answers: how is written to one stream without waiting for it?

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

const (
	// batchBytes is the most that is written in one call, so that QUIC can send
	// many packets at once.
	batchBytes = 128 << 10
	// lingerTime bounds the wait for a queue to be written out when it is closed.
	lingerTime = 2 * time.Second
)

// queued is one frame that waits; control frames have neither group nor epoch.
type queued struct {
	frame []byte // ready to be written
	wire  []byte // or an object's bytes, shared by all queues
	at    time.Time
	epoch uint64
	group uint64
}

// sender is a queue in front of one stream: live frames ahead of backfill,
// bounded in bytes and age. What does not fit is dropped as whole groups.
type sender struct {
	maxBytes int
	maxAge   time.Duration
	wake     chan struct{}
	done     chan struct{} // closed when the writer has ended

	mu     sync.Mutex
	live   []queued
	back   []queued
	bytes  int
	skip   bool // the rest of group skipped is dropped
	epoch  uint64
	group  uint64
	oldest time.Time     // of the live frames that are being written; zero: none are
	slow   time.Duration // the longest that a live frame waited since the last look
	closed bool          // write out what is queued, then close
	broken bool
	stream network.Stream
}

// size is about what the frame takes on the stream.
func (f *queued) size() int { return len(f.frame) + len(f.wire) }

func newSender(maxBytes int, maxAge time.Duration) *sender {
	return &sender{maxBytes: maxBytes, maxAge: maxAge, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// push queues a frame; false: the receiver does not keep up, and the group was
// dropped (or, for control frames, the exchange is of no use any more).
// Call flush when all that is ready was pushed.
func (q *sender) push(f queued, backfill bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.broken {
		return true
	}
	if q.skip && f.epoch != 0 {
		if f.epoch == q.epoch && f.group <= q.group {
			return true
		}
		q.skip = false
	}
	full := q.bytes+f.size() > q.maxBytes ||
		q.maxAge > 0 && len(q.live) > 0 && f.at.Sub(q.live[0].at) > q.maxAge
	if full && backfill && len(q.live) > 0 {
		return true // live objects have the room; the receiver will ask for what it misses
	}
	if full {
		q.live, q.back, q.bytes = nil, nil, 0
		q.skip, q.epoch, q.group = true, f.epoch, f.group
		return false
	}
	q.bytes += f.size()
	if backfill {
		q.back = append(q.back, f)
	} else {
		q.live = append(q.live, f)
	}
	return true
}

// dead says whether nothing that is pushed goes out any more.
func (q *sender) dead() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.broken
}

// flush lets the writer go.
func (q *sender) flush() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// close writes out what is queued, then ends the stream.
func (q *sender) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.flush()
	time.AfterFunc(lingerTime, q.reset)
}

// reset ends the stream at once.
func (q *sender) reset() {
	q.mu.Lock()
	q.broken = true
	st := q.stream
	q.live, q.back, q.bytes = nil, nil, 0
	q.mu.Unlock()
	if st != nil {
		_ = st.Reset()
	}
	q.flush()
}

// take moves up to batchBytes of queued frames to b, live ones first.
func (q *sender) take(b []byte) (batch []byte, end bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.broken {
		return b, true
	}
	if len(q.live) > 0 && q.oldest.IsZero() {
		q.oldest = q.live[0].at
	}
	for _, list := range []*[]queued{&q.live, &q.back} {
		n := 0
		for n < len(*list) && (len(b) == 0 || len(b)+(*list)[n].size() <= batchBytes) {
			f := &(*list)[n]
			if f.wire != nil {
				b = appendObjectFrame(b, f.wire)
			} else {
				b = append(b, f.frame...)
			}
			q.bytes -= f.size()
			f.frame, f.wire = nil, nil
			n++
		}
		if n == len(*list) {
			*list = (*list)[:0]
		} else {
			*list = (*list)[n:]
			break
		}
	}
	return b, q.closed && len(b) == 0
}

// wrote notes for how long the live frames that were written had waited.
func (q *sender) wrote() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.oldest.IsZero() {
		q.slow = max(q.slow, time.Since(q.oldest))
		q.oldest = time.Time{}
	}
}

// waited returns the longest that a live frame has waited since the last call.
func (q *sender) waited(now time.Time) (d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	d, q.slow = q.slow, 0
	if !q.oldest.IsZero() {
		d = max(d, now.Sub(q.oldest))
	}
	return d
}

// run opens the stream, writes header and then what is pushed, until close,
// reset, an error or the end of ctx.
func (q *sender) run(ctx context.Context, open func(context.Context) (network.Stream, error), header []byte, sent func(int)) {
	defer close(q.done)
	st, err := open(ctx)
	if err != nil {
		q.reset()
		return
	}
	q.mu.Lock()
	q.stream = st
	broken := q.broken
	q.mu.Unlock()
	if broken {
		_ = st.Reset()
		return
	}
	stop := context.AfterFunc(ctx, q.reset)
	defer stop()
	b := append(make([]byte, 0, 4<<10), header...)
	for {
		var end bool
		if b, end = q.take(b); end {
			_ = st.CloseWrite()
			return
		}
		if len(b) > 0 {
			if _, err := st.Write(b); err != nil {
				q.reset()
				return
			}
			sent(len(b))
			b = b[:0]
			q.wrote()
			continue
		}
		<-q.wake
	}
}
