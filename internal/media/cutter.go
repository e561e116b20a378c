package media

// This file answers: where does a group begin? At the tables that directly
// precede a random-access point, else at that point, and then the tables
// travel as the group's preamble.

import (
	"errors"
	"time"
)

// Sink takes the stream cut into groups. stream.Builder and node.Publication are sinks.
type Sink interface {
	// StartGroup makes the bytes written from now on a new group; a player
	// that starts there puts out preamble first.
	StartGroup(preamble []byte) error
	Write(p []byte) (int, error)
}

// ErrNotTS says that the input is not MPEG-TS.
var ErrNotTS = errors.New("the input is not MPEG-TS; publish other bytes with --raw")

// ErrEmpty says that the input ended before its first byte.
var ErrEmpty = errors.New("the input is empty")

const (
	// probePackets must begin with the sync byte before anything is believed.
	probePackets = 5
	// maxHeld bounds the packets held back while tables are going by.
	maxHeld = 64
	// farKey is how far apart keyframes are that are worth a warning, blindGroup how
	// far until a group begins without one, 90 kHz: a newcomer starts at the begin
	// of a group, which has to be in the windows of its parents (20 s).
	farKey     = 5 * 90000
	blindGroup = 15 * 90000
	// audioGroup is the length of groups where there is no video, 90 kHz.
	audioGroup = 90000
)

// Cutter cuts MPEG-TS into groups. Bytes before the first random-access point
// belong to a first group, so that nothing is lost.
type Cutter struct {
	out   Sink
	part  []byte // an incomplete packet, or the input until it is known to be MPEG-TS
	sure  bool
	held  []byte // tables that may begin a group
	pat   []byte
	pmt   []byte
	pmtID uint16
	main  uint16
	kind  byte
	video bool
	known bool // main, kind and video are
	pts   uint64
	cut   bool
	flags bool   // the stream uses random-access indicators
	key   uint64 // DTS where the last group of video began
	keyed bool   // there was one, or a first frame
	far   bool   // it was told that keyframes are far apart
	// Lost counts how often the sync byte was not where it had to be.
	Lost int
	// Blind counts groups that begin without a keyframe, since none came for 15 s.
	Blind int
	// Watch hears of keyframes that are missing; nil: nobody does.
	Watch *Watch
}

// NewCutter returns a cutter in front of out.
func NewCutter(out Sink) *Cutter { return &Cutter{out: out} }

// Write takes the next bytes of the input. ErrNotTS: it is not MPEG-TS, and
// nothing was passed on. Other errors are the sink's.
func (c *Cutter) Write(p []byte) (int, error) {
	c.part = append(c.part, p...)
	if !c.sure {
		if len(c.part) < probePackets*PacketSize {
			return len(p), nil
		}
		if err := c.probe(probePackets); err != nil {
			return 0, err
		}
	}
	b := c.part
	for len(b) >= PacketSize {
		n := PacketSize
		if b[0] != syncByte {
			n = resync(b)
			c.Lost++
			if err := c.pass(b[:n]); err != nil {
				return 0, err
			}
		} else if err := c.packet(b[:n]); err != nil {
			return 0, err
		}
		b = b[n:]
	}
	c.part = append(c.part[:0], b...)
	return len(p), nil
}

// probe checks that the input begins with whole packets.
func (c *Cutter) probe(packets int) error {
	for i := range packets {
		if c.part[i*PacketSize] != syncByte {
			return ErrNotTS
		}
	}
	c.sure = true
	return nil
}

// resync returns how many bytes to pass over until a packet may begin.
func resync(b []byte) int {
	for i := 1; i < len(b); i++ {
		if b[i] == syncByte && (i+PacketSize >= len(b) || b[i+PacketSize] == syncByte) {
			return i
		}
	}
	return len(b)
}

// Close passes on what is left. ErrNotTS: the input was short and is not
// MPEG-TS. ErrEmpty: there was none.
func (c *Cutter) Close() error {
	if !c.sure {
		if len(c.part) == 0 {
			return ErrEmpty
		}
		if len(c.part) < PacketSize || c.probe(len(c.part)/PacketSize) != nil {
			return ErrNotTS
		}
		if _, err := c.Write(nil); err != nil {
			return err
		}
	}
	return c.pass(c.part)
}

