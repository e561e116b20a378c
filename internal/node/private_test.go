package node

// Private streams on real nodes: who reads, who only carries, and who is left outside.

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/internal/node/token"
	"github.com/braidway/braidway/stream"
)

const privateName = "the name that nobody is to see"

// club is a private stream with what is needed to let others in.
type club struct {
	*Publication
	key    ed25519.PrivateKey
	ledger token.Ledger
	boot   *Node
}

func newClub(t *testing.T) *club {
	t.Helper()
	c := &club{key: newKey(t), ledger: token.Ledger{File: filepath.Join(t.TempDir(), "key.tokens")}, boot: newNode(t, newKey(t))}
	c.Publication = c.publish(t, newNode(t, newKey(t), c.boot), false)
	return c
}

func (c *club) publish(t *testing.T, n *Node, standby bool) *Publication {
	t.Helper()
	p, err := n.Publish(context.Background(), PublishConfig{Name: privateName, Key: c.key, Standby: standby, ContentType: "video/mp2t",
		Private: &PrivateConfig{Ledger: c.ledger.File}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// issue returns a credential as its holder has it, and its number.
func (c *club) issue(t *testing.T, rights token.Rights, to peer.ID, life time.Duration) (string, uint16) {
	t.Helper()
	now := time.Now()
	tok, err := c.ledger.Add(token.Token{Stream: c.ID(), Peer: to, Rights: rights, Issued: now.Add(-2 * time.Hour), Expires: now.Add(life)}, "")
	if err != nil {
		t.Fatal(err)
	}
	cred, err := token.Issue(c.key, tok)
	if err != nil {
		t.Fatal(err)
	}
	return cred.Text(), tok.Number
}

// join takes part with a credential; a viewer's output is in out.
func (c *club) join(t *testing.T, n *Node, link stream.Link, role Role, credential string) *viewer {
	t.Helper()
	return takePart(t, n, link, SessionConfig{Role: role, Token: credential})
}

func TestAPrivateStreamIsFoundReadAndCarriedAndRelaysHoldNothingToRead(t *testing.T) {
	c := newClub(t)
	go feed(t, c.Publication, 'x', 60*time.Second)
	forRelays := bare(c.Link())
	secrets := forRelays.Private.ForRelays()
	forRelays.Private = &secrets
	rn := newNode(t, newKey(t), c.boot)
	cred, _ := c.issue(t, token.Relay, rn.host.ID(), time.Hour)
	r := c.join(t, rn, forRelays, RoleRelay, cred)
	select {
	case <-r.Started():
	case <-time.After(20 * time.Second):
		t.Fatalf("the relay has not found the stream: %s", r.Tried())
	}
	// The viewer knows the relay only.
	link := bare(c.Link())
	for _, a := range rn.host.P2PAddrs() {
		link.Addrs = append(link.Addrs, a.String())
	}
	vn := newNode(t, newKey(t))
	cred, _ = c.issue(t, token.Watch|token.Relay, "", time.Hour)
	v := c.join(t, vn, link, RoleViewer, cred)
	v.out.waitFor(t, "the stream, decrypted", has('x', 60_000))
	if b := v.out.bytes(); len(bytes.Trim(b, "x")) > 0 {
		t.Errorf("%d bytes that the publisher did not write", len(bytes.Trim(b, "x")))
	}
	// What the relay has of it: objects that only their signature can be checked of.
	r.Do(func() {
		low, high, ok := r.window.Range()
		held := 0
		for seq := low; ok && seq <= high; seq++ {
			o, ok := r.window.Get(c.Epoch(), seq)
			if !ok {
				continue
			}
			held++
			if !o.Encrypted || bytes.Contains(o.Wire, bytes.Repeat([]byte{'x'}, 8)) {
				t.Errorf("object %d of the relay's window can be read", seq)
			}
			if _, err := r.plain(&o); !errors.Is(err, stream.ErrNoKey) {
				t.Errorf("the relay decrypts object %d: %v", seq, err)
			}
			if plain, err := v.plain(&o); err != nil || len(bytes.Trim(plain, "x")) > 0 {
				t.Errorf("a viewer cannot read object %d of the relay's window: %v", seq, err)
			}
		}
		if held < 20 {
			t.Errorf("only %d objects in the relay's window", held)
		}
	})
	if n := r.count.delivered.Load(); n == 0 || v.count.unread.Load() != 0 {
		t.Errorf("the relay took %d objects; %d objects could not be decrypted", n, v.count.unread.Load())
	}
	// A new secret is used soon, and nobody misses anything.
	c.mu.Lock()
	before := c.issuer.contents[0].Number
	err := c.rotate(time.Now())
	c.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the new content secret is in use", 10*time.Second, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.issuer.sealer.Content().Number > before
	})
	v.out.waitFor(t, "the stream under a new content secret", has('x', len(v.out.bytes())+60_000))
	if n, st := v.count.unread.Load(), v.player.Stats(); n > 0 || st.Missed > 0 {
		t.Errorf("%d objects could not be decrypted, %d missed", n, st.Missed)
	}
}

func waitUntil(t *testing.T, what string, within time.Duration, ok func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > within {
			t.Fatalf("%s: not within %v", what, within)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

func TestARevokedViewerIsCutOffAndTheOthersPlayOn(t *testing.T) {
	c := newClub(t)
	go feed(t, c.Publication, 'x', 60*time.Second)
	var all []*viewer
	var numbers []uint16
	for range 3 {
		n := newNode(t, newKey(t), c.boot)
		cred, number := c.issue(t, token.Watch|token.Relay, n.host.ID(), time.Hour)
		all, numbers = append(all, c.join(t, n, c.Link(), RoleViewer, cred)), append(numbers, number)
	}
	for _, v := range all {
		v.out.waitFor(t, "all play", has('x', 40_000))
	}
	out, rest := all[1], []*viewer{all[0], all[2]}
	if err := c.ledger.Revoke(c.ID(), numbers[1:2], time.Now()); err != nil {
		t.Fatal(err)
	}
	cut := waitUntil(t, "the revoked viewer has no neighbour, and nobody has it", 10*time.Second, func() bool {
		s, ok := out.Snapshot()
		for _, o := range []*Session{rest[0].Session, rest[1].Session, c.Session()} {
			if o.linkTo(out.self) != nil {
				return false
			}
		}
		return ok && len(s.Neighbours) == 0
	})
	t.Logf("cut off %v after the token was revoked in the ledger", cut.Round(10*time.Millisecond))
	select {
	case err := <-out.ended:
		if !errors.Is(err, ErrDenied) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("the revoked viewer is not told why")
	}
	delivered := out.count.delivered.Load()
	for _, v := range rest {
		v.out.waitFor(t, "the others play on, past the new secret", has('x', len(v.out.bytes())+150_000))
		// It may have been their parent: a machine that is busy may miss some then.
		if st := v.player.Stats(); st.Missed*20 > st.Due || v.count.unread.Load() > 0 {
			t.Errorf("missed %d of %d, not decrypted %d", st.Missed, st.Due, v.count.unread.Load())
		}
	}
	if now := out.count.delivered.Load(); now != delivered {
		t.Errorf("the revoked viewer got %d objects after it was cut off", now-delivered)
	}
	// Even with what it can still get from a friend, it reads nothing of now.
	rest[0].Do(func() {
		_, high, _ := rest[0].window.Range()
		o, _ := rest[0].window.Get(c.Epoch(), high)
		if _, err := out.plain(&o); !errors.Is(err, stream.ErrNoKey) {
			t.Errorf("object %d: %v", high, err)
		}
	})
	if _, _, err := out.dial(context.Background(), c.node.host.ID()); err == nil {
		t.Error("the revoked viewer is let in again")
	}
}

func TestAPrivateStreamGoesOnUnderItsStandby(t *testing.T) {
	c := &club{key: newKey(t), ledger: token.Ledger{File: filepath.Join(t.TempDir(), "tokens")}, boot: newNode(t, newKey(t))}
	fault := &p2p.Fault{}
	c.Publication = c.publish(t, newFaultyNode(t, newKey(t), fault, c.boot), false)
	go feed(t, c.Publication, 'x', 60*time.Second)
	standby := c.publish(t, newNode(t, newKey(t), c.boot), true)
	if standby.Active() {
		t.Fatal("two publishers are active")
	}
	go feed(t, standby, 'x', 60*time.Second)
	n := newNode(t, newKey(t), c.boot)
	cred, _ := c.issue(t, token.Watch|token.Relay, "", time.Hour)
	v := c.join(t, n, c.Link(), RoleViewer, cred)
	v.out.waitFor(t, "the stream", has('x', 40_000))
	(&pair{active: c.Publication, standby: standby}).follows(t)
	fault.Cut()
	waitActive(t, standby, 5*time.Second)
	v.out.waitFor(t, "the standby's stream, under both secrets", has('x', len(v.out.bytes())+200_000))
	if n := v.count.unread.Load(); n > 0 {
		t.Errorf("%d objects could not be decrypted", n)
	}
}

// tap keeps all that goes over a host's sockets.
type tap struct {
	net.PacketConn
	mu  *sync.Mutex
	all *bytes.Buffer
}

func (c tap) keep(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all.Write(b)
}

func (c tap) ReadFrom(b []byte) (int, net.Addr, error) {
	n, a, err := c.PacketConn.ReadFrom(b)
	c.keep(b[:max(n, 0)])
	return n, a, err
}

func (c tap) WriteTo(b []byte, a net.Addr) (int, error) {
	c.keep(b)
	return c.PacketConn.WriteTo(b, a)
}

func TestThePacketsAndTheDHTOfAPrivateStreamShowNeitherNameNorKey(t *testing.T) {
	var mu sync.Mutex
	var all bytes.Buffer
	tapped := func(key ed25519.PrivateKey, boot ...*Node) *Node {
		cfg := Config{NoMDNS: true, DHT: p2p.DHTConfig{Mode: p2p.ModeServer},
			Host: p2p.HostConfig{Key: key, Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, AllowLoopback: true,
				ListenPacket: func(network string, a *net.UDPAddr) (net.PacketConn, error) {
					a.IP = net.IPv4(127, 0, 0, 1) // every address of the virtual network is this machine's
					pc, err := net.ListenUDP(network, a)
					return tap{pc, &mu, &all}, err
				}}}
		for _, b := range boot {
			cfg.DHT.Bootstrap = append(cfg.DHT.Bootstrap, b.host.AddrInfo())
		}
		n, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close() })
		return n
	}
	c := &club{key: newKey(t), ledger: token.Ledger{File: filepath.Join(t.TempDir(), "tokens")}}
	c.boot = tapped(newKey(t))
	c.Publication = c.publish(t, tapped(newKey(t), c.boot), false)
	go feed(t, c.Publication, 'x', 30*time.Second)
	cred, _ := c.issue(t, token.Watch|token.Relay, "", time.Hour)
	v := c.join(t, tapped(newKey(t), c.boot), bare(c.Link()), RoleViewer, cred)
	v.out.waitFor(t, "the stream, found through the DHT", has('x', 60_000))

	id := c.ID()
	blind := c.link.Private.BlindID()
	credential, _, err := token.ParseCredential(cred, c.link.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string][]byte{"name": []byte(privateName), "publisher's key": c.link.PublicKey, "link secret": c.link.Private.Secret[:],
		"meeting secret": c.link.Private.Meet[:], "stream id": id[:], "stream id as text": []byte(id.String()), "token": []byte(credential.Token[40:80]),
		"viewer's keys": credential.Keys.Keys[:16], "payload": bytes.Repeat([]byte{'x'}, 16), "content type": []byte("video/mp2t")}
	mu.Lock()
	sent := bytes.Clone(all.Bytes())
	mu.Unlock()
	if len(sent) < 200_000 {
		t.Fatalf("only %d bytes were seen", len(sent))
	}
	// What DHT nodes keep, they see in the clear.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, _, err := c.boot.rdv.Record(ctx, id); !errors.Is(err, p2p.ErrNoRecord) {
		t.Errorf("under the stream's own id the DHT has a record: %v", err)
	}
	stored, err := c.boot.dht.Value(ctx, p2p.BlindRecordKey(blind))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.ParseRecord(stored); err == nil {
		t.Error("the DHT's record is not sealed")
	}
	for what, b := range secrets {
		if bytes.Contains(sent, b) {
			t.Errorf("the packets show the %s", what)
		}
		if bytes.Contains(stored, b) {
			t.Errorf("the DHT's record shows the %s", what)
		}
	}
	providers := 0
	for range c.boot.rdv.FindProviders(ctx, id, 0) {
		providers++
	}
	if providers > 0 {
		t.Errorf("%d providers under the stream's own id", providers)
	}
}
