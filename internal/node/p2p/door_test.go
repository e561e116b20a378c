package p2p

// This file answers: are newcomers turned away at once when too many come, and
// let in again?

import (
	"errors"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/braidway/braidway/failover"
)

func TestMoreNewcomersThanTheUploadBearsAreTurnedAwayAtOnce(t *testing.T) {
	for _, listen := range []string{"/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"} {
		ctx := within(t, 20*time.Second)
		h := newHost(t, HostConfig{Listen: []string{listen}, Upload: 1})
		burst := h.door.handshakes.Burst()
		other := newHost(t, HostConfig{Listen: []string{listen}})
		for n := range burst {
			if err := other.Connect(ctx, h.AddrInfo()); err != nil {
				t.Fatalf("%s: newcomer %d of %d: %v", listen, n+1, burst, err)
			}
			if err := other.Network().ClosePeer(h.ID()); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		if err := other.Connect(ctx, h.AddrInfo()); err == nil {
			t.Fatalf("%s: one more than the %d is let in", listen, burst)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("%s: the one too many hears so after %v: it ran into a time-out", listen, took)
		}
		if h.Refused() == 0 {
			t.Errorf("%s: nobody was counted", listen)
		}
		h.door.mu.Lock()
		h.door.handshakes = failover.NewHandshakes(0)
		h.door.mu.Unlock()
		other.clearBackoff(h.ID())
		if err := other.Connect(ctx, h.AddrInfo()); err != nil {
			t.Errorf("%s: there is room again, and yet: %v", listen, err)
		}
	}
}

func TestOneThatDialsOthersHasNoLimit(t *testing.T) {
	d := newDoor(&network.NullResourceManager{}, 1)
	for range 3 * d.handshakes.Burst() {
		if _, err := d.OpenConnection(network.DirOutbound, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	for range d.handshakes.Burst() {
		if _, err := d.OpenConnection(network.DirInbound, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.OpenConnection(network.DirInbound, false, nil); !errors.Is(err, network.ErrResourceLimitExceeded) {
		t.Errorf("error %v", err)
	}
}
