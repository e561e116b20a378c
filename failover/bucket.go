package failover

// This file answers: how is something bounded that may come in bursts?

import "time"

// Bucket is a token bucket: it fills with rate tokens a second, and holds burst. The
// zero value holds nothing until Set, which fills it the first time.
type Bucket struct {
	rate, burst, tokens float64
	at                  time.Duration
}

// NewBucket returns a full bucket.
func NewBucket(rate, burst float64) Bucket { return Bucket{rate: rate, burst: burst, tokens: burst} }

// Set changes rate and burst from now on.
func (b *Bucket) Set(now time.Duration, rate, burst float64) {
	b.fill(now)
	if b.rate == 0 {
		b.tokens += burst
	}
	b.rate, b.burst = rate, burst
	b.tokens = min(b.tokens, burst)
}

// Take takes n tokens out, if they are there; now is since any fixed start.
func (b *Bucket) Take(now time.Duration, n float64) bool {
	if b.Has(now) < n {
		return false
	}
	b.tokens -= n
	return true
}

// Owe takes n tokens out in any case: later ones wait.
func (b *Bucket) Owe(now time.Duration, n float64) {
	b.fill(now)
	b.tokens -= n
}

// Has returns how many tokens could be taken now; less than none are owed.
func (b *Bucket) Has(now time.Duration) float64 {
	b.fill(now)
	return b.tokens
}

func (b *Bucket) fill(now time.Duration) {
	b.tokens = min(b.burst, b.tokens+b.rate*max(0, now-b.at).Seconds())
	b.at = max(b.at, now)
}
