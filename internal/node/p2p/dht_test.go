package p2p

// This file answers: do streams stay announced and findable through the DHT,
// and do only true records pass?

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/braidway/braidway/stream"

	ds "github.com/ipfs/go-datastore"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

func TestARecordAndProvidersAreFoundThroughFiveNodes(t *testing.T) {
	ctx := within(t, 20*time.Second)
	ring := newRing(t, ctx, 5)
	pub := newPublisher(t, ring[1].Host)
	raw := pub.record(t, 1)
	if err := ring[1].rv.Publish(ctx, raw); err != nil {
		t.Fatal(err)
	}
	for _, n := range ring[1:3] {
		if err := n.rv.Provide(ctx, pub.id()); err != nil {
			t.Fatal(err)
		}
	}
	if err := ring[1].rv.WaitPublished(ctx, pub.id()); err != nil {
		t.Fatal(err)
	}
	for _, n := range ring[1:3] {
		if err := n.rv.WaitProvided(ctx, pub.id()); err != nil {
			t.Fatal(err)
		}
	}
	// A client that knows only the first node.
	c := newNode(t, ModeClient, ring[0].AddrInfo())
	if err := c.dht.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	rec, got, err := c.rv.Record(ctx, pub.id())
	if err != nil || !bytes.Equal(got, raw) || rec.ID() != pub.id() {
		t.Fatalf("record %+v, error %v", rec, err)
	}
	found := map[peer.ID]bool{}
	for ai := range c.rv.FindProviders(ctx, pub.id(), 0) {
		if len(ai.Addrs) == 0 {
			t.Errorf("provider %s without address", ai.ID)
		}
		found[ai.ID] = true
	}
	if len(found) != 2 || !found[ring[1].ID()] || !found[ring[2].ID()] {
		t.Fatalf("providers %v", found)
	}
	n := 0
	for range c.rv.FindProviders(ctx, pub.id(), 1) {
		n++
	}
	if n != 1 {
		t.Fatalf("%d providers, asked for 1", n)
	}
	// A provider does not find itself.
	for ai := range ring[1].rv.FindProviders(ctx, pub.id(), 0) {
		if ai.ID == ring[1].ID() {
			t.Fatal("found itself")
		}
	}
	if _, _, err := c.rv.Record(ctx, stream.ID{1}); !errors.Is(err, ErrNoRecord) {
		t.Fatalf("record of an unknown stream: %v", err)
	}
}

func TestAWriterOfALowerEpochDoesNotWin(t *testing.T) {
	ctx := within(t, 20*time.Second)
	ring := newRing(t, ctx, 4)
	pub := newPublisher(t, ring[1].Host)
	high, low := pub.record(t, 7), pub.record(t, 6)
	if err := ring[1].rv.Publish(ctx, high); err != nil {
		t.Fatal(err)
	}
	if err := ring[1].rv.WaitPublished(ctx, pub.id()); err != nil {
		t.Fatal(err)
	}
	if err := ring[2].rv.Publish(ctx, low); err != nil {
		t.Fatal(err)
	}
	// It is told that it lost.
	waitStatus(t, ctx, ring[2].rv, pub.id(), func(a Announcement) bool { return errors.Is(a.Err, ErrSuperseded) })
	for _, n := range ring {
		rec, _, err := n.rv.Record(ctx, pub.id())
		if err != nil || rec.Epoch != 7 {
			t.Fatalf("epoch %d, error %v, want 7", rec.Epoch, err)
		}
	}
	// A higher epoch does win, from the same place.
	if err := ring[2].rv.Publish(ctx, pub.record(t, 8)); err != nil {
		t.Fatal(err)
	}
	waitStatus(t, ctx, ring[2].rv, pub.id(), func(a Announcement) bool { return !a.Since.IsZero() && a.Err == nil })
	if rec, _, err := ring[3].rv.Record(ctx, pub.id()); err != nil || rec.Epoch != 8 {
		t.Fatalf("epoch %d, error %v, want 8", rec.Epoch, err)
	}
}

