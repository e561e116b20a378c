package main

// This file answers: does the page of a real demo, in a real browser, play on
// while the relays on its way are killed with a click?

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/braidway/braidway/internal/testnet"
	"github.com/braidway/braidway/internal/testnet/need"
	"github.com/braidway/braidway/measure"
)

// tab is a page in a headless Chromium.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	messages []string // errors and warnings in the console
}

// openTab opens a page in a browser window of 1440 × 1000, or skips the test
// where there is no Chromium; with CI=true it fails then.
func openTab(t *testing.T, url string) *tab {
	t.Helper()
	path := need.Browser(t)
	alloc, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1440, 1000),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
		chromedp.Flag("allow-loopback-in-peer-connection", true),
		chromedp.Flag("disable-features", "WebRtcHideLocalIpsWithMdns"))...)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		cancel()
		stop()
	})
	p := &tab{t: t, ctx: ctx}
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	heard := chromedp.Console(ctx)
	go func() {
		for m, err := range heard {
			if err != nil {
				return
			}
			if m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleWarning || m.IsException() {
				p.mu.Lock()
				p.messages = append(p.messages, m.String()+" "+m.URL)
				p.mu.Unlock()
			}
		}
	}()
	p.do(chromedp.Navigate(url))
	return p
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

// value evaluates an expression in the page.
func value[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// wait waits until an expression is true in the page.
func (p *tab) wait(what, expression string, limit time.Duration) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](expression, chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(limit))); err != nil {
		p.t.Fatalf("%s: not within %v (%v); the page says %q, the log %q", what, limit, err,
			value[string](p, `document.getElementById('cover').textContent + ' / ' + document.getElementById('v-mode').textContent`), p.said())
	}
}

func (p *tab) said() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.messages...)
}

// watchTime measures in the page how long currentTime and the picture stood
// still, and whether lines of this viewer left the map. A timer that comes late
// is no stall: what counts is how far the picture went meanwhile. (With WebRTC
// currentTime goes on without pictures: there they alone tell.)
const watchTime = `(() => {
	const video = document.getElementById('video');
	const w = window.watched = { stall: 0, freeze: 0, waits: 0, moved: 0, played: 0 };
	const from = video.currentTime;
	let wall = performance.now(), media = from, still = 0;
	clearInterval(window.watching);
	window.watching = setInterval(() => {
		const now = performance.now(), at = video.currentTime;
		const dw = (now - wall) / 1000, dm = at - media;
		still = dm >= dw / 2 ? 0 : still + dw - Math.max(dm, 0);
		w.stall = Math.max(w.stall, still * 1000);
		w.played = at - from;
		wall = now; media = at;
	}, 25);
	let shown = 0, count = 0;
	const picture = (_, p) => {
		if (window.watched !== w) return;
		if (count) w.freeze = Math.max(w.freeze, (p.presentationTime - shown) / Math.max(1, p.presentedFrames - count));
		shown = p.presentationTime; count = p.presentedFrames;
		video.requestVideoFrameCallback(picture);
	};
	video.requestVideoFrameCallback(picture);
	video.onwaiting = () => w.waits++;
	window.lines?.disconnect();
	window.lines = new MutationObserver((all) => { for (const m of all) w.moved += m.addedNodes.length; });
	window.lines.observe(document.querySelector('#map > .fade'), { childList: true });
	return true;
})()`

type watchedTime struct {
	Stall  float64 // longest time that currentTime stood still, ms
	Freeze float64 // longest time between two pictures, ms
	Played float64 // s
	Waits  int     // how often the player ran dry
	Moved  int     // lines of this viewer that left the map
}

// late measures how long this machine stood still, which no stream outruns.
type late struct {
	mu   sync.Mutex
	most time.Duration
}

// watch looks every 5 ms until the test ends.
func (l *late) watch(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	go func() {
		for last := time.Now(); ctx.Err() == nil; {
			time.Sleep(5 * time.Millisecond)
			now := time.Now()
			l.mu.Lock()
			l.most = max(l.most, now.Sub(last)-5*time.Millisecond)
			l.mu.Unlock()
			last = now
		}
	}()
}

// take returns the longest since the last time that it was asked.
func (l *late) take() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	most := l.most
	l.most = 0
	return most
}

