package media

// This file answers: which streams does a PMT name (ISO/IEC 13818-1, 2.4.4), and
// how is one written with other PIDs?

import "fmt"

// element is one elementary stream of a PMT.
type element struct {
	kind byte // stream type
	pid  uint16
	at   int // offset of its entry in the section
	opus bool
}

// maxElements of a program are looked at.
const maxElements = 32

// program is what a PMT says.
type program struct {
	section  []byte
	pcr      uint16
	elements []element
}

// parsePMT reads a whole section of a PMT that lies in one packet; false: it is
// none, is cut off, or its checksum is wrong.
func parsePMT(s []byte) (p program, ok bool) {
	if len(s) < 16 || s[0] != 2 || !wholeSection(s) {
		return p, false
	}
	p.section, p.pcr = s, uint16(s[8]&0x1f)<<8|uint16(s[9])
	for at := 12 + (int(s[10]&0x0f)<<8 | int(s[11])); at+5 <= len(s)-4 && len(p.elements) < maxElements; {
		n := int(s[at+3]&0x0f)<<8 | int(s[at+4])
		e := element{kind: s[at], pid: uint16(s[at+1]&0x1f)<<8 | uint16(s[at+2]), at: at}
		if at+5+n > len(s)-4 {
			return p, false
		}
		e.opus = e.kind == typePrivate && hasOpus(s[at+5:at+5+n])
		p.elements = append(p.elements, e)
		at += 5 + n
	}
	return p, len(p.elements) > 0
}

// hasOpus looks for the registration descriptor of Opus.
func hasOpus(d []byte) bool {
	for len(d) >= 2 {
		n := int(d[1])
		if d[0] == 0x05 && n >= 4 && len(d) >= 6 && string(d[2:6]) == "Opus" {
			return true
		}
		d = d[min(2+n, len(d)):]
	}
	return false
}

// rewrite returns the section with other PIDs, program number and version.
func (p *program) rewrite(pids map[uint16]uint16, number uint16, version byte) []byte {
	s := append([]byte(nil), p.section...)
	s[3], s[4] = byte(number>>8), byte(number)
	s[5] = s[5]&0xc1 | version&0x1f<<1
	put := func(at int, pid uint16) {
		if to, ok := pids[pid]; ok {
			s[at], s[at+1] = s[at]&0xe0|byte(to>>8), byte(to)
		}
	}
	put(8, p.pcr)
	for _, e := range p.elements {
		put(e.at+1, e.pid)
	}
	sum := crcMPEG(s[:len(s)-4])
	return append(s[:len(s)-4], byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
}

// number is the program's, version the table's.
func (p *program) number() uint16 { return uint16(p.section[3])<<8 | uint16(p.section[4]) }
func (p *program) version() byte  { return p.section[5] >> 1 & 0x1f }

// packetise puts a section into one packet; nil: it does not fit.
func packetise(section []byte, pid uint16) []byte {
	if len(section) > PacketSize-5 {
		return nil
	}
	b := append([]byte{syncByte, 0x40 | byte(pid>>8), byte(pid), 0x10, 0}, section...)
	for len(b) < PacketSize {
		b = append(b, 0xff)
	}
	return b
}

// More stream types of a PMT.
const (
	typeMPEG1Audio = 0x03
	typeMPEG2Audio = 0x04
	typePrivate    = 0x06
	typeAAC        = 0x0f
	typeLATM       = 0x11
	typeAC3        = 0x81
	typeEAC3       = 0x87
)

// codecOf names a stream; plays: browsers and the players around them know it.
func codecOf(e element) (name string, plays, timed bool) {
	switch e.kind {
	case typeH264:
		return "H.264", true, true
	case typeHEVC:
		return "H.265", true, true
	case typeAAC:
		return "AAC", true, true
	case typePrivate:
		if e.opus {
			return "Opus", true, true
		}
		return "private data", false, false
	case typeMPEG1Video:
		return "MPEG-1 video", false, true
	case typeMPEG2Video:
		return "MPEG-2 video", false, true
	case typeMPEG4Video:
		return "MPEG-4 part 2", false, true
	case typeMPEG1Audio, typeMPEG2Audio:
		return "MPEG audio", false, true
	case typeLATM:
		return "AAC in LATM", false, true
	case typeAC3:
		return "AC-3", false, true
	case typeEAC3:
		return "E-AC-3", false, true
	}
	return fmt.Sprintf("stream type 0x%02x", e.kind), false, false
}
