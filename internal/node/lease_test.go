package node

// Two publishers of one stream: locked, standing by, taking over, fenced off.

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/braidway/braidway/failover"
	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/stream"
)

// pair is an active publisher and its standby with the same input.
type pair struct {
	key             ed25519.PrivateKey
	boot            *Node
	fault           *p2p.Fault // of the active one
	active, standby *Publication
	second          *Publication // standby, where there are two
}

func publishKey(t *testing.T, n *Node, key ed25519.PrivateKey, standby bool) *Publication {
	t.Helper()
	p, err := n.Publish(context.Background(), PublishConfig{Name: "test", Key: key, Standby: standby})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// newPair starts both, and feeds them.
func newPair(t *testing.T, again bool) *pair {
	t.Helper()
	p := &pair{key: newKey(t), boot: newNode(t, newKey(t)), fault: &p2p.Fault{}}
	first := newFaultyNode(t, newKey(t), p.fault, p.boot)
	p.active = publishKey(t, first, p.key, again)
	p.standby = publishKey(t, newNode(t, newKey(t), p.boot), p.key, true)
	if !p.active.Active() || p.standby.Active() {
		t.Fatalf("active %v, standby %v", p.active.Active(), p.standby.Active())
	}
	p.feed(t)
	return p
}

// feed feeds all of them the same numbered pieces, a group a second.
func (p *pair) feed(t *testing.T) {
	t.Helper()
	all := []*Publication{p.active, p.standby}
	if p.second != nil {
		all = append(all, p.second)
	}
	stop := make(chan struct{})
	done := make(chan struct{})
	t.Cleanup(func() { close(stop); <-done })
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		piece := make([]byte, 1000)
		for n := uint32(0); ; n++ {
			binary.BigEndian.PutUint32(piece, n)
			for _, pub := range all {
				if n%50 == 0 {
					_ = pub.StartGroup(nil)
				}
				_, _ = pub.Write(piece)
			}
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
}

func newFaultyNode(t *testing.T, key ed25519.PrivateKey, fault *p2p.Fault, boot *Node) *Node {
	t.Helper()
	cfg := Config{NoMDNS: true, Host: p2p.HostConfig{Key: key, Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, AllowLoopback: true, Fault: fault},
		DHT: p2p.DHTConfig{Mode: p2p.ModeServer}}
	cfg.DHT.Bootstrap = append(cfg.DHT.Bootstrap, boot.Host().AddrInfo())
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

// follows waits until the standby hears of the lease and of the stream.
func (p *pair) follows(t *testing.T) {
	t.Helper()
	p.follow(t, 1)
}

// follow is follows where there are so many standbys.
func (p *pair) follow(t *testing.T, standbys int) {
	t.Helper()
	select {
	case <-p.standby.Session().Started():
	case <-time.After(10 * time.Second):
		t.Fatal("the standby does not follow the stream")
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, heirs := p.active.standing(); len(heirs) == standbys {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the publisher knows no standby")
		}
	}
}

func waitActive(t *testing.T, p *Publication, within time.Duration) {
	t.Helper()
	for end := time.Now().Add(within); !p.Active(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the standby has not taken over within %v", within)
		}
	}
}

// pieces reads the numbers of a viewer's output and returns how many pieces were
// skipped and how many came twice; anything that is no piece is an error.
func pieces(t *testing.T, b []byte) (last uint32, skipped, repeated int) {
	t.Helper()
	for at := 0; at+1000 <= len(b); at += 1000 {
		n := binary.BigEndian.Uint32(b[at:])
		for _, x := range b[at+4 : at+1000] {
			if x != 0 {
				t.Fatalf("byte %d is of no piece: the terms are mixed", at)
			}
		}
		switch {
		case at == 0 || n == last+1:
		case n > last:
			skipped += int(n - last - 1)
		default:
			repeated += int(last - n + 1)
		}
		last = n
	}
	return last, skipped, repeated
}

// playedPast waits until v has played on for 2 s behind now, and checks what it got.
func (v *viewer) playedPast(t *testing.T) {
	t.Helper()
	had := len(v.out.bytes())
	v.out.waitFor(t, "the stream goes on", func(b []byte) bool { return len(b) > had+150_000 })
	if _, skipped, repeated := pieces(t, v.out.bytes()); skipped > 50 || repeated > 50 {
		t.Errorf("%d pieces skipped, %d repeated: more than a group", skipped, repeated)
	} else {
		t.Logf("%d pieces of 20 ms skipped, %d repeated, longest gap %v", skipped, repeated, *v.player.Report().MaxGapMS)
	}
}

// inDHT waits until n finds the stream's record.
func inDHT(t *testing.T, n *Node, id stream.ID) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, _, err := n.rdv.Record(context.Background(), id); err == nil {
			return
		} else if time.Now().After(end) {
			t.Fatalf("no record in the DHT: %v", err)
		}
	}
}

