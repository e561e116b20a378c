package media

// This file answers: what is in an access unit of H.264 or H.265 (Annex B)?

// NAL unit types.
const (
	h264IDR, h264SPS, h264PPS          = 5, 7, 8
	h265VPS, h265SPS, h265PPS          = 32, 33, 34
	h265FirstIRAP, h265LastIRAP        = 16, 21
	h265FirstNonVCL, h264LastVCL uint8 = 32, 5
)

// NALUnits calls f for each NAL unit of an Annex B access unit, without start
// code and trailing zeros.
func NALUnits(b []byte, f func(nal []byte)) {
	begin := -1
	for i := 0; i+3 <= len(b); {
		switch {
		case b[i+2] > 1:
			i += 3
		case b[i] == 0 && b[i+1] == 0 && b[i+2] == 1:
			if begin >= 0 {
				giveNAL(b[begin:i], f)
			}
			begin = i + 3
			i += 3
		default:
			i++
		}
	}
	if begin >= 0 {
		giveNAL(b[begin:], f)
	}
}

func giveNAL(b []byte, f func([]byte)) {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	if len(b) > 0 {
		f(b)
	}
}

// nalType returns the type of a NAL unit that is not empty.
func nalType(c Codec, nal []byte) uint8 {
	if c == H265 {
		return nal[0] >> 1 & 0x3f
	}
	return nal[0] & 0x1f
}

// parameterSet reports whether a decoder needs a unit of type t before all others.
func parameterSet(c Codec, t uint8) bool {
	if c == H265 {
		return t == h265VPS || t == h265SPS || t == h265PPS
	}
	return t == h264SPS || t == h264PPS
}

// unit says what an access unit is.
type unit struct {
	picture bool
	key     bool
	config  []byte // its parameter sets, if it has a sequence's
}

func scanUnit(c Codec, data []byte) (u unit) {
	var config []byte
	sps := false
	NALUnits(data, func(nal []byte) {
		t := nalType(c, nal)
		switch {
		case parameterSet(c, t):
			config = append(append(config, 0, 0, 0, 1), nal...)
			sps = sps || t == h264SPS && c == H264 || t == h265SPS && c == H265
		case c == H265:
			u.picture = u.picture || t < h265FirstNonVCL
			u.key = u.key || t >= h265FirstIRAP && t <= h265LastIRAP
		default:
			u.picture = u.picture || t >= 1 && t <= h264LastVCL
			u.key = u.key || t == h264IDR
		}
	})
	if sps {
		u.config = config
	}
	return u
}
