package node

// This file answers: what are the bytes around messages and objects on the
// streams between two peers? PROTOCOL.md, "Streams", is the same in words.

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/braidway/braidway/overlay"
	"github.com/braidway/braidway/stream"
)

// Protocol ids; the number is the version. Peers of both control versions take
// part in one stream: a newer one opens with the newer id, and with the older to
// who does not speak that.
const (
	ControlProtocol  protocol.ID = "/braidway/control/1.1" // knows frameRecord
	ControlProtocol1 protocol.ID = "/braidway/control/1"
	DataProtocol     protocol.ID = "/braidway/data/1"
	LeaseProtocol    protocol.ID = "/braidway/lease/1"
	// PrivateProtocol is the control protocol of private streams.
	PrivateProtocol protocol.ID = "/braidway/private/1"
)

// Kinds of frames on a control stream.
const (
	frameMessage byte = iota + 1 // a control message of package overlay
	frameCard                    // a libp2p signed peer record
	frameOpen                    // first word of the opener: the stream id
	frameWelcome                 // the answer: a status and the stream record
	frameReady                   // the opener's answer to that; both sides know the round trip now
	frameRecord                  // a stream record of a higher epoch
	frameAccess                  // an access list of a private stream
)

// Kinds of frames on a lease stream.
const (
	frameAsk   byte = iota + 1 // who publishes, and may this peer stand by?
	frameLease                 // the answer, and every renewal
)

// Statuses of a welcome.
const (
	welcomeYes    byte = iota // go on
	welcomeNo                 // the stream is not known here
	welcomeNotYet             // known, but nothing is known of it yet
	welcomeClash              // both opened at once: use the other one
)

const (
	// maxCard is the most bytes of a signed peer record: libp2p's own limit for identify is 8 KiB.
	maxCard = 8 << 10
	// maxFrame is the most bytes of a frame on a control stream.
	maxFrame = 1 + max(overlay.MaxMessage, maxCard, 1+stream.MaxRecord)
	// maxPrivateFrame is the same for private streams.
	maxPrivateFrame = max(maxFrame, 1+stream.MaxAccessList)
	// repairStripe in the header of a data stream: it carries answers to pulls.
	repairStripe = 0xff
	// dataHeader is the size of a data stream's header: stream id, stripe.
	dataHeader = 32 + 1
)

// errFrame is wrapped by what a hostile or broken peer causes.
var errFrame = errors.New("bad frame")

// appendFrame appends a control frame.
func appendFrame(b []byte, kind byte, body []byte) []byte {
	b = binary.AppendUvarint(b, uint64(1+len(body)))
	b = append(b, kind)
	return append(b, body...)
}

// readFrame reads a control frame; its length is bounded before it is read.
func readFrame(r *bufio.Reader, limit int) (kind byte, body []byte, err error) {
	n, err := readLength(r, limit)
	if err != nil {
		return 0, nil, err
	}
	if n == 0 {
		return 0, nil, fmt.Errorf("%w: empty", errFrame)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return 0, nil, unexpected(err)
	}
	return b[0], b[1:], nil
}

// readLength reads a length in its shortest form, at most limit. io.EOF: the
// stream ended between frames.
func readLength(r *bufio.Reader, limit int) (int, error) {
	n, err := readNumber(r, uint64(limit))
	return int(n), err
}

func readNumber(r *bufio.Reader, limit uint64) (uint64, error) {
	var v uint64
	for i := 0; i < 10; i++ {
		c, err := r.ReadByte()
		if err != nil {
			if i > 0 {
				err = unexpected(err)
			}
			return 0, err
		}
		if i == 9 && c > 1 {
			break
		}
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			if c == 0 && i > 0 {
				return 0, fmt.Errorf("%w: number not in its shortest form", errFrame)
			}
			if v > limit {
				return 0, fmt.Errorf("%w: %d, allowed is up to %d", errFrame, v, limit)
			}
			return v, nil
		}
	}
	return 0, fmt.Errorf("%w: number over 64 bits", errFrame)
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// appendObjectFrame appends an object of a data stream.
func appendObjectFrame(b, wire []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(wire)))
	return append(b, wire...)
}

// appendBeaconFrame appends a beacon: length 0, epoch, position.
func appendBeaconFrame(b []byte, epoch, seq uint64) []byte {
	b = append(b, 0)
	b = binary.AppendUvarint(b, epoch)
	return binary.AppendUvarint(b, seq)
}

// dataFrame is an object's bytes, or a beacon when wire is nil.
type dataFrame struct {
	wire       []byte
	epoch, seq uint64
}

// readDataFrame reads the next object or beacon of a data stream.
func readDataFrame(r *bufio.Reader) (dataFrame, error) {
	n, err := readLength(r, stream.MaxObject)
	if err != nil {
		return dataFrame{}, err
	}
	if n > 0 {
		f := dataFrame{wire: make([]byte, n)}
		_, err = io.ReadFull(r, f.wire)
		return f, unexpected(err)
	}
	var f dataFrame
	if f.epoch, err = readNumber(r, stream.MaxEpoch); err == nil {
		f.seq, err = readNumber(r, stream.MaxSeq)
	}
	return f, unexpected(err)
}
