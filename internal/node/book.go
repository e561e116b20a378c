package node

// This file answers: which libp2p peer is behind a short id, and how do its
// addresses travel? As cards: libp2p's signed peer records, so that nobody can
// speak for another.

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/record"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/stream"
)

const (
	// maxBook bounds the peers that a session remembers; the oldest goes first.
	maxBook = 4096
	// cardTime is for how long addresses from cards are kept.
	cardTime = 30 * time.Minute
)

// ShortID returns the id of a peer inside a stream.
func ShortID(p peer.ID, id stream.ID) overlay.PeerID {
	h := sha256.New()
	h.Write([]byte(p))
	h.Write(id[:])
	return overlay.PeerID(binary.BigEndian.Uint64(h.Sum(nil)))
}

// book knows the peers of one session.
type book struct {
	host *p2p.Host
	id   stream.ID

	mu    sync.Mutex
	peers map[overlay.PeerID]peer.ID
	order []overlay.PeerID
}

func newBook(h *p2p.Host, id stream.ID) *book {
	return &book{host: h, id: id, peers: make(map[overlay.PeerID]peer.ID)}
}

// add remembers a peer and returns its short id.
func (b *book) add(p peer.ID) overlay.PeerID {
	short := ShortID(p, b.id)
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.peers[short]; !ok {
		if len(b.order) == maxBook {
			delete(b.peers, b.order[0])
			b.order = b.order[1:]
		}
		b.order = append(b.order, short)
		b.peers[short] = p
	}
	return short
}

func (b *book) lookup(short overlay.PeerID) (peer.ID, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, ok := b.peers[short]
	return p, ok
}

// candidate remembers where a peer is and describes it to the core.
func (b *book) candidate(ai peer.AddrInfo, src overlay.Source) overlay.Candidate {
	b.host.Peerstore().AddAddrs(ai.ID, ai.Addrs, cardTime)
	return overlay.Candidate{Peer: b.add(ai.ID), Subnet: subnet(ai.Addrs), Source: src}
}

// card returns the signed peer record of a peer, when there is one.
func (b *book) card(short overlay.PeerID) []byte {
	p, ok := b.lookup(short)
	if !ok {
		return nil
	}
	cab, ok := peerstore.GetCertifiedAddrBook(b.host.Peerstore())
	if !ok {
		return nil
	}
	env := cab.GetPeerRecord(p)
	if env == nil {
		return nil
	}
	raw, err := env.Marshal()
	if err != nil || len(raw) > maxCard {
		return nil
	}
	return raw
}

// learn verifies a card and remembers whom it describes.
func (b *book) learn(raw []byte) error {
	if len(raw) > maxCard {
		return fmt.Errorf("card: %d bytes, allowed are up to %d", len(raw), maxCard)
	}
	env, rec, err := record.ConsumeEnvelope(raw, peer.PeerRecordEnvelopeDomain)
	if err != nil {
		return fmt.Errorf("card: %w", err)
	}
	pr, ok := rec.(*peer.PeerRecord)
	if !ok || !pr.PeerID.MatchesPublicKey(env.PublicKey) {
		return fmt.Errorf("card: not signed by the peer that it describes")
	}
	if pr.PeerID == b.host.ID() {
		return nil
	}
	cab, ok := peerstore.GetCertifiedAddrBook(b.host.Peerstore())
	if ok {
		if _, err := cab.ConsumePeerRecord(env, cardTime); err != nil {
			return fmt.Errorf("card: %w", err)
		}
	}
	b.add(pr.PeerID)
	return nil
}

// subnet groups peers by their first public address: /24 of IPv4, /48 of IPv6;
// zero when there is none.
func subnet(addrs []ma.Multiaddr) uint32 {
	for _, a := range addrs {
		if !manet.IsPublicAddr(a) {
			continue
		}
		ip, err := manet.ToIP(a)
		if err != nil {
			continue
		}
		ap, ok := netip.AddrFromSlice(ip)
		if !ok {
			continue
		}
		ap = ap.Unmap()
		bits := 24
		if ap.Is6() {
			bits = 48
		}
		pfx, err := ap.Prefix(bits)
		if err != nil {
			continue
		}
		h := sha256.Sum256([]byte(pfx.String()))
		return binary.BigEndian.Uint32(h[:]) | 1
	}
	return 0
}
