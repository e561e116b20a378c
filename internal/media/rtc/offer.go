package rtc

// This file answers: what does an SDP offer offer?

import (
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

const (
	// maxSDP bounds a body, bytes: Chromium's offer with all its codecs is 7 kB.
	maxSDP = 64 << 10
	// maxSections bounds the media sections of an offer: one video, one audio.
	maxSections = 2
	// maxFormats bounds the payload types of a section: there are no more dynamic ones.
	maxFormats = 128
)

// offer is a parsed and bounded SDP offer.
type offer struct {
	text string
	h264 []h264Format // in the offer's order; empty: it has no H.264 with packetization mode 1
	opus *webrtc.RTPCodecParameters
	// Directions of the sections: "recvonly" and so on; empty: there is none.
	video, audio string
	videoCodecs  []string // names, for messages
}

// h264Format is one way to send H.264 that is offered.
type h264Format struct {
	params  webrtc.RTPCodecParameters
	profile [2]byte // profile_idc and the constraint flags
	rtx     webrtc.PayloadType
}

// parseOffer reads an offer. Every error is a refusal with status 400.
func parseOffer(b []byte) (*offer, error) {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(string(b)); err != nil {
		return nil, refuse(http.StatusBadRequest, "the body is not SDP: %v", err)
	}
	if len(d.MediaDescriptions) == 0 || len(d.MediaDescriptions) > maxSections {
		return nil, refuse(http.StatusBadRequest, "the offer has %d media sections, allowed are 1 to %d: one video and at most one audio", len(d.MediaDescriptions), maxSections)
	}
	o := &offer{text: string(b)}
	for _, m := range d.MediaDescriptions {
		if len(m.MediaName.Formats) > maxFormats {
			return nil, refuse(http.StatusBadRequest, "the %s section has %d formats, allowed are %d", m.MediaName.Media, len(m.MediaName.Formats), maxFormats)
		}
		switch kind := m.MediaName.Media; {
		case kind == "video" && o.video == "":
			o.video = direction(m)
			o.readVideo(m)
		case kind == "audio" && o.audio == "":
			o.audio = direction(m)
			o.readAudio(m)
		default:
			return nil, refuse(http.StatusBadRequest, "the offer has a section %q too many: one video and at most one audio", kind)
		}
	}
	return o, nil
}

func direction(m *sdp.MediaDescription) string {
	for _, d := range []string{"recvonly", "sendonly", "inactive"} {
		if _, ok := m.Attribute(d); ok {
			return d
		}
	}
	return "sendrecv"
}

// format is one payload type of a section.
type format struct {
	id    webrtc.PayloadType
	name  string // in lower case
	rate  uint32
	chans uint16
	fmtp  string
}

// formats reads the rtpmap and fmtp lines of a section, in its order.
func formats(m *sdp.MediaDescription) []format {
	maps, params := map[string]string{}, map[string]string{}
	for _, a := range m.Attributes {
		id, rest, ok := strings.Cut(a.Value, " ")
		switch {
		case !ok:
		case a.Key == "rtpmap":
			maps[id] = rest
		case a.Key == "fmtp":
			params[id] = rest
		}
	}
	var all []format
	for _, id := range m.MediaName.Formats {
		n, err := strconv.ParseUint(id, 10, 7)
		parts := strings.Split(maps[id], "/")
		if err != nil || len(parts) < 2 {
			continue
		}
		f := format{id: webrtc.PayloadType(n), name: strings.ToLower(parts[0]), fmtp: params[id]}
		if rate, err := strconv.ParseUint(parts[1], 10, 32); err == nil {
			f.rate = uint32(rate)
		}
		if len(parts) > 2 {
			if c, err := strconv.ParseUint(parts[2], 10, 16); err == nil {
				f.chans = uint16(c)
			}
		}
		all = append(all, f)
	}
	return all
}

// param returns a parameter of an fmtp line.
func param(fmtp, key string) string {
	for part := range strings.SplitSeq(fmtp, ";") {
		if k, v, ok := strings.Cut(strings.TrimSpace(part), "="); ok && strings.EqualFold(k, key) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// feedback is what this package understands: lost packets are sent again, a
// picture that was lost is asked for.
var feedback = []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}}

func (o *offer) readVideo(m *sdp.MediaDescription) {
	all := formats(m)
	for _, f := range all {
		if !slices.Contains([]string{"rtx", "red", "ulpfec", "flexfec-03"}, f.name) && !slices.Contains(o.videoCodecs, f.name) {
			o.videoCodecs = append(o.videoCodecs, f.name)
		}
		level, err := hex.DecodeString(param(f.fmtp, "profile-level-id"))
		if f.name != "h264" || f.rate != 90000 || param(f.fmtp, "packetization-mode") != "1" || err != nil || len(level) != 3 {
			continue
		}
		h := h264Format{profile: [2]byte(level)}
		h.params = webrtc.RTPCodecParameters{PayloadType: f.id, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeH264, ClockRate: 90000, SDPFmtpLine: f.fmtp, RTCPFeedback: feedback}}
		for _, x := range all {
			if x.name == "rtx" && param(x.fmtp, "apt") == strconv.Itoa(int(f.id)) {
				h.rtx = x.id
			}
		}
		o.h264 = append(o.h264, h)
	}
}

func (o *offer) readAudio(m *sdp.MediaDescription) {
	for _, f := range formats(m) {
		if f.name == "opus" && f.rate == 48000 {
			o.opus = &webrtc.RTPCodecParameters{PayloadType: f.id, RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: f.fmtp}}
			return
		}
	}
}

// h264For returns the format that fits a stream's sequence parameter set best,
// and whether its profile is the stream's: else decoders must be more able than
// they say, as those of Firefox are.
func (o *offer) h264For(sps []byte) (best h264Format, exact bool) {
	if len(sps) < 4 {
		return o.h264[0], false
	}
	want := [2]byte{sps[1], sps[2]}
	rank := -1
	for _, f := range o.h264 {
		r := 0
		switch {
		case f.profile == want:
			r = 3
		case includes(f.profile, want):
			r = 2
		case f.profile[0] >= want[0]:
			r = 1
		}
		if r > rank {
			best, rank = f, r
		}
	}
	return best, rank >= 2
}

// includes reports whether a decoder of profile a shows every stream of profile
// b (H.264 Annex A): constrained baseline is in main and high, main in high.
func includes(a, b [2]byte) bool {
	const baseline, main, high = 66, 77, 100
	constrained := b[0] == baseline && b[1]&0x40 != 0 // constraint_set1
	switch a[0] {
	case high:
		return b[0] == high && a[1]&0x0c == 0 || b[0] == main || constrained
	case main:
		return b[0] == main || constrained
	case baseline:
		return constrained || b[0] == baseline && a[1]&0x40 == 0
	}
	return false
}
