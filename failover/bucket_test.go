package failover

import (
	"testing"
	"time"
)

func TestABucketGivesItsBurstAndThenItsRate(t *testing.T) {
	b := NewBucket(10, 5)
	got := 0
	for now := time.Duration(0); now <= 2*time.Second; now += 10 * time.Millisecond {
		for b.Take(now, 1) {
			got++
		}
	}
	if got < 24 || got > 25 {
		t.Errorf("%d tokens in two seconds, want 5 and 20", got)
	}
}

func TestABucketThatOwesGivesNothingUntilItIsPaid(t *testing.T) {
	b := NewBucket(10, 5)
	b.Owe(0, 15)
	if b.Take(900*time.Millisecond, 1) {
		t.Error("it gives while it owes")
	}
	if !b.Take(1200*time.Millisecond, 1) {
		t.Error("it does not give when it is paid")
	}
}

func TestABucketIsFullWhenItIsFirstSet(t *testing.T) {
	var b Bucket
	if b.Take(0, 1) {
		t.Error("an empty one gives")
	}
	b.Set(time.Second, 2, 8)
	if !b.Take(time.Second, 8) || b.Take(time.Second, 1) {
		t.Error("it is not full, or more than that")
	}
	b.Set(time.Second, 4, 4)
	if b.Take(time.Second, 1) {
		t.Error("setting it again fills it")
	}
}