func TestASecondPublisherIsLockedOut(t *testing.T) {
	p := newPair(t, false)
	inDHT(t, p.boot, p.active.ID())
	_, err := newNode(t, newKey(t), p.boot).Publish(context.Background(), PublishConfig{Name: "test", Key: p.key})
	var locked *LockedError
	if !errors.As(err, &locked) {
		t.Fatalf("error %v, want a LockedError", err)
	}
	if locked.Holder != p.active.node.host.ID() || locked.Epoch != p.active.Epoch() || locked.Expires <= 0 || locked.Expires > failover.LeaseSilence {
		t.Errorf("%+v, want %v, epoch %d", locked, p.active.node.host.ID(), p.active.Epoch())
	}
	if _, err := newNode(t, newKey(t), p.boot).Publish(context.Background(), PublishConfig{Name: "other", Key: p.key}); err != nil {
		t.Errorf("another name is another stream: %v", err)
	}
}

func TestASecondPublisherWithTheSamePeerIDIsLockedOutToo(t *testing.T) {
	key, boot := newKey(t), newNode(t, newKey(t))
	inDHT(t, boot, publish(t, newNode(t, key, boot)).ID())
	_, err := newNode(t, key, boot).Publish(context.Background(), PublishConfig{Name: "test"})
	var locked *LockedError
	if !errors.As(err, &locked) {
		t.Fatalf("error %v, want a LockedError", err)
	}
}

func TestAStandbyTakesOverFromWhoFallsSilentAndFencesItOff(t *testing.T) {
	p := newPair(t, false)
	v := view(t, newNode(t, newKey(t), p.boot), p.active.Link())
	w := view(t, newNode(t, newKey(t), p.boot), p.active.Link())
	for _, x := range []*viewer{v, w} {
		x.out.waitFor(t, "the active publisher's bytes", func(b []byte) bool { return len(b) > 50_000 })
	}
	p.follows(t)
	p.fault.Freeze()
	waitActive(t, p.standby, failover.LeaseSilence+failover.LeaseSpread+500*time.Millisecond)
	if p.standby.Epoch() <= p.active.Epoch() {
		t.Errorf("epoch %d after %d", p.standby.Epoch(), p.active.Epoch())
	}
	for _, x := range []*viewer{v, w} {
		x.playedPast(t)
	}
	p.fault.Thaw()
	thawed := time.Now()
	select {
	case <-p.active.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the old publisher does not hear that its term is over")
	}
	t.Logf("fenced off %v after it woke up", time.Since(thawed))
	var fenced *FencedError
	if err := p.active.Err(); !errors.As(err, &fenced) || fenced.Epoch != p.standby.Epoch() {
		t.Errorf("error %v, want a FencedError with epoch %d", err, p.standby.Epoch())
	}
	for _, x := range []*viewer{v, w} {
		x.playedPast(t)
	}
}

func TestOfTwoStandbysThatComeTogetherOneTakesOver(t *testing.T) {
	p := &pair{key: newKey(t), boot: newNode(t, newKey(t)), fault: &p2p.Fault{}}
	p.active = publishKey(t, newFaultyNode(t, newKey(t), p.fault, p.boot), p.key, false)
	nodes := []*Node{newNode(t, newKey(t), p.boot), newNode(t, newKey(t), p.boot)}
	var wg sync.WaitGroup
	wg.Go(func() { p.standby = publishKey(t, nodes[0], p.key, true) })
	wg.Go(func() { p.second = publishKey(t, nodes[1], p.key, true) })
	wg.Wait()
	p.feed(t)
	v := view(t, newNode(t, newKey(t), p.boot), p.active.Link())
	v.out.waitFor(t, "the active publisher's bytes", func(b []byte) bool { return len(b) > 50_000 })
	p.follow(t, 2)
	p.fault.Freeze()
	for end := time.Now().Add(10 * time.Second); !p.standby.Active() && !p.second.Active(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("neither takes over")
		}
	}
	v.playedPast(t)
	if p.standby.Active() == p.second.Active() {
		t.Errorf("after the take-over: %v and %v publish", p.standby.Active(), p.second.Active())
	}
	v.playedPast(t)
	if p.standby.Active() == p.second.Active() || p.standby.Err() != nil || p.second.Err() != nil {
		t.Errorf("later: %v and %v publish, errors %v, %v", p.standby.Active(), p.second.Active(), p.standby.Err(), p.second.Err())
	}
}