// demoOf reads the demo's state.
func demoOf(t *testing.T, url string) (d demoState) {
	t.Helper()
	res, err := http.Get(url + "api/v1/demo") //nolint:noctx // the demo of this test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if err := json.NewDecoder(res.Body).Decode(&d); err != nil {
		t.Fatal(err)
	}
	return d
}

// startDemo starts a demo in which nothing happens by itself, and returns the
// page's address.
func startDemo(t *testing.T, args ...string) (url string) {
	t.Helper()
	file := binary.File(t)
	cmd := exec.Command(file, append([]string{"demo", "--http", "127.0.0.1:0", "--kill-every", "0s"}, args...)...)
	says, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		hangs := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		defer hangs.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the demo ends with %v", err)
		}
	})
	for sc := bufio.NewScanner(says); sc.Scan(); {
		if at, ok := strings.CutPrefix(sc.Text(), "watch on "); ok {
			go func() { _, _ = io.Copy(os.Stderr, says) }()
			return at
		}
	}
	t.Fatal("the demo names no page")
	return ""
}

// killByClick kills a relay on the viewer's way with the page's button, and waits
// until the page says what that cost.
func (p *tab) killByClick() (name string) {
	p.t.Helper()
	// The trees move: for a while all stripes may come from the publisher itself.
	p.wait("a relay on the way here", `!document.getElementById('kill-mine').disabled`, time.Minute)
	before := value[string](p, `document.getElementById('deed-note').textContent = '', document.getElementById('last').dataset.key ?? ''`)
	p.do(chromedp.Click(chromedp.ID("kill-mine")))
	p.wait("what the click did", `/is cut off/.test(document.getElementById('deed-note').textContent)`, 10*time.Second)
	name = strings.Fields(value[string](p, `document.getElementById('deed-note').textContent`))[0]
	p.wait("the death on the map", fmt.Sprintf(`!!document.querySelector('.node.gone[data-peer="%s"]')`, name), 5*time.Second)
	p.wait("other ways on the map", fmt.Sprintf(`!document.querySelector('.node.way[data-peer="%s"]')`, name), 15*time.Second)
	p.wait("what it cost", fmt.Sprintf(`(document.getElementById('last').dataset.key ?? '') !== %q && document.getElementById('last').dataset.key.endsWith('true')`, before), 15*time.Second)
	return name
}

