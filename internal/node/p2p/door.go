package p2p

// This file answers: how are more newcomers than the uplink bears turned away
// before any work is done for them?

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/braidway/braidway/failover"
)

// door is a resource manager that libp2p asks before the handshake of every
// connection from outside, over QUIC and over TCP: whoever is turned away there
// hears so at once, for less than a hundred bytes.
type door struct {
	network.ResourceManager
	began   time.Time
	refused atomic.Int64

	mu         sync.Mutex
	handshakes *failover.Handshakes
}

func newDoor(rm network.ResourceManager, upload int64) *door {
	return &door{ResourceManager: rm, began: time.Now(), handshakes: failover.NewHandshakes(upload)}
}

// OpenConnection implements network.ResourceManager.
func (d *door) OpenConnection(dir network.Direction, usefd bool, endpoint ma.Multiaddr) (network.ConnManagementScope, error) {
	if dir == network.DirInbound && !d.letsIn() {
		d.refused.Add(1)
		return nil, fmt.Errorf("p2p: more newcomers than the upload bears: %w", network.ErrResourceLimitExceeded)
	}
	return d.ResourceManager.OpenConnection(dir, usefd, endpoint)
}

func (d *door) letsIn() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.handshakes.Allow(time.Since(d.began))
}
