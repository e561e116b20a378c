package node

// This file answers: how do two peers open an exchange about one stream, and who
// is turned away?

import (
	"bufio"
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/internal/node/token"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/stream"
)

// dial opens an exchange with p. The record is the stream record that p has, as bytes.
func (s *Session) dial(ctx context.Context, p peer.ID) (l *link, raw []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	ctx = network.WithAllowLimitedConn(ctx, "control exchange")
	if s.private != nil {
		return s.dialAs(ctx, p, PrivateProtocol)
	}
	l, raw, err = s.dialAs(ctx, p, ControlProtocol)
	if p2p.NotSpoken(err) {
		l, raw, err = s.dialAs(ctx, p, ControlProtocol1)
	}
	return l, raw, err
}

func (s *Session) dialAs(ctx context.Context, p peer.ID, proto protocol.ID) (l *link, raw []byte, err error) {
	st, err := s.node.host.Open(ctx, p, proto)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = st.Reset() })
	defer func() {
		stop()
		if err != nil {
			_ = st.Reset()
			if ctx.Err() != nil {
				err = fmt.Errorf("no answer within %v: %w", dialTimeout, err)
				// Perhaps libp2p keeps a dead connection: the next dial needs a new one.
				_ = s.node.host.Network().ClosePeer(p)
			}
		}
	}()
	asked := time.Now()
	word, nonce := s.id[:], []byte(nil)
	if s.private != nil {
		word, nonce = s.private.open(p)
	}
	if _, err = st.Write(appendFrame(nil, frameOpen, word)); err != nil {
		return nil, nil, err
	}
	r := bufio.NewReaderSize(st, 4<<10)
	kind, body, err := readFrame(r, s.maxFrame())
	if err != nil {
		return nil, nil, err
	}
	rtt := time.Since(asked)
	if kind != frameWelcome || len(body) < 1 {
		return nil, nil, fmt.Errorf("%w: kind %d instead of a welcome", errFrame, kind)
	}
	switch body[0] {
	case welcomeYes:
	case welcomeNotYet:
		s.emit(TraceEvent{Event: eventRefused, Peer: p.String(), Code: overlay.CodeNotYet.String()})
		return nil, nil, errNotYet
	case welcomeClash:
		return nil, nil, errClash
	default:
		return nil, nil, errNoStream
	}
	raw = body[1:]
	var shown token.Token
	if s.private != nil {
		if shown, raw, err = s.private.welcomed(raw, p, nonce); err != nil {
			return nil, nil, fmt.Errorf("%w: the answer: %w", errNoStream, err)
		}
	}
	if _, err = st.Write(appendFrame(nil, frameReady, nil)); err != nil {
		return nil, nil, err
	}
	l = newLink(s.book.add(p), p, st, r, true, rtt)
	l.old, l.token = proto == ControlProtocol1, shown
	return l, raw, nil
}

// maxFrame is the most bytes of a frame of the session's control exchanges.
func (s *Session) maxFrame() int {
	if s.private != nil {
		return maxPrivateFrame
	}
	return maxFrame
}

// handleControl answers an exchange that another peer opens.
func (n *Node) handleControl(st network.Stream) {
	_ = st.SetDeadline(time.Now().Add(dialTimeout))
	r := bufio.NewReaderSize(st, 4<<10)
	kind, body, err := readFrame(r, 1+len(stream.ID{}))
	if err != nil || kind != frameOpen || len(body) != len(stream.ID{}) {
		_ = st.Reset()
		return
	}
	s := n.openSession(stream.ID(body))
	if s == nil {
		n.turnAway(st, welcomeNo)
		return
	}
	s.answer(st, r, token.Token{}, nil)
}

// handlePrivate answers one about a private stream: who shows no token that is in
// force hears what it hears of a stream that is not known.
func (n *Node) handlePrivate(st network.Stream) {
	_ = st.SetDeadline(time.Now().Add(dialTimeout))
	r := bufio.NewReaderSize(st, 4<<10)
	kind, body, err := readFrame(r, 1+maxOpen)
	if err != nil || kind != frameOpen || len(body) < len(stream.ID{})+nonceSize {
		_ = st.Reset()
		return
	}
	s := n.blindSession(stream.ID(body[:len(stream.ID{})]))
	if s == nil {
		n.turnAway(st, welcomeNo)
		return
	}
	shown, nonce, err := s.private.opened(body, st.Conn().RemotePeer())
	if err != nil {
		s.log.Debug("not let in", "peer", st.Conn().RemotePeer(), "err", err)
		n.turnAway(st, welcomeNo)
		return
	}
	s.answer(st, r, shown, nonce)
}

// turnAway ends an exchange before it has begun.
func (n *Node) turnAway(st network.Stream, status byte) {
	_, _ = st.Write(appendFrame(nil, frameWelcome, []byte{status}))
	_ = st.Close()
}

// answer goes on with an exchange that another peer opens. Of a private stream,
// shown is the token in its open, and nonce the open's.
func (s *Session) answer(st network.Stream, r *bufio.Reader, shown token.Token, nonce []byte) {
	fail := func(status byte) { s.node.turnAway(st, status) }
	p := st.Conn().RemotePeer()
	switch {
	case s.node.banned(p):
		fail(welcomeNo)
		return
	case !s.running():
		s.emit(TraceEvent{Event: overlay.TraceRefuse.String(), Peer: p.String(), Code: overlay.CodeNotYet.String()})
		fail(welcomeNotYet)
		return
	case s.clash(p):
		fail(welcomeClash)
		return
	}
	asked := time.Now()
	record := s.rawRecord()
	if s.private != nil {
		record = s.private.welcome(p, nonce, record)
	}
	if _, err := st.Write(appendFrame(nil, frameWelcome, append([]byte{welcomeYes}, record...))); err != nil {
		_ = st.Reset()
		return
	}
	// QUIC knows the round trip: the exchange begins with the welcome. Else it
	// begins when the answer to that is here.
	rtt, known := p2p.RTT(st.Conn())
	if !known {
		if kind, _, err := readFrame(r, 64); err != nil || kind != frameReady {
			_ = st.Reset()
			return
		}
		rtt = time.Since(asked)
	}
	_ = st.SetDeadline(time.Time{})
	l := newLink(s.book.add(p), p, st, r, false, rtt)
	l.ready, l.old, l.token = !known, st.Protocol() == ControlProtocol1, shown
	s.attach(l)
}

// clash reports whether this side has just opened an exchange with p that counts.
func (s *Session) clash(p peer.ID) bool {
	if s.node.host.ID() > p {
		return false // what the smaller id opens stays
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.links[ShortID(p, s.id)]
	at, dialing := s.dialing[p]
	return l != nil && l.mine && time.Since(l.since) < clashTime || dialing && time.Since(at) < clashTime
}
