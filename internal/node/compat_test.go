package node

// Peers of the version before take part: what they said was taken down, and is
// said again here.

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"

	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/stream"
)

// recorded reads an exchange: names with the bytes said under them, in order.
func recorded(t *testing.T, file string) map[string][][]byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string][][]byte)
	for line := range strings.Lines(string(text)) {
		if name, data, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			b, err := hex.DecodeString(data)
			if err != nil {
				t.Fatalf("%s: %s: %v", file, name, err)
			}
			all[name] = append(all[name], b)
		}
	}
	return all
}

// plainHost is a libp2p host that knows nothing of this package.
func plainHost(t *testing.T, key ed25519.PrivateKey) host.Host {
	t.Helper()
	k, err := crypto.UnmarshalEd25519PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	h, err := libp2p.New(libp2p.Identity(k), libp2p.ListenAddrStrings("/ip4/127.0.0.1/udp/0/quic-v1"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func TestAPublisherOfTheVersionBeforeIsPlayed(t *testing.T) {
	said := recorded(t, "publisher-1.txt")
	key := ed25519.NewKeyFromSeed(said["seed"][0])
	h := plainHost(t, key)
	link, err := stream.ParseLink(string(said["link"][0]))
	if err != nil {
		t.Fatal(err)
	}
	link.Addrs = nil
	for _, a := range h.Addrs() {
		link.Addrs = append(link.Addrs, a.String()+"/p2p/"+h.ID().String())
	}
	h.SetStreamHandler(ControlProtocol1, func(st network.Stream) {
		r := bufio.NewReader(st)
		if kind, body, err := readFrame(r, 33); err != nil || kind != frameOpen || !bytes.Equal(body, link.ID[:]) {
			t.Errorf("opened with kind %d, %x, %v", kind, body, err)
		}
		// Of what it said, only the record is no longer in force.
		_, body, err := readFrame(bufio.NewReader(bytes.NewReader(said["welcome"][0])), maxFrame)
		if err != nil {
			t.Error(err)
			return
		}
		rec, err := stream.ParseRecord(body[1:])
		if err != nil {
			t.Error(err)
			return
		}
		rec.Issued = time.Now().Unix()
		rec.Expires = rec.Issued + 600
		raw, err := stream.SignRecord(key, rec)
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = st.Write(appendFrame(nil, frameWelcome, append([]byte{welcomeYes}, raw...)))
		accepts, asked := make(map[uint8][]byte), make(map[uint8]bool)
		for _, frame := range said["control"] {
			kind, body, err := readFrame(bufio.NewReader(bytes.NewReader(frame)), maxFrame)
			if err != nil {
				t.Error(err)
			}
			if m, err := overlay.ParseMessage(body); kind == frameMessage && err == nil {
				if a, ok := m.(overlay.Accept); ok {
					accepts[a.Stripe] = frame
					continue
				}
			}
			_, _ = st.Write(frame)
		}
		for {
			kind, body, err := readFrame(r, maxFrame)
			if err != nil {
				return
			}
			if kind == frameRecord {
				t.Error("a peer of the version before got a record")
			}
			m, err := overlay.ParseMessage(body)
			if s, ok := m.(overlay.Subscribe); kind == frameMessage && err == nil && ok {
				asked[s.Stripe] = true
			}
			for i := uint8(0); len(asked) == 4 && i < 4; i++ {
				_, _ = st.Write(accepts[i])
				data, err := h.NewStream(context.Background(), st.Conn().RemotePeer(), DataProtocol)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = data.Write(said["data"+string('0'+rune(i))][0])
			}
			if len(asked) == 4 {
				clear(asked)
			}
		}
	})
	v := view(t, newNode(t, newKey(t)), link)
	input := said["input"][0]
	v.out.waitFor(t, "what the old publisher sent", func(b []byte) bool { return len(b) >= len(input)*3/4 })
	if got := v.out.bytes(); !bytes.HasPrefix(input, got) {
		t.Errorf("%d bytes that are not the first ones of its input", len(got))
	}
}

func TestAViewerOfTheVersionBeforeIsFed(t *testing.T) {
	said := recorded(t, "viewer-1.txt")
	n := newNode(t, newKey(t))
	p, err := n.Publish(context.Background(), PublishConfig{Name: "old", Key: ed25519.NewKeyFromSeed(said["publisher"][0])})
	if err != nil {
		t.Fatal(err)
	}
	go feed(t, p, 1, 10*time.Second)
	h := plainHost(t, ed25519.NewKeyFromSeed(said["seed"][0]))
	objects := make(chan stream.Parsed, 1024)
	h.SetStreamHandler(DataProtocol, func(st network.Stream) {
		var head [dataHeader]byte
		if _, err := io.ReadFull(st, head[:]); err != nil {
			return
		}
		for r := bufio.NewReader(st); ; {
			f, err := readDataFrame(r)
			if err != nil {
				return
			}
			if o, err := stream.ParseObject(f.wire); f.wire != nil && err == nil && int(o.Seq%4) == int(head[32]) {
				objects <- o
			}
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := h.Connect(ctx, n.Host().AddrInfo()); err != nil {
		t.Fatal(err)
	}
	st, err := h.NewStream(ctx, n.Host().ID(), ControlProtocol1)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = st.Write(said["open"][0])
	r := bufio.NewReader(st)
	if kind, body, err := readFrame(r, maxFrame); err != nil || kind != frameWelcome || body[0] != welcomeYes {
		t.Fatalf("kind %d, %v: no welcome", kind, err)
	}
	go func() {
		for _, frame := range said["control"] {
			_, _ = st.Write(frame)
		}
	}()
	go func() { // what it does not know would be a mistake
		for {
			kind, _, err := readFrame(r, maxFrame)
			if err != nil {
				return
			}
			if kind > frameReady {
				t.Errorf("a peer of the version before got a frame of kind %d", kind)
			}
		}
	}()
	var stripes [4]int
	for stripes[0] < 3 || stripes[1] < 3 || stripes[2] < 3 || stripes[3] < 3 {
		select {
		case o := <-objects:
			stripes[o.Seq%4]++
		case <-ctx.Done():
			t.Fatalf("objects of the stripes: %v", stripes)
		}
	}
}
