package failover

import (
	"testing"
	"time"
)

func TestLeaseEndsByReleaseOrSilenceOfThePublisherButNotOfTheStandby(t *testing.T) {
	const ms = time.Millisecond
	l := NewLease(0)
	for now := time.Duration(0); now < 5*time.Second; now += 100 * ms {
		if now%(300*ms) == 0 {
			l.Renew(now, LeaseSilence+LeaseSpread)
		}
		if l.Check(now) {
			t.Fatalf("over at %v though renewed every 300 ms", now)
		}
	}
	// The standby is stopped for 10 s: the silence is its own.
	now := 15 * time.Second
	if l.Check(now) {
		t.Fatal("a standby that woke up took over at once")
	}
	var over time.Duration
	for over == 0 && now < 20*time.Second {
		if now += 50 * ms; l.Check(now) {
			over = now
		}
	}
	if want := 15*time.Second + LeaseSilence + LeaseSpread; over < want || over > want+50*ms {
		t.Errorf("over at %v, want %v", over, want)
	}
	l = NewLease(0)
	l.Alive(40 * ms)
	l.Release()
	if !l.Check(50 * ms) {
		t.Error("not over though released")
	}
}
