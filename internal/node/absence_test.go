package node

// What is said to somebody without a token: everything that PROTOCOL.md knows is
// tried, and what comes back is what comes back for a stream that is not there.

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/internal/node/token"
	"github.com/braidway/braidway/stream"
)

// outsider is a host that says whatever it likes and keeps whatever it is told.
type outsider struct {
	*p2p.Host
	mu   sync.Mutex
	told []string // streams that others opened to it
}

func newOutsider(t *testing.T, key ed25519.PrivateKey) *outsider {
	t.Helper()
	h, err := p2p.NewHost(p2p.HostConfig{Key: key, Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, AllowLoopback: true})
	if err != nil {
		t.Fatal(err)
	}
	o := &outsider{Host: h}
	t.Cleanup(func() { _ = h.Close() })
	for _, proto := range []protocol.ID{ControlProtocol, ControlProtocol1, DataProtocol, LeaseProtocol, PrivateProtocol} {
		h.SetStreamHandler(proto, func(st network.Stream) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.told = append(o.told, string(st.Protocol()))
			_ = st.Reset()
		})
	}
	return o
}

func (o *outsider) opened() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.told)
}

// say writes words to at over proto and returns all that comes back until the
// other side ends the stream, or is quiet for wait.
func (o *outsider) say(t *testing.T, at peer.AddrInfo, proto protocol.ID, wait time.Duration, words ...[]byte) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := o.Connect(ctx, at); err != nil {
		t.Fatal(err)
	}
	st, err := o.NewStream(ctx, at.ID, proto)
	if err != nil {
		t.Fatalf("%s: %v", proto, err)
	}
	defer func() { _ = st.Reset() }()
	go func() {
		for _, w := range words {
			if _, err := st.Write(w); err != nil {
				return
			}
		}
	}()
	var got []byte
	b := make([]byte, 64<<10)
	for {
		_ = st.SetReadDeadline(time.Now().Add(wait))
		n, err := st.Read(b)
		got = append(got, b[:n]...)
		if err != nil {
			return got
		}
	}
}

