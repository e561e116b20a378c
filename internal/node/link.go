package node

// This file answers: what runs on an exchange between two peers about one stream?

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/braidway/braidway/internal/node/token"
	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/stream"
)

const (
	// dialTimeout bounds a dial with its handshake.
	dialTimeout = 5 * time.Second
	// controlQueue bounds the control frames that wait for one neighbour.
	controlQueue = 512 << 10
	// clashTime is for how long an exchange of ours counts as just opened.
	clashTime = 2 * time.Second
	// cardsPerMinute bounds the cards that one neighbour may bring.
	cardsPerMinute = 600
	// recordsPerMinute bounds the stream records: a publisher's term is longer.
	recordsPerMinute = 60
	// acceptWait is how long a data stream waits for the Accept it belongs to.
	acceptWait = 5 * time.Second
)

// Errors of an exchange that was not opened.
var (
	errNoStream = errors.New("the peer does not have this stream")
	errNotYet   = errors.New("the peer waits for this stream itself")
	errClash    = errors.New("both peers opened an exchange; the other one is used")
)

// link is the exchange with one neighbour.
type link struct {
	id    overlay.PeerID
	peer  peer.ID
	mine  bool // this side opened it
	ready bool // the opener's ready was read; readControl's
	old   bool // it speaks the older version of the control protocol
	since time.Time
	rtt   time.Duration
	token token.Token // that the neighbour has shown, of a private stream
	ctl   network.Stream
	r     *bufio.Reader
	out   *sender

	// Owned by the session's loop.
	data  [stream.MaxStripes]*sender
	fix   *sender // answers to pulls
	cards map[overlay.PeerID]struct{}

	mu       sync.Mutex
	accepted [stream.MaxStripes]chan struct{} // closed once an Accept was handed to the core
	in       map[uint8]network.Stream
	closed   bool
}

func newLink(id overlay.PeerID, p peer.ID, ctl network.Stream, r *bufio.Reader, mine bool, rtt time.Duration) *link {
	l := &link{id: id, peer: p, mine: mine, since: time.Now(), rtt: rtt, ctl: ctl, r: r,
		out: newSender(controlQueue, 0), cards: make(map[overlay.PeerID]struct{}), in: make(map[uint8]network.Stream)}
	for i := range l.accepted {
		l.accepted[i] = make(chan struct{})
	}
	return l
}

// subnet is that of the neighbour's address; 0 over a circuit, whose address is
// its relay's.
func (l *link) subnet() uint32 {
	a := l.ctl.Conn().RemoteMultiaddr()
	if _, err := a.ValueForProtocol(ma.P_CIRCUIT); err == nil {
		return 0
	}
	return subnet([]ma.Multiaddr{a})
}

// sawAccept lets the data stream of a stripe be read.
func (l *link) sawAccept(stripe uint8) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if int(stripe) >= len(l.accepted) {
		return
	}
	select {
	case <-l.accepted[stripe]:
	default:
		close(l.accepted[stripe])
	}
}

// incoming registers a data stream; a newer one of the same stripe replaces it.
func (l *link) incoming(stripe uint8, st network.Stream) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	if old := l.in[stripe]; old != nil {
		_ = old.Reset()
	}
	l.in[stripe] = st
	return true
}

func (l *link) outgone(stripe uint8, st network.Stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.in[stripe] == st {
		delete(l.in, stripe)
	}
}

// closeData ends the data streams in both directions at once.
func (l *link) closeData() {
	l.mu.Lock()
	l.closed = true
	for _, st := range l.in {
		_ = st.Reset()
	}
	l.mu.Unlock()
	for _, q := range append(l.data[:], l.fix) {
		if q != nil {
			q.reset()
		}
	}
}

