package rtc

// This file answers: does a viewer get the stream, whole and from its latest key
// frame on, and what do others hear?

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/braidway/braidway/internal/media"
	"github.com/braidway/braidway/internal/testnet"
)

// serve starts an endpoint and returns its URL.
func serve(t testing.TB, cfg WHEPConfig) (*WHEP, string) {
	t.Helper()
	w := NewWHEP(cfg)
	mux := http.NewServeMux()
	mux.Handle("/whep", w)
	mux.Handle("/whep/", w)
	srv := httptest.NewServer(mux)
	t.Cleanup(func() {
		_ = w.Close()
		srv.Close()
	})
	return w, srv.URL + "/whep"
}

// units returns the NAL units of a picture but delimiters, which RTP leaves out.
func units(b []byte) (all [][]byte) {
	media.NALUnits(b, func(nal []byte) {
		if kind := nal[0] & 0x1f; kind != 9 && kind != 12 {
			all = append(all, nal)
		}
	})
	return all
}

// wantPictures compares what a client gets next with frames.
func wantPictures(t testing.TB, c *client, frames []media.Frame) {
	t.Helper()
	for i, f := range frames {
		select {
		case u := <-c.pictures:
			got, want := units(u.data), units(f.Data)
			if u.key != f.Key || len(got) != len(want) || !bytes.Equal(bytes.Join(got, nil), bytes.Join(want, nil)) {
				t.Fatalf("picture %d: key %v, %d units, %d bytes; want %v, %d, %d", i, u.key, len(got), len(u.data), f.Key, len(want), len(f.Data))
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("picture %d of %d does not come", i, len(frames))
		}
	}
}

func TestANewcomerHasTheCurrentGroupAtOnceAndThenWhatFollows(t *testing.T) {
	for name, lose := range map[string]int32{"whole line": 0, "a line that loses every 20th packet": 20} {
		t.Run(name, func(t *testing.T) {
			w, url := serve(t, WHEPConfig{})
			ts, frames := clipOf(t, 4*time.Second)
			half := len(ts) / 2 / media.PacketSize * media.PacketSize
			_, _ = w.Write(ts[:half])
			there := len(picturesOf(t, ts[:half]))
			begin := there - 1
			for !frames[begin].Key {
				begin--
			}
			c := watch(t, url, lose)
			wantPictures(t, c, frames[begin:there]) // though nothing is written
			_, _ = w.Write(ts[half:])
			wantPictures(t, c, frames[there:])
			w.Gap()
			_, _ = w.Write(ts) // the clip again: the picture that Gap broke is left out
			wantPictures(t, c, frames)
			if res := request(t, http.MethodDelete, c.url, ""); res.status != http.StatusOK {
				t.Errorf("DELETE: %d %s", res.status, res.text)
			}
			testnet.WaitFor(t, "the session's end", 5*time.Second, func() bool { return w.Sessions() == 0 })
			if res := request(t, http.MethodDelete, c.url, ""); res.status != http.StatusNotFound {
				t.Errorf("DELETE again: %d %s", res.status, res.text)
			}
		})
	}
}

func TestOpusGoesWithThePictureAndAACIsToldAbout(t *testing.T) {
	w, url := serve(t, WHEPConfig{})
	_, _ = w.Write(encoded(t, "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-c:a", "libopus"))
	c := watch(t, url, 0)
	for deadline := time.After(10 * time.Second); ; {
		select {
		case <-c.pictures:
			_, _ = w.Write(encoded(t, "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-c:a", "libopus"))
			select {
			case <-c.sounds:
				return
			case <-deadline:
			}
		case <-deadline:
		}
		t.Fatal("no picture or no sound")
	}
}

func TestWhatCannotBeShownIsRefusedByName(t *testing.T) {
	for name, tc := range map[string]struct {
		args   []string
		status int
		text   string
	}{
		"B-frames":        {[]string{"-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-an"}, 409, "B-frames"},
		"H.265":           {[]string{"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none", "-an"}, 409, "H.265"},
		"MPEG-2":          {[]string{"-c:v", "mpeg2video", "-an"}, 409, "MPEG-2 video"},
		"AAC alone":       {[]string{"-vn", "-c:a", "aac"}, 409, "aac"},
		"H.264 with AAC":  {[]string{"-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-c:a", "aac"}, 201, "m=video"},
		"H.264 Main only": {[]string{"-c:v", "libx264", "-preset", "veryfast", "-profile:v", "main", "-bf", "0", "-an"}, 201, "profile-level-id=4d"},
	} {
		t.Run(name, func(t *testing.T) {
			w, url := serve(t, WHEPConfig{})
			_, _ = w.Write(encoded(t, tc.args...))
			res := post(t, url, viewerOffer(t))
			if res.status != tc.status || !strings.Contains(res.text, tc.text) {
				t.Errorf("%d %s", res.status, res.text)
			}
			if name == "H.264 with AAC" && !strings.HasPrefix(res.header.Get(AudioHeader), "not sent: aac") {
				t.Errorf("sound: %q", res.header.Get(AudioHeader))
			}
		})
	}
	w, url := serve(t, WHEPConfig{})
	_, _ = w.Write(bytes.Repeat([]byte("not MPEG-TS "), 10000))
	if res := post(t, url, viewerOffer(t)); res.status != http.StatusConflict || !strings.Contains(res.text, "not MPEG-TS") {
		t.Errorf("%d %s", res.status, res.text)
	}
}

func TestBadRequestsHearWhatIsWrong(t *testing.T) {
	w, url := serve(t, WHEPConfig{MaxSessions: 2})
	good := viewerOffer(t)
	if res := post(t, url, good); res.status != 503 || res.header.Get("Retry-After") == "" || !strings.Contains(res.text, "has not started") {
		t.Errorf("before the stream: %d %s", res.status, res.text)
	}
	ts, _ := clipOf(t, 2*time.Second)
	_, _ = w.Write(ts)
	data := strings.Replace(good, "m=video", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:7\r\nm=video", 1)
	for name, tc := range map[string]struct {
		res    response
		status int
		text   string
	}{
		"garbage":           {post(t, url, "\x00\xffhello"), 400, "not SDP"},
		"nothing":           {post(t, url, ""), 400, ""},
		"no section":        {post(t, url, "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"), 400, "media sections"},
		"a data channel":    {post(t, url, data), 400, "application"},
		"too large":         {post(t, url, strings.Repeat("a=x\r\n", maxSDP/4)), 413, "65536"},
		"another type":      {request(t, "POST", url, good, "Content-Type", "text/plain"), 415, "application/sdp"},
		"no H.264":          {post(t, url, without(good, "H264")), 415, "vp8"},
		"takes no video":    {post(t, url, strings.Replace(good, "a=recvonly", "a=inactive", 1)), 400, "recvonly"},
		"no ICE":            {post(t, url, strings.ReplaceAll(strings.ReplaceAll(good, "a=ice-", "a=x-"), "a=fingerprint", "a=y")), 400, "the offer cannot"},
		"GET":               {request(t, "GET", url, ""), 405, "POST"},
		"no such session":   {request(t, "DELETE", url+"/none", ""), 404, "no such session"},
		"preflight":         {request(t, "OPTIONS", url, "", "Origin", "http://elsewhere"), 204, ""},
		"session preflight": {request(t, "OPTIONS", url+"/none", "", "Origin", "http://elsewhere"), 204, ""},
	} {
		if tc.res.status != tc.status || !strings.Contains(tc.res.text, tc.text) {
			t.Errorf("%s: %d %s", name, tc.res.status, tc.res.text)
		}
		if tc.res.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: a page elsewhere cannot read the answer", name)
		}
	}
	if n := w.Sessions(); n != 0 {
		t.Errorf("%d sessions are left of bad requests", n)
	}
	first := watch(t, url, 0)
	watch(t, url, 0)
	if res := post(t, url, good); res.status != 503 || res.header.Get("Retry-After") == "" || !strings.Contains(res.text, "all 2 sessions") {
		t.Errorf("one too many: %d %s", res.status, res.text)
	}
	fragment := "a=ice-ufrag:%s\r\na=ice-pwd:x\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host\r\na=end-of-candidates\r\n"
	ufrag := fmt.Sprintf(fragment, ufragOf(first.pc.LocalDescription().SDP))
	patch := func(body string, headers ...string) response {
		return request(t, "PATCH", first.url, body, append([]string{"Content-Type", fragmentType}, headers...)...)
	}
	for name, tc := range map[string]struct {
		res    response
		status int
	}{
		"a candidate":       {patch(ufrag, "If-Match", first.etag), 204},
		"another ETag":      {patch(ufrag, "If-Match", `"x"`), 412},
		"an ICE restart":    {patch(fmt.Sprintf(fragment, "other"), "If-Match", "*"), 422},
		"another ufrag":     {patch(fmt.Sprintf(fragment, "other"), "If-Match", first.etag), 422},
		"garbage":           {patch("hello", "If-Match", first.etag), 400},
		"a bad candidate":   {patch("a=mid:0\r\na=candidate:nonsense\r\n", "If-Match", first.etag), 400},
		"many candidates":   {patch(strings.Repeat("a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host\r\n", maxCandidates), "If-Match", first.etag), 400},
		"another type":      {request(t, "PATCH", first.url, ufrag, "Content-Type", "text/plain"), 415},
		"GET on a session":  {request(t, "GET", first.url, ""), 405},
		"POST on a session": {post(t, first.url, good), 405},
	} {
		if tc.res.status != tc.status {
			t.Errorf("%s: %d %s", name, tc.res.status, tc.res.text)
		}
	}
	w.Drain()
	if res := post(t, url, good); res.status != 503 || res.header.Get("Retry-After") == "" || !strings.Contains(res.text, "leaving") {
		t.Errorf("while leaving: %d %s", res.status, res.text)
	}
	if w.Sessions() != 2 {
		t.Errorf("%d sessions go on while the peer drains, want 2", w.Sessions())
	}
}

func ufragOf(sdp string) string {
	_, rest, _ := strings.Cut(sdp, "a=ice-ufrag:")
	return strings.TrimSpace(rest[:strings.Index(rest, "\n")])
}

func TestNothingIsLeftOfAViewerThatVanishes(t *testing.T) {
	w, url := serve(t, WHEPConfig{})
	ts, _ := clipOf(t, 2*time.Second)
	_, _ = w.Write(ts)
	first := watch(t, url, 0) // what stays once: the certificate, the HTTP client's connections
	<-first.pictures
	first.close(discard{})
	testnet.WaitFor(t, "the first session's end", 10*time.Second, func() bool { return w.Sessions() == 0 })
	http.DefaultClient.CloseIdleConnections()
	before := runtime.NumGoroutine()
	var gone []*client
	for range 3 {
		c := watch(t, url, 0)
		<-c.pictures
		_ = c.line.Close() // the machine loses its network: no goodbye
		gone = append(gone, c)
	}
	if w.Sessions() != 3 {
		t.Fatalf("%d sessions", w.Sessions())
	}
	began := time.Now()
	testnet.WaitFor(t, "the sessions' end", 10*time.Second, func() bool { return w.Sessions() == 0 })
	t.Logf("noticed after %v", time.Since(began).Round(100*time.Millisecond))
	http.DefaultClient.CloseIdleConnections()
	for _, c := range gone {
		c.close(discard{})
	}
	http.DefaultClient.CloseIdleConnections()
	testnet.WaitFor(t, "as few goroutines as before", 5*time.Second, func() bool { return runtime.NumGoroutine() <= before })
}

type discard struct{}

func (discard) Close() error { return nil }
