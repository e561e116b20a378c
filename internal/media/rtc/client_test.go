package rtc

// This file answers: how do the tests watch and publish without a browser? With
// Pion at the other end, over real sockets.

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/braidway/braidway/internal/media"
	"github.com/braidway/braidway/internal/testnet/need"
)

// response of an endpoint.
type response struct {
	status int
	text   string
	header http.Header
}

// request sends one; headers come in pairs.
func request(t testing.TB, method, url, body string, headers ...string) response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{res.StatusCode, string(b), res.Header}
}

func post(t testing.TB, url, sdp string, headers ...string) response {
	t.Helper()
	return request(t, http.MethodPost, url, sdp, append([]string{"Content-Type", sdpType}, headers...)...)
}

// line is a client's socket, which can be cut and can lose.
type line struct {
	net.PacketConn
	lose  int32 // every so many packets; 0: none
	count atomic.Int32
}

// ReadFrom implements net.PacketConn.
func (l *line) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := l.PacketConn.ReadFrom(b)
		rtp := n > 1 && b[0]>>6 == 2 && (b[1]&0x7f < 64 || b[1]&0x7f > 95)
		if err == nil && rtp && l.lose > 0 && l.count.Add(1)%l.lose == 0 {
			continue
		}
		return n, from, err
	}
}

// client is the other end.
type client struct {
	pc       *webrtc.PeerConnection
	line     *line
	url      string // of the session
	etag     string
	pictures chan picture
	sounds   chan []byte
}

// newClient returns one with Pion's usual codecs; lose: see line.
func newClient(t testing.TB, lose int32) *client {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &client{line: &line{PacketConn: conn, lose: lose}, pictures: make(chan picture, 4096), sounds: make(chan []byte, 4096)}
	var set webrtc.SettingEngine
	set.SetIncludeLoopbackCandidate(true)
	mux := webrtc.NewICEUDPMux(nil, c.line)
	set.SetICEUDPMux(mux)
	set.SetSRTPReplayProtectionWindow(replayWindow)
	if c.pc, err = webrtc.NewAPI(webrtc.WithSettingEngine(set)).NewPeerConnection(webrtc.Configuration{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.close(mux) })
	c.pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		var q reorder
		v := pictures{}
		began := time.Now()
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			for _, p := range q.add(time.Since(began), p) {
				if track.Kind() == webrtc.RTPCodecTypeAudio {
					c.sounds <- p.Payload
					continue
				}
				for _, u := range v.add(p, q.lost) {
					c.pictures <- u
				}
				q.lost = false
			}
		}
	})
	return c
}

func (c *client) close(mux io.Closer) {
	_ = c.pc.GracefulClose()
	_ = mux.Close()
	_ = c.line.Close()
}

// offer makes an offer with all candidates.
func (c *client) offer(t testing.TB) string {
	t.Helper()
	o, err := c.pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	done := webrtc.GatheringCompletePromise(c.pc)
	if err := c.pc.SetLocalDescription(o); err != nil {
		t.Fatal(err)
	}
	<-done
	return c.pc.LocalDescription().SDP
}

// watch connects to a WHEP endpoint.
func watch(t testing.TB, url string, lose int32) *client {
	t.Helper()
	c := newClient(t, lose)
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		if _, err := c.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			t.Fatal(err)
		}
	}
	c.enter(t, url)
	return c
}

// enter posts the offer and takes the answer.
func (c *client) enter(t testing.TB, url string, headers ...string) {
	t.Helper()
	o := c.offer(t)
	if c.line.lose > 0 { // Pion reads what is sent again on a stream of its own only when there is something new
		o = without(o, "rtx")
	}
	res := post(t, url, o, headers...)
	if res.status != http.StatusCreated {
		t.Fatalf("%d %s", res.status, res.text)
	}
	c.url, c.etag = url[:strings.LastIndex(url, "/")]+res.header.Get("Location"), res.header.Get("ETag")
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: res.text}); err != nil {
		t.Fatal(err)
	}
}

// viewerOffer is an offer to watch, of Pion's usual codecs.
func viewerOffer(t testing.TB) string {
	t.Helper()
	c := newClient(t, 0)
	if _, err := c.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		t.Fatal(err)
	}
	return c.offer(t)
}

// publisherOffer is an offer to publish H.264.
func publisherOffer(t testing.TB) string {
	t.Helper()
	c := newClient(t, 0)
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264, ClockRate: 90000}, "video", "test")
	if err == nil {
		_, err = c.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	}
	if err != nil {
		t.Fatal(err)
	}
	return c.offer(t)
}

// without returns an offer in which a codec is called otherwise.
func without(offer, codec string) string {
	return strings.ReplaceAll(offer, " "+codec+"/", " X-OTHER/")
}

// clipOf returns the beginning of the test clip, MPEG-TS, and its pictures.
func clipOf(t testing.TB, d time.Duration) (ts []byte, frames []media.Frame) {
	t.Helper()
	src := media.NewTestSource()
	for {
		c, err := src.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c.Due >= d {
			break
		}
		ts = append(ts, c.Data...)
	}
	return ts, picturesOf(t, ts)
}

func picturesOf(t testing.TB, ts []byte) (frames []media.Frame) {
	t.Helper()
	d := media.NewDemuxer(func(f media.Frame) {
		f.Data = bytes.Clone(f.Data)
		frames = append(frames, f)
	})
	if _, err := d.Write(ts); err != nil {
		t.Fatal(err)
	}
	var video []media.Frame
	for _, f := range frames {
		for _, track := range d.Tracks() {
			if track.ID == f.Track && track.Codec.Video() {
				video = append(video, f)
			}
		}
	}
	return video
}

// encoded returns d of MPEG-TS that the installed ffmpeg makes.
func encoded(t testing.TB, args ...string) []byte {
	t.Helper()
	path := need.Program(t, "ffmpeg")
	all := append([]string{"-hide_banner", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2",
		"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=2", "-pix_fmt", "yuv420p", "-g", "25"}, args...)
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), path, append(all, "-f", "mpegts", "pipe:1")...)
	cmd.Stderr = &said
	b, err := cmd.Output()
	if err != nil {
		t.Fatal(errors.Join(err, errors.New(said.String())))
	}
	return b
}
