package media

// This file answers: what is in an MPEG-TS packet (ISO/IEC 13818-1)? Only what
// cutting, pacing and looping need; nothing here trusts its input.

// PacketSize is the size of an MPEG-TS packet.
const PacketSize = 188

const (
	syncByte = 0x47
	pidPAT   = 0
	pidNull  = 0x1fff
	// pcrWrap is where a PCR, 27 MHz, begins anew.
	pcrWrap = (1 << 33) * 300
	// ptsWrap is where PTS and DTS, 90 kHz, begin anew.
	ptsWrap = 1 << 33
)

// packet is one parsed packet; payload is a part of the bytes given.
type packet struct {
	pid     uint16
	start   bool // a PES packet or a table begins
	random  bool // random-access indicator
	pcr     uint64
	hasPCR  bool
	pcrAt   int // offset of the PCR's 6 bytes
	payload []byte
	at      int // offset of payload
}

// parsePacket reads one packet; false: it is none.
func parsePacket(b []byte) (p packet, ok bool) {
	if len(b) != PacketSize || b[0] != syncByte {
		return p, false
	}
	p.pid = uint16(b[1]&0x1f)<<8 | uint16(b[2])
	p.start = b[1]&0x40 != 0
	at := 4
	if b[3]&0x20 != 0 { // adaptation field
		n := int(b[4])
		if n > 0 && 5+n <= PacketSize {
			f := b[5]
			p.random = f&0x40 != 0
			if f&0x10 != 0 && n >= 7 {
				p.hasPCR, p.pcrAt = true, 6
				base := uint64(b[6])<<25 | uint64(b[7])<<17 | uint64(b[8])<<9 | uint64(b[9])<<1 | uint64(b[10])>>7
				p.pcr = base*300 + (uint64(b[10]&1)<<8 | uint64(b[11]))
			}
		}
		at = min(5+n, PacketSize)
	}
	if b[3]&0x10 != 0 {
		p.payload, p.at = b[at:], at
	}
	return p, true
}

// section returns the first table section in a packet's payload.
func (p packet) section() []byte {
	if !p.start || len(p.payload) < 1 {
		return nil
	}
	at := 1 + int(p.payload[0])
	if at+3 > len(p.payload) {
		return nil
	}
	s := p.payload[at:]
	n := 3 + (int(s[1]&0x0f)<<8 | int(s[2]))
	return s[:min(n, len(s))]
}

// pmtOf returns the PID of the first program in a PAT.
func pmtOf(s []byte) (uint16, bool) {
	for i := 8; i+4 <= len(s)-4 && s[0] == 0; i += 4 {
		if s[i] != 0 || s[i+1] != 0 { // program 0 is the network
			return uint16(s[i+2]&0x1f)<<8 | uint16(s[i+3]), true
		}
	}
	return 0, false
}

// Stream types of a PMT.
const (
	typeMPEG1Video = 0x01
	typeMPEG2Video = 0x02
	typeMPEG4Video = 0x10
	typeH264       = 0x1b
	typeHEVC       = 0x24
)

// mainOf returns the stream to cut at: the first video, else the first of all.
func mainOf(s []byte) (pid uint16, kind byte, video, ok bool) {
	if len(s) < 16 || s[0] != 2 {
		return
	}
	at := 12 + (int(s[10]&0x0f)<<8 | int(s[11]))
	for at+5 <= len(s)-4 {
		t, id := s[at], uint16(s[at+1]&0x1f)<<8|uint16(s[at+2])
		isVideo := t == typeMPEG1Video || t == typeMPEG2Video || t == typeMPEG4Video || t == typeH264 || t == typeHEVC
		if !ok || isVideo {
			pid, kind, video, ok = id, t, isVideo, true
		}
		if isVideo {
			return
		}
		at += 5 + (int(s[at+3]&0x0f)<<8 | int(s[at+4]))
	}
	return
}

// stamps returns where in a PES header PTS and DTS are, as offsets; -1: not there.
func stamps(b []byte) (pts, dts int) {
	pts, dts = -1, -1
	if len(b) < 14 || b[0] != 0 || b[1] != 0 || b[2] != 1 || b[6]&0xc0 != 0x80 {
		return
	}
	if b[7]&0x80 != 0 {
		pts = 9
	}
	if b[7]&0xc0 == 0xc0 && len(b) >= 19 {
		dts = 14
	}
	return
}

func readStamp(b []byte) uint64 {
	return uint64(b[0]>>1&7)<<30 | uint64(b[1])<<22 | uint64(b[2]>>1)<<15 | uint64(b[3])<<7 | uint64(b[4]>>1)
}

func writeStamp(b []byte, v uint64) {
	v %= ptsWrap
	b[0] = b[0]&0xf1 | byte(v>>30)<<1
	b[1] = byte(v >> 22)
	b[2] = byte(v>>15)<<1 | 1
	b[3] = byte(v >> 7)
	b[4] = byte(v)<<1 | 1
}

func writePCR(b []byte, v uint64) {
	v %= pcrWrap
	base, ext := v/300, v%300
	b[0], b[1], b[2], b[3] = byte(base>>25), byte(base>>17), byte(base>>9), byte(base>>1)
	b[4] = byte(base<<7) | 0x7e | byte(ext>>8)
	b[5] = byte(ext)
}

// keyframe looks for the start of a picture that can be decoded alone, in the
// first packet of a PES packet, for streams without random-access indicator.
func keyframe(kind byte, payload []byte) bool {
	if len(payload) < 9 {
		return false
	}
	b := payload[min(9+int(payload[8]), len(payload)):]
	for i := 0; i+4 <= len(b); i++ {
		if b[i] != 0 || b[i+1] != 0 || b[i+2] != 1 {
			continue
		}
		switch kind {
		case typeH264: // IDR picture or sequence parameters
			if t := b[i+3] & 0x1f; t == 5 || t == 7 {
				return true
			}
		case typeHEVC: // IRAP pictures, video and sequence parameters
			if t := b[i+3] >> 1 & 0x3f; t >= 16 && t <= 21 || t == 32 || t == 33 {
				return true
			}
		case typeMPEG1Video, typeMPEG2Video: // sequence header
			if b[i+3] == 0xb3 {
				return true
			}
		}
	}
	return false
}
