package media

// This file answers: where are the frames in a PES packet of sound? ADTS as in
// ISO/IEC 13818-7, Opus as in ETSI TS 103 491.

import "time"

// aacRates by sampling frequency index.
var aacRates = [...]int{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}

// adts is a parsed ADTS header.
type adts struct {
	head, size int // bytes of the header, and of the whole frame
	object     int // MPEG-4 audio object type
	index      int // of the rate
	channels   int // channel configuration; 0: in the stream
	blocks     int // raw data blocks
	rate       int
	config     [2]byte // the AudioSpecificConfig
}

// parseADTS reads a header of at least 7 bytes.
func parseADTS(b []byte) (h adts, ok bool) {
	if len(b) < 7 || b[0] != 0xff || b[1]&0xf6 != 0xf0 {
		return h, false
	}
	h.head = 7
	if b[1]&1 == 0 {
		h.head = 9
	}
	h.object, h.index = int(b[2]>>6)+1, int(b[2]>>2&0x0f)
	h.channels = int(b[2]&1)<<2 | int(b[3]>>6)
	h.size = int(b[3]&3)<<11 | int(b[4])<<3 | int(b[5]>>5)
	h.blocks = int(b[6]&3) + 1
	if h.index >= len(aacRates) || h.size <= h.head {
		return h, false
	}
	h.rate = aacRates[h.index]
	h.config = [2]byte{byte(h.object<<3 | h.index>>1), byte(h.index<<7 | h.channels<<3)}
	return h, true
}

// aac gives out the frames in data; the timestamp is that of the first that
// begins in it.
func (d *Demuxer) aac(e *elementary, s pesStamps, data []byte) {
	carried := len(e.carry) // bytes of the last packet, whose frame the timestamp is not for
	b := append(e.carry, data...)
	e.carry = nil
	at := e.clock.next
	for used := 0; len(b) >= 7; {
		h, ok := parseADTS(b)
		if !ok {
			d.counts.Damaged++
			n := 1
			for n < len(b) && b[n] != 0xff {
				n++
			}
			b, used = b[n:], used+n
			continue
		}
		if h.size > len(b) {
			break
		}
		if used >= carried && s.has {
			at = d.time.place(&e.clock, s.pts)
			s.has = false
		}
		e.track.Rate = h.rate
		if string(e.track.Config) != string(h.config[:]) {
			e.track.Config = append([]byte(nil), h.config[:]...)
			e.track.Channels = h.channels
			if h.channels == 7 {
				e.track.Channels = 8
			}
		}
		span := time.Duration(h.blocks) * 1024 * time.Second / time.Duration(h.rate)
		d.give(e, Frame{PTS: at, DTS: at, Key: true, Data: b[h.head:h.size:h.size]}, span)
		at = e.clock.next
		b, used = b[h.size:], used+h.size
	}
	e.carry = append(e.carry, b...)
}

// opus gives out the packets in data: each has a control header before it.
func (d *Demuxer) opus(e *elementary, s pesStamps, data []byte) {
	at := e.clock.next
	if s.has {
		at = d.time.place(&e.clock, s.pts)
	}
	for len(data) >= 3 {
		if data[0] != 0x7f || data[1]&0xe0 != 0xe0 {
			d.counts.Damaged++
			return
		}
		flags, size, n := data[1], 0, 2
		for n < len(data) {
			size += int(data[n])
			n++
			if data[n-1] != 0xff {
				break
			}
		}
		if flags&0x10 != 0 {
			n += 2 // trimmed at the start
		}
		if flags&0x08 != 0 {
			n += 2 // trimmed at the end
		}
		if flags&0x04 != 0 && n < len(data) {
			n += 1 + int(data[n]) // extension
		}
		if size == 0 || n+size > len(data) {
			d.counts.Damaged++
			return
		}
		packet := data[n : n+size : n+size]
		data = data[n+size:]
		d.give(e, Frame{PTS: at, DTS: at, Key: true, Data: packet}, opusSpan(packet))
		at = e.clock.next
	}
}

// opusSpan returns how long a packet lasts (RFC 6716, 3.1).
func opusSpan(b []byte) time.Duration {
	if len(b) == 0 {
		return 0
	}
	var frame time.Duration
	switch config := b[0] >> 3; {
	case config < 12: // SILK
		frame = []time.Duration{10, 20, 40, 60}[config&3] * time.Millisecond
	case config < 16: // hybrid
		frame = []time.Duration{10, 20}[config&1] * time.Millisecond
	default: // CELT
		frame = []time.Duration{2500, 5000, 10000, 20000}[config&3] * time.Microsecond
	}
	switch b[0] & 3 {
	case 0:
		return frame
	case 1, 2:
		return 2 * frame
	}
	if len(b) < 2 {
		return frame
	}
	return min(frame*time.Duration(b[1]&0x3f), 120*time.Millisecond)
}
