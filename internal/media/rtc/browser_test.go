package rtc

// This file answers: does a browser show what WHEP sends, and how old is it
// then? A real Chromium watches the test clip behind three hops of real peers.

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/braidway/braidway/internal/media"
	"github.com/braidway/braidway/internal/testnet"
)

var binary = testnet.Build("../../../cmd/peer")

func TestMain(m *testing.M) {
	code := m.Run()
	if file, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(file))
	}
	os.Exit(code)
}

// missing skips a test without a program that it needs; in CI it fails.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what + " is not installed")
	}
	t.Skip("SKIPPED: " + what + " is not installed")
}

// browser opens a page of testdata in a headless Chromium.
func browser(t *testing.T, page string) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		missing(t, "chromium")
	}
	site := httptest.NewServer(http.FileServer(http.Dir("testdata")))
	t.Cleanup(site.Close)
	alloc, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
		chromedp.Flag("allow-loopback-in-peer-connection", true),
		chromedp.Flag("disable-features", "WebRtcHideLocalIpsWithMdns"),
		chromedp.Flag("use-fake-device-for-media-stream", true),
		chromedp.Flag("use-fake-ui-for-media-stream", true))...)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		cancel()
		stop()
	})
	if err := chromedp.Do(ctx, chromedp.Navigate(site.URL+"/"+page)); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// js evaluates an expression, and waits for its promise.
func js[T any](t *testing.T, ctx context.Context, format string, args ...any) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for i, a := range args {
		b, _ := json.Marshal(a)
		args[i] = string(b)
	}
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](fmt.Sprintf(format, args...), chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%s: %v", format, err)
	}
	return v
}

// watched is what testdata/whep.html tells.
type watched struct {
	Status            int
	Text, Audio, Etag string
	State             string
	Time              float64 // of the video element, s
	Width, Height     int
	Frames            []struct {
		Rtp       uint32
		Received  float64 // when its last packet came, ms of Unix time
		Displayed float64
		Time      float64 // s
	}
	Stats struct{ FramesDecoded, FramesDropped, NackCount, PliCount, FreezeCount, PacketsLost int }
}

// site waits until a viewer serves HTTP, and returns its origin.
func site(t *testing.T, p *testnet.Process) string {
	t.Helper()
	var url string
	testnet.WaitFor(t, "the viewer serves HTTP", 20*time.Second, func() bool {
		_, rest, ok := strings.Cut(p.Log(), "watch on ")
		url, _, _ = strings.Cut(rest, "/\n")
		return ok && strings.Contains(rest, "\n")
	})
	return url
}

// hops starts a publisher of the input and two relays before a viewer, so that
// every stripe comes over three hops, and returns the publisher and the viewer.
func hops(t *testing.T, input string) (pub, view *testnet.Process) {
	t.Helper()
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	boot := testnet.Start(t, file, "bootstrap", "bootstrap")
	at := []string{"--bootstrap", boot.Line(t)}
	run := func(name string, args ...string) *testnet.Process {
		return testnet.Start(t, file, name, append(args, at...)...)
	}
	pub = run("publisher", "publish", input, "--max-children", "1")
	link := pub.Line(t)
	run("relay 1", "relay", link, "--max-children", "1")
	run("relay 2", "relay", link, "--max-children", "1")
	return pub, run("viewer", "play", link, "--http", "127.0.0.1:0", "--no-relay", "--timeout", "60s")
}

// depths returns how many hops each stripe of the viewer has.
func depths(p *testnet.Process) (d []int) {
	st, _ := p.Stream()
	for _, s := range st.Stripes {
		d = append(d, len(s.Path)-1)
	}
	return d
}

func TestABrowserWatchesThreeHopsAway(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: -short")
	}
	began := time.Now()
	ctx := browser(t, "whep.html")
	t.Log("browser", time.Since(began))
	_, view := hops(t, "test:")
	origin := site(t, view)
	testnet.WaitFor(t, "the viewer is three hops away", 30*time.Second, func() bool {
		d := depths(view)
		return len(d) > 0 && slices.Min(d) >= 3
	})
	t.Log("hops", time.Since(began))
	var w watched
	testnet.WaitFor(t, "an answer", 20*time.Second, func() bool { // 503 until the first key frame
		w = js[watched](t, ctx, "watch(%s)", origin+"/whep")
		return w.Status != http.StatusServiceUnavailable
	})
	if w.Status != http.StatusCreated || w.Etag == "" || !strings.HasPrefix(w.Audio, "not sent: aac") {
		t.Fatalf("%+v", w)
	}
	w = js[watched](t, ctx, "after(6)")
	t.Logf("after %v: state %s, %dx%d, %d frames shown in 6 s, %+v", time.Since(began), w.State, w.Width, w.Height, len(w.Frames), w.Stats)
	if w.Width != 640 || w.Height != 360 || w.Time < 5.5 || len(w.Frames) < 130 {
		t.Errorf("the picture does not play: at %.2f s, %d frames", w.Time, len(w.Frames))
	}
	for i := 1; i < len(w.Frames); i++ {
		if step := w.Frames[i].Displayed - w.Frames[i-1].Displayed; step > 250 && i > 25 {
			t.Errorf("the picture stands for %.0f ms", step)
		}
	}
	received, displayed := ages(t, w)
	t.Logf("WHEP, %v hops on loopback, age of %d pictures since the camera: in the browser p50 %.0f ms, p99 %.0f ms; on its display p50 %.0f ms, p99 %.0f ms, most %.0f ms",
		depths(view), len(displayed), quantile(received, 0.5), quantile(received, 0.99), quantile(displayed, 0.5), quantile(displayed, 0.99), quantile(displayed, 1))
	if p50 := quantile(displayed, 0.5); p50 < 0 || p50 > 1000 {
		t.Errorf("a picture is %.0f ms old when it is shown", p50)
	}
	if code := js[int](t, ctx, "leave()"); code != http.StatusOK {
		t.Errorf("DELETE: %d", code)
	}
	testnet.WaitFor(t, "the session's end", 5*time.Second, func() bool { return strings.Contains(view.Log(), "ended by the client") })
}

// quantile q of a sorted list.
func quantile(sorted []float64, q float64) float64 { return sorted[int(q*float64(len(sorted)-1))] }

// ages returns how old each picture was, ms, when the browser had it and when
// it was shown, sorted; those of the first second aside. The test clip's timestamps are the time of day: at Unix
// time t a looped clip that began in 1970 is at its first timestamp plus t.
func ages(t *testing.T, w watched) (received, displayed []float64) {
	t.Helper()
	first := time.Duration(-1)
	d := media.NewDemuxer(func(f media.Frame) {
		if first < 0 && f.Key && len(f.Data) > 2000 {
			first = f.PTS
		}
	})
	src := media.NewTestSource()
	for first < 0 {
		c, err := src.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = d.Write(c.Data)
	}
	for _, f := range w.Frames {
		if f.Time < 1 {
			continue
		}
		age := func(at float64) float64 { return float64(int32(rtpTime(first, 90000)+uint32(uint64(at*90))-f.Rtp)) / 90 }
		received, displayed = append(received, age(f.Received)), append(displayed, age(f.Displayed))
	}
	if len(displayed) == 0 {
		t.Fatal("no picture after the first second")
	}
	slices.Sort(received)
	slices.Sort(displayed)
	return received, displayed
}