// pass writes what was held, then b.
func (c *Cutter) pass(b []byte) error {
	if len(c.held) > 0 {
		if _, err := c.out.Write(c.held); err != nil {
			return err
		}
		c.held = c.held[:0]
	}
	if len(b) == 0 {
		return nil
	}
	_, err := c.out.Write(b)
	return err
}

func (c *Cutter) packet(b []byte) error {
	p, _ := parsePacket(b)
	switch {
	case p.pid == pidPAT:
		if id, ok := pmtOf(p.section()); ok {
			c.pmtID, c.pat = id, append(c.pat[:0], b...)
		}
		if err := c.pass(nil); err != nil {
			return err
		}
		c.held = append(c.held, b...)
		return nil
	case p.pid == c.pmtID && c.pmtID != 0:
		if pid, kind, video, ok := mainOf(p.section()); ok {
			c.main, c.kind, c.video, c.known = pid, kind, video, true
			c.pmt = append(c.pmt[:0], b...)
		}
	case c.known && p.pid == c.main && p.start && c.random(p):
		return c.begin(b)
	case p.pid != pidNull && p.pid >= 0x20: // a stream, not a table of DVB
		return c.pass(b)
	}
	if len(c.held) == 0 || len(c.held) >= maxHeld*PacketSize {
		return c.pass(b)
	}
	c.held = append(c.held, b...)
	return nil
}

// random reports whether a decoder can start at packet p of the main stream.
func (c *Cutter) random(p packet) bool {
	if c.video {
		c.flags = c.flags || p.random
		return c.due(p, p.random || !c.flags && keyframe(c.kind, p.payload))
	}
	at, _ := stamps(p.payload)
	if at < 0 {
		return false
	}
	pts := readStamp(p.payload[at:])
	if c.cut && (pts-c.pts)%ptsWrap < audioGroup {
		return false
	}
	c.pts, c.cut = pts, true
	return true
}

// due reports whether a group of video begins at packet p, which is a keyframe or
// not: some encoders refresh the picture bit by bit and never send one.
func (c *Cutter) due(p packet, key bool) bool {
	dts, _, ok := dtsOf(p)
	if !ok {
		return key
	}
	d := behind(dts, c.key)
	if key || !c.keyed || d < 0 || d > 2*blindGroup { // a jump tells nothing
		c.key, c.keyed, c.far = dts, true, c.far && !key
		return key
	}
	if d >= farKey && !c.far {
		c.far = true
		c.Watch.Warn(NoticeGroups, "no keyframe for %d s: viewers can only start at one; set the encoder's keyframe interval to 1 or 2 s", farKey/90000)
	}
	if d < blindGroup {
		return false
	}
	c.key = dts
	c.Blind++
	c.Watch.Warn(NoticeGroups, "no keyframe for %d s: a group begins without one, and viewers who start there see a broken picture, or none; set the encoder's keyframe interval to 1 or 2 s", blindGroup/90000)
	return true
}

// begin starts a group with packet b.
func (c *Cutter) begin(b []byte) error {
	var preamble []byte
	if len(c.held) == 0 {
		preamble = append(append(preamble, c.pat...), c.pmt...)
	}
	if err := c.out.StartGroup(preamble); err != nil {
		return err
	}
	return c.pass(b)
}

// RawCutter cuts any bytes into groups of one second.
type RawCutter struct {
	out  Sink
	last time.Time
}

// NewRawCutter returns a raw cutter in front of out.
func NewRawCutter(out Sink) *RawCutter { return &RawCutter{out: out} }

// Write takes the next bytes of the input.
func (c *RawCutter) Write(p []byte) (int, error) {
	if now := time.Now(); now.Sub(c.last) >= time.Second {
		if err := c.out.StartGroup(nil); err != nil {
			return 0, err
		}
		c.last = now
	}
	return c.out.Write(p)
}

// Close passes on nothing, since nothing is held back. ErrEmpty: nothing came.
func (c *RawCutter) Close() error {
	if c.last.IsZero() {
		return ErrEmpty
	}
	return nil
}
