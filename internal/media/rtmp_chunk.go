package media

// This file answers: how do messages travel in RTMP's chunks (Adobe's RTMP 1.0,
// section 5.3)? The sender may be anybody: what is kept for it is bounded, before
// it has named its key even more.

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// Types of messages.
const (
	rtmpSetChunkSize = 1
	rtmpAbort        = 2
	rtmpAck          = 3
	rtmpUserControl  = 4
	rtmpWindowAck    = 5
	rtmpPeerBand     = 6
	rtmpAudio        = 8
	rtmpVideo        = 9
	rtmpDataAMF3     = 15
	rtmpCommandAMF3  = 17
	rtmpData         = 18
	rtmpCommand      = 20
)

const (
	// rtmpFirstChunk is the size of chunks until it is set.
	rtmpFirstChunk = 128
	rtmpOurChunk   = 4096
	// maxRTMPStreams of chunks: encoders use fewer than ten.
	maxRTMPStreams = 32
	// maxRTMPMessage is the longest message of an encoder that may publish, one
	// picture; strangers get maxRTMPStranger.
	maxRTMPMessage  = maxPicture
	maxRTMPStranger = 16 << 10
	// rtmpWindow is what we ask for an acknowledgement after.
	rtmpWindow = 2_500_000
)

// rtmpMessage is one message; payload is valid until the next is read.
type rtmpMessage struct {
	kind    byte
	stream  uint32
	time    uint32 // ms
	payload []byte
}

// chunkStream is what the headers of one stream of chunks are told against.
type chunkStream struct {
	kind     byte
	stream   uint32
	time     uint32
	delta    uint32
	extended bool
	length   int
	payload  []byte
	open     bool // a message is incomplete
}

// chunkReader puts messages together.
type chunkReader struct {
	r       *bufio.Reader
	size    int
	streams map[uint32]*chunkStream
	most    int   // bytes of a message
	pending int   // bytes of incomplete messages
	read    int64 // bytes so far
}

func newChunkReader(r io.Reader) *chunkReader {
	return &chunkReader{r: bufio.NewReaderSize(r, 64<<10), size: rtmpFirstChunk, streams: make(map[uint32]*chunkStream), most: maxRTMPStranger}
}

func (c *chunkReader) bytes(b []byte) error {
	n, err := io.ReadFull(c.r, b)
	c.read += int64(n)
	return err
}

// next returns the next message. What the protocol itself asks for (sizes of
// chunks, aborts) is done here and returned too.
func (c *chunkReader) next() (rtmpMessage, error) {
	for {
		s, err := c.header()
		if err != nil {
			return rtmpMessage{}, err
		}
		n := min(c.size, s.length-len(s.payload))
		if c.pending+n > 2*c.most {
			return rtmpMessage{}, fmt.Errorf("rtmp: more than %d bytes of unfinished messages", 2*c.most)
		}
		at := len(s.payload)
		s.payload = append(s.payload, make([]byte, n)...)
		if err := c.bytes(s.payload[at:]); err != nil {
			return rtmpMessage{}, err
		}
		c.pending += n
		if s.open = len(s.payload) < s.length; s.open {
			continue
		}
		m := rtmpMessage{kind: s.kind, stream: s.stream, time: s.time, payload: s.payload}
		c.pending -= len(s.payload)
		s.payload = nil
		switch {
		case m.kind == rtmpSetChunkSize && len(m.payload) == 4:
			size := binary.BigEndian.Uint32(m.payload)
			if size < 1 || size > 1<<24-1 {
				return m, fmt.Errorf("rtmp: chunk size is %d, allowed is 1 to %d", size, 1<<24-1)
			}
			c.size = int(size)
		case m.kind == rtmpAbort && len(m.payload) == 4:
			if a := c.streams[binary.BigEndian.Uint32(m.payload)]; a != nil && a.open {
				c.pending -= len(a.payload)
				a.payload, a.open = nil, false
			}
		}
		return m, nil
	}
}

// header reads the header of a chunk.
func (c *chunkReader) header() (*chunkStream, error) {
	var b [11]byte
	if err := c.bytes(b[:1]); err != nil {
		return nil, err
	}
	format, id := b[0]>>6, uint32(b[0]&0x3f)
	switch id {
	case 0:
		if err := c.bytes(b[:1]); err != nil {
			return nil, err
		}
		id = 64 + uint32(b[0])
	case 1:
		if err := c.bytes(b[:2]); err != nil {
			return nil, err
		}
		id = 64 + uint32(b[0]) + uint32(b[1])<<8
	}
	s := c.streams[id]
	switch {
	case s == nil && format != 0:
		return nil, fmt.Errorf("rtmp: chunk stream %d begins without a full header", id)
	case s == nil && len(c.streams) >= maxRTMPStreams:
		return nil, fmt.Errorf("rtmp: more than %d chunk streams", maxRTMPStreams)
	case s == nil:
		s = &chunkStream{}
		c.streams[id] = s
	case s.open && format != 3:
		return nil, fmt.Errorf("rtmp: a message on chunk stream %d begins within another", id)
	}
	n := [4]int{11, 7, 3, 0}[format]
	if err := c.bytes(b[:n]); err != nil {
		return nil, err
	}
	stamp := s.delta
	if n >= 3 {
		stamp = uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
		s.extended = stamp == 0xffffff
	}
	if n >= 7 {
		s.length, s.kind = int(b[3])<<16|int(b[4])<<8|int(b[5]), b[6]
		if s.length > c.most {
			return nil, fmt.Errorf("rtmp: a message of %d bytes, allowed are %d", s.length, c.most)
		}
	}
	if n == 11 {
		s.stream = binary.LittleEndian.Uint32(b[7:])
	}
	if s.extended {
		if err := c.bytes(b[:4]); err != nil {
			return nil, err
		}
		stamp = binary.BigEndian.Uint32(b[:4])
	}
	if s.open {
		return s, nil
	}
	s.delta = stamp // also that of a full header, for who follows without one (5.3.1.2.4)
	if format == 0 {
		s.time = stamp
	} else {
		s.time += stamp
	}
	return s, nil
}

// appendChunks appends a message in chunks of size.
func appendChunks(b []byte, id byte, size int, kind byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	b = append(b, id&0x3f, 0, 0, 0, byte(n>>16), byte(n>>8), byte(n), kind)
	b = binary.LittleEndian.AppendUint32(b, stream)
	for first := true; len(payload) > 0; first = false {
		if !first {
			b = append(b, 0xc0|id&0x3f)
		}
		k := min(size, len(payload))
		b, payload = append(b, payload[:k]...), payload[k:]
	}
	return b
}
