package p2p

// This file answers: how does the first word reach a peer soonest?
//
// libp2p's own Connect and NewStream wait for identify, a round trip, before
// they say anything. Nothing here depends on what identify brings, so the
// protocol and the first bytes leave with the end of the handshake: two round
// trips to the first answer instead of three.

import (
	"context"
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"
	"github.com/quic-go/quic-go"
)

// Dial connects with a peer; with one that is connected it does nothing.
// Whoever calls decides when it is time to try again: libp2p's own rest after a
// failure, of seconds to minutes, does not count.
func (h *Host) Dial(ctx context.Context, ai peer.AddrInfo) error {
	h.clearBackoff(ai.ID)
	h.Peerstore().AddAddrs(ai.ID, ai.Addrs, peerstore.TempAddrTTL)
	_, err := h.Network().DialPeer(ctx, ai.ID)
	return err
}

// Open opens a stream of a protocol, and connects with the peer where that is
// needed. That the peer does not speak the protocol shows at the first Read.
func (h *Host) Open(ctx context.Context, p peer.ID, proto protocol.ID) (network.Stream, error) {
	if noDial, _ := network.GetNoDial(ctx); !noDial {
		if err := h.Dial(ctx, peer.AddrInfo{ID: p}); err != nil {
			return nil, err
		}
	}
	st, err := h.Network().NewStream(network.WithNoDial(ctx, "dialled"), p)
	if err != nil {
		return nil, err
	}
	if err := st.SetProtocol(proto); err != nil {
		_ = st.Reset()
		return nil, err
	}
	return &lazyStream{st, multistream.NewMSSelect(st, proto)}, nil
}

// NotSpoken says whether err, of a stream's Read or Write, is that the peer does
// not speak the protocol. Its word is often overtaken by the reset that follows.
func NotSpoken(err error) bool {
	var not multistream.ErrNotSupported[protocol.ID]
	var reset *network.StreamError
	return errors.As(err, &not) || errors.As(err, &reset) && reset.ErrorCode == network.StreamProtocolNegotiationFailed
}

// lazyStream negotiates with its first bytes.
type lazyStream struct {
	network.Stream
	rw multistream.LazyConn
}

// Read implements network.Stream.
func (s *lazyStream) Read(b []byte) (int, error) { return s.rw.Read(b) }

// Write implements network.Stream.
func (s *lazyStream) Write(b []byte) (int, error) { return s.rw.Write(b) }

// closeTime bounds the wait for the end of the negotiation when a stream is closed.
const closeTime = 5 * time.Second

// Close implements network.Stream.
func (s *lazyStream) Close() error {
	_ = s.SetReadDeadline(time.Now().Add(closeTime))
	return s.rw.Close()
}

// CloseWrite implements network.Stream.
func (s *lazyStream) CloseWrite() error {
	_ = s.rw.Flush() // Read says what is wrong
	return s.Stream.CloseWrite()
}

// RTT returns the round trip of a connection as QUIC measures it; false: it is
// not known, as on circuits and TCP.
func RTT(c network.Conn) (time.Duration, bool) {
	rtt := stats(c).SmoothedRTT
	return rtt, rtt > 0
}

// stats are what QUIC measures of a connection; zero where it is none of QUIC's.
func stats(c network.Conn) quic.ConnectionStats {
	var q *quic.Conn
	if !c.As(&q) || q == nil {
		return quic.ConnectionStats{}
	}
	return q.ConnectionStats()
}

// Queueing returns by how much a connection's round trip is longer than its
// least, as QUIC measures it: what waits in the line. 0: it is not known.
func Queueing(c network.Conn) time.Duration {
	s := stats(c)
	return max(0, s.SmoothedRTT-s.MinRTT)
}
