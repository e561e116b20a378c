package main

// This file answers: what does the page look like, for the README? (make picture)

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// largestPicture bounds a picture in the repository, in bytes.
const largestPicture = 300_000

// TestPagePicture writes the page by day to the file that BRAIDWAY_PAGE_PNG
// names, and by night and on a phone beside it.
func TestPagePicture(t *testing.T) {
	file := os.Getenv("BRAIDWAY_PAGE_PNG")
	if file == "" {
		t.Skip("BRAIDWAY_PAGE_PNG names no file to write to")
	}
	p, _ := pageOfDemo(t, 12)
	time.Sleep(20 * time.Second) // trees settle, charts fill
	p.killByClick()
	p.do(chromedp.EmulateViewport(1280, 840))
	p.shoot(file)
	p.colours("dark")
	p.shoot(strings.TrimSuffix(file, ".png") + "-dark.png")
	p.do(chromedp.EmulateViewport(390, 1500, chromedp.EmulateMobile))
	p.shoot(strings.TrimSuffix(file, ".png") + "-phone.png")
}

// colours makes the page's user prefer light or dark.
func (p *tab) colours(scheme string) {
	p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	}))
}

func (p *tab) shoot(file string) {
	p.t.Helper()
	p.wait("the map", `window.scrollTo(0, 0), document.querySelectorAll('.edge.mine').length > 2`, 10*time.Second)
	from := value[float64](p, `performance.now()`)
	p.wait("a new second of charts", fmt.Sprintf(`performance.now() > %f`, from+1500), 10*time.Second)
	b, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(file, b, 0o644)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Logf("%s: %d bytes", file, len(b))
	if len(b) > largestPicture {
		p.t.Errorf("%s has %d bytes, at most %d", file, len(b), largestPicture)
	}
}