// protocolWords reads from PROTOCOL.md which protocols there are, which messages
// with an example each, and which kinds of frames on a control exchange.
func protocolWords(t *testing.T) (protocols []string, messages map[string][]byte, frames []string) {
	t.Helper()
	b, err := os.ReadFile("../../PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	messages = make(map[string][]byte)
	for _, m := range regexp.MustCompile("`(/braidway/[a-z]+/[0-9.]+)`").FindAllStringSubmatch(string(b), -1) {
		if !slices.Contains(protocols, m[1]) {
			protocols = append(protocols, m[1])
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^([A-Z][A-Za-z]+) = ([0-9a-f ]+)$`).FindAllStringSubmatch(string(b), -1) {
		if messages[m[1]], err = hex.DecodeString(strings.ReplaceAll(m[2], " ", "")); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range strings.Split(string(b), "\n| kind | name | body |\n")[1:] {
		for line := range strings.Lines(table) {
			cells := strings.Split(line, "|")
			if len(cells) < 4 {
				break
			}
			if name := strings.TrimSpace(cells[2]); name != "---" && !slices.Contains(frames, name) {
				frames = append(frames, name)
			}
		}
	}
	return protocols, messages, frames
}

func TestWithoutATokenNoMessageOfTheProtocolGetsAByteOfAPrivateStream(t *testing.T) {
	protocols, messages, frames := protocolWords(t)
	slices.Sort(protocols)
	walked := []string{string(ControlProtocol1), string(ControlProtocol), string(DataProtocol), "/braidway/kad/1.0.0", string(LeaseProtocol), string(PrivateProtocol)}
	if slices.Sort(walked); !slices.Equal(protocols, walked) {
		t.Fatalf("PROTOCOL.md has the protocols %v, this test walks %v", protocols, walked)
	}
	c := newClub(t)
	go feed(t, c.Publication, 'x', 120*time.Second)
	vn := newNode(t, newKey(t), c.boot)
	cred, _ := c.issue(t, token.Watch|token.Relay, vn.host.ID(), time.Hour)
	v := c.join(t, vn, c.Link(), RoleViewer, cred)
	v.out.waitFor(t, "the stream", has('x', 40_000))

	id, blind := c.ID(), c.link.Private.BlindID()
	record := c.Session().rawRecord()
	_, list := c.Session().private.lists()
	var object []byte
	v.Do(func() {
		_, high, _ := v.window.Range()
		o, _ := v.window.Get(c.Epoch(), high)
		object = bytes.Clone(o.Wire)
	})
	bodies := map[string][]byte{"card": v.book.card(v.self), "ready": nil, "record": record, "access": list, "open": id[:], "welcome": append([]byte{0}, record...)}
	var after [][]byte // what is said behind an open, whatever the answer to it is
	for _, name := range frames {
		kinds := map[string]byte{"card": frameCard, "ready": frameReady, "record": frameRecord, "access": frameAccess, "open": frameOpen, "welcome": frameWelcome}
		body, known := bodies[name]
		switch {
		case name == "message":
		case !known:
			t.Errorf("PROTOCOL.md has a frame %q that this test does not say", name)
		default:
			after = append(after, appendFrame(nil, kinds[name], body))
		}
	}
	if len(messages) < 13 {
		t.Fatalf("only %d messages in PROTOCOL.md", len(messages))
	}
	for _, name := range slices.Sorted(maps.Keys(messages)) {
		after = append(after, appendFrame(nil, frameMessage, messages[name]))
	}

	me := newKey(t)
	self, err := p2p.PeerID(pubOf(me))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	sign := func(key ed25519.PrivateKey, change func(*token.Token)) string {
		tok := token.Token{Stream: id, Number: 500, Peer: self, Rights: token.Watch | token.Relay, Issued: now.Add(-time.Hour), Expires: now.Add(time.Hour)}
		if change != nil {
			change(&tok)
		}
		text, err := token.Sign(key, tok)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	_, gone := c.issue(t, token.Watch, self, time.Hour)
	if err := c.ledger.Revoke(id, []uint16{gone}, now); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the revocation is known", 10*time.Second, func() bool {
		l, _ := v.private.lists()
		return l.HasRevoked(gone)
	})
	stranger := *c.link.Private // who knows the blinded id, but no link
	stranger.Meet = [32]byte{1}
	outside := func(secrets *stream.Private, text string, at peer.ID) []byte {
		return append(blind[:], secrets.Seal(id, []byte(text), sealContext(contextOpen, self, at, nil))...)
	}
	overheard := func(at peer.ID) []byte { // the open of another, said again
		b, _ := v.private.open(at)
		return b
	}
	link := c.link.Private
	words := map[string]func(at peer.ID) []byte{
		"the stream's id": func(peer.ID) []byte { return id[:] },
		"the blinded id":  func(peer.ID) []byte { return blind[:] },
		"no token":        func(at peer.ID) []byte { return outside(link, "", at) },
		"noise":           func(peer.ID) []byte { return append(blind[:], bytes.Repeat([]byte{9}, 300)...) },
		"an expired token": func(at peer.ID) []byte {
			return outside(link, sign(c.key, func(x *token.Token) { x.Expires = now.Add(-2 * token.Skew) }), at)
		},
		"a revoked token": func(at peer.ID) []byte {
			return outside(link, sign(c.key, func(x *token.Token) { x.Number = gone }), at)
		},
		"another's token": func(at peer.ID) []byte {
			return outside(link, sign(c.key, func(x *token.Token) { x.Peer = vn.host.ID() }), at)
		},
		"another stream's token": func(at peer.ID) []byte {
			return outside(link, sign(c.key, func(x *token.Token) { x.Stream = stream.ID{3} }), at)
		},
		"a token by another key":    func(at peer.ID) []byte { return outside(link, sign(newKey(t), nil), at) },
		"a good token without link": func(at peer.ID) []byte { return outside(&stranger, sign(c.key, nil), at) },
		"what another said":         overheard,
	}
	plausible := func(proto protocol.ID, word []byte) [][]byte {
		return append([][]byte{appendFrame(nil, frameOpen, word)}, after...)
	}
	unknown := bytes.Repeat([]byte{0x55}, 32)
	for name, target := range map[string]*Node{"publisher": c.node, "viewer": vn} {
		at := target.host.AddrInfo()
		o := newOutsider(t, me)
		for _, proto := range []protocol.ID{ControlProtocol, ControlProtocol1, PrivateProtocol} {
			wanted := make(map[int][]byte) // by length: a frame that cannot be an open is not answered
			for what, word := range words {
				w := word(at.ID)
				if _, ok := wanted[len(w)]; !ok {
					wanted[len(w)] = o.say(t, at, proto, 3*time.Second, plausible(proto, append(bytes.Clone(unknown), w[32:]...))...)
				}
				got := o.say(t, at, proto, 3*time.Second, plausible(proto, w)...)
				if want := wanted[len(w)]; !bytes.Equal(got, want) || len(got) > 3 {
					t.Errorf("%s, %s, %s: %d bytes %.20x, for an unknown stream %x", name, proto, what, len(got), got, want)
				}
			}
		}
		for _, head := range [][]byte{id[:], blind[:]} {
			for _, stripe := range []byte{0, 1, 2, 3, 0xff} {
				if got := o.say(t, at, DataProtocol, time.Second, append(bytes.Clone(head), stripe), appendObjectFrame(nil, object), appendBeaconFrame(nil, c.Epoch(), 1)); len(got) > 0 {
					t.Errorf("%s, data stream of stripe %d: %d bytes", name, stripe, len(got))
				}
			}
			forged := ed25519.Sign(newKey(t), proof(stream.ID(head), self, at.ID))
			for flags, sig := range map[byte][]byte{0: nil, askToStandBy: forged, askProven: forged} {
				got := o.say(t, at, LeaseProtocol, 3*time.Second, appendFrame(nil, frameAsk, append(append([]byte{flags}, head...), sig...)))
				want := leaseWord{state: leaseFree}.append(nil)
				if !bytes.Equal(got, want) {
					t.Errorf("%s, lease with flags %d: %x, want %x", name, flags, got, want)
				}
			}
		}
		if told := o.opened(); len(told) > 0 {
			t.Errorf("%s has opened %v to somebody without a token", name, told)
		}
		if err := o.Close(); err != nil {
			t.Log(err)
		}
	}
	// The same words with a token that is in force: else the test would prove nothing.
	o := newOutsider(t, me)
	at := c.node.host.AddrInfo()
	subscribe := messages["Subscribe"]
	got := o.say(t, at, PrivateProtocol, time.Second, appendFrame(nil, frameOpen, outside(link, sign(c.key, nil), at.ID)), appendFrame(nil, frameReady, nil), appendFrame(nil, frameMessage, subscribe))
	kind, body, err := readFrame(bufio.NewReader(bytes.NewReader(got)), maxPrivateFrame)
	if err != nil || kind != frameWelcome || body[0] != welcomeYes || len(got) < len(record) {
		t.Errorf("with a token: %d bytes, kind %d, %v", len(got), kind, err)
	}
	v.out.waitFor(t, "meanwhile the viewer plays on", has('x', len(v.out.bytes())+40_000))
}

func TestAWatcherWithoutTheRightToRelayFeedsNobody(t *testing.T) {
	c := newClub(t)
	go feed(t, c.Publication, 'x', 60*time.Second)
	n := newNode(t, newKey(t), c.boot)
	cred, _ := c.issue(t, token.Watch, "", time.Hour)
	v := c.join(t, n, c.Link(), RoleViewer, cred)
	v.out.waitFor(t, "it plays", has('x', 40_000))
	if s, ok := v.Snapshot(); !ok || s.Slots != 0 {
		t.Errorf("it offers %d slots", s.Slots)
	}
	// And where it says otherwise, nobody believes it.
	l := c.Session().linkTo(v.self)
	if l == nil || mayServe(l.token.Rights) {
		t.Fatalf("the publisher takes it for %+v", l)
	}
	st, err := n.host.NewStream(context.Background(), c.node.host.ID(), DataProtocol)
	if err != nil {
		t.Fatal(err)
	}
	id := c.ID()
	_, _ = st.Write(append(id[:], repairStripe))
	_ = st.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := st.Read(make([]byte, 1)); err == nil || err == io.EOF { //nolint:errorlint // as it is returned
		t.Errorf("its data stream is taken: %v", err)
	}
}

func TestWhoJoinsWithTheWrongCredentialIsToldAtOnce(t *testing.T) {
	c := newClub(t)
	n := newNode(t, newKey(t))
	watch, _ := c.issue(t, token.Watch, "", time.Hour)
	relay, _ := c.issue(t, token.Relay, "", time.Hour)
	bound, _ := c.issue(t, token.Watch, c.node.host.ID(), time.Hour)
	late, _ := c.issue(t, token.Watch, "", -time.Hour)
	whole := c.Link()
	forRelays := whole.Private.ForRelays()
	part := whole
	part.Private = &forRelays
	for name, x := range map[string]struct {
		link stream.Link
		role Role
		cred string
		want string
	}{
		"no token":                    {whole, RoleViewer, "", "private"},
		"to relay, with one to watch": {whole, RoleRelay, watch, "needs relay"},
		"to play, with one to relay":  {whole, RoleViewer, relay, "needs watch"},
		"a relay's link":              {part, RoleViewer, watch, "#k="},
		"bound to another":            {whole, RoleViewer, bound, "bound to peer"},
		"expired":                     {whole, RoleViewer, late, "expired"},
		"cut short":                   {whole, RoleViewer, watch[:len(watch)-5], "cut short"},
	} {
		s, err := n.Join(x.link, SessionConfig{Role: x.role, Token: x.cred})
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want …%s…", name, err, x.want)
		}
		if s != nil {
			s.Close()
		}
	}
	if _, err := n.Publish(context.Background(), PublishConfig{Name: "x", Private: &PrivateConfig{Rotate: time.Second}}); err == nil {
		t.Error("a rotation every second is allowed")
	}
}
