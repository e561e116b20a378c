package node

// This file answers: what do two peers say to each other about a stream's lease?
// PROTOCOL.md, "Lease", is the same in words.

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/stream"
)

const (
	// askTimeout bounds the wait for the answer to a question about the lease.
	askTimeout = time.Second

	askSize      = 1 + len(stream.ID{})
	proofTag     = "braidway standby v1\x00"
	askToStandBy = 1 // flag of frameAsk: a proof follows, and renewals are wanted
	askProven    = 2 // flag of frameAsk: a proof follows, and one answer is wanted
)

// question is what is asked about a lease.
type question struct {
	topic   p2p.Topic
	key     ed25519.PrivateKey // the stream's; nil: nothing is proven
	standBy bool
}

// newQuestion asks with the proof that key gives where it is needed: to stand by,
// and for a private stream, of which others hear nothing.
func newQuestion(t p2p.Topic, key ed25519.PrivateKey, standBy bool) question {
	if !standBy && t.Private == nil {
		key = nil
	}
	return question{t, key, standBy}
}

// id is the stream's as it is asked for.
func (q *question) id() stream.ID {
	if q.topic.Private != nil {
		return q.topic.Private.BlindID()
	}
	return q.topic.ID
}

// States of a lease, as frameLease says.
const (
	leaseLocked   byte = iota + 1 // this peer publishes
	leaseReleased                 // it did; the standby is to go on
	leaseFree                     // it does not
)

// leaseWord is what a peer says about a stream's lease.
type leaseWord struct {
	state byte
	epoch uint64
	wait  time.Duration
	raw   []byte // stream record; empty: none
}

func (w leaseWord) append(b []byte) []byte {
	body := binary.AppendUvarint([]byte{w.state}, w.epoch)
	body = binary.AppendUvarint(body, uint64(w.wait.Milliseconds()))
	return appendFrame(b, frameLease, append(body, w.raw...))
}

func readLeaseWord(r *bufio.Reader) (w leaseWord, err error) {
	kind, body, err := readFrame(r, 1+1+2*binary.MaxVarintLen64+stream.MaxRecord)
	if err != nil {
		return w, err
	}
	if kind != frameLease || len(body) < 3 || body[0] < leaseLocked || body[0] > leaseFree {
		return w, fmt.Errorf("%w: no word about a lease", errFrame)
	}
	w.state = body[0]
	epoch, rest, ok1 := takeNumber(body[1:], stream.MaxEpoch)
	wait, rest, ok2 := takeNumber(rest, uint64(time.Hour.Milliseconds()))
	if !ok1 || !ok2 {
		return w, fmt.Errorf("%w: no word about a lease", errFrame)
	}
	w.epoch, w.wait, w.raw = epoch, time.Duration(wait)*time.Millisecond, rest
	return w, nil
}

// takeNumber takes a varint in its shortest form, of at most limit, from b.
func takeNumber(b []byte, limit uint64) (v uint64, rest []byte, ok bool) {
	v, n := binary.Uvarint(b)
	if n <= 0 || v > limit || n > 1 && b[n-1] == 0 {
		return 0, nil, false
	}
	return v, b[n:], true
}

// leaseAsk is a question about a stream's lease.
type leaseAsk struct {
	id      stream.ID
	standBy bool   // renewals are wanted; with a proof only
	proof   []byte // by the stream's key; empty: none
}

// append appends the body of the frame.
func (a leaseAsk) append(b []byte) []byte {
	var flags byte
	switch {
	case len(a.proof) == 0:
	case a.standBy:
		flags = askToStandBy
	default:
		flags = askProven
	}
	return append(append(append(b, flags), a.id[:]...), a.proof...)
}

func parseAsk(body []byte) (a leaseAsk, err error) {
	size := askSize
	if len(body) > 0 && body[0] != 0 {
		size += ed25519.SignatureSize
	}
	if len(body) != size || body[0] > askProven {
		return a, fmt.Errorf("%w: no question about a lease", errFrame)
	}
	return leaseAsk{stream.ID(body[1:askSize]), body[0] == askToStandBy, body[askSize:]}, nil
}

// proof is what a standby signs with the stream's key: it is asker's, for holder.
func proof(id stream.ID, asker, holder peer.ID) []byte {
	b := append([]byte(proofTag), id[:]...)
	b = append(binary.AppendUvarint(b, uint64(len(asker))), asker...)
	return append(b, holder...)
}

// askLease asks a peer, from a host, about the lease of a stream. Of who asks to
// stand by, st brings renewals; else st is nil.
func askLease(ctx context.Context, from *p2p.Host, at peer.AddrInfo, q question) (w leaseWord, st network.Stream, r *bufio.Reader, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := from.Dial(ctx, at); err != nil {
		return w, nil, nil, err
	}
	if st, err = from.Open(ctx, at.ID, LeaseProtocol); err != nil {
		return w, nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = st.Reset() })
	defer func() {
		if stop(); err != nil {
			_ = st.Reset()
			st = nil
		}
	}()
	ask := leaseAsk{id: q.id(), standBy: q.standBy}
	if q.key != nil {
		ask.proof = ed25519.Sign(q.key, proof(ask.id, from.ID(), at.ID))
	}
	if _, err = st.Write(appendFrame(nil, frameAsk, ask.append(nil))); err != nil {
		return w, st, nil, err
	}
	r = bufio.NewReaderSize(st, 8<<10)
	if w, err = readLeaseWord(r); err != nil {
		return w, st, nil, err
	}
	if w.state == leaseLocked {
		if rec, e := stream.ParseRecord(w.raw); e != nil || rec.ID() != q.topic.ID || rec.Epoch != w.epoch || string(rec.PublisherID) != string(at.ID) || rec.Check(time.Now().Unix()) != nil {
			err = fmt.Errorf("%w: peer %v holds no lease that it can prove", errFrame, at.ID)
			return w, st, nil, err
		}
	}
	if !q.standBy {
		_ = st.Close()
		return w, nil, nil, nil
	}
	return w, st, r, nil
}

// handleLease answers a question about the lease of a stream.
func (n *Node) handleLease(st network.Stream) {
	_ = st.SetDeadline(time.Now().Add(askTimeout))
	r := bufio.NewReaderSize(st, 256)
	kind, body, err := readFrame(r, 1+askSize+ed25519.SignatureSize)
	if err == nil && kind != frameAsk {
		err = errFrame
	}
	var ask leaseAsk
	if err == nil {
		ask, err = parseAsk(body)
	}
	if err != nil {
		_ = st.Reset()
		return
	}
	var pub *Publication
	word, holds := leaseWord{state: leaseFree}, false
	id := ask.id
	asker := st.Conn().RemotePeer()
	s := n.openSession(id)
	if s == nil {
		// Of a private stream nobody hears but who has its key.
		if s = n.blindSession(id); s != nil && (len(ask.proof) == 0 || !ed25519.Verify(s.private.pub, proof(id, asker, n.host.ID()), ask.proof)) {
			s = nil
		}
	}
	if s != nil {
		pub, word.raw = s.pub, s.rawRecord()
	}
	if pub != nil && !n.banned(asker) {
		if w, ok := pub.lease(); ok {
			word, holds = w, true
		}
	}
	if _, err := st.Write(word.append(nil)); err != nil {
		_ = st.Reset()
		return
	}
	if !holds || !ask.standBy || !ed25519.Verify(pubOf(pub.cfg.Key), proof(id, asker, n.host.ID()), ask.proof) {
		_ = st.Close()
		return
	}
	pub.serveHeir(st)
}
