package rtc

// This file answers: how does a viewer's browser get the stream (WHEP), and
// which streams and offers are refused?

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/webrtc/v4"

	"github.com/braidway/braidway/internal/media"
	"github.com/braidway/braidway/stream"
)

// WHEPConfig of NewWHEP; its zero value works.
type WHEPConfig struct {
	// Path of the endpoint; sessions are below it. Default "/whep".
	Path string
	// MaxSessions at a time. Default 32: each costs the upload the whole stream.
	MaxSessions int
	// Log of sessions; nil: none.
	Log *slog.Logger
}

// AudioHeader of an answer says what becomes of the stream's sound: "opus",
// "none", or "not sent: …" with the reason.
const AudioHeader = "Braidway-Audio"

// WHEP is an endpoint for viewers. It is a writer that takes the stream as
// MPEG-TS, from any point on, and an http.Handler for its path and all below.
// What it writes goes to each session without transcoding.
type WHEP struct {
	endpoint
	feed feed
}

// NewWHEP returns an endpoint that has no stream yet.
func NewWHEP(cfg WHEPConfig) *WHEP {
	if cfg.Path == "" {
		cfg.Path = "/whep"
	}
	if cfg.MaxSessions == 0 {
		cfg.MaxSessions = 32
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	w := &WHEP{}
	w.endpoint = endpoint{path: strings.TrimSuffix(cfg.Path, "/"), most: cfg.MaxSessions, log: cfg.Log, permit: everyone,
		ready: w.ready, accept: w.accept, sessions: make(map[string]*session)}
	w.feed.start(cfg.Log)
	return w
}

// Write takes the next bytes of the stream; it never waits and never fails.
func (w *WHEP) Write(b []byte) (int, error) {
	w.feed.write(b)
	return len(b), nil
}

// StartGroup says that a group begins; WHEP sees for itself.
func (w *WHEP) StartGroup(stream.Header) {}

// Gap says that bytes are missing before the next Write: viewers keep their
// picture until the next key frame.
func (w *WHEP) Gap() { w.feed.gap() }

// Close ends all sessions and waits until they have; new ones get 503.
func (w *WHEP) Close() error {
	w.close("this peer is leaving")
	return nil
}

// everyone may watch, also from pages elsewhere: the stream is no secret to who
// reaches us.
func everyone(w http.ResponseWriter, _ *http.Request) error {
	anyOrigin(w, "*")
	return nil
}

// anyOrigin lets pages of an origin read the answer.
func anyOrigin(w http.ResponseWriter, origin string) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Methods", "DELETE, OPTIONS, PATCH, POST")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match")
	h.Set("Access-Control-Expose-Headers", "Accept-Patch, "+AudioHeader+", "+LinkHeader+", ETag, Location, Retry-After")
	h.Set("Access-Control-Max-Age", "86400")
}

func (w *WHEP) ready() error {
	w.mu.Lock()
	leaving := w.leaving || w.closed
	w.mu.Unlock()
	if leaving {
		return later(http.StatusServiceUnavailable, "this peer is leaving")
	}
	_, err := w.feed.source()
	return err
}

