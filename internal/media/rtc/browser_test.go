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
	"github.com/braidway/braidway/internal/testnet/need"
)

var binary = testnet.Build("../../../cmd/peer")

func TestMain(m *testing.M) {
	code := m.Run()
	binary.Remove()
	os.Exit(code)
}

// watchPage serves the page that watches.
func watchPage(t *testing.T) string {
	t.Helper()
	site := httptest.NewServer(http.FileServer(http.Dir("testdata")))
	t.Cleanup(site.Close)
	return site.URL + "/whep.html"
}

// browser opens a page in a headless Chromium with a camera that is none.
func browser(t *testing.T, url string) context.Context {
	t.Helper()
	path := need.Browser(t)
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
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
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
	Sound struct{ Packets, Samples, Concealed float64 }
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
	file := binary.File(t)
	boot := testnet.Start(t, file, "bootstrap", "bootstrap")
	at := []string{"--bootstrap", boot.Line(t)}
	run := func(name string, args ...string) *testnet.Process {
		return testnet.Start(t, file, name, append(args, at...)...)
	}
	pub = run("publisher", "publish", input, "--max-children", "1")
	link := pub.Line(t)
	for _, name := range []string{"relay 1", "relay 2"} {
		relay := run(name, "relay", link, "--max-children", "1")
		testnet.WaitFor(t, name+" is ready", 30*time.Second, func() bool { return relay.Readiness() == http.StatusOK })
	}
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
	ctx := browser(t, watchPage(t))
	_, view := hops(t, "test:")
	origin := site(t, view)
	testnet.WaitFor(t, "the viewer is three hops away", 30*time.Second, func() bool {
		d := depths(view)
		return len(d) > 0 && slices.Min(d) >= 3
	})
	t.Log("three hops after", time.Since(began))
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
	late, still := 0.0, 0.0 // longest time without a new picture, ms
	for i := 26; i < len(w.Frames); i++ {
		late = max(late, w.Frames[i].Received-w.Frames[i-1].Received)
		still = max(still, w.Frames[i].Displayed-w.Frames[i-1].Displayed)
	}
	t.Logf("longest time without a new picture: %.0f ms in the browser, %.0f ms on its display", late, still)
	if late > 500 || still > 1000 { // a browser that shares two processors with the peers is slow itself
		t.Error("the picture stalls")
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
// time t a looped clip that began in 1970 is at its first timestamp plus t, or one
// picture before: the source begins with the tables before a key frame, which are
// due with the picture before.
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
	const early = 40 // ms
	for _, f := range w.Frames {
		if f.Time < 1 {
			continue
		}
		age := func(at float64) float64 {
			return float64(int32(rtpTime(first, 90000)+uint32(uint64(at*90))-f.Rtp))/90 + early
		}
		received, displayed = append(received, age(f.Received)), append(displayed, age(f.Displayed))
	}
	if len(displayed) == 0 {
		t.Fatal("no picture after the first second")
	}
	slices.Sort(received)
	slices.Sort(displayed)
	return received, displayed
}

func TestACameraInABrowserReachesAPlayer(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: -short")
	}
	ffprobe := need.Program(t, "ffprobe")
	file := binary.File(t)
	boot := testnet.Start(t, file, "bootstrap", "bootstrap")
	at := []string{"--bootstrap", boot.Line(t)}
	pub := testnet.Start(t, file, "publisher", append([]string{"publish", "whip://127.0.0.1:0"}, at...)...)
	link := pub.Line(t)
	var page string
	testnet.WaitFor(t, "the publisher listens", 10*time.Second, func() bool {
		_, rest, _ := strings.Cut(pub.Log(), "page=")
		page, _, _ = strings.Cut(rest, "\n")
		return strings.Contains(rest, "\n")
	})
	page = strings.Trim(page, `"`)
	out := filepath.Join(t.TempDir(), "out.ts")
	view := testnet.Start(t, file, "viewer", append([]string{"play", link, "-o", out, "--http", "127.0.0.1:0", "--timeout", "60s"}, at...)...)
	origin := site(t, view)
	ctx := browser(t, page)
	js[bool](t, ctx, `document.getElementById('camera-go').click(), true`)
	testnet.WaitFor(t, "the page tells the link", 20*time.Second, func() bool {
		return js[string](t, ctx, `document.getElementById('camera-link').textContent`) != ""
	})
	if told := js[string](t, ctx, `document.querySelector('#camera-link code').textContent`); told != link {
		t.Errorf("the page tells %q, the publisher %q", told, link)
	}
	size := func() int64 {
		st, err := os.Stat(out)
		if err != nil {
			return 0
		}
		return st.Size()
	}
	testnet.WaitFor(t, "the camera's stream at the viewer", 30*time.Second, func() bool { return size() > 100_000 })
	// A second encoder is told that the place is taken.
	if res := post(t, page+"whip", publisherOffer(t)); res.status != http.StatusConflict || !strings.Contains(res.text, "another encoder publishes here") {
		t.Errorf("the second encoder hears %d %s", res.status, res.text)
	}
	// The same stream over WHEP has its sound too.
	watcher, cancel := chromedp.NewContext(ctx) // a tab of the same browser
	defer cancel()
	if err := chromedp.Do(watcher, chromedp.Navigate(watchPage(t))); err != nil {
		t.Fatal(err)
	}
	var w watched
	testnet.WaitFor(t, "an answer", 20*time.Second, func() bool {
		w = js[watched](t, watcher, "watch(%s)", origin+"/whep")
		return w.Status != http.StatusServiceUnavailable
	})
	if w.Status != http.StatusCreated || w.Audio != "opus" {
		t.Fatalf("WHEP of a WHIP stream: %+v", w)
	}
	w = js[watched](t, watcher, "after(4)")
	t.Logf("WHIP to WHEP: %dx%d, %d frames in 4 s, %+v, sound %+v", w.Width, w.Height, len(w.Frames), w.Stats, w.Sound)
	if w.Time < 3 || len(w.Frames) < 40 || w.Sound.Packets < 100 {
		t.Errorf("at %.2f s after 4, %d frames, sound %+v", w.Time, len(w.Frames), w.Sound)
	}
	if air := js[string](t, ctx, `document.getElementById('camera-note').textContent`); air != "On the air." {
		t.Errorf("the page says %q", air)
	}
	js[bool](t, ctx, `document.getElementById('camera-go').click(), true`)
	testnet.WaitFor(t, "the publisher notices the end", 10*time.Second, func() bool { return strings.Contains(pub.Log(), "nobody encodes") })
	view.Signal(os.Interrupt)
	if err := view.WaitEnd(t, 15*time.Second); err != nil {
		t.Error(err)
	}
	b, err := exec.Command(ffprobe, "-v", "warning", "-count_frames", "-show_entries", "stream=codec_name,nb_read_frames,start_time", "-of", "compact=p=0", out).CombinedOutput()
	t.Logf("%d bytes: %v %s", size(), err, b)
	if err != nil || !strings.Contains(string(b), "codec_name=h264") || !strings.Contains(string(b), "codec_name=opus") {
		t.Error("ffprobe does not find H.264 and Opus")
	}
}
