package media

// This file answers: how do pictures and sounds become MPEG-TS (ISO/IEC 13818-1)?
// For inputs that bring frames, as RTMP does. go-astits writes MPEG-TS too; what
// is left beside its packets (tables at keyframes, delimiters, ADTS, the clock)
// is most of this file.

import (
	"errors"
	"fmt"
	"io"
	"time"
)

const (
	muxPMT = 0x1000
	muxPID = 0x100
	// muxStart is where the first frame is in the output's time: frames may be
	// presented before it, and the clock is behind them.
	muxStart = time.Second
	// muxAhead is how far the clock (PCR) is behind the frames, which are to be
	// there by then.
	muxAhead = 100 * time.Millisecond
	// muxTables is the longest time without tables.
	muxTables = 500 * time.Millisecond
	muxPCR    = 40 * time.Millisecond
)

// muxTrack is one track of a Muxer.
type muxTrack struct {
	Track
	pid    uint16
	stream byte // stream_id of its PES packets
	cc     byte
}

// Muxer writes frames as MPEG-TS. Tables come before each keyframe, so that a
// cutter begins a group there.
type Muxer struct {
	out    io.Writer
	tracks []muxTrack
	clock  int // the track with the PCR
	pat    []byte
	pmt    []byte
	cc     byte // of both tables
	buf    []byte
	tabled time.Duration // when tables came last
	ticked time.Duration // when a PCR came last
	begun  bool
}

// NewMuxer returns a muxer of tracks: h264, h265, aac or opus; others are an
// error that names them. The Config of aac must be there.
func NewMuxer(out io.Writer, tracks []Track) (*Muxer, error) {
	m := &Muxer{out: out, clock: -1}
	if len(tracks) == 0 || len(tracks) > maxTracks {
		return nil, fmt.Errorf("media: %d tracks, allowed are 1 to %d", len(tracks), maxTracks)
	}
	pmt := []byte{2, 0xb0, 0, 0, 1, 0xc1, 0, 0, 0xe0, 0, 0xf0, 0}
	for i, t := range tracks {
		mt := muxTrack{Track: t, pid: muxPID + uint16(i)}
		var kind byte
		var info []byte
		switch t.Codec {
		case H264:
			kind, mt.stream = typeH264, 0xe0
		case H265:
			kind, mt.stream = typeHEVC, 0xe0
		case AAC:
			if _, err := adtsHeader(t.Config, 0); err != nil {
				return nil, err
			}
			kind, mt.stream = typeAAC, 0xc0
		case Opus:
			kind, mt.stream = typePrivate, 0xbd
			info = []byte{5, 4, 'O', 'p', 'u', 's', 0x7f, 2, 0x80, byte(max(t.Channels, 1))}
		default:
			return nil, fmt.Errorf("media: codec %q cannot be put into MPEG-TS, allowed are %s, %s, %s and %s", t.Codec, H264, H265, AAC, Opus)
		}
		if m.clock < 0 || t.Codec.Video() && !tracks[m.clock].Codec.Video() {
			m.clock = i
		}
		pmt = append(pmt, kind, 0xe0|byte(mt.pid>>8), byte(mt.pid), 0xf0, byte(len(info)))
		pmt = append(pmt, info...)
		m.tracks = append(m.tracks, mt)
	}
	pmt[8], pmt[9] = 0xe0|byte(m.tracks[m.clock].pid>>8), byte(m.tracks[m.clock].pid)
	m.pat = packetise(endSection([]byte{0, 0xb0, 0, 0, 1, 0xc1, 0, 0, 0, 1, 0xe0 | muxPMT>>8, muxPMT & 0xff}), pidPAT)
	if m.pmt = packetise(endSection(pmt), muxPMT); m.pmt == nil {
		return nil, errors.New("media: too many tracks for one packet of tables")
	}
	return m, nil
}

// endSection sets a section's length and adds its CRC.
func endSection(s []byte) []byte {
	n := len(s) + 4 - 3
	s[1], s[2] = s[1]&0xf0|byte(n>>8), byte(n)
	c := crcMPEG(s)
	return append(s, byte(c>>24), byte(c>>16), byte(c>>8), byte(c))
}

// WriteFrame writes one frame in one Write of whole packets. Frames of one track
// come in the order of their DTS, which is not below −1 s.
func (m *Muxer) WriteFrame(f Frame) error {
	at := -1
	for i := range m.tracks {
		if m.tracks[i].ID == f.Track {
			at = i
		}
	}
	if at < 0 {
		return fmt.Errorf("media: track %d is not muxed", f.Track)
	}
	t := &m.tracks[at]
	b := m.buf[:0]
	if !m.begun || f.Key && t.Codec.Video() || f.DTS-m.tabled >= muxTables {
		m.pat[3], m.pmt[3] = 0x10|m.cc, 0x10|m.cc
		m.cc = (m.cc + 1) & 0x0f
		b = append(append(b, m.pat...), m.pmt...)
		m.tabled = f.DTS
	}
	pcr := time.Duration(-1)
	if at == m.clock && (!m.begun || t.Codec.Video() || f.DTS-m.ticked >= muxPCR) {
		pcr, m.ticked = f.DTS+muxStart-muxAhead, f.DTS
	}
	m.begun = true
	data, err := t.payload(f)
	if err != nil {
		return err
	}
	m.buf = t.packets(b, f, pcr, data)
	_, err = m.out.Write(m.buf)
	return err
}

