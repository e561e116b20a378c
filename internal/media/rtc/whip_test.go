package rtc

// This file answers: does what is published over WHIP become the input, and who
// is turned away?

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"

	"github.com/braidway/braidway/internal/media"
	"github.com/braidway/braidway/internal/testnet"
)

// listen opens an input.
func listen(t testing.TB, query string) *Input {
	t.Helper()
	in, err := Listen("whip://127.0.0.1:0"+query, ListenConfig{Link: func() string { return "braidway://x" }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close() })
	return in
}

func TestWhoMayPublish(t *testing.T) {
	for _, bad := range []string{"whip://0.0.0.0:0", "whip://:8081", "whip://127.0.0.1", "whip://example.com:1"} {
		if in, err := Listen(bad, ListenConfig{}); err == nil {
			_ = in.Close()
			t.Errorf("%s is taken", bad)
		} else if !strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("%s: %v does not say what to do", bad, err)
		}
	}
	good := publisherOffer(t)
	open, closed := listen(t, ""), listen(t, "?token=secret")
	for name, tc := range map[string]struct {
		res    response
		status int
		text   string
	}{
		"a page elsewhere":   {post(t, open.URL, good, "Origin", "https://example.com"), 403, "example.com"},
		"a rebound name":     {post(t, open.URL, good, "Host", "example.com", "Origin", "http://example.com"), 403, "127.0.0.1"},
		"no token":           {post(t, closed.URL, good), 401, "Bearer"},
		"a wrong token":      {post(t, closed.URL, good, "Authorization", "Bearer secre"), 401, "Bearer"},
		"a preflight":        {request(t, "OPTIONS", closed.URL, "", "Origin", "https://example.com"), 204, ""},
		"garbage":            {post(t, open.URL, "hello"), 400, "not SDP"},
		"no H.264":           {post(t, open.URL, without(good, "H264")), 415, "H.264"},
		"an offer to watch":  {post(t, open.URL, viewerOffer(t)), 400, "sendonly"},
		"the token":          {post(t, closed.URL, good, "Authorization", "Bearer secret", "Origin", "https://example.com"), 201, "m=video"},
		"a page of this one": {post(t, open.URL, good, "Origin", "http://localhost:8080"), 201, "m=video"},
	} {
		if tc.res.status != tc.status || !strings.Contains(tc.res.text, tc.text) {
			t.Errorf("%s: %d %s", name, tc.res.status, tc.res.text)
		}
	}
	if again := post(t, closed.URL, good, "Authorization", "Bearer wrong"); again.header.Get(LinkHeader) != "" {
		t.Error("who may not publish is told the link")
	}
	if _, err := Listen("whip://127.0.0.1:0/live/key", ListenConfig{}); err == nil || !strings.Contains(err.Error(), "/whip") {
		t.Errorf("another path: %v", err)
	}
	if res := post(t, open.URL, good); res.status != http.StatusConflict || res.header.Get("Retry-After") == "" || !strings.Contains(res.text, "another encoder") {
		t.Errorf("a second encoder: %d %s", res.status, res.text)
	}
}

// send publishes pictures of the test clip and tells when a key frame is asked for.
func send(t testing.TB, url string, frames []media.Frame) (c *client, asked chan struct{}) {
	t.Helper()
	c = newClient(t, 0)
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264, ClockRate: 90000,
		SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f"}, "video", "test")
	if err != nil {
		t.Fatal(err)
	}
	tr, err := c.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		t.Fatal(err)
	}
	asked = make(chan struct{}, 100)
	go func() {
		for {
			all, _, err := tr.Sender().ReadRTCP()
			if err != nil {
				return
			}
			for _, p := range all {
				if _, ok := p.(*rtcp.PictureLossIndication); ok {
					asked <- struct{}{}
				}
			}
		}
	}()
	up := make(chan struct{})
	c.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			close(up)
		}
	})
	c.enter(t, url)
	select {
	case <-up:
	case <-time.After(10 * time.Second):
		t.Fatal("no connection")
	}
	go func() {
		coder, seq := codecs.H264Payloader{}, uint16(65500)
		began := time.Now()
		for _, f := range frames {
			at := f.PTS - frames[0].PTS
			time.Sleep(time.Until(began.Add(at)))
			parts := coder.Payload(maxPayload, f.Data)
			for i, b := range parts {
				p := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: seq, Timestamp: rtpTime(at, 90000), Marker: i == len(parts)-1}, Payload: b}
				seq++
				if track.WriteRTP(&p) != nil {
					return
				}
			}
		}
	}()
	return c, asked
}

func TestWhatIsPublishedBecomesTheInput(t *testing.T) {
	in := listen(t, "")
	_, frames := clipOf(t, 1800*time.Millisecond)
	got := make(chan media.Frame, 1000)
	d := media.NewDemuxer(func(f media.Frame) { got <- f })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for {
			c, err := in.Next(ctx)
			if err != nil {
				return
			}
			_, _ = d.Write(c.Data)
		}
	}()
	c, asked := send(t, in.URL, frames)
	for i, f := range frames {
		select {
		case g := <-got:
			if a, b := units(g.Data), units(f.Data); len(a) != len(b) || string(a[len(a)-1]) != string(b[len(b)-1]) || g.Key != f.Key {
				t.Fatalf("picture %d is not what was sent: %d units of %d", i, len(a), len(b))
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("picture %d of %d does not come", i, len(frames))
		}
	}
	if len(asked) < 1 {
		t.Error("no key frame was asked for in 1.8 s")
	}
	_ = c.line.Close() // the encoder loses its network
	testnet.WaitFor(t, "the session's end", 10*time.Second, func() bool { return in.whip.Sessions() == 0 })
	again, _ := send(t, in.URL, frames[:5])
	select {
	case g := <-got:
		if !g.Key {
			t.Error("the second run does not begin with a key frame")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no picture of the second run")
	}
	_ = again.pc.Close()
}
