package chaos

// Hostile connections: many strangers hold as much of one peer as they can get.

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/stream"
)

// strangers connect to at and, until ctx ends, open what streams they can on every
// protocol, begin what never ends or send what means nothing, and read nothing. It
// returns once all have tried to connect; streams counts what they got.
func strangers(ctx context.Context, number int, at peer.AddrInfo, id stream.ID, streams *atomic.Int64) {
	kinds := []protocol.ID{node.ControlProtocol, node.DataProtocol, node.LeaseProtocol, "/braidway/kad/1.0.0", "/ipfs/id/push/1.0.0"}
	var dialled sync.WaitGroup
	for n := range number {
		dialled.Add(1)
		go func() {
			h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableRelay(), libp2p.ResourceManager(nil))
			if err == nil {
				err = h.Connect(ctx, at)
			}
			dialled.Done()
			if err != nil {
				return // turned away: so much the better
			}
			defer func() { _ = h.Close() }()
			junk := make([]byte, 4096)
			_, _ = rand.Read(junk)
			// The opening of an exchange and its end, then a message that is announced.
			begun := append(append([]byte{byte(1 + len(id)), 3}, id[:]...), 1, 5, 0xff, 0x7f, 1)
			for turn := n; ctx.Err() == nil; turn++ {
				sctx, cancel := context.WithTimeout(ctx, 2*time.Second)
				st, err := h.NewStream(sctx, at.ID, kinds[turn%len(kinds)])
				cancel()
				if err != nil {
					select {
					case <-time.After(50 * time.Millisecond):
					case <-ctx.Done():
					}
					if len(h.Network().ConnsToPeer(at.ID)) == 0 {
						_ = h.Connect(ctx, at)
					}
					continue
				}
				streams.Add(1)
				go func() {
					_ = st.SetDeadline(time.Now().Add(30 * time.Second))
					_, err := st.Write(begun)
					if turn%2 == 0 { // it does not come, and the stream is held
						<-ctx.Done()
						return
					}
					for err == nil && ctx.Err() == nil {
						_, err = st.Write(junk)
					}
				}()
			}
		}()
	}
	dialled.Wait()
}

// maxHeap of the relay, MiB, is what it may give to connections; of goroutines, under
// the race detector and with the processors taken, up to 900 were seen.
const (
	maxHeap       = 128
	maxGoroutines = 2000
)

// TestMemoryUnderAttack: 200 strangers open, send and hold as much as they can at a
// relay; its memory stays bounded, and who watches through it loses nothing.
func TestMemoryUnderAttack(t *testing.T) {
	number, length := 40, 3*time.Second
	if full {
		number, length = 200, 30*time.Second
	}
	s := newSwarm(t, nil)
	s.publish(length+7*time.Second, "--max-children", "1")
	relay := s.relay("--max-memory", fmt.Sprintf("%dMiB", maxHeap))
	s.started()
	for range 3 {
		s.view(2 * time.Second)
	}
	s.started()
	link, err := stream.ParseLink(s.link)
	if err != nil {
		t.Fatal(err)
	}
	st, ok := relay.State()
	if !ok || len(st.Addrs) == 0 {
		t.Fatalf("the relay's state: %+v", st)
	}
	at, err := peer.AddrInfoFromString(st.Addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	before := usageOf(t, relay)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var streams atomic.Int64
	go func() {
		strangers(ctx, number, *at, link.ID, &streams)
		time.AfterFunc(length, cancel)
	}()
	var worst usage
	for ctx.Err() == nil {
		u := usageOf(t, relay)
		worst.heap, worst.goroutines, worst.files = max(worst.heap, u.heap), max(worst.goroutines, u.goroutines), max(worst.files, u.files)
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	t.Logf("%d strangers got %d streams; before %+v, at worst %+v", number, streams.Load(), before, worst)
	if worst.heap > maxHeap || worst.goroutines > maxGoroutines {
		t.Errorf("at worst %+v, allowed are %d MiB of heap and %d goroutines", worst, maxHeap, maxGoroutines)
	}
	if streams.Load() < int64(number) {
		t.Errorf("%d strangers got %d streams: that is no attack", number, streams.Load())
	}
	s.wait(60 * time.Second)
	s.cost(row{failure: "hostile", done: "strangers hold what they can of a relay", times: number,
		note: fmt.Sprintf("%d streams; heap %.0f MiB, at worst %.0f", streams.Load(), before.heap, worst.heap)}, true)
}
