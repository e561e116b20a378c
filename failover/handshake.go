package failover

// This file answers: with how many strangers does a peer shake hands at a time?

import "time"

const (
	// HandshakeBytes is what the side that is dialled sends until both know each
	// other: 3.0 kB of packets that QUIC's handshake pads, and identify, the
	// session's hello and a card (measured on loopback, libp2p v0.51.0).
	HandshakeBytes = 4300
	// handshakeShare of the upload is for them: a crowd of viewers who come with a
	// link all knock at the publisher's door. (Found by simulation: 60 a second at
	// an uplink of five streams, most of which its children have, and the stream
	// came seconds late for everybody, those who had watched before among them.)
	handshakeShare = 0.1
	// freeHandshakes a second, where there is no limit for uploads: a few percent of
	// a core and of a fast line (a guess).
	freeHandshakes = 100
	// leastHandshakes are let in at once, after a while without any: when half of
	// all die, the others look for new neighbours together (a guess).
	leastHandshakes = 16
)

// Handshakes limits the handshakes with those who dial.
type Handshakes struct{ tokens Bucket }

// NewHandshakes returns the limit for a peer that may send so many bit/s; 0: nobody
// said how many. Whoever comes beyond it is to be turned away before any work is
// done for it, and finds others meanwhile.
func NewHandshakes(upload int64) *Handshakes {
	rate := float64(freeHandshakes)
	if upload > 0 {
		rate = float64(upload) / 8 * handshakeShare / HandshakeBytes
	}
	return &Handshakes{NewBucket(rate, max(leastHandshakes, 2*rate))}
}

// Burst returns how many are let in at once, after a while without any.
func (h *Handshakes) Burst() int { return int(h.tokens.burst) }

// Allow lets one in, or does not; now is since any fixed start.
func (h *Handshakes) Allow(now time.Duration) bool { return h.tokens.Take(now, 1) }