func TestAPublisherThatLeavesHandsOverAndTwoTakeTurns(t *testing.T) {
	p := newPair(t, true)
	v := view(t, newNode(t, newKey(t), p.boot), p.active.Link())
	v.out.waitFor(t, "the active publisher's bytes", func(b []byte) bool { return len(b) > 50_000 })
	p.follows(t)
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	p.active.node.Drain(ctx, 5*time.Second)
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the drain took %v", took)
	}
	if !p.standby.Active() {
		t.Fatal("drained, but the standby has not taken over")
	}
	v.playedPast(t)
	if st := v.player.Stats(); st.Stalls > 0 {
		t.Errorf("stalled %d times in a hand-over", st.Stalls)
	}
	if err := p.active.node.Close(); err != nil {
		t.Log(err)
	}
	// Updated, it is back as the standby of the other.
	back := publishKey(t, newNode(t, newKey(t), p.boot), p.key, true)
	if back.Active() {
		t.Error("back, it publishes beside the other")
	}
}

func TestAStandbyEndsWithTheStream(t *testing.T) {
	p := newPair(t, false)
	p.follows(t)
	p.active.End()
	select {
	case <-p.standby.Done():
		if !errors.Is(p.standby.Err(), ErrEnded) {
			t.Errorf("error %v, want ErrEnded", p.standby.Err())
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the standby does not end")
	}
}

func TestNobodyStandsByWithoutTheStreamsKey(t *testing.T) {
	p := newPair(t, false)
	n := newNode(t, newKey(t), p.boot)
	_, st, r, err := askLease(context.Background(), n.host, p.active.node.host.AddrInfo(), newQuestion(p2p.Topic{ID: p.active.ID()}, newKey(t), true))
	if err != nil {
		t.Fatal(err)
	}
	if w, err := readLeaseWord(r); err == nil {
		t.Errorf("a stranger gets renewals: %+v", w)
	}
	_ = st.Reset()
}

func TestEpochsGrowAndDifferWithinAMillisecond(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	a, b := nextEpoch(now, 0, 1), nextEpoch(now, 0, 2)
	if a == b || nextEpoch(now.Add(time.Millisecond), 0, 0) <= max(a, b) {
		t.Errorf("epochs %d and %d", a, b)
	}
	if e := nextEpoch(now, 1<<60, 0); e != 1<<60+1 {
		t.Errorf("epoch %d is not above the known one", e)
	}
	if e := nextEpoch(now, stream.MaxEpoch, 0); e != stream.MaxEpoch {
		t.Errorf("epoch %d is out of range", e)
	}
	if nextEpoch(time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC), 0, 1023) >= 1<<53 {
		t.Error("an epoch is no exact number in JSON")
	}
}

func TestWordsAboutALeaseAreReadStrictly(t *testing.T) {
	w := leaseWord{state: leaseLocked, epoch: 1 << 50, wait: 750 * time.Millisecond, raw: []byte("record")}
	b := w.append(nil)
	got, err := readLeaseWord(bufio.NewReader(bytes.NewReader(b)))
	if err != nil || !reflect.DeepEqual(got, w) {
		t.Errorf("%+v, %v", got, err)
	}
	for n := range len(b) - 1 {
		if w, err := readLeaseWord(bufio.NewReader(bytes.NewReader(b[:n]))); err == nil {
			t.Errorf("the first %d bytes are read as %+v", n, w)
		}
	}
}

func FuzzLeaseWord(f *testing.F) {
	f.Add(leaseWord{state: leaseFree}.append(nil))
	f.Add(leaseWord{state: leaseLocked, epoch: 7, wait: time.Second, raw: []byte{1}}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := readLeaseWord(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			return
		}
		if !bytes.HasPrefix(b, w.append(nil)) {
			t.Errorf("two encodings of %+v", w)
		}
		if w.state < leaseLocked || w.state > leaseFree || w.epoch > stream.MaxEpoch || w.wait > time.Hour || len(w.raw) > stream.MaxRecord {
			t.Errorf("%+v is out of range", w)
		}
	})
}