// waitStatus waits for a state of the record's announcement.
func waitStatus(t *testing.T, ctx context.Context, r *Rendezvous, id stream.ID, ok func(Announcement) bool) {
	t.Helper()
	for {
		r.mu.Lock()
		a := r.live[announceKey{id: id, record: true}]
		if a == nil {
			r.mu.Unlock()
			t.Fatal("not announced any more")
		}
		status, changed := a.status, a.changed
		r.mu.Unlock()
		if ok(status) {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("status stays %+v", status)
		}
	}
}

func TestTheValidatorRefusesForgedAndExpiredRecords(t *testing.T) {
	h := newHost(t, HostConfig{})
	pub := newPublisher(t, h)
	now := time.Now()
	v := recordValidator{now: func() time.Time { return now }}
	good := pub.sign(t, 3, now, time.Hour)
	key := RecordKey(pub.id())
	if err := v.Validate(key, good); err != nil {
		t.Fatalf("a good record: %v", err)
	}
	forged := bytes.Clone(good)
	forged[len(forged)-1] ^= 1
	renamed := bytes.Clone(good)
	renamed[bytes.Index(renamed, []byte(testName))] ^= 1
	for name, bad := range map[string]struct {
		key string
		raw []byte
	}{
		"forged signature":    {key, forged},
		"forged name":         {key, renamed},
		"another stream":      {RecordKey(stream.ID{1}), good},
		"expired":             {key, pub.sign(t, 3, now.Add(-2*time.Hour), time.Hour)},
		"from the future":     {key, pub.sign(t, 3, now.Add(2*time.Hour), time.Hour)},
		"cut short":           {key, good[:len(good)-1]},
		"empty":               {key, nil},
		"too large":           {key, make([]byte, stream.MaxRecord+1)},
		"not an id":           {"/" + recordNamespace + "/abc", good},
		"another namespace":   {"/pk/" + pub.id().String(), good},
		"id with a tail":      {key + "/x", good},
		"no namespace at all": {pub.id().String(), good},
	} {
		if err := v.Validate(bad.key, bad.raw); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if i, err := v.Select(key, [][]byte{forged, pub.sign(t, 2, now, time.Hour), good, pub.sign(t, 1, now, time.Hour)}); err != nil || i != 2 {
		t.Errorf("selected %d, error %v, want 2", i, err)
	}
	if _, err := v.Select(key, [][]byte{forged, nil}); err == nil {
		t.Error("selected one of two bad records")
	}
}

func TestADHTNodeDoesNotStoreAForgedRecord(t *testing.T) {
	ctx := within(t, 20*time.Second)
	ring := newRing(t, ctx, 3)
	pub := newPublisher(t, ring[1].Host)
	forged := pub.record(t, 9)
	forged[len(forged)-1] ^= 1
	if err := ring[1].rv.Publish(ctx, forged); err == nil {
		t.Fatal("published by an honest node")
	}
	// A liar has no such scruples: it sends the record to the others, and
	// serves it itself.
	lh := newHost(t, HostConfig{})
	liar, err := dht.New(lh.Host, dht.Mode(dht.ModeServer), dht.ProtocolPrefix(DHTPrefix),
		dht.Validator(record.NamespacedValidator{recordNamespace: yes{}}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = liar.Close() }()
	grown := ring[0].dht.whenGrown()
	if err := lh.Connect(ctx, ring[0].AddrInfo()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-grown:
	case <-ctx.Done():
		t.Fatal("the liar is not in the routing table")
	}
	for {
		if err = liar.PutValue(ctx, RecordKey(pub.id()), forged); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("the liar cannot even try: %v", err)
	}
	for i, n := range ring {
		if _, _, err := n.rv.Record(ctx, pub.id()); !errors.Is(err, ErrNoRecord) {
			t.Fatalf("node %d: record: %v, want none", i, err)
		}
	}
}

type yes struct{}

func (yes) Validate(string, []byte) error        { return nil }
func (yes) Select(string, [][]byte) (int, error) { return 0, nil }

func TestWhatIsAnnouncedBeforeAnyNodeIsReachableGoesOutWhenOneAppears(t *testing.T) {
	ctx := within(t, 20*time.Second)
	// The bootstrap node's address is known before it runs.
	key := newKey(t)
	first := newHost(t, HostConfig{Key: key})
	boot := first.AddrInfo()
	addr := boot.Addrs[0].String()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	n := newNode(t, ModeClient, boot)
	pub := newPublisher(t, n.Host)
	started := time.Now()
	if err := n.rv.Publish(ctx, pub.record(t, 1)); err != nil {
		t.Fatal(err)
	}
	if err := n.rv.Provide(ctx, pub.id()); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(started); d > 200*time.Millisecond {
		t.Fatalf("announcing took %v", d)
	}
	waitStatus(t, ctx, n.rv, pub.id(), func(a Announcement) bool { return errors.Is(a.Err, ErrNobody) && a.Attempts > 1 })

	// It appears, with another node behind it.
	h := newHost(t, HostConfig{Key: key, Listen: []string{addr}})
	d, err := NewDHT(h, DHTConfig{Mode: ModeServer})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	if err := n.rv.WaitPublished(ctx, pub.id()); err != nil {
		t.Fatal(err)
	}
	if err := n.rv.WaitProvided(ctx, pub.id()); err != nil {
		t.Fatal(err)
	}
	c := newNode(t, ModeClient, boot)
	if err := c.dht.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.rv.Record(ctx, pub.id()); err != nil {
		t.Fatal(err)
	}
	got := <-c.rv.FindProviders(ctx, pub.id(), 1)
	if got.ID != n.ID() {
		t.Fatalf("provider %v", got)
	}
}

func TestAThinAnnouncementIsRepeatedWhenTheDHTGrows(t *testing.T) {
	ctx := within(t, 20*time.Second)
	ring := newRing(t, ctx, 2)
	pub := newPublisher(t, ring[1].Host)
	if err := ring[1].rv.Publish(ctx, pub.record(t, 1)); err != nil {
		t.Fatal(err)
	}
	if err := ring[1].rv.WaitPublished(ctx, pub.id()); err != nil {
		t.Fatal(err)
	}
	newNode(t, ModeServer, ring[1].AddrInfo())
	waitStatus(t, ctx, ring[1].rv, pub.id(), func(a Announcement) bool { return a.Nodes > 1 })
}

func TestAnAnnouncementEndsWithItsContext(t *testing.T) {
	ctx := within(t, 10*time.Second)
	n := newNode(t, ModeServer)
	pub := newPublisher(t, n.Host)
	own, cancel := context.WithCancel(ctx)
	if err := n.rv.Publish(own, pub.record(t, 1)); err != nil {
		t.Fatal(err)
	}
	if _, ok := n.rv.RecordStatus(pub.id()); !ok {
		t.Fatal("not announced")
	}
	cancel()
	if err := n.rv.WaitPublished(ctx, pub.id()); err == nil || ctx.Err() != nil {
		t.Fatalf("waiting for what has ended: %v", err)
	}
	if err := n.rv.Provide(own, pub.id()); err == nil {
		t.Fatal("announced under an ended context")
	}
	if err := n.rv.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.rv.Provide(ctx, pub.id()); err == nil {
		t.Fatal("announced by a closed rendezvous")
	}
}

func TestConnectionsGoOnWhenEveryDHTNodeIsClosed(t *testing.T) {
	ctx := within(t, 20*time.Second)
	ring := newRing(t, ctx, 3)
	a := newNode(t, ModeClient, ring[0].AddrInfo())
	b := newNode(t, ModeClient, ring[0].AddrInfo())
	for _, n := range []*node{a, b} {
		if err := n.dht.WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
	}
	p := startPinger(t, ctx, a.Host, b.Host)
	p.alive(t, ctx)
	for _, n := range ring {
		n.leave()
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	p.alive(t, ctx)
	a.leave() // not even one's own is needed
	p.alive(t, ctx)
	if a.Network().Connectedness(b.ID()) != network.Connected {
		t.Fatal("not connected any more")
	}
	// And what needs the DHT says so, in time.
	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, _, err := b.rv.Record(short, stream.ID{1}); err == nil || errors.Is(err, ErrNoRecord) {
		t.Fatalf("record from nobody: %v", err)
	}
}

func TestBootstrapErrorsNameTheNode(t *testing.T) {
	ctx := within(t, 15*time.Second)
	gone := newHost(t, HostConfig{Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	boot := gone.AddrInfo()
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	h := newHost(t, HostConfig{Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	d, err := NewDHT(h, DHTConfig{Bootstrap: []peer.AddrInfo{boot, h.AddrInfo()}}) // itself is passed over
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := d.WaitReady(short); err == nil {
		t.Fatal("ready without a node")
	}
	errs := d.BootstrapErrors()
	if len(errs) != 1 || !slices.ContainsFunc(errs, func(err error) bool { return bytes.Contains([]byte(err.Error()), []byte(boot.ID.String())) }) {
		t.Fatalf("bootstrap errors: %v", errs)
	}
}

func TestAFullStoreRefusesNewKeysAndKeepsTheOld(t *testing.T) {
	ctx := t.Context()
	s := newStore(2)
	a, b, c := ds.NewKey("a"), ds.NewKey("b"), ds.NewKey("c")
	for _, k := range []ds.Key{a, b, a} {
		if err := s.Put(ctx, k, []byte("1")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Put(ctx, c, []byte("1")); !errors.Is(err, errStoreFull) {
		t.Fatalf("third key: %v", err)
	}
	if ok, err := s.Has(ctx, a); !ok || err != nil {
		t.Fatalf("first key gone: %v", err)
	}
	for _, k := range []ds.Key{b, b} {
		if err := s.Delete(ctx, k); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Put(ctx, c, []byte("1")); err != nil {
		t.Fatal(err)
	}
}

func TestNodesOnNearAddressesAreNotLimitedByDiversity(t *testing.T) {
	for addr, want := range map[string]bool{
		"/ip4/127.0.0.1/udp/1/quic-v1": true, "/ip4/10.1.2.3/tcp/1": true, "/ip4/172.31.0.1/tcp/1": true,
		"/ip4/192.168.0.9/tcp/1": true, "/ip6/::1/tcp/1": true, "/ip6/fd00::1/tcp/1": true, "/ip6/fe80::1/tcp/1": true,
		"/ip4/172.32.0.1/tcp/1": false, "/ip4/198.51.100.1/tcp/1": false, "/ip6/2001:db8::1/tcp/1": false, "/dns4/localhost/tcp/1": false,
	} {
		if got := near(ma.StringCast(addr)); got != want {
			t.Errorf("near(%s) is %v", addr, got)
		}
	}
}

// A node may be closed when it has only just reached the first other one. The
// race detector tells when kad-dht is asked for something while it closes.
func TestACloseDuringTheBootstrapIsClean(t *testing.T) {
	ctx := within(t, 30*time.Second)
	boot := newHost(t, HostConfig{})
	seed, err := NewDHT(boot, DHTConfig{Mode: ModeServer})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = seed.Close() }()
	for range 30 {
		h := newHost(t, HostConfig{})
		met, err := h.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted))
		if err != nil {
			t.Fatal(err)
		}
		d, err := NewDHT(h, DHTConfig{Mode: ModeServer, Bootstrap: []peer.AddrInfo{boot.AddrInfo()}})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-met.Out():
		case <-ctx.Done():
			t.Fatal("the bootstrap node is not reached")
		}
		if err := errors.Join(d.Close(), met.Close(), h.Close()); err != nil {
			t.Fatal(err)
		}
	}
}
