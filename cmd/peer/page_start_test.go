package main

// This file answers: does a peer that was given no link play what is pasted on
// its page?

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/braidway/braidway/internal/testnet"
)

func TestALinkPastedOnThePageIsPlayed(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: -short")
	}
	file := binary.File(t)
	pub := testnet.Start(t, file, "publisher", "publish", "test:")
	link := pub.Line(t)
	view := testnet.Start(t, file, "viewer", "play", "--http", "127.0.0.1:0")
	var url string
	testnet.WaitFor(t, "the viewer's page", 20*time.Second, func() bool {
		_, rest, _ := strings.Cut(view.Log(), "paste the link of a stream on ")
		url, _, _ = strings.Cut(rest, "\n")
		return strings.Contains(rest, "\n")
	})
	post := func(body string) int {
		res, err := http.Post(url+"api/v1/open", "text/plain", strings.NewReader(body)) //nolint:noctx // the peer of this test
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	for body, want := range map[string]int{"": 400, "braidway://x": 400, link[:70]: 400, strings.Repeat("x", 1<<20): 413} {
		if got := post(body); got != want {
			t.Errorf("%.80q: status %d, want %d", body, got, want)
		}
	}
	p := openTab(t, url)
	p.wait("the start panel", `document.getElementById('start').open`, 10*time.Second)
	p.do(chromedp.SendKeys(chromedp.ID("link"), link[:60]), chromedp.Click(chromedp.CSS("#link-form button")))
	p.wait("what is wrong with half a link", `document.getElementById('link-answer').textContent.includes('cut short')`, 5*time.Second)
	p.do(chromedp.SetValue(chromedp.ID("link"), link), chromedp.Click(chromedp.CSS("#link-form button")))
	p.wait("the first picture", `document.getElementById('video').currentTime > 1 && document.getElementById('cover').textContent === '' && !document.getElementById('start').open`, 40*time.Second)
	if got := post(link); got != http.StatusConflict {
		t.Errorf("a second link: status %d, want 409", got)
	}
	p.do(chromedp.Reload())
	p.wait("the picture after a reload", `document.getElementById('video')?.currentTime > 1 && !document.getElementById('start').open`, 40*time.Second)
	for _, said := range p.said() {
		if !strings.Contains(said, "503") { // there is no picture yet
			t.Errorf("the console says %q", said)
		}
	}
}
