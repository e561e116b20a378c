package failover

// This file answers: when may something be tried again, and at what cost?

import (
	"math/rand/v2"
	"time"
)

// Backoff spreads the retries of one owner: full jitter over an exponentially
// growing range (Brooker: Exponential Backoff and Jitter, AWS 2015), never below Floor.
type Backoff struct {
	Base, Cap, Floor time.Duration
	attempts         uint8
}

// maxAttempts caps the counter, so that no retry storm can overflow it.
const maxAttempts = 30

// Next counts an attempt and returns the wait before the next one.
func (b *Backoff) Next(rng *rand.Rand) time.Duration {
	top := b.Base
	for i := uint8(0); i < b.attempts && top < b.Cap; i++ {
		top += min(top, b.Cap-top) // no further than a Duration goes
	}
	if b.attempts < maxAttempts {
		b.attempts++
	}
	top = min(top, b.Cap)
	if top <= b.Floor {
		return b.Floor
	}
	return b.Floor + time.Duration(rng.Uint64N(uint64(top-b.Floor)+1))
}

// Attempts returns how many retries there were since Reset, at most 30.
func (b *Backoff) Attempts() int { return int(b.attempts) }

// Reset forgets the attempts: the last one worked.
func (b *Backoff) Reset() { b.attempts = 0 }

// Breaker stops attempts at a neighbour that cannot work (Nygard: Release It!,
// 2007): closed, open after three failures in a row, half-open for one trial.
type Breaker struct {
	fails uint8
	opens uint8
	until time.Duration
	trial bool
}

const (
	breakerFails = 3                // guess
	breakerFirst = 2 * time.Second  // guess
	breakerCap   = 60 * time.Second // guess
)

// Allow says whether an attempt may be made at now; in half-open state the
// first caller gets the trial. One whose outcome is never told is forgotten
// after a minute.
func (b *Breaker) Allow(now time.Duration) bool {
	if b.fails < breakerFails {
		return true
	}
	if now < b.until {
		return false
	}
	b.trial, b.until = true, now+breakerCap
	return true
}

// Success closes the breaker.
func (b *Breaker) Success() { *b = Breaker{} }

// Failure counts a failed attempt at now; an open time doubles from 2 s to
// 60 s. Failures of attempts from before it opened change nothing.
func (b *Breaker) Failure(now time.Duration) {
	if b.fails == breakerFails && !b.trial {
		return
	}
	if b.fails < breakerFails {
		b.fails++
	}
	if b.fails == breakerFails {
		b.until = now + min(breakerFirst<<b.opens, breakerCap)
		if b.opens < 5 {
			b.opens++
		}
		b.trial = false
	}
}

// Open says whether attempts are stopped at now.
func (b *Breaker) Open(now time.Duration) bool { return b.fails >= breakerFails && now < b.until }

// Budget is a token bucket for hedges and repairs: it earns a share of the
// received bytes (gRPC's retry throttling, in bytes).
type Budget struct {
	share         float64
	tokens, burst float64
	spent         int64
}

// NewBudget earns share of what is received, starts with initial and holds at most burst bytes.
func NewBudget(share float64, initial, burst int64) Budget {
	return Budget{share: share, tokens: float64(max(0, min(initial, burst))), burst: float64(burst)}
}

// Earn records n received bytes, or whatever unit the budget is kept in.
func (b *Budget) Earn(n int) { b.tokens = min(b.burst, b.tokens+b.share*float64(max(n, 0))) }

// Spend takes cost bytes; false, and nothing taken, when there are not so many.
func (b *Budget) Spend(cost int) bool {
	if cost <= 0 {
		return true
	}
	if float64(cost) > b.tokens {
		return false
	}
	b.tokens -= float64(cost)
	b.spent += int64(cost)
	return true
}

// Refund gives back what was spent on a request that was turned down.
func (b *Budget) Refund(cost int) {
	b.Grant(cost)
	b.spent -= int64(max(cost, 0))
}

// Grant adds bytes that were not earned.
func (b *Budget) Grant(n int) { b.tokens = min(b.burst, b.tokens+float64(max(n, 0))) }

// Level returns the bytes that may be spent now.
func (b *Budget) Level() int64 { return int64(b.tokens) }

// Spent returns the bytes spent so far.
func (b *Budget) Spent() int64 { return b.spent }
