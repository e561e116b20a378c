package rtc

// This file answers: how does a browser or an encoder publish here (WHIP), and
// who may?

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/braidway/braidway/internal/media"
)

const (
	// keyEvery is how often a key frame is asked for: the length of groups.
	keyEvery = time.Second
	// maxOffered bounds the H.264 formats of an offer that are answered.
	maxOffered = 16
)

// WHIPConfig of NewWHIP; its zero value works.
type WHIPConfig struct {
	// Token that encoders must bring (Authorization: Bearer). Without one, only
	// who reaches us by a loopback address may publish.
	Token string
	// Link is the stream's link, which who publishes is told (LinkHeader); nil or
	// empty: there is none.
	Link func() string
	// Log of sessions; nil: none.
	Log *slog.Logger
}

// whipPath is the endpoint's; sessions are below it.
const whipPath = "/whip"

// LinkHeader of an answer to a publisher is the link of the stream that it feeds.
const LinkHeader = "Braidway-Link"

// WHIP is an endpoint for one publisher at a time. It is an http.Handler for
// /whip and all below.
type WHIP struct {
	endpoint
	token string
	link  func() string
	in    *media.Ingest
}

// NewWHIP returns an endpoint that pushes into in.
func NewWHIP(in *media.Ingest, cfg WHIPConfig) *WHIP {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	w := &WHIP{token: cfg.Token, link: cfg.Link, in: in}
	// Some more than one: who comes while another publishes hears of it from the
	// input, and a connection that was left takes a while to end.
	w.endpoint = endpoint{path: whipPath, most: 4, log: cfg.Log, permit: w.permit,
		ready: func() error { return nil }, accept: w.accept, sessions: make(map[string]*session)}
	return w
}

// Close ends the session and waits until it has.
func (w *WHIP) Close() error {
	w.close("the publisher is leaving")
	return nil
}

// permit lets in who brings the token. Where there is none, a request must come
// to a loopback address by its name or number, and not from a page of another
// site: pages anywhere can send requests to the machine that shows them.
func (w *WHIP) permit(rw http.ResponseWriter, r *http.Request) error {
	origin := r.Header.Get("Origin")
	if w.token == "" {
		if !loopback(r.Host) {
			return refuse(http.StatusForbidden, "without a token, publishing is for this machine alone: use the host 127.0.0.1, or set a token")
		}
		if u, err := url.Parse(origin); origin != "" && (err != nil || !loopback(u.Host)) {
			return refuse(http.StatusForbidden, "pages of %s may not publish here; set a token", origin)
		}
	} else if r.Method != http.MethodOptions {
		got, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		a, b := sha256.Sum256([]byte(strings.TrimSpace(got))), sha256.Sum256([]byte(w.token))
		if !ok || subtle.ConstantTimeCompare(a[:], b[:]) != 1 {
			rw.Header().Set("WWW-Authenticate", "Bearer")
			return refuse(http.StatusUnauthorized, "the token is missing or wrong: send Authorization: Bearer TOKEN (in OBS: the stream's bearer token)")
		}
	}
	if origin != "" {
		anyOrigin(rw, origin)
	}
	return nil
}