// close ends everything that runs with the neighbour; gently lets what is queued go out.
func (l *link) close(gently bool) {
	l.mu.Lock()
	l.closed = true
	for _, st := range l.in {
		_ = st.Reset()
	}
	l.mu.Unlock()
	for _, q := range append(l.data[:], l.fix, l.out) {
		switch {
		case q == nil:
		case gently:
			q.close()
		default:
			q.reset()
		}
	}
	if !gently {
		_ = l.ctl.Reset()
	}
}

// attach makes l the exchange with its peer, instead of an older one.
func (s *Session) attach(l *link) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		l.close(false)
		return
	}
	old := s.links[l.id]
	s.links[l.id] = l
	s.wg.Add(2)
	s.mu.Unlock()
	if old != nil {
		old.close(false)
	}
	s.node.host.Protect(l.peer, "braidway")
	if s.private != nil {
		if _, raw := s.private.lists(); raw != nil {
			l.out.push(queued{frame: appendFrame(nil, frameAccess, raw)}, false)
		}
	}
	// Its own card first, so that the neighbour can name this peer to others at
	// once: identify brings it too, but later.
	if raw := s.book.card(s.self); raw != nil {
		l.out.push(queued{frame: appendFrame(nil, frameCard, raw)}, false)
	}
	go func() {
		defer s.wg.Done()
		l.out.run(s.ctx, func(context.Context) (network.Stream, error) { return l.ctl, nil }, nil, s.count.sentControl)
	}()
	s.post(item{ev: overlay.Event{Kind: overlay.EvConnected, Peer: l.id, RTT: l.rtt, Subnet: l.subnet()}, link: l})
	go func() {
		defer s.wg.Done()
		err := s.readControl(l)
		if !errors.Is(err, io.EOF) {
			s.log.Debug("exchange ended", "peer", l.peer, "err", err)
		}
		if errors.Is(err, errFrame) || errors.Is(err, overlay.ErrMessage) {
			s.count.malformed.Add(1)
			s.post(item{ev: overlay.Event{Kind: overlay.EvBad, Peer: l.id}, link: l})
		}
		s.post(item{ev: overlay.Event{Kind: overlay.EvDisconnected, Peer: l.id}, link: l})
	}()
}

// readControl hands the neighbour's messages to the loop until the exchange ends.
func (s *Session) readControl(l *link) error {
	cards, records, since := 0, 0, time.Now()
	for {
		kind, body, err := readFrame(l.r, s.maxFrame())
		if err != nil {
			return err
		}
		s.count.control.Add(int64(len(body)) + 2)
		if time.Since(since) > time.Minute {
			cards, records, since = 0, 0, time.Now()
		}
		switch kind {
		case frameMessage:
			m, err := overlay.ParseMessage(body)
			if err != nil {
				return err
			}
			if s.private != nil {
				m = judged(m, l.token.Rights)
			}
			s.heard(l, m)
			s.post(item{ev: overlay.Event{Kind: overlay.EvMessage, Peer: l.id, Msg: m}, link: l})
			if a, ok := m.(overlay.Accept); ok {
				l.sawAccept(a.Stripe)
			}
		case frameCard:
			if cards++; cards > cardsPerMinute {
				continue
			}
			if err := s.book.learn(body); err != nil {
				return fmt.Errorf("%w: %w", errFrame, err)
			}
		case frameReady: // the opener's answer to a welcome that was not waited for
			if l.mine || l.ready || len(body) > 0 {
				return fmt.Errorf("%w: ready, when it was over", errFrame)
			}
			l.ready = true
		case frameRecord:
			if l.old {
				return fmt.Errorf("%w: a record, in the older version", errFrame)
			}
			if records++; records > recordsPerMinute {
				continue
			}
			if _, err := stream.ParseRecord(body); err != nil {
				return fmt.Errorf("%w: %w", errFrame, err)
			}
			if err := s.learnRecord(body); err != nil { // of another time, or another stream
				s.log.Debug("record passed over", "peer", l.peer, "err", err)
			}
		case frameAccess:
			if s.private == nil {
				return fmt.Errorf("%w: an access list, of a stream that is not private", errFrame)
			}
			if records++; records > recordsPerMinute {
				continue
			}
			if err := s.learnAccess(body); err != nil {
				return fmt.Errorf("%w: %w", errFrame, err)
			}
		default:
			return fmt.Errorf("%w: unknown kind %d", errFrame, kind)
		}
	}
}

