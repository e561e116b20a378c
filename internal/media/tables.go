package media

// This file answers: which streams does a program map name (ISO/IEC 13818-1,
// 2.4.4.8), and in which codec?

import "fmt"

// listed is one stream of a program map.
type listed struct {
	pid      uint16
	codec    Codec  // "": it cannot be taken apart
	name     string // of the codec then
	channels int    // opus
}

// unsupported names stream types that are common and not taken apart.
var unsupported = map[byte]string{
	typeMPEG1Video: "MPEG-1 video", typeMPEG2Video: "MPEG-2 video", 0x03: "MPEG-1 audio (MP2 or MP3)", 0x04: "MPEG-2 audio",
	typeMPEG4Video: "MPEG-4 part 2 video", 0x11: "AAC in LATM", 0x81: "AC-3", 0x87: "E-AC-3", 0x33: "H.266 video", 0x42: "AVS video",
	0xd1: "Dirac video", 0xea: "VC-1 video",
}

// streamsOf reads a whole section; false: it is no program map. Streams that
// carry data beside the programme (subtitles, cues) are left out.
func streamsOf(s []byte) ([]listed, bool) {
	if len(s) < 16 || s[0] != 2 {
		return nil, false
	}
	var all []listed
	at := 12 + (int(s[10]&0x0f)<<8 | int(s[11]))
	for at+5 <= len(s)-4 && len(all) < maxTracks {
		kind, st := s[at], listed{pid: uint16(s[at+1]&0x1f)<<8 | uint16(s[at+2])}
		end := min(at+5+(int(s[at+3]&0x0f)<<8|int(s[at+4])), len(s)-4)
		info := s[at+5 : end]
		at = end
		switch kind {
		case typeH264:
			st.codec = H264
		case typeHEVC:
			st.codec = H265
		case 0x0f:
			st.codec = AAC
		case 0x06:
			if !st.private(info) {
				continue
			}
		case 0x05, 0x15, 0x86: // private sections, metadata, cues
			continue
		default:
			if st.name = unsupported[kind]; st.name == "" {
				st.name = fmt.Sprintf("stream type %#02x", kind)
			}
		}
		all = append(all, st)
	}
	return all, true
}

// private finds out what private data is, by its descriptors; false: not
// picture nor sound.
func (st *listed) private(info []byte) bool {
	for len(info) >= 2 && 2+int(info[1]) <= len(info) {
		tag, d := info[0], info[2:2+int(info[1])]
		info = info[2+len(d):]
		switch {
		case tag == 0x05 && string(d) == "Opus":
			st.codec = Opus
			st.channels = max(st.channels, 2)
		case tag == 0x05 && len(d) >= 4 && (string(d[:4]) == "HEVC" || string(d[:4]) == "AV01" || string(d[:4]) == "AC-3" || string(d[:4]) == "EAC3"):
			st.name = string(d[:4])
		case tag == 0x6a:
			st.name = "AC-3"
		case tag == 0x7f && len(d) >= 2 && d[0] == 0x80:
			if st.channels = int(d[1]); st.channels < 1 || st.channels > 8 {
				st.channels = 2
			}
		}
	}
	return st.codec != "" || st.name != ""
}

// wholeSection reports whether a section is all there and its CRC is right.
func wholeSection(s []byte) bool {
	return len(s) >= 12 && len(s) == 3+(int(s[1]&0x0f)<<8|int(s[2])) && crcMPEG(s) == 0
}

var crcTable = func() (t [256]uint32) {
	for i := range t {
		c := uint32(i) << 24
		for range 8 {
			c = c<<1 ^ 0x04c11db7*(c>>31)
		}
		t[i] = c
	}
	return t
}()

// crcMPEG is 0 for a section with its CRC.
func crcMPEG(b []byte) uint32 {
	c := ^uint32(0)
	for _, x := range b {
		c = c<<8 ^ crcTable[byte(c>>24)^x]
	}
	return c
}

// Tables remembers the tables of an MPEG-TS that goes by in whole packets, for
// a reader that is to begin in the middle of it.
type Tables struct {
	pmtID    uint16
	pat, pmt []byte
}

// Scan looks for tables in b.
func (t *Tables) Scan(b []byte) {
	for ; len(b) >= PacketSize; b = b[PacketSize:] {
		p, ok := parsePacket(b[:PacketSize])
		switch {
		case !ok:
			return
		case p.pid == pidPAT:
			if id, ok := pmtOf(p.section()); ok {
				t.pmtID, t.pat = id, append([]byte(nil), b[:PacketSize]...)
			}
		case p.pid == t.pmtID && t.pmtID != 0 && p.start:
			t.pmt = append([]byte(nil), b[:PacketSize]...)
		}
	}
}

// Preamble returns the packets that are to come before b, the beginning of a
// group: none if b begins with tables, or is not MPEG-TS.
func (t *Tables) Preamble(b []byte) []byte {
	if p, ok := parsePacket(b[:min(len(b), PacketSize)]); !ok || p.pid == pidPAT || t.pat == nil {
		return nil
	}
	return append(append([]byte(nil), t.pat...), t.pmt...)
}
