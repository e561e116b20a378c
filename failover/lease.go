package failover

import "time"

// Times of a publisher's lease.
const (
	// LeaseSilence without a sign of the publisher ends its lease: a standby goes
	// on within a second, and a pause of half a second changes nothing (a guess:
	// what garbage collection, a page fault or a retransmission take).
	LeaseSilence = 750 * time.Millisecond
	// LeaseRenew is the pace at which a publisher renews its lease: four
	// renewals must fail.
	LeaseRenew = 150 * time.Millisecond
	// LeaseSpread keeps several standbys apart: each waits so much longer than the
	// one before.
	LeaseSpread = 200 * time.Millisecond
	// leaseBlind is how late a Check may come before the standby concludes that
	// it was itself stopped, and that the silence was its own.
	leaseBlind = 250 * time.Millisecond
)

// Lease is what a standby knows of the lease of the active publisher. It is
// pure: times are of any one clock. Both the publisher's own word and objects
// that arrive by whatever path are signs of life, so a standby that is cut off
// from the publisher alone does not take its place; whoever takes it in error,
// on the wrong side of a partition, has the higher epoch, which ends the other's
// term. (A lease with fencing: Gray and Cheriton, SOSP 1989; Kleppmann 2016.)
type Lease struct {
	sign     time.Duration
	checked  time.Duration
	wait     time.Duration
	released bool
}

// NewLease returns a lease that was renewed at now.
func NewLease(now time.Duration) Lease {
	return Lease{sign: now, checked: now, wait: LeaseSilence}
}

// Alive notes a sign of life of the publisher.
func (l *Lease) Alive(now time.Duration) { l.sign = max(l.sign, now) }

// Renew notes that the publisher renews its lease for wait, which is at least
// LeaseSilence.
func (l *Lease) Renew(now, wait time.Duration) {
	l.Alive(now)
	l.wait = max(wait, LeaseSilence)
}

// Release notes that the publisher gives its lease up.
func (l *Lease) Release() { l.released = true }

// Expires returns when the lease ends if nothing more is heard.
func (l *Lease) Expires() time.Duration {
	if l.released {
		return l.sign
	}
	return l.sign + l.wait
}

// Check reports whether the lease is over, and the standby is to take the
// publisher's place. It is called at least every LeaseRenew; after a longer
// pause it was the standby that stood still, and it listens anew.
func (l *Lease) Check(now time.Duration) bool {
	if now-l.checked > leaseBlind {
		l.sign = max(l.sign, now)
	}
	l.checked = now
	return now >= l.Expires()
}