// accept makes the connection of a viewer.
func (w *WHEP) accept(s *session, o *offer, header http.Header, r *http.Request) (string, error) {
	src, err := w.feed.source()
	if err != nil {
		return "", err
	}
	takes := func(direction string) bool { return direction == "recvonly" || direction == "sendrecv" }
	v := &viewer{session: s, queue: make(chan *unit, viewerQueue)}
	engine, tracks := &webrtc.MediaEngine{}, []*webrtc.TrackLocalStaticRTP{}
	switch {
	case src.video == nil:
	case !takes(o.video):
		return "", refuse(http.StatusBadRequest, "the offer does not take video: give it a video section with a=recvonly")
	case len(o.h264) == 0:
		return "", refuse(http.StatusUnsupportedMediaType, "the stream is H.264; the offer has no H.264 with packetization-mode=1, only %s", strings.Join(o.videoCodecs, ", "))
	default:
		f, exact := o.h264For(src.sps)
		if !exact {
			w.log.Warn("the client does not say that it decodes the stream's H.264 profile; it is sent all the same", "client", s.from, "profile", fmt.Sprintf("%x", src.profile()), "chosen", f.params.SDPFmtpLine)
		}
		if err := register(engine, f.params, webrtc.RTPCodecTypeVideo); err != nil {
			return "", err
		}
		if f.rtx != 0 {
			if err := registerRTX(engine, f); err != nil {
				return "", err
			}
		}
		if v.video, err = webrtc.NewTrackLocalStaticRTP(f.params.RTPCodecCapability, "video", "braidway"); err != nil {
			return "", err
		}
		tracks = append(tracks, v.video)
	}
	switch {
	case src.audio == nil:
		header.Set(AudioHeader, "none")
	case src.audio.Codec != media.Opus:
		header.Set(AudioHeader, fmt.Sprintf("not sent: %s cannot go over WebRTC without transcoding", src.audio.Codec))
		w.log.Info("video only: the stream's sound cannot go over WebRTC without transcoding", "client", s.from, "codec", src.audio.Codec)
	case !takes(o.audio) || o.opus == nil:
		header.Set(AudioHeader, "not sent: the offer takes no Opus")
	default:
		header.Set(AudioHeader, "opus")
		if err := register(engine, *o.opus, webrtc.RTPCodecTypeAudio); err != nil {
			return "", err
		}
		if v.audio, err = webrtc.NewTrackLocalStaticRTP(o.opus.RTPCodecCapability, "audio", "braidway"); err != nil {
			return "", err
		}
		tracks = append(tracks, v.audio)
	}
	if len(tracks) == 0 {
		return "", refuse(http.StatusUnsupportedMediaType, "the stream has only Opus sound, and the offer takes none")
	}
	chain, err := senderChain(pionLog{w.log})
	if err != nil {
		return "", err
	}
	if s.pc, err = connect(engine, chain, w.log); err != nil {
		return "", err
	}
	for _, t := range tracks {
		tr, err := s.pc.AddTransceiverFromTrack(t, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		if err != nil {
			return "", err
		}
		w.ending.Go(func() { v.readReports(tr.Sender()) })
	}
	s.follow(func() {
		w.ending.Go(func() {
			w.feed.join(v)
			defer w.feed.part(v)
			v.send()
			w.log.Info("WHEP: sent", "session", s.id, "packets", v.packets, "skipped_frames", v.skipped, "nacks", v.nacks.Load(), "plis", v.plis.Load())
		})
	})
	return answer(r.Context(), s.pc, o.text)
}

// register is MediaEngine.RegisterCodec, which is told the same of each format once.
func register(m *webrtc.MediaEngine, p webrtc.RTPCodecParameters, kind webrtc.RTPCodecType) error {
	if err := m.RegisterCodec(p, kind); err != nil {
		return refuse(http.StatusBadRequest, "the offer's format %d cannot be used: %v", p.PayloadType, err)
	}
	return nil
}

// senderChain answers NACKs from the last packets and reports the clock.
func senderChain(log pionLog) (*interceptor.Registry, error) {
	again, err1 := nack.NewResponderInterceptor(nack.ResponderSize(2048), nack.WithResponderLoggerFactory(log))
	reports, err2 := report.NewSenderInterceptor(report.WithSenderLoggerFactory(log))
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	r := &interceptor.Registry{}
	r.Add(again)
	r.Add(reports)
	return r, nil
}

// source is what there is to send.
type source struct {
	video, audio *media.Track // nil: none
	sps          []byte       // of the video
}

func (s source) profile() []byte { return s.sps[min(1, len(s.sps)):min(4, len(s.sps))] }

// sourceOf says which of a stream's tracks can be sent, or why none.
func sourceOf(tracks []media.Track, other []string) (source, error) {
	var s source
	for _, t := range slices.Backward(tracks) {
		switch t.Codec {
		case media.H265:
			return s, refuse(http.StatusConflict, "the stream is H.265, which browsers do not take over WebRTC; watch it with HLS or MPEG-TS, or publish H.264")
		case media.H264:
			s.video = &t
		default:
			s.audio = &t
		}
	}
	switch {
	case s.video == nil && s.audio == nil && len(other) == 0:
		return s, later(http.StatusServiceUnavailable, "the stream has not started")
	case s.video == nil && (s.audio == nil || s.audio.Codec != media.Opus):
		if s.audio != nil {
			other = append(other, string(s.audio.Codec))
		}
		return s, refuse(http.StatusConflict, "the stream has nothing that WebRTC carries (H.264, Opus) but %s; watch it with HLS or MPEG-TS", strings.Join(other, ", "))
	}
	return s, nil
}
