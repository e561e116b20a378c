package hls

// This file answers: what do the parameter sets say of a picture (ITU-T H.264
// 7.3.2.1, H.265 7.3.2.2), and how is that told to a player?

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/braidway/braidway/internal/media"
)

// picture is what parameter sets say.
type picture struct {
	width, height int
	codec         string // RFC 6381
	record        []byte // the decoder configuration record, ISO/IEC 14496-15
}

// bitReader reads from an RBSP; past its end there are zeros, and bad is set.
type bitReader struct {
	b   []byte
	at  int // bits
	bad bool
}

// rbsp takes the emulation prevention out of a NAL unit.
func rbsp(nal []byte) []byte {
	out := make([]byte, 0, len(nal))
	zeros := 0
	for _, x := range nal {
		if zeros >= 2 && x == 3 {
			zeros = 0
			continue
		}
		if zeros++; x != 0 {
			zeros = 0
		}
		out = append(out, x)
	}
	return out
}

func (r *bitReader) u(n int) (v uint32) {
	for range n {
		v <<= 1
		if i := r.at >> 3; i < len(r.b) {
			v |= uint32(r.b[i]>>(7-r.at&7)) & 1
		} else {
			r.bad = true
		}
		r.at++
	}
	return v
}

func (r *bitReader) flag() bool { return r.u(1) == 1 }

// ue reads an Exp-Golomb number.
func (r *bitReader) ue() uint32 {
	n := 0
	for !r.flag() {
		if n++; n > 31 || r.bad {
			r.bad = true
			return 0
		}
	}
	return 1<<n - 1 + r.u(n)
}

func (r *bitReader) se() { r.ue() }

// cropped returns sizes without the cropped parts, or false.
func (p *picture) cropped(w, h, left, right, top, bottom, unitX, unitY uint32) bool {
	if w > 1<<14 || h > 1<<14 || left > w || right > w || top > h || bottom > h {
		return false
	}
	p.width = int(w) - int(unitX*(left+right))
	p.height = int(h) - int(unitY*(top+bottom))
	return p.width > 0 && p.height > 0
}

// describe reads the parameter sets of a track.
func describe(t media.Track) (picture, error) {
	var vps, sps, pps [][]byte
	media.NALUnits(t.Config, func(nal []byte) {
		kind := nal[0] & 0x1f
		if t.Codec == media.H265 {
			kind = nal[0] >> 1 & 0x3f
		}
		switch {
		case len(nal) > 1<<12:
		case t.Codec == media.H264 && kind == 7, t.Codec == media.H265 && kind == 33:
			sps = append(sps, nal)
		case t.Codec == media.H264 && kind == 8, t.Codec == media.H265 && kind == 34:
			pps = append(pps, nal)
		case t.Codec == media.H265 && kind == 32:
			vps = append(vps, nal)
		}
	})
	if len(sps) == 0 || len(pps) == 0 || len(sps) > 31 || len(pps) > 255 || len(vps) > 15 {
		return picture{}, fmt.Errorf("%s: the key frame has %d sequence and %d picture parameter sets", t.Codec, len(sps), len(pps))
	}
	if t.Codec == media.H265 {
		return hevc(vps, sps, pps)
	}
	return avc(sps, pps)
}

func avc(sps, pps [][]byte) (p picture, err error) {
	first := sps[0]
	r := &bitReader{b: rbsp(first[1:])}
	profile, constraints, level := r.u(8), r.u(8), r.u(8)
	r.ue()
	chroma, depth, chromaDepth := uint32(1), uint32(0), uint32(0)
	high := false
	separate := false
	switch profile {
	case 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135:
		high = true
		if chroma = r.ue(); chroma == 3 {
			separate = r.flag()
		}
		depth, chromaDepth = r.ue(), r.ue()
		r.u(1)
		if r.flag() { // scaling lists
			n := 8
			if chroma == 3 {
				n = 12
			}
			for i := range n {
				if r.flag() {
					r.scaling(16 + 48*(i/6))
				}
			}
		}
	}
	r.ue()
	switch r.ue() {
	case 0:
		r.ue()
	case 1:
		r.u(1)
		r.se()
		r.se()
		n := r.ue()
		for i := uint32(0); i < n && !r.bad; i++ {
			r.se()
		}
	}
	r.ue()
	r.u(1)
	w, h := (r.ue()+1)*16, r.ue()+1
	frames := r.flag()
	lines := uint32(2)
	if frames {
		lines = 1
	} else {
		r.u(1)
	}
	h *= 16 * lines
	r.u(1)
	var left, right, top, bottom uint32
	if r.flag() {
		left, right, top, bottom = r.ue(), r.ue(), r.ue(), r.ue()
	}
	unitX, unitY := uint32(1), lines
	if !separate && (chroma == 1 || chroma == 2) {
		unitX = 2
	}
	if !separate && chroma == 1 {
		unitY = 2 * lines
	}
	if r.bad || chroma > 3 || !p.cropped(w, h, left, right, top, bottom, unitX, unitY) {
		return p, fmt.Errorf("h264: the sequence parameter set is malformed")
	}
	p.codec = fmt.Sprintf("avc1.%02X%02X%02X", profile, constraints, level)
	b := &box{}
	b.bytes(1, byte(profile), byte(constraints), byte(level), 0xff, 0xe0|byte(len(sps)))
	for _, s := range sps {
		b.u16(uint16(len(s)))
		b.bytes(s...)
	}
	b.u8(byte(len(pps)))
	for _, s := range pps {
		b.u16(uint16(len(s)))
		b.bytes(s...)
	}
	if high && (profile == 100 || profile == 110 || profile == 122 || profile == 244) {
		b.bytes(0xfc|byte(chroma), 0xf8|byte(depth), 0xf8|byte(chromaDepth), 0)
	}
	p.record = b.b
	return p, nil
}