// handleData takes a data stream that a parent opens.
func (n *Node) handleData(st network.Stream) {
	_ = st.SetReadDeadline(time.Now().Add(dialTimeout))
	r := bufio.NewReaderSize(st, 64<<10)
	var head [dataHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		_ = st.Reset()
		return
	}
	_ = st.SetReadDeadline(time.Time{})
	s := n.session(stream.ID(head[:32]))
	stripe := head[32]
	if s == nil || !s.running() || int(stripe) >= s.stripes && stripe != repairStripe {
		_ = st.Reset()
		return
	}
	s.mu.Lock()
	l := s.links[ShortID(st.Conn().RemotePeer(), s.id)]
	if l == nil || s.closed || s.private != nil && !mayServe(l.token.Rights) || !l.incoming(stripe, st) {
		s.mu.Unlock()
		_ = st.Reset()
		return
	}
	s.wg.Add(1)
	s.mu.Unlock()
	defer s.wg.Done()
	defer l.outgone(stripe, st)
	if stripe != repairStripe {
		select {
		case <-l.accepted[stripe]:
		case <-time.After(acceptWait):
			_ = st.Reset()
			return
		case <-s.ctx.Done():
			_ = st.Reset()
			return
		}
	}
	err := s.readData(l, stripe, r)
	switch {
	case errors.Is(err, io.EOF):
		_ = st.Close()
	case errors.Is(err, errFrame):
		_ = st.Reset()
		s.count.rejected.Add(1)
		s.log.Warn("peer sent what does not verify", "peer", l.peer, "err", err)
		s.post(item{ev: overlay.Event{Kind: overlay.EvBad, Peer: l.id}, link: l})
	default:
		_ = st.Reset()
	}
}

// readData verifies the objects of a data stream and hands them to the loop.
// An error that wraps errFrame is the sender's fault.
func (s *Session) readData(l *link, stripe uint8, r *bufio.Reader) error {
	repair := stripe == repairStripe
	for {
		f, err := readDataFrame(r)
		if err != nil {
			return err
		}
		if f.wire == nil {
			s.count.control.Add(12)
			if repair {
				return fmt.Errorf("%w: beacon among repairs", errFrame)
			}
			s.post(item{ev: overlay.Event{Kind: overlay.EvBeacon, Peer: l.id, Stripe: stripe, Epoch: f.epoch, Seq: f.seq}, link: l})
			continue
		}
		p, err := stream.ParseObject(f.wire)
		if err == nil {
			err = s.verifier.Verify(&p)
		}
		if err == nil && p.Flags == stream.FlagParity {
			err = errors.New("parity in a stream without")
		}
		if err == nil && p.Encrypted != (s.private != nil) {
			err = fmt.Errorf("object %d: encrypted is %v, private is %v", p.Seq, p.Encrypted, s.private != nil)
		}
		own := int(p.Seq % uint64(s.stripes))
		if err == nil && !repair && own != int(stripe) {
			err = fmt.Errorf("object %d in stripe %d", p.Seq, stripe)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errFrame, err)
		}
		s.count.objects.Add(int64(len(p.Wire)))
		s.post(item{link: l, obj: &p, ev: overlay.Event{Kind: overlay.EvObject, Peer: l.id, Stripe: uint8(own), Repair: repair, Flags: p.Flags,
			Size: int32(len(p.Wire)), Epoch: p.Epoch, Seq: p.Seq, Group: p.Group, GroupFirst: p.GroupFirst}})
	}
}
