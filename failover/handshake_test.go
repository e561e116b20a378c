package failover

import (
	"testing"
	"time"
)

func TestHandshakesTakeTheirShareOfTheUpload(t *testing.T) {
	for upload, want := range map[int64]float64{0: freeHandshakes, 5_000_000: 5e6 / 8 / 10 / HandshakeBytes, 100_000: 1e5 / 8 / 10 / HandshakeBytes} {
		h := NewHandshakes(upload)
		in := -h.Burst()
		for now := time.Duration(0); now < time.Minute; now += time.Millisecond {
			if h.Allow(now) {
				in++
			}
		}
		if got := float64(in) / 60; got < want*0.95-0.05 || got > want*1.05+0.05 {
			t.Errorf("%d bit/s: %.2f a second, want %.2f", upload, got, want)
		}
		if h.Burst() < leastHandshakes {
			t.Errorf("%d bit/s: a burst of %d", upload, h.Burst())
		}
	}
}

func TestHandshakesOfAClockThatStandsStill(t *testing.T) {
	h := NewHandshakes(1)
	for n := range h.Burst() {
		if !h.Allow(time.Hour) {
			t.Fatalf("only %d of the burst", n)
		}
	}
	if h.Allow(time.Hour) || h.Allow(time.Minute) {
		t.Error("more than the burst")
	}
}
