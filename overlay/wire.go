package overlay

// This file answers: what are the bytes of a control message? PROTOCOL.md,
// "Control messages", is the same in words. Numbers are unsigned varints in
// their shortest form, peer ids 8 bytes big endian, booleans bits of one byte.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/braidway/braidway/stream"
)

// Limits of control messages.
const (
	// MaxMessage is the most bytes of an encoded message: a Status with a full
	// path in each of 16 stripes has 8.5 kB.
	MaxMessage = 16 << 10
	// MaxPeers is the most peer ids in one list of a message, paths apart.
	MaxPeers = 16
	// MaxWait is the longest time in a message: longer waits mean never.
	MaxWait = time.Hour
)

// ErrMessage is wrapped by every error of ParseMessage.
var ErrMessage = errors.New("overlay: control message")

// AppendMessage appends the bytes of m. Its lists must be within the limits.
func AppendMessage(b []byte, m Message) []byte {
	at := len(b)
	b = append(b, m.kind())
	switch m := m.(type) {
	case Hello:
		b = append(b, bitsOf(m.Publisher, m.Draining))
		b = binary.AppendUvarint(b, uint64(m.Slots))
		b = binary.AppendUvarint(b, m.Epoch)
		b = binary.AppendUvarint(b, m.Edge)
	case Subscribe:
		b = append(b, m.Stripe, bitsOf(m.Latest, m.Urgent))
		b = binary.AppendUvarint(b, m.Epoch)
		b = binary.AppendUvarint(b, m.From)
		b = binary.AppendUvarint(b, m.Have)
		b = binary.BigEndian.AppendUint64(b, uint64(m.Lost))
		if m.Behind > 0 {
			b[at] = kindSubscribeBehind
			b = append(b, m.Behind)
		}
	case Accept:
		b = append(b, m.Stripe)
		b = binary.AppendUvarint(b, m.Epoch)
		b = binary.AppendUvarint(b, m.Start)
		b = appendPeers(b, m.Path)
	case Refuse:
		b = append(b, m.Stripe, byte(m.Code))
		b = appendWait(b, m.Wait)
		b = appendPeers(b, m.Alternatives)
	case Unsubscribe:
		b = append(b, m.Stripe)
	case Path:
		b = append(b, m.Stripe)
		b = appendPeers(b, m.Path)
	case Kin:
		b = append(b, m.Stripe)
		b = appendPeers(b, m.Siblings)
		b = appendPeers(b, m.Uncles)
	case Watch:
		b = binary.AppendUvarint(b, uint64(m.Mask))
	case Status:
		b = append(b, bitsOf(m.Draining, m.Confined, m.Open))
		b = binary.AppendUvarint(b, uint64(m.Free))
		b = binary.AppendUvarint(b, m.Epoch)
		b = binary.AppendUvarint(b, m.Edge)
		b = append(b, byte(len(m.Stripes)))
		for _, s := range m.Stripes {
			b = append(b, s.Stripe, bitsOf(s.Fed)|s.Children<<1, s.Depth)
			b = binary.AppendUvarint(b, s.Position)
			b = appendPeers(b, s.Path)
		}
	case Pull:
		b = appendSet(b, m.Epoch, m.First, m.Bits)
	case Miss:
		b = append(b, byte(m.Code))
		b = appendWait(b, m.Wait)
		b = appendSet(b, m.Epoch, m.First, m.Bits)
	case GoAway:
		b = append(b, m.Stripe)
		b = appendWait(b, m.Wait)
		b = appendPeers(b, m.Alternatives)
	case Shuffle:
		b = append(b, bitsOf(m.Reply))
		b = appendPeers(b, m.Peers)
	}
	return b
}

func bitsOf(flags ...bool) (b byte) {
	for i, f := range flags {
		if f {
			b |= 1 << i
		}
	}
	return b
}

func appendWait(b []byte, d time.Duration) []byte {
	return binary.AppendUvarint(b, uint64(min(max(d, 0), MaxWait).Milliseconds()))
}

