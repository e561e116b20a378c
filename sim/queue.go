package sim

// This file answers: in which order do events happen?
//
// A timing wheel of short buckets, and a 4-ary heap for the bucket that is
// being emptied: most events lie a few to a few hundred milliseconds ahead and
// cost one copy each. What is beyond the wheel waits in a second heap. Buckets
// are lists of chunks that go round: were each to keep the room that it once
// needed, most of a simulation's memory would be empty buckets (measured: two
// thirds).

import "github.com/braidway/braidway/overlay"

// event is one thing that happens to one peer.
type event struct {
	at    int64  // ns of virtual time
	order uint64 // sender and its count: ties are broken by who sent, then by when
	seq   uint64
	to    uint32
	from  uint32
	conn  uint32 // generation of the connection that it came on
	size  uint32
	kind  eventKind
	strip uint8
	epoch uint8 // index into engine.epochs
	done  bool  // it has waited for the receiver's downlink
	bad   bool  // an object that does not verify
	msg   overlay.Message
}

type eventKind uint8

const (
	evTimer eventKind = iota + 1
	evPlay            // the playout's timer
	evMake            // the publisher cuts the next objects
	evObject
	evServe
	evBeacon
	evMessage
	evKnock // a dial: four flights, there and back (dial.go)
	evOpen
	evHello
	evWelcome
	evFailed // a dial failed
	evClosed // the other side closed
	evFound  // rendezvous answers
	evSlow   // a child's queue ran over
	evLook   // at the queue before the uplink
)

func (e *event) before(o *event) bool {
	if e.at != o.at {
		return e.at < o.at
	}
	if e.to != o.to {
		return e.to < o.to
	}
	return e.order < o.order
}

// heap4 is a 4-ary heap of events.
type heap4 []event

func (h *heap4) push(e event) {
	*h = append(*h, e)
	q := *h
	i := len(q) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !e.before(&q[up]) {
			break
		}
		q[i] = q[up]
		i = up
	}
	q[i] = e
}

func (h *heap4) pop() event {
	q := *h
	top, last := q[0], q[len(q)-1]
	q[len(q)-1] = event{}
	q = q[:len(q)-1]
	*h = q
	if len(q) == 0 {
		return top
	}
	i := 0
	for {
		c := 4*i + 1
		if c >= len(q) {
			break
		}
		least := c
		for j := c + 1; j < min(c+4, len(q)); j++ {
			if q[j].before(&q[least]) {
				least = j
			}
		}
		if !q[least].before(&last) {
			break
		}
		q[i] = q[least]
		i = least
	}
	q[i] = last
	return top
}

const (
	bucketTime = 125_000 // ns
	buckets    = 1 << 15 // of a wheel: 4 s
	chunkSize  = 8       // events
	slabSize   = 64      // chunks made at a time
)

// chunk is a part of a bucket, or waits to become one.
type chunk struct {
	events [chunkSize]event
	n      int
	next   *chunk
}

// queue is one shard's events.
type queue struct {
	wheel []*chunk
	free  *chunk
	at    int64 // number of the bucket that is being emptied
	cur   heap4
	far   heap4 // beyond the wheel
	count int
}

func newQueue() *queue { return &queue{wheel: make([]*chunk, buckets)} }

func (q *queue) push(e event) {
	q.count++
	q.put(e)
}

func (q *queue) put(e event) {
	b := e.at / bucketTime
	switch {
	case b <= q.at:
		q.cur.push(e)
	case b < q.at+buckets:
		slot := &q.wheel[b%buckets]
		if *slot == nil || (*slot).n == chunkSize {
			*slot = q.take(*slot)
		}
		c := *slot
		c.events[c.n] = e
		c.n++
	default:
		q.far.push(e)
	}
}

// take returns an empty chunk to stand before next.
func (q *queue) take(next *chunk) *chunk {
	if q.free == nil {
		slab := make([]chunk, slabSize)
		for i := range slab {
			slab[i].next = q.free
			q.free = &slab[i]
		}
	}
	c := q.free
	q.free, c.next = c.next, next
	return c
}

// pop returns the next event before end; false: there is none.
func (q *queue) pop(end int64) (event, bool) {
	for len(q.cur) == 0 {
		if (q.at+1)*bucketTime >= end {
			return event{}, false
		}
		q.turn()
	}
	if q.cur[0].at >= end {
		return event{}, false
	}
	q.count--
	return q.cur.pop(), true
}

// turn goes on to the next bucket.
func (q *queue) turn() {
	q.at++
	slot := &q.wheel[q.at%buckets]
	for c := *slot; c != nil; {
		for i := range c.events[:c.n] {
			q.cur.push(c.events[i])
		}
		clear(c.events[:c.n]) // nobody holds on to messages
		next := c.next
		c.n, c.next = 0, q.free
		q.free, c = c, next
	}
	*slot = nil
	for len(q.far) > 0 && q.far[0].at/bucketTime < q.at+buckets {
		q.put(q.far.pop())
	}
}
