package media

// This file answers: which frame is in an audio or video message of RTMP (FLV
// tags, and those of Enhanced RTMP v2)?

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// CodecError says that an encoder sends what cannot be published.
type CodecError struct{ Codec string }

// Error implements error.
func (e *CodecError) Error() string {
	return fmt.Sprintf("%s cannot be published: set the encoder to H.264 or H.265 video, and AAC or Opus audio", e.Codec)
}

var errTag = errors.New("rtmp: an audio or video message is malformed")

// The tracks of an encoder over RTMP.
const (
	flvVideo = 1
	flvAudio = 2
)

// flvTracks takes the messages of one encoder apart.
type flvTracks struct {
	video, audio Track
	nalSize      int    // bytes of the length before each NAL unit
	last         uint32 // the timestamp that the next one is unwrapped against
	at           time.Duration
	begun        bool
}

// stamp unwraps a timestamp of 32 bits, ms; the first one is 0.
func (f *flvTracks) stamp(ms uint32) time.Duration {
	if !f.begun {
		f.begun, f.last = true, ms
	}
	f.at += time.Duration(int32(ms-f.last)) * time.Millisecond
	f.last = ms
	return f.at
}

// oldVideo names the codecs of a video tag.
var oldVideo = map[byte]string{2: "Sorenson H.263 video", 3: "Screen video", 4: "VP6 video", 5: "VP6 video", 6: "Screen video", 8: "H.263 video", 9: "MPEG-4 part 2 video", 13: "AV1 video"}

// picture takes a video message; ok: there is a frame in it.
func (f *flvTracks) picture(b []byte, ms uint32) (out Frame, ok bool, err error) {
	if len(b) < 1 {
		return out, false, nil // OBS sends empty messages to keep the way open
	}
	var codec Codec
	var packet byte
	var data []byte
	kind := b[0] >> 4 & 7
	var shift int32 // PTS − DTS, ms
	if b[0]&0x80 != 0 {
		if len(b) < 5 {
			return out, false, errTag
		}
		packet, data = b[0]&0x0f, b[5:]
		switch string(b[1:5]) {
		case "avc1":
			codec = H264
		case "hvc1":
			codec = H265
		case "av01":
			return out, false, &CodecError{"AV1 video"}
		case "vp09":
			return out, false, &CodecError{"VP9 video"}
		default:
			return out, false, &CodecError{fmt.Sprintf("video of kind %q", b[1:5])}
		}
		switch packet {
		case 0, 2: // configuration, end of sequence
		case 1:
			if len(data) < 3 {
				return out, false, errTag
			}
			shift, data = signed24(data), data[3:]
		case 3: // frames without a shift
			packet = 1
		default: // metadata
			return out, false, nil
		}
	} else {
		switch id := b[0] & 0x0f; id {
		case 7:
			codec = H264
		case 12: // as several vendors did before Enhanced RTMP
			codec = H265
		default:
			name := oldVideo[id]
			if name == "" {
				name = fmt.Sprintf("video of kind %d", id)
			}
			return out, false, &CodecError{name}
		}
		if kind == 5 { // a command to the player
			return out, false, nil
		}
		if len(b) < 5 {
			return out, false, errTag
		}
		packet, shift, data = b[1], signed24(b[2:]), b[5:]
	}
	switch packet {
	case 0:
		config, size, err := parameterSets(codec, data)
		if err != nil {
			return out, false, err
		}
		f.video, f.nalSize = Track{ID: flvVideo, Codec: codec, Config: config}, size
		return out, false, nil
	case 2:
		return out, false, nil
	}
	if f.nalSize == 0 || f.video.Codec != codec {
		return out, false, nil // a frame without its configuration cannot be decoded
	}
	annexB, err := toAnnexB(data, f.nalSize)
	if err != nil || len(annexB) == 0 {
		return out, false, err
	}
	u := scanUnit(codec, annexB)
	out.Key = u.key || kind == 1
	if out.Key && u.config == nil {
		annexB = append(append([]byte(nil), f.video.Config...), annexB...)
	}
	at := f.stamp(ms)
	out.Track, out.DTS, out.PTS, out.Data = flvVideo, at, at+time.Duration(shift)*time.Millisecond, annexB
	return out, true, nil
}