// pageOfDemo starts a demo and opens its page, which plays.
func pageOfDemo(t *testing.T, peers int) (p *tab, url string) {
	url = startDemo(t, "--peers", strconv.Itoa(peers))
	testnet.WaitFor(t, "a stream for the page", 40*time.Second, func() bool {
		res, err := http.Get(url + "hls/multi.m3u8") //nolint:noctx // the demo of this test
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	p = openTab(t, url)
	p.wait("the first picture", `document.getElementById('video').currentTime > 1 && document.getElementById('cover').textContent === ''`, 40*time.Second)
	return p, url
}

// limitStall is the longest time for which the picture may stand still, ms.
const limitStall = 250

// holdBack is how far behind the last part HLS players stay at least, ms.
const holdBack = 1000

func TestThePagePlaysOnWhileRelaysAreKilledByClick(t *testing.T) {
	p, url := pageOfDemo(t, 6)
	t.Log(value[string](p, weighPage))
	if other := value[[]string](p, `performance.getEntriesByType('resource').map((e) => e.name).filter((u) => !u.startsWith(location.origin + '/') && !u.startsWith('blob:'))`); len(other) > 0 {
		t.Errorf("requests to others: %q", other)
	}
	var machine late
	machine.watch(t)
	for _, mode := range []string{"hls", "whep"} {
		p.do(chromedp.Click(chromedp.CSS(fmt.Sprintf(`#modes input[value=%s] + span`, mode))))
		name := map[string]string{"hls": "LL-HLS", "whep": "WebRTC"}[mode]
		p.wait("playing with "+name, fmt.Sprintf(`document.getElementById('v-mode').textContent.startsWith('%s') && !/not yet/.test(document.getElementById('v-mode').textContent) && document.getElementById('video').currentTime > 1`, name), 40*time.Second)
		// Its buffer is what carries it over a death: let it fill.
		from := value[float64](p, `performance.now()`)
		p.wait("two seconds of it", fmt.Sprintf(`performance.now() > %f`, from+2000), 10*time.Second)
		machine.take()
		if !value[bool](p, watchTime) {
			t.Fatal("the video is not watched")
		}
		var w watchedTime
		for killed := 0; w.Played < 20; {
			if w = value[watchedTime](p, `window.watched`); w.Played >= float64(7*killed) && killed < 3 {
				victim := p.killByClick()
				killed++
				w = value[watchedTime](p, `window.watched`)
				t.Logf("%s: %s killed; played %.1f s, currentTime stood still for %.0f ms, the picture for %.0f ms, ran dry %d times, %d lines moved; behind live %s",
					name, victim, w.Played, w.Stall, w.Freeze, w.Waits, w.Moved, value[string](p, `document.getElementById('v-behind').textContent`))
			}
			p.wait("the picture to go on", fmt.Sprintf(`window.watched.played > %f`, w.Played+0.5), 20*time.Second)
		}
		stood := machine.take()
		t.Logf("%s: %.0f s, longest stop %.0f ms, of the picture %.0f ms; this machine stood still for up to %v", name, w.Played, w.Stall, w.Freeze, stood)
		// How far the trees of a starved machine leave objects behind is the
		// affair of other tests. Here the page must not stop while they come: with
		// HLS its buffer outlasts short gaps, WebRTC has hardly any. There
		// currentTime goes on without pictures, so that they are asked; with HLS a
		// starved machine leaves pictures out while time and sound go on.
		gap, still := gapOf(t, url), w.Freeze
		limit := limitStall + millis(stood) + gap
		if mode == "hls" {
			still, limit = w.Stall, limitStall+millis(stood)+max(0, gap-holdBack)
		}
		t.Logf("%s: stood still for %.0f ms, limit %.0f: the peer's longest gap is %.0f ms", name, still, limit, gap)
		if still > limit {
			t.Errorf("%s: it stood still for %.0f ms, limit %.0f", name, still, limit)
		}
		if w.Moved == 0 {
			t.Errorf("%s: no line on the map has moved", name)
		}
	}
	if d := demoOf(t, url); d.Count < 4 {
		t.Errorf("%d faults, want four and more", d.Count)
	}
	p.usable()
	if said := p.said(); len(said) > 0 {
		t.Errorf("the console says %q", said)
	}
}

// gapOf is the longest time for which the page's peer got no further, ms.
func gapOf(t *testing.T, url string) float64 {
	res, err := http.Get(url + "api/v1/state") //nolint:noctx // the demo of this test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var st struct {
		Streams []struct {
			Measures measure.Report `json:"measures"`
		} `json:"streams"`
	}
	if err := json.NewDecoder(res.Body).Decode(&st); err != nil || len(st.Streams) != 1 || st.Streams[0].Measures.MaxGapMS == nil {
		t.Fatalf("no gap in %+v: %v", st, err)
	}
	return *st.Streams[0].Measures.MaxGapMS
}

// usable tries the page with the keyboard, and on a phone.
func (p *tab) usable() {
	t := p.t
	if !value[bool](p, `(() => {
		const node = [...document.querySelectorAll('.node.peer')].find((n) => !n.classList.contains('gone'));
		node.focus();
		node.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true }));
		return document.activeElement === node && !document.getElementById('picked').hidden;
	})()`) {
		t.Error("a peer on the map cannot be chosen with the keyboard")
	}
	if bare := value[[]string](p, `[...document.querySelectorAll('button, input, [role=button], video')].filter((e) => e.checkVisibility() && !e.getAttribute('aria-label') && !e.textContent.trim() && !e.labels?.length).map((e) => e.outerHTML.slice(0, 80))`); len(bare) > 0 {
		t.Errorf("without a name for screen readers: %q", bare)
	}
	p.do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
	if wide := value[int](p, `document.documentElement.scrollWidth`); wide > 390 {
		t.Errorf("on a phone the page is %d px wide", wide)
	}
	p.do(chromedp.EmulateViewport(1440, 1000))
}

// weighPage says what the page weighs: its files, not the stream.
const weighPage = `(() => {
	const files = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].filter((e) => e.entryType === 'navigation' || e.name.includes('/assets/'));
	const paint = performance.getEntriesByName('first-contentful-paint')[0];
	return 'page: ' + files.length + ' requests, ' + Math.round(files.reduce((n, e) => n + e.transferSize, 0) / 1000) + ' kB, first paint after ' + Math.round(paint ? paint.startTime : -1) + ' ms';
})()`
