package node

// This file answers: how old are objects when they arrive, and what does that
// say about this machine's clock?

import "time"

// agePeriod is how long a youngest object counts, up to twice.
const agePeriod = time.Minute

// ages keeps the least age of an object on arrival in the last one or two
// periods: the latency of the shortest way here, plus what the publisher's clock
// is behind this one. Less than zero: this clock is behind the publisher's, by
// that and more. Owned by the session's loop.
type ages struct {
	since         time.Duration // when the present period began
	now, before   time.Duration
	have, hadLast bool
}

// add takes the age of an object that arrives.
func (a *ages) add(now, age time.Duration) {
	if now-a.since > agePeriod {
		a.before, a.hadLast = a.now, a.have && now-a.since < 2*agePeriod
		a.have, a.since = false, now
	}
	if !a.have || age < a.now {
		a.now, a.have = age, true
	}
}

// least returns the least age; false: nothing has arrived lately.
func (a *ages) least(now time.Duration) (time.Duration, bool) {
	switch {
	case now-a.since > 2*agePeriod:
		return 0, false
	case a.have && a.hadLast:
		return min(a.now, a.before), true
	}
	return a.now, a.have
}