// loopback reports whether a host, with or without port, is this machine by a
// name that nobody else can give.
func loopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// accept makes the connection of a publisher.
func (w *WHIP) accept(s *session, o *offer, header http.Header, r *http.Request) (string, error) {
	sends := func(direction string) bool { return direction == "sendonly" || direction == "sendrecv" }
	if !sends(o.video) {
		return "", refuse(http.StatusBadRequest, "the offer sends no video: give it a video section with a=sendonly")
	}
	if len(o.h264) == 0 {
		return "", refuse(http.StatusUnsupportedMediaType, "the offer has no H.264 with packetization-mode=1, only %s; choose H.264 in the encoder", strings.Join(o.videoCodecs, ", "))
	}
	tracks := []media.Track{{ID: videoTrack, Codec: media.H264}}
	engine := &webrtc.MediaEngine{}
	for _, f := range o.h264[:min(len(o.h264), maxOffered)] {
		if err := register(engine, f.params, webrtc.RTPCodecTypeVideo); err != nil {
			return "", err
		}
		if f.rtx != 0 {
			if err := registerRTX(engine, f); err != nil {
				return "", err
			}
		}
	}
	switch {
	case !sends(o.audio):
		header.Set(AudioHeader, "none")
	case o.opus == nil:
		header.Set(AudioHeader, "not taken: the offer has no Opus")
	default:
		header.Set(AudioHeader, "opus")
		if err := register(engine, *o.opus, webrtc.RTPCodecTypeAudio); err != nil {
			return "", err
		}
		tracks = append(tracks, media.Track{ID: audioTrack, Codec: media.Opus, Rate: 48000, Channels: 2})
	}
	chain, err := receiverChain(engine, pionLog{w.log})
	if err != nil {
		return "", err
	}
	if s.pc, err = connect(engine, chain, w.log); err != nil {
		return "", err
	}
	push, err := w.in.Begin(r.RemoteAddr)
	var busy *media.BusyError
	switch {
	case errors.As(err, &busy):
		return "", later(http.StatusConflict, "%v", err)
	case err != nil:
		return "", later(http.StatusServiceUnavailable, "%v", err)
	}
	if err := push.Tracks(tracks); err != nil {
		push.End(err.Error())
		return "", err
	}
	if w.link != nil {
		if link := w.link(); link != "" {
			header.Set(LinkHeader, link)
		}
	}
	in := newReceiver(push, s, w.log)
	w.ending.Go(func() {
		select {
		case <-s.done:
		case <-push.Gone():
			s.end("fell silent, and another encoder has come")
		}
		push.End(s.why)
	})
	s.pc.OnTrack(func(t *webrtc.TrackRemote, rx *webrtc.RTPReceiver) {
		w.ending.Go(func() { in.readReports(t, rx) })
		w.ending.Go(func() { in.read(t) })
		if t.Kind() == webrtc.RTPCodecTypeVideo {
			w.ending.Go(func() { in.askForKeys(t) })
		}
	})
	s.follow(func() { w.log.Info("WHIP: connected", "session", s.id, "client", s.from) })
	return answer(r.Context(), s.pc, o.text)
}

// registerRTX registers the retransmission format of f.
func registerRTX(m *webrtc.MediaEngine, f h264Format) error {
	return register(m, webrtc.RTPCodecParameters{PayloadType: f.rtx, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeRTX, ClockRate: 90000, SDPFmtpLine: fmt.Sprintf("apt=%d", f.params.PayloadType)}}, webrtc.RTPCodecTypeVideo)
}

// receiverChain asks for lost packets again, and tells the sender how much
// arrives, so that it finds its bitrate.
func receiverChain(engine *webrtc.MediaEngine, log pionLog) (*interceptor.Registry, error) {
	again, err1 := nack.NewGeneratorInterceptor(nack.WithGeneratorLoggerFactory(log))
	reports, err2 := report.NewReceiverInterceptor(report.WithReceiverLoggerFactory(log))
	arrivals, err3 := twcc.NewSenderInterceptor(twcc.WithLoggerFactory(log))
	r := &interceptor.Registry{}
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		engine.RegisterFeedback(webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBTransportCC}, kind)
		err1 = errors.Join(err1, engine.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: sdp.TransportCCURI}, kind))
	}
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	r.Add(again)
	r.Add(reports)
	r.Add(arrivals)
	return r, nil
}

// askForKeys asks for a key frame at the pace of groups.
func (in *receiver) askForKeys(t *webrtc.TrackRemote) {
	tick := time.NewTicker(keyEvery)
	defer tick.Stop()
	for {
		in.ask(uint32(t.SSRC()))
		select {
		case <-tick.C:
		case <-in.session.done:
			return
		}
	}
}

// ask asks for a key frame now.
func (in *receiver) ask(ssrc uint32) {
	_ = in.session.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ssrc}})
}