// scaling passes over a scaling list of n numbers.
func (r *bitReader) scaling(n int) {
	last, next := int32(8), int32(8)
	for range n {
		if next != 0 {
			v := r.ue()
			delta := int32(v+1) / 2
			if v&1 == 0 {
				delta = -delta
			}
			next = (last + delta + 256) & 0xff
		}
		if next != 0 {
			last = next
		}
		if r.bad {
			return
		}
	}
}

func hevc(vps, sps, pps [][]byte) (p picture, err error) {
	if len(vps) == 0 || len(sps[0]) < 16 {
		return p, fmt.Errorf("h265: the key frame has no complete parameter sets")
	}
	raw := rbsp(sps[0][2:])
	r := &bitReader{b: raw}
	r.u(4)
	layers := r.u(3)
	nested := r.u(1)
	general := raw[1:min(13, len(raw))] // profile, compatibility, constraints, level
	if len(general) < 12 || layers > 6 {
		return p, fmt.Errorf("h265: the sequence parameter set is malformed")
	}
	r.at += 12 * 8
	if layers > 0 {
		var have [8][2]bool
		for i := range layers {
			have[i] = [2]bool{r.flag(), r.flag()}
		}
		r.u(int(8-layers) * 2)
		for i := range layers {
			if have[i][0] {
				r.at += 88
			}
			if have[i][1] {
				r.at += 8
			}
		}
	}
	r.ue()
	chroma := r.ue()
	separate := chroma == 3 && r.flag()
	w, h := r.ue(), r.ue()
	var left, right, top, bottom uint32
	if r.flag() {
		left, right, top, bottom = r.ue(), r.ue(), r.ue(), r.ue()
	}
	depth, chromaDepth := r.ue(), r.ue()
	unitX, unitY := uint32(1), uint32(1)
	if !separate && (chroma == 1 || chroma == 2) {
		unitX = 2
	}
	if !separate && chroma == 1 {
		unitY = 2
	}
	if r.bad || chroma > 3 || depth > 8 || chromaDepth > 8 || !p.cropped(w, h, left, right, top, bottom, unitX, unitY) {
		return p, fmt.Errorf("h265: the sequence parameter set is malformed")
	}
	p.codec = hevcCodec(general)
	b := &box{}
	b.u8(1)
	b.bytes(general...)
	b.u16(0xf000)
	b.bytes(0xfc, 0xfc|byte(chroma), 0xf8|byte(depth), 0xf8|byte(chromaDepth))
	b.u16(0)
	b.u8(byte(layers+1)<<3 | byte(nested)<<2 | 3)
	b.u8(3)
	for i, sets := range [][][]byte{vps, sps, pps} {
		b.u8(0x80 | byte(32+i))
		b.u16(uint16(len(sets)))
		for _, s := range sets {
			b.u16(uint16(len(s)))
			b.bytes(s...)
		}
	}
	p.record = b.b
	return p, nil
}

// hevcCodec spells profile_tier_level (ISO/IEC 14496-15, E.3).
func hevcCodec(general []byte) string {
	compat := uint32(general[1])<<24 | uint32(general[2])<<16 | uint32(general[3])<<8 | uint32(general[4])
	s := "hvc1." + strings.TrimLeft(string(rune('@'+general[0]>>6)), "@")
	tier := "L"
	if general[0]&0x20 != 0 {
		tier = "H"
	}
	s += fmt.Sprintf("%d.%X.%s%d", general[0]&0x1f, bits.Reverse32(compat), tier, general[11])
	constraints := general[5:11]
	for len(constraints) > 0 && constraints[len(constraints)-1] == 0 {
		constraints = constraints[:len(constraints)-1]
	}
	for _, c := range constraints {
		s += fmt.Sprintf(".%X", c)
	}
	return s
}

// codecOf returns a track's codec as RFC 6381 spells it.
func codecOf(t *track) string {
	switch t.media.Codec {
	case media.AAC:
		return fmt.Sprintf("mp4a.40.%d", t.media.Config[0]>>3)
	case media.Opus:
		return "opus"
	}
	return t.look.codec
}

// withLengths turns an Annex B access unit into NAL units with 4-byte lengths,
// without delimiters and filler.
func withLengths(c media.Codec, unit []byte) []byte {
	w := &box{b: make([]byte, 0, len(unit)+16)}
	media.NALUnits(unit, func(nal []byte) {
		kind := nal[0] & 0x1f
		drop := kind == 9 || kind == 12
		if c == media.H265 {
			kind = nal[0] >> 1 & 0x3f
			drop = kind == 35 || kind == 38
		}
		if !drop {
			w.u32(uint32(len(nal)))
			w.bytes(nal...)
		}
	})
	return w.b
}
