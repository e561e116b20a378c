package media

// This file answers: is every MPEG-TS packet read without trust (ISO/IEC 13818-1)?

import (
	"bytes"
	"testing"
)

// readAll reads everything that can be in a packet.
func readAll(p packet) {
	s := p.section()
	pmtOf(s)
	mainOf(s)
	pts, dts := stamps(p.payload)
	for _, at := range []int{pts, dts} {
		if at >= 0 {
			readStamp(p.payload[at:])
		}
	}
	for _, kind := range []byte{typeH264, typeHEVC, typeMPEG2Video, 0} {
		keyframe(kind, p.payload)
	}
}

func TestAPacketEndsEarlyAtEveryPrefix(t *testing.T) {
	for i := range 40 {
		b := clip[i*PacketSize : (i+1)*PacketSize]
		for n := range b {
			if _, ok := parsePacket(b[:n]); ok {
				t.Fatalf("packet %d cut to %d bytes is one", i, n)
			}
		}
		if _, ok := parsePacket(append(bytes.Clone(b), 0)); ok {
			t.Fatalf("packet %d with a byte too many is one", i)
		}
	}
}

// Tables and PES headers are read from payloads of any length: what is cut off
// is not there, and never read.
func TestTablesAndHeadersEndEarlyAtEveryPrefix(t *testing.T) {
	var pat, pmt, pes packet
	for i := 0; pes.payload == nil || pmt.payload == nil; i += PacketSize {
		p, ok := parsePacket(clip[i : i+PacketSize])
		if !ok {
			t.Fatal("not a packet")
		}
		id, known := pmtOf(pat.section())
		switch {
		case p.pid == pidPAT:
			pat = p
		case known && p.pid == id:
			pmt = p
		case p.start && p.pid >= 0x20:
			pes = p
		}
	}
	whole, _ := pmtOf(pat.section())
	main, kind, video, _ := mainOf(pmt.section())
	if whole == 0 || main == 0 || !video || kind != typeH264 {
		t.Fatalf("PMT at %d; main stream %d of kind %d", whole, main, kind)
	}
	cuts := func(p packet, check func(n int, cut packet)) {
		for n := range p.payload {
			cut := p
			cut.payload = p.payload[:n:n]
			readAll(cut) // does not panic
			check(n, cut)
		}
	}
	cuts(pat, func(n int, cut packet) {
		if id, ok := pmtOf(cut.section()); ok && (id != whole || n < 1+8+4+4) {
			t.Errorf("a PAT cut to %d bytes names the PMT %d", n, id)
		}
	})
	cuts(pmt, func(n int, cut packet) {
		if id, _, _, ok := mainOf(cut.section()); ok && (id != main || n < 1+12+5+4) {
			t.Errorf("a PMT cut to %d bytes names the main stream %d", n, id)
		}
	})
	cuts(pes, func(n int, cut packet) {
		if pts, dts := stamps(cut.payload); pts >= 0 && pts+5 > n || dts >= 0 && dts+5 > n {
			t.Errorf("a PES packet cut to %d bytes has stamps at %d and %d", n, pts, dts)
		}
	})
}

func FuzzParsePacket(f *testing.F) {
	for i := range 20 {
		f.Add(bytes.Clone(clip[i*PacketSize : (i+1)*PacketSize]))
	}
	f.Add(bytes.Repeat([]byte{syncByte}, PacketSize))
	f.Add(append([]byte{syncByte, 0x40, 0, 0x30, 183}, make([]byte, PacketSize-5)...))
	f.Add(append([]byte{syncByte, 0x40, 0, 0x10, 0xff}, make([]byte, PacketSize-5)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := parsePacket(b)
		if !ok {
			return
		}
		if len(p.payload) > PacketSize-4 || p.payload != nil && p.at+len(p.payload) != PacketSize || p.hasPCR && p.pcr >= pcrWrap+300*512 {
			t.Fatalf("%+v", p)
		}
		readAll(p)
	})
}

func FuzzStamps(f *testing.F) {
	f.Add(uint64(0), uint64(0))
	f.Add(uint64(ptsWrap-1), uint64(pcrWrap-1))
	f.Add(uint64(1)<<63, uint64(1)<<63)
	f.Fuzz(func(t *testing.T, pts, pcr uint64) {
		var b [5]byte
		if writeStamp(b[:], pts); readStamp(b[:]) != pts%ptsWrap {
			t.Fatalf("stamp %d reads back as %d", pts, readStamp(b[:]))
		}
		packet := append([]byte{syncByte, 0, 0, 0x20, 183, 0x10}, make([]byte, PacketSize-6)...)
		writePCR(packet[6:], pcr)
		if p, ok := parsePacket(packet); !ok || !p.hasPCR || p.pcr != pcr%pcrWrap {
			t.Fatalf("PCR %d reads back as %+v", pcr, p)
		}
	})
}
