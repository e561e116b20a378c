package rtc

// This file answers: what does a viewer get who comes now? The current group
// from its key frame on, then what follows, cut into RTP payloads once for all.

import (
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/pion/rtp/codecs"

	"github.com/braidway/braidway/internal/media"
)

const (
	// maxPayload of an RTP packet, bytes: with RTP, SRTP, UDP and IPv6 headers
	// it stays under 1280, which every path carries.
	maxPayload = 1188
	// maxGroup bounds the group that is kept, bytes: 10 s of 20 Mbit/s.
	maxGroup = 25 << 20
	// surePictures must have gone by before a stream counts as free of B-frames:
	// more than any encoder puts between two others.
	surePictures = 5
	// disorderly is for how many pictures a stream counts as one with B-frames
	// after the last; a picture alone may be a jump of the timestamps.
	disorderly = 250
)

// unit is an access unit or an Opus packet, ready to be sent.
type unit struct {
	video, key bool
	pts        time.Duration
	payloads   [][]byte // not to be written to
}

// feed takes the stream apart and gives it to the viewers.
type feed struct {
	log *slog.Logger

	mu       sync.Mutex
	demux    *media.Demuxer
	bad      error // the stream is no MPEG-TS
	video    int   // Track.ID of what is sent; -1: none
	audio    int
	h264     codecs.H264Payloader
	group    []*unit // since the last key frame, that included; only video
	size     int     // of group, bytes
	pictures int     // since the first key frame
	last     time.Duration
	disorder int // pictures until the stream counts as ordered again
	swaps    int // pictures shown before one that was sent earlier, meanwhile
	sound    bool
	viewers  map[*viewer]struct{}
}

func (f *feed) start(log *slog.Logger) {
	f.log, f.video, f.audio, f.viewers = log, -1, -1, make(map[*viewer]struct{})
	f.h264.DisableStapA = true // which keeps but the last picture parameter set
	f.demux = media.NewDemuxer(f.frame)
}

func (f *feed) write(b []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bad == nil {
		_, f.bad = f.demux.Write(b)
	}
}

// gap lets all wait for the next key frame: what refers to lost pictures is no picture.
func (f *feed) gap() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.demux.Gap()
	f.group, f.size = nil, 0
}

// bFrames is what a stream with reordered pictures gets.
func bFrames() error {
	return refuse(http.StatusConflict, "the stream has B-frames, which WebRTC cannot show; watch it with HLS or MPEG-TS, or let the encoder make none (x264: bframes=0 or tune=zerolatency; OBS: Max B-frames 0)")
}

// source returns what there is to send, or why a viewer must be refused.
func (f *feed) source() (source, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bad != nil {
		return source{}, refuse(http.StatusConflict, "the stream is not MPEG-TS: WebRTC cannot carry it")
	}
	s, err := sourceOf(f.demux.Tracks(), f.demux.Unsupported())
	switch {
	case err != nil:
		return s, err
	case s.video == nil && f.sound:
		return s, nil
	case s.video == nil:
		return s, later(http.StatusServiceUnavailable, "the stream has not started")
	case f.reordered():
		return s, bFrames()
	case len(f.group) == 0 || f.pictures < surePictures:
		return s, later(http.StatusServiceUnavailable, "the stream's first key frame has not come yet")
	}
	s.sps = spsOf(s.video.Config)
	return s, nil
}

// spsOf returns the first sequence parameter set.
func spsOf(config []byte) (sps []byte) {
	media.NALUnits(config, func(nal []byte) {
		if sps == nil && nal[0]&0x1f == 7 {
			sps = nal
		}
	})
	return sps
}

func (f *feed) reordered() bool { return f.disorder > 0 && f.swaps > 1 }

// frame takes a frame from the demuxer; mu is held.
func (f *feed) frame(fr media.Frame) {
	src, err := sourceOf(f.demux.Tracks(), nil)
	if err != nil {
		f.clear()
		return
	}
	switch {
	case src.video != nil && fr.Track == src.video.ID:
		if f.video != fr.Track {
			f.clear()
			f.video = fr.Track
		}
		f.picture(fr, src.video.Config)
	case src.audio != nil && fr.Track == src.audio.ID && src.audio.Codec == media.Opus:
		f.sound = true
		f.give(&unit{key: true, pts: fr.PTS, payloads: [][]byte{fr.Data}})
	}
}

// clear forgets the video that was.
func (f *feed) clear() {
	f.video, f.group, f.size, f.pictures, f.disorder, f.swaps, f.last = -1, nil, 0, 0, 0, 0, 0
}

func (f *feed) picture(fr media.Frame, config []byte) {
	was := f.reordered()
	if f.disorder--; f.disorder <= 0 {
		f.disorder, f.swaps = 0, 0
	}
	if fr.PTS < f.last {
		f.disorder, f.swaps = disorderly, f.swaps+1
	}
	f.last = max(f.last, fr.PTS)
	if f.reordered() {
		f.group, f.size = nil, 0
		if !was {
			f.log.Warn("the stream has B-frames: no viewer can be served over WebRTC")
			for v := range f.viewers {
				v.session.end("the stream has B-frames, which WebRTC cannot show")
			}
		}
		return
	}
	data := fr.Data
	if fr.Key && spsOf(data) == nil {
		data = append(append([]byte(nil), config...), data...)
	}
	u := &unit{video: true, key: fr.Key, pts: fr.PTS, payloads: f.h264.Payload(maxPayload, data)}
	if len(u.payloads) == 0 {
		return
	}
	switch {
	case u.key:
		f.group, f.size = append([]*unit(nil), u), len(data)
	case len(f.group) == 0:
		return // nobody can show it
	case f.size+len(data) > maxGroup:
		f.log.Warn("no key frame for too long: newcomers wait for the next", "bytes", f.size)
		f.group, f.size = nil, 0
	default:
		f.group, f.size = append(f.group, u), f.size+len(data)
	}
	f.pictures++
	f.give(u)
}

func (f *feed) give(u *unit) {
	for v := range f.viewers {
		v.give(u)
	}
}

// join lets a viewer have the current group and all that follows.
func (f *feed) join(v *viewer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v.begin = append(v.begin, f.group...)
	v.wait = v.video != nil && len(v.begin) == 0
	f.viewers[v] = struct{}{}
}

// part lets it go.
func (f *feed) part(v *viewer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.viewers, v)
}
