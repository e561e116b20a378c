package rtc

// This file answers: how is a WebRTC connection set up here, and when is it
// given up?

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"
)

const (
	// iceQuiet is how long nothing may come from the other side before the
	// connection counts as disturbed, iceGone until it is given up. Browsers
	// send several checks a second.
	iceQuiet = 2 * time.Second
	iceGone  = 3 * time.Second
	// keepAlive is how often we ask whether the other side is there.
	keepAlive = time.Second
	// connectWait is how long a client has from its answer to a connection.
	connectWait = 10 * time.Second
	// replayWindow is how many packets later one that is sent again is still
	// taken, as in browsers; Pion's 64 are 80 ms of 10 Mbit/s.
	replayWindow = 1024
	// gatherWait bounds the wait for our own addresses; they are local.
	gatherWait = 3 * time.Second
)

// newCertificate makes the DTLS certificate that all sessions of a process share.
var newCertificate = sync.OnceValues(func() (*webrtc.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return webrtc.GenerateCertificate(key)
})

// connect makes a peer connection with the codecs of media. Only addresses of
// this machine are offered, loopback among them; no server is asked for others.
func connect(media *webrtc.MediaEngine, chain *interceptor.Registry, log *slog.Logger) (*webrtc.PeerConnection, error) {
	cert, err := newCertificate()
	if err != nil {
		return nil, fmt.Errorf("making a DTLS certificate: %w", err)
	}
	var set webrtc.SettingEngine
	set.SetIncludeLoopbackCandidate(true)
	set.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled) // their checks reach us, and tell their address
	set.SetICETimeouts(iceQuiet, iceGone, keepAlive)
	set.DisableActiveTCP(true)
	set.SetSRTPReplayProtectionWindow(replayWindow)
	set.LoggerFactory = pionLog{log}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(chain), webrtc.WithSettingEngine(set))
	return api.NewPeerConnection(webrtc.Configuration{
		Certificates: []webrtc.Certificate{*cert}, BundlePolicy: webrtc.BundlePolicyMaxBundle, RTCPMuxPolicy: webrtc.RTCPMuxPolicyRequire})
}

// answer takes the offer and returns the answer with all our candidates.
func answer(ctx context.Context, pc *webrtc.PeerConnection, offer string) (string, error) {
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", refuse(http.StatusBadRequest, "the offer cannot be used: %v", err)
	}
	a, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", refuse(http.StatusBadRequest, "the offer cannot be answered: %v", err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(a); err != nil {
		return "", refuse(http.StatusBadRequest, "the offer cannot be answered: %v", err)
	}
	timer := time.NewTimer(gatherWait)
	defer timer.Stop()
	select {
	case <-gathered:
	case <-timer.C:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	d := pc.LocalDescription()
	if d == nil {
		return "", errors.New("the connection was closed meanwhile")
	}
	return d.SDP, nil
}

// pionLog passes Pion's log on, one level lower: its errors are mostly about
// what others send.
type pionLog struct{ log *slog.Logger }

// NewLogger implements logging.LoggerFactory.
func (p pionLog) NewLogger(scope string) logging.LeveledLogger {
	return scopeLog{p.log.With("scope", scope)}
}

type scopeLog struct{ log *slog.Logger }

func (s scopeLog) say(format string, args ...any) {
	if s.log.Enabled(context.Background(), slog.LevelDebug) {
		s.log.Debug(fmt.Sprintf(format, args...))
	}
}

func (scopeLog) Trace(string)                       {}
func (scopeLog) Tracef(string, ...any)              {}
func (scopeLog) Debug(string)                       {}
func (scopeLog) Debugf(string, ...any)              {}
func (scopeLog) Info(string)                        {}
func (scopeLog) Infof(string, ...any)               {}
func (s scopeLog) Warn(msg string)                  { s.say("%s", msg) }
func (s scopeLog) Warnf(format string, args ...any) { s.say(format, args...) }
func (s scopeLog) Error(msg string)                 { s.say("%s", msg) }
func (s scopeLog) Errorf(format string, a ...any)   { s.say(format, a...) }