func appendPeers(b []byte, ids []PeerID) []byte {
	b = append(b, byte(len(ids)))
	for _, id := range ids {
		b = binary.BigEndian.AppendUint64(b, uint64(id))
	}
	return b
}

func appendSet(b []byte, epoch, first uint64, set uint32) []byte {
	b = binary.AppendUvarint(b, epoch)
	b = binary.AppendUvarint(b, first)
	return binary.BigEndian.AppendUint32(b, set)
}

// ParseMessage reads one message that fills b exactly. Every error wraps
// ErrMessage and names message, field and position.
func ParseMessage(b []byte) (Message, error) {
	if len(b) > MaxMessage {
		return nil, fmt.Errorf("%w: %d bytes, allowed are up to %d", ErrMessage, len(b), MaxMessage)
	}
	r := &messageReader{b: b}
	kind := r.byte("kind")
	var m Message
	switch kind {
	case kindHello:
		f := r.flags("flags", 2)
		m = Hello{Publisher: f&1 != 0, Draining: f&2 != 0, Slots: uint16(r.number("slots", 1<<16-1)),
			Epoch: r.number("epoch", stream.MaxEpoch), Edge: r.number("edge", stream.MaxSeq)}
	case kindSubscribe, kindSubscribeBehind:
		s, f := r.stripe(false), r.flags("flags", 2)
		sub := Subscribe{Stripe: s, Latest: f&1 != 0, Urgent: f&2 != 0,
			Epoch: r.number("epoch", stream.MaxEpoch), From: r.number("from", stream.MaxSeq),
			Have: r.number("have", math.MaxUint64), Lost: r.peer("lost")}
		if kind == kindSubscribeBehind {
			if sub.Behind = r.byte("behind"); sub.Behind == 0 {
				r.fail("behind", "0, allowed is 1 to 255")
			}
		}
		m = sub
	case kindAccept:
		m = Accept{Stripe: r.stripe(false), Epoch: r.number("epoch", stream.MaxEpoch),
			Start: r.number("start", stream.MaxSeq), Path: r.peers("path", MaxPath)}
	case kindRefuse:
		m = Refuse{Stripe: r.stripe(false), Code: r.code(), Wait: r.wait(), Alternatives: r.peers("alternatives", MaxPeers)}
	case kindUnsubscribe:
		m = Unsubscribe{Stripe: r.stripe(false)}
	case kindPath:
		m = Path{Stripe: r.stripe(false), Path: r.peers("path", MaxPath)}
	case kindKin:
		m = Kin{Stripe: r.stripe(false), Siblings: r.peers("siblings", MaxPeers), Uncles: r.peers("uncles", MaxPeers)}
	case kindWatch:
		m = Watch{Mask: uint32(r.number("mask", 1<<stream.MaxStripes-1))}
	case kindStatus:
		m = r.status()
	case kindPull:
		epoch, first, set := r.set()
		m = Pull{Epoch: epoch, First: first, Bits: set}
	case kindMiss:
		code, wait := r.code(), r.wait()
		epoch, first, set := r.set()
		m = Miss{Code: code, Wait: wait, Epoch: epoch, First: first, Bits: set}
	case kindGoAway:
		m = GoAway{Stripe: r.stripe(true), Wait: r.wait(), Alternatives: r.peers("alternatives", MaxPeers)}
	case kindShuffle:
		m = Shuffle{Reply: r.flags("flags", 1) != 0, Peers: r.peers("peers", MaxPeers)}
	default:
		r.fail("kind", fmt.Sprintf("%d, known are %d to %d", kind, kindHello, kindSubscribeBehind))
	}
	if r.err == nil && r.at != len(b) {
		r.fail("end", fmt.Sprintf("%d bytes too many", len(b)-r.at))
	}
	if r.err != nil {
		return nil, r.err
	}
	return m, nil
}