// payload is what a PES packet of the frame carries.
func (t *muxTrack) payload(f Frame) ([]byte, error) {
	switch t.Codec {
	case AAC:
		h, err := adtsHeader(t.Config, len(f.Data))
		return append(h, f.Data...), err
	case Opus:
		h := []byte{0x7f, 0xe0}
		n := len(f.Data)
		for ; n >= 255; n -= 255 {
			h = append(h, 255)
		}
		return append(append(h, byte(n)), f.Data...), nil
	}
	delimited, sets := false, false
	NALUnits(f.Data, func(nal []byte) {
		kind := nalType(t.Codec, nal)
		delimited = delimited || t.Codec == H264 && kind == 9 || t.Codec == H265 && kind == 35
		sets = sets || parameterSet(t.Codec, kind)
	})
	var head []byte
	switch {
	case delimited:
	case t.Codec == H264:
		head = []byte{0, 0, 0, 1, 9, 0xf0}
	default:
		head = []byte{0, 0, 0, 1, 35 << 1, 1, 0x50}
	}
	if f.Key && !sets && !delimited {
		head = append(head, t.Config...)
	}
	return append(head, f.Data...), nil
}

// packets appends a PES packet with data, in packets of the track.
func (t *muxTrack) packets(b []byte, f Frame, pcr time.Duration, data []byte) []byte {
	pes := []byte{0, 0, 1, t.stream, 0, 0, 0x84, 0x80, 5}
	pts, dts := uint64(inTicks(f.PTS+muxStart)), uint64(inTicks(f.DTS+muxStart))
	stamp := func(mark byte, v uint64) {
		at := len(pes)
		pes = append(pes, mark<<4|1, 0, 0, 0, 0)
		writeStamp(pes[at:], v)
	}
	if pts == dts {
		stamp(2, pts)
	} else {
		pes[7], pes[8] = 0xc0, 10
		stamp(3, pts)
		stamp(1, dts)
	}
	if n := len(pes) - 6 + len(data); n <= 0xffff { // else a picture is whole only when the next one begins
		pes[4], pes[5] = byte(n>>8), byte(n)
	}
	rest := append(pes, data...)
	for first := true; len(rest) > 0; first = false {
		head := []byte{syncByte, byte(t.pid >> 8), byte(t.pid), 0x10 | t.cc}
		t.cc = (t.cc + 1) & 0x0f
		var field []byte // the adaptation field after its length
		if first {
			head[1] |= 0x40
			if f.Key && t.Codec.Video() || pcr >= 0 {
				field = []byte{0}
			}
			if f.Key && t.Codec.Video() {
				field[0] |= 0x40
			}
			if pcr >= 0 {
				field[0] |= 0x10
				field = append(field, 0, 0, 0, 0, 0, 0)
				writePCR(field[1:], uint64(inTicks(pcr))*300)
			}
		}
		room := PacketSize - 4
		if field != nil {
			room -= 1 + len(field)
		}
		if pad := room - len(rest); pad > 0 { // stuffing makes the field longer
			if field == nil {
				if pad--; pad > 0 {
					field, pad = []byte{0}, pad-1
				} else {
					field = []byte{}
				}
			}
			for range pad {
				field = append(field, 0xff)
			}
			room = len(rest)
		}
		if field != nil {
			head[3] |= 0x20
			head = append(append(head, byte(len(field))), field...)
		}
		b = append(append(b, head...), rest[:room]...)
		rest = rest[room:]
	}
	return b
}

// adtsHeader is what comes before an AAC frame of n bytes in MPEG-TS, from an
// AudioSpecificConfig. HE-AAC says its core's rate, and is told by its frames.
func adtsHeader(config []byte, n int) ([]byte, error) {
	if len(config) < 2 {
		return nil, errors.New("media: AAC without its AudioSpecificConfig")
	}
	object, index, channels := config[0]>>3, config[0]&7<<1|config[1]>>7, config[1]>>3&0x0f
	if object == 5 || object == 29 {
		object = 2 // SBR and PS are signalled in the frames
	}
	if object < 1 || object > 4 || int(index) >= len(aacRates) || channels > 7 || n+7 > 0x1fff {
		return nil, fmt.Errorf("media: AAC of object type %d, rate index %d, %d channels and frames of %d bytes does not fit into ADTS", object, index, channels, n)
	}
	size := n + 7
	return []byte{0xff, 0xf1, (object-1)<<6 | index<<2 | channels>>2, channels&3<<6 | byte(size>>11), byte(size >> 3), byte(size)<<5 | 0x1f, 0xfc}, nil
}