// oldAudio names the codecs of an audio tag.
var oldAudio = map[byte]string{0: "PCM audio", 1: "ADPCM audio", 2: "MP3 audio", 3: "PCM audio", 4: "Nellymoser audio", 5: "Nellymoser audio", 6: "Nellymoser audio", 7: "G.711 audio", 8: "G.711 audio", 11: "Speex audio", 14: "MP3 audio"}

// sound takes an audio message; ok: there is a frame in it.
func (f *flvTracks) sound(b []byte, ms uint32) (out Frame, ok bool, err error) {
	if len(b) < 2 {
		return out, false, nil
	}
	codec, packet, data := AAC, b[1], b[2:]
	switch id := b[0] >> 4; id {
	case 10:
	case 9: // Enhanced RTMP
		if len(b) < 5 {
			return out, false, errTag
		}
		packet, data = b[0]&0x0f, b[5:]
		switch string(b[1:5]) {
		case "mp4a":
		case "Opus":
			codec = Opus
		default:
			return out, false, &CodecError{fmt.Sprintf("audio of kind %q", b[1:5])}
		}
	default:
		name := oldAudio[id]
		if name == "" {
			name = fmt.Sprintf("audio of kind %d", id)
		}
		return out, false, &CodecError{name}
	}
	switch {
	case packet == 0 && codec == AAC:
		if _, err := adtsHeader(data, 0); err != nil {
			return out, false, err
		}
		f.audio = Track{ID: flvAudio, Codec: AAC, Config: append([]byte(nil), data...)}
		return out, false, nil
	case packet == 0: // an OpusHead (RFC 7845, 5.1): the channels are the tenth byte
		f.audio = Track{ID: flvAudio, Codec: Opus, Rate: 48000, Channels: 2}
		if len(data) > 9 && data[9] >= 1 && data[9] <= 8 {
			f.audio.Channels = int(data[9])
		}
		return out, false, nil
	case packet != 1 || f.audio.Codec != codec || len(data) == 0:
		return out, false, nil
	}
	at := f.stamp(ms)
	return Frame{Track: flvAudio, PTS: at, DTS: at, Key: true, Data: data}, true, nil
}

func signed24(b []byte) int32 { return int32(uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8) >> 8 }

// toAnnexB puts start codes where lengths are.
func toAnnexB(b []byte, size int) ([]byte, error) {
	out := make([]byte, 0, len(b)+16)
	for len(b) > 0 {
		if len(b) < size {
			return nil, errTag
		}
		n := 0
		for _, x := range b[:size] {
			n = n<<8 | int(x)
		}
		if b = b[size:]; n > len(b) {
			return nil, errTag
		}
		if n > 0 {
			out = append(append(out, 0, 0, 0, 1), b[:n]...)
		}
		b = b[n:]
	}
	return out, nil
}

// parameterSets reads an AVC or HEVC decoder configuration record (ISO/IEC
// 14496-15): the sets in Annex B form, and the size of the lengths in frames.
func parameterSets(c Codec, b []byte) (sets []byte, size int, err error) {
	take := func(n int) ([]byte, bool) {
		if len(b) < n {
			return nil, false
		}
		x := b[:n]
		b = b[n:]
		return x, true
	}
	nals := func(n int) bool {
		for range n {
			l, ok := take(2)
			if !ok {
				return false
			}
			nal, ok := take(int(binary.BigEndian.Uint16(l)))
			if !ok || len(nal) == 0 {
				return false
			}
			sets = append(append(sets, 0, 0, 0, 1), nal...)
		}
		return true
	}
	if c == H264 {
		head, ok := take(6)
		if !ok || head[0] != 1 || !nals(int(head[5]&0x1f)) {
			return nil, 0, errTag
		}
		n, ok := take(1)
		if !ok || !nals(int(n[0])) {
			return nil, 0, errTag
		}
		return sets, int(head[4]&3) + 1, nil
	}
	head, ok := take(23)
	if !ok {
		return nil, 0, errTag
	}
	for range head[22] {
		a, ok := take(3)
		if !ok || !nals(int(binary.BigEndian.Uint16(a[1:]))) {
			return nil, 0, errTag
		}
	}
	return sets, int(head[21]&3) + 1, nil
}
