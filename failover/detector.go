package failover

// This file answers: for how long may a peer be silent before it is suspect?

import (
	"math"
	"time"
)

// DetectorConfig bounds the silence after which a peer is suspect. Zero fields mean the defaults.
type DetectorConfig struct {
	// MinBound is the shortest silence that counts; 0 means 100 ms (docs/tuning.md:
	// with beacons every 60 ms less changes nothing, and with 150 ms some of those
	// behind a dead relay miss something).
	MinBound time.Duration
	// MaxBound is the longest silence that is borne; 0 means 1 s (the default playout buffer).
	MaxBound time.Duration
	// Threshold is the phi at which silence is suspicious: the chance that the
	// peer is alive is 10^-Threshold. 0 means 8 (Cassandra's and Akka's default).
	Threshold float64
}

func (c DetectorConfig) withDefaults() DetectorConfig {
	if c.MaxBound == 0 {
		c.MaxBound = max(time.Second, c.MinBound)
	}
	if c.MinBound == 0 {
		c.MinBound = min(100*time.Millisecond, c.MaxBound)
	}
	if c.Threshold == 0 {
		c.Threshold = 8
	}
	return c
}

// sameInstant joins arrivals that were written together into one.
const sameInstant = time.Millisecond

// longest interval that is learnt, as a multiple of the mean (guess).
const longest = 4

// weight of a new interval in the moving averages (guess: about the last 16).
const weight = 1.0 / 16

// Detector is a phi-accrual failure detector (Hayashibara, Défago, Yared,
// Katayama: The phi accrual failure detector, SRDS 2004) over arrivals of
// objects and beacons. Exponentially weighted mean and variance stand in for
// the paper's window of samples, so that one takes 40 bytes.
// The zero value must be given to Start.
type Detector struct {
	last     time.Duration
	mean, va float64 // seconds, seconds²
	floor    float64 // the interval that the sender promises

	// The bound as it was last computed, and for what.
	bound    time.Duration
	boundFor DetectorConfig
}

// Start begins at now, for a sender that promises a sign of life every expected.
func (d *Detector) Start(now, expected time.Duration) {
	e := expected.Seconds()
	*d = Detector{last: now, mean: e, va: e * e / 16, floor: e}
}

// Observe records a sign of life at now.
func (d *Detector) Observe(now time.Duration) {
	gap := now - d.last
	if gap < sameInstant {
		d.last = max(d.last, now)
		return
	}
	// One long silence, such as a freeze, must not blind the detector for the
	// next: it counts as a few times what is usual.
	x := min(gap.Seconds(), longest*max(d.mean, d.floor))
	diff := x - d.mean
	d.mean += weight * diff
	d.va = (1 - weight) * (d.va + weight*diff*diff)
	d.last, d.bound = now, 0
}

// Excuse makes silence count from now on only: the observer itself was stopped.
func (d *Detector) Excuse(now time.Duration) { d.last = max(d.last, now) }

// Last returns the time of the last sign of life, or of the last excuse.
func (d *Detector) Last() time.Duration { return d.last }

// shape returns mean and standard deviation, seconds. A sender may at any time
// fall back from objects to its promised interval, so neither goes below that.
func (d *Detector) shape() (mean, dev float64) {
	return max(d.mean, d.floor), max(math.Sqrt(d.va), d.floor/8, 1e-6)
}

// Unrest returns the deviation of the intervals beyond what is usual for a
// sender that keeps its promise; 0: it is quiet.
func (d *Detector) Unrest() time.Duration {
	return time.Duration(max(0, math.Sqrt(d.va)-d.floor/4) * float64(time.Second))
}

// Phi returns the suspicion at now: -log10 of the chance that a living sender
// is silent for so long, for normally distributed intervals.
func (d *Detector) Phi(now time.Duration) float64 {
	mean, dev := d.shape()
	p := 0.5 * math.Erfc(((now-d.last).Seconds()-mean)/(dev*math.Sqrt2))
	if p < 1e-300 {
		return 300
	}
	return -math.Log10(p)
}

// Bound returns the silence at which phi passes the threshold, clamped to [MinBound, MaxBound].
func (d *Detector) Bound(c DetectorConfig) time.Duration {
	if d.bound == 0 || c != d.boundFor {
		d.bound, d.boundFor = d.computeBound(c), c
	}
	return d.bound
}

func (d *Detector) computeBound(c DetectorConfig) time.Duration {
	c = c.withDefaults()
	mean, dev := d.shape()
	// erfc(z/√2)/2 ≈ exp(-z²/2)/(z√2π) for large z; two rounds of z = √(2(ln10·phi − ln(z√2π))).
	z := math.Sqrt(2 * math.Ln10 * c.Threshold)
	for range 2 {
		z = math.Sqrt(max(0.01, 2*(math.Ln10*c.Threshold-math.Log(max(1, z)*2.5066))))
	}
	b := (mean + z*dev) * float64(time.Second)
	return time.Duration(min(max(b, float64(c.MinBound)), float64(c.MaxBound)))
}

// SuspectAt returns when the sender becomes suspect if it stays silent.
func (d *Detector) SuspectAt(c DetectorConfig) time.Duration { return d.last + d.Bound(c) }
