package stream

// This file answers: when, on the local clock, was an object made?

import "time"

// offsetBucket is half of how long the smallest offset is remembered: long
// enough to span the worst jitter, short enough to follow a drift of 0.1 %
// within 30 ms. A guess.
const offsetBucket = 15 * time.Second

// publisherClock places objects on a time line without the steps of the
// publisher's clock, and knows the smallest (arrival − place) of the last 15 to 30 s.
type publisherClock struct {
	seen bool
	// The object with the highest Seq so far.
	seq   uint64
	time  int64
	place time.Duration
	at    time.Duration

	since     time.Duration // when this bucket began
	cur, prev time.Duration // smallest offset in this bucket and the one before
}

func (c *publisherClock) offset() time.Duration { return min(c.cur, c.prev) }

// observe places an object that arrived at now and is not before floor.
//
// The place of a new highest Seq goes on from the one before it by the
// difference of their Times. A step back counts as no time; a leap that exceeds
// the time between their arrivals by more than MaxLag counts as that time.
// late is how much longer the object took than the fastest one; rise is by how
// much the offset grew, when an old one was forgotten.
func (c *publisherClock) observe(now time.Duration, seq uint64, t int64, floor time.Duration) (place, late, rise time.Duration) {
	if !c.seen {
		*c = publisherClock{seen: true, seq: seq, time: t, at: now, since: now, cur: now, prev: now}
		return 0, 0, 0
	}
	d := microseconds(t - c.time)
	if seq > c.seq {
		passed := max(now-c.at, 0)
		switch {
		case d < 0:
			d = 0
		case d-passed > MaxLag:
			d = passed
		}
		place = c.place + d
		c.seq, c.time, c.place, c.at = seq, t, place, now
	} else {
		// It was overtaken: older than the highest, and not by hours.
		place = max(c.place+max(min(d, 0), -2*MaxLag), min(floor, c.place))
	}
	before := c.offset()
	sample := now - place
	if now-c.since >= offsetBucket {
		c.prev, c.cur, c.since = c.cur, sample, now
	} else {
		c.cur = min(c.cur, sample)
	}
	return place, sample - c.offset(), max(c.offset()-before, 0)
}

// follow makes c go on from the clock of the epoch before, if an object with
// Time t that arrives at now fits it within slack: publishers that take over
// from each other mostly have the same time.
func (c *publisherClock) follow(old *publisherClock, now time.Duration, seq uint64, t int64, slack time.Duration) bool {
	if !old.seen {
		return false
	}
	d := microseconds(t - old.time)
	if d > time.Hour || d < -time.Hour {
		return false
	}
	place := old.place + d
	if off := now - place - old.offset(); off > slack || off < -slack {
		return false
	}
	*c = *old
	c.seq, c.time, c.place, c.at = seq, t, place, now
	return true
}

// microseconds converts; Times are at most MaxTime, so that this cannot overflow.
func microseconds(us int64) time.Duration { return time.Duration(us) * time.Microsecond }