// messageReader keeps the first error; after it every value is zero.
type messageReader struct {
	b   []byte
	at  int
	err error
}

func (r *messageReader) fail(field, detail string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s at byte %d: %s", ErrMessage, field, r.at, detail)
	}
}

func (r *messageReader) take(field string, n int) []byte {
	if r.err == nil && len(r.b)-r.at < n {
		r.fail(field, "input ends early")
	}
	if r.err != nil {
		return nil
	}
	v := r.b[r.at : r.at+n]
	r.at += n
	return v
}

func (r *messageReader) byte(field string) byte {
	if v := r.take(field, 1); v != nil {
		return v[0]
	}
	return 0
}

func (r *messageReader) number(field string, top uint64) uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.b[r.at:])
	switch {
	case n == 0:
		r.fail(field, "input ends early")
	case n < 0 || n > 1 && r.b[r.at+n-1] == 0:
		r.fail(field, "not a number in its shortest form")
	case v > top:
		r.fail(field, fmt.Sprintf("%d, allowed is up to %d", v, top))
	default:
		r.at += n
		return v
	}
	return 0
}

func (r *messageReader) flags(field string, n int) byte {
	f := r.byte(field)
	if f>>n != 0 {
		r.fail(field, fmt.Sprintf("%#x, known are the lowest %d bits", f, n))
	}
	return f
}

func (r *messageReader) stripe(all bool) uint8 {
	s := r.byte("stripe")
	if s >= stream.MaxStripes && (!all || s != AllStripes) {
		r.fail("stripe", fmt.Sprintf("%d, allowed is up to %d", s, stream.MaxStripes-1))
	}
	return s
}

func (r *messageReader) code() Code {
	c := Code(r.byte("code"))
	if c < CodeBusy || c > CodeGone {
		r.fail("code", fmt.Sprintf("%d, known are %d to %d", c, CodeBusy, CodeGone))
	}
	return c
}

func (r *messageReader) wait() time.Duration {
	return time.Duration(r.number("wait", uint64(MaxWait.Milliseconds()))) * time.Millisecond
}

func (r *messageReader) peers(field string, top int) []PeerID {
	n := int(r.byte(field))
	if n > top {
		r.fail(field, fmt.Sprintf("%d peers, allowed are up to %d", n, top))
	}
	b := r.take(field, 8*n)
	if len(b) == 0 {
		return nil
	}
	ids := make([]PeerID, n)
	for i := range ids {
		ids[i] = PeerID(binary.BigEndian.Uint64(b[8*i:]))
	}
	return ids
}

func (r *messageReader) peer(field string) PeerID {
	if b := r.take(field, 8); b != nil {
		return PeerID(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (r *messageReader) set() (epoch, first uint64, set uint32) {
	epoch, first = r.number("epoch", stream.MaxEpoch), r.number("first", stream.MaxSeq)
	if b := r.take("bits", 4); b != nil {
		set = binary.BigEndian.Uint32(b)
	}
	return epoch, first, set
}

func (r *messageReader) status() Status {
	f := r.flags("flags", 3)
	m := Status{Draining: f&1 != 0, Confined: f&2 != 0, Open: f&4 != 0, Free: uint16(r.number("free", 1<<16-1)), Epoch: r.number("epoch", stream.MaxEpoch), Edge: r.number("edge", stream.MaxSeq)}
	n := int(r.byte("stripes"))
	if n > stream.MaxStripes {
		r.fail("stripes", fmt.Sprintf("%d, allowed are up to %d", n, stream.MaxStripes))
	}
	for range n {
		if r.err != nil {
			break
		}
		s := StripeStatus{Stripe: r.stripe(false)}
		flags := r.byte("flags")
		s.Fed, s.Children, s.Depth = flags&1 != 0, flags>>1, r.byte("depth")
		s.Position, s.Path = r.number("position", stream.MaxSeq), r.peers("path", MaxPath)
		m.Stripes = append(m.Stripes, s)
	}
	return m
}
