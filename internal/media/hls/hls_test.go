package hls

// This file answers: does a player get what the playlists promise, and a clear
// answer where there is nothing?

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/braidway/braidway/internal/media"
	"github.com/braidway/braidway/internal/testnet/need"
	"github.com/braidway/braidway/stream"
)

// feed cuts MPEG-TS into groups for a server, as publisher and player do.
type feed struct {
	s    *Server
	cut  *media.Cutter
	at   time.Time // the publisher's clock
	each func()    // after each write
	// undated: it comes all at once, which says nothing about the publisher's clock.
	undated bool
}

func newFeed(s *Server) *feed {
	f := &feed{s: s, at: time.UnixMilli(1_800_000_000_000)}
	f.cut = media.NewCutter(f)
	return f
}

// StartGroup implements media.Sink.
func (f *feed) StartGroup(preamble []byte) error {
	if !f.undated {
		f.s.StartGroup(stream.Header{Time: f.at.UnixMicro()})
	}
	_, _ = f.s.Write(preamble)
	return nil
}

// Write implements media.Sink.
func (f *feed) Write(b []byte) (int, error) {
	if f.each != nil {
		f.each()
	}
	return f.s.Write(b)
}

// clip feeds so much of the test clip, as fast as it goes.
func (f *feed) clip(t testing.TB, d time.Duration) {
	t.Helper()
	began := f.at
	src := media.NewTestSource()
	for {
		c, err := src.Next(context.Background())
		if err != nil || c.Due > d {
			return
		}
		f.at = began.Add(c.Due)
		if _, err := f.cut.Write(c.Data); err != nil {
			t.Fatal(err)
		}
	}
}

// file feeds an MPEG-TS that ffmpeg makes.
func (f *feed) file(t *testing.T, args ...string) {
	t.Helper()
	ffmpeg := need.Program(t, "ffmpeg")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, ffmpeg, append(append([]string{"-v", "error"}, args...), "-f", "mpegts", "-")...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	f.undated = true
	if _, err := f.cut.Write(out); err != nil {
		t.Fatal(err)
	}
}

func server(t *testing.T, cfg Config) (*Server, string) {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(func() {
		srv.Close()
		_ = s.Close()
	})
	return s, srv.URL + "/hls/"
}

// answer is what a request got, without its body.
type answer struct {
	StatusCode int
	Status     string
	Header     http.Header
}

// get asks for a URL; it returns the body too.
func get(t *testing.T, url string, headers ...string) (answer, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
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
	return answer{res.StatusCode, res.Status, res.Header}, string(b)
}

func TestEveryPlaylistKeepsTheRulesAndEveryUpdateToo(t *testing.T) {
	s, url := server(t, Config{})
	f := newFeed(s)
	var last parsed
	version, n := uint64(0), 0
	f.each = func() {
		s.mu.Lock()
		ok := len(s.list) > 0 && s.version != version
		version = s.version
		var full, delta string
		if ok {
			full, delta = string(s.playlist(false)), string(s.playlist(true))
		}
		s.mu.Unlock()
		if !ok || t.Failed() {
			return
		}
		n++
		p := validate(t, full)
		if last.target > 0 {
			follows(t, last, p)
		}
		last = p
		d := validate(t, delta)
		if d.skipped+len(d.segments) != len(p.segments) || d.media != p.media {
			t.Errorf("a delta update skips %d and has %d of %d segments", d.skipped, len(d.segments), len(p.segments))
		}
	}
	f.clip(t, 45*time.Second)
	if n < 200 || last.media < 25 {
		t.Errorf("%d updates, the last begins with %d", n, last.media)
	}
	if _, delta := get(t, url+"live.m3u8?_HLS_skip=YES"); parse(t, delta).skipped == 0 {
		t.Errorf("a delta update skips nothing:\n%s", delta)
	}
	s.End()
	_, text := get(t, url+"live.m3u8")
	if p := validate(t, text); !p.ended {
		t.Errorf("it has no end:\n%s", text)
	}
	_, multi := get(t, url+"multi.m3u8")
	if !strings.Contains(multi, `CODECS="avc1.4D401E,mp4a.40.2",RESOLUTION=640x360`) || !strings.Contains(multi, "\nlive.m3u8\n") {
		t.Error(multi)
	}
}

func TestOtherRatesAndCodecsKeepTheRules(t *testing.T) {
	for name, args := range map[string][]string{
		"29.97 a second, two B-frames, groups of 2 s": {"-f", "lavfi", "-i", "testsrc=r=30000/1001:s=64x64:d=12", "-f", "lavfi", "-i", "sine=r=44100:d=12", "-c:v", "libx264", "-bf", "2", "-g", "60", "-c:a", "aac"},
		"60 a second, groups of 0.5 s":                {"-f", "lavfi", "-i", "testsrc=r=60:s=64x64:d=8", "-c:v", "libx264", "-preset", "ultrafast", "-g", "30"},
		"24 a second, groups of 10 s":                 {"-f", "lavfi", "-i", "testsrc=r=24:s=64x64:d=31", "-c:v", "libx264", "-preset", "ultrafast", "-g", "240", "-sc_threshold", "0"},
		"sound alone":                                 {"-f", "lavfi", "-i", "sine=r=48000:d=10", "-c:a", "aac"},
		"H.265 and Opus":                              {"-f", "lavfi", "-i", "testsrc=r=25:s=64x64:d=8", "-f", "lavfi", "-i", "sine=r=48000:d=8", "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:keyint=25", "-c:a", "libopus"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, url := server(t, Config{})
			newFeed(s).file(t, args...)
			res, text := get(t, url+"live.m3u8")
			if res.StatusCode != http.StatusOK {
				t.Fatal(res.Status, text)
			}
			validate(t, text)
			s.End()
			_, text = get(t, url+"live.m3u8")
			p := validate(t, text)
			dir := t.TempDir() // ffprobe reads the init segment and all segments as one file
			_, all := get(t, url+p.segments[0].init)
			for _, g := range p.segments {
				res, b := get(t, url+g.uri)
				if res.StatusCode != http.StatusOK {
					t.Fatal(g.uri, res.Status)
				}
				all += b
			}
			file := filepath.Join(dir, "all.mp4")
			if err := os.WriteFile(file, []byte(all), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("ffmpeg", "-v", "error", "-i", file, "-f", "null", "-").CombinedOutput()
			if err != nil || len(out) > 0 {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

func TestRequestsAreAnsweredWithWhatIsThereOrWhyNot(t *testing.T) {
	s, url := server(t, Config{})
	status := func(path string, code int, says string, headers ...string) answer {
		t.Helper()
		res, b := get(t, url+path, headers...)
		if res.StatusCode != code || !strings.Contains(b, says) || res.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %s, %.200q; want %d and %q", path, res.Status, b, code, says)
		}
		if code == http.StatusServiceUnavailable && res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", path)
		}
		return res
	}
	status("live.m3u8", 503, "not started")
	status("multi.m3u8", 503, "not started")
	newFeed(s).clip(t, 60*time.Second)
	id := s.id + "/"
	etag := status("live.m3u8", 200, "#EXTM3U").Header.Get("ETag")
	status("live.m3u8", 304, "", "If-None-Match", etag)
	for path, c := range map[string]struct {
		code int
		says string
	}{
		"live.m3u8?_HLS_msn=100":                  {400, "too far ahead: the newest whole segment is"},
		"live.m3u8?_HLS_msn=x":                    {400, "_HLS_msn"},
		"live.m3u8?_HLS_msn=-1":                   {400, "_HLS_msn"},
		"live.m3u8?_HLS_part=1":                   {400, "needs _HLS_msn"},
		"live.m3u8?_HLS_msn=59&_HLS_part=x":       {400, "_HLS_part"},
		"live.m3u8?_HLS_skip=maybe":               {400, "_HLS_skip"},
		"live.m3u8?_HLS_msn=1&_HLS_part=1":        {200, "#EXTM3U"},
		id + "3.m4s":                              {404, "is gone: the window begins with"},
		id + "3.1.m4s":                            {404, "is gone"},
		id + "400.m4s":                            {404, "not there yet"},
		id + "50.99.m4s":                          {404, "has 5 parts"},
		id + "init7.mp4":                          {404, "no such initialization segment"},
		id + "x":                                  {404, "there is no x"},
		id + "99999999999999999999999.m4s":        {404, "there is no"},
		"00000000/50.m4s":                         {404, "start with live.m3u8"},
		id + "50.m4s":                             {200, "moof"},
		id + "50.1.m4s":                           {200, "moof"},
		id + "init0.mp4":                          {200, "avcC"},
		"live.m3u8?_HLS_msn=18446744073709551615": {400, "_HLS_msn"},
	} {
		res := status(path, c.code, c.says)
		if media := strings.HasPrefix(path, id); media && c.code == 200 && !strings.Contains(res.Header.Get("Cache-Control"), "immutable") ||
			c.code >= 400 && res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: Cache-Control %q", path, res.Header.Get("Cache-Control"))
		}
	}
	_, whole := get(t, url+id+"50.m4s")
	joined := ""
	for i := range 5 {
		_, b := get(t, fmt.Sprintf("%s%s50.%d.m4s", url, id, i))
		joined += b
	}
	if joined != whole {
		t.Error("a segment is not its parts")
	}
	res, b := get(t, url+id+"50.m4s", "Range", "bytes=1000-70000")
	if res.StatusCode != http.StatusPartialContent || b != whole[1000:70001] {
		t.Errorf("a range: %s, %d bytes", res.Status, len(b))
	}
	s.Drain()
	status("live.m3u8", 503, "leaving")
	status("multi.m3u8", 503, "leaving")
	status("live.m3u8?_HLS_msn=50", 200, "#EXTM3U") // who plays goes on
}

func TestABlockingReloadWaitsForItsPart(t *testing.T) {
	s, url := server(t, Config{})
	f := newFeed(s)
	f.clip(t, 5*time.Second)
	s.mu.Lock()
	msn, part := s.next()
	s.mu.Unlock()
	type playlist struct {
		code int
		text string
	}
	got := make(chan playlist, 2)
	var asking sync.WaitGroup
	for _, path := range []string{fmt.Sprintf("live.m3u8?_HLS_msn=%d&_HLS_part=%d", msn, part), fmt.Sprintf("%s/%d.%d.m4s", s.id, msn, part)} {
		asking.Go(func() {
			res, b := get(t, url+path)
			got <- playlist{res.StatusCode, b}
		})
	}
	select {
	case a := <-got:
		t.Fatalf("an answer before the part: %+v", a)
	case <-time.After(200 * time.Millisecond):
	}
	f.clip(t, 2*time.Second) // the same again: its timestamps jump, which nobody is to see
	asking.Wait()
	for range 2 {
		if a := <-got; a.code != 200 || !strings.Contains(a.text, fmt.Sprintf("/%d.%d.m4s", msn, part)) && !strings.Contains(a.text, "moof") {
			t.Errorf("%d %.300s", a.code, a.text)
		}
	}
	_, text := get(t, url+"live.m3u8")
	for _, g := range validate(t, text).segments {
		if g.discontinuity {
			t.Error("a jump of the timestamps is a discontinuity for players")
		}
	}
}

func TestAnEncoderWithOtherSettingsIsADiscontinuity(t *testing.T) {
	s, url := server(t, Config{})
	f := newFeed(s)
	f.clip(t, 5*time.Second)
	f.file(t, "-f", "lavfi", "-i", "testsrc=r=25:s=128x96:d=5", "-f", "lavfi", "-i", "sine=r=48000:d=5", "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-c:a", "aac")
	_, text := get(t, url+"live.m3u8")
	p := validate(t, text)
	jumps, inits := 0, map[string]bool{}
	for _, g := range p.segments {
		inits[g.init] = true
		if g.discontinuity {
			jumps++
		}
	}
	if jumps != 1 || len(inits) != 2 {
		t.Errorf("%d discontinuities, %d initialization segments:\n%s", jumps, len(inits), text)
	}
	if _, multi := get(t, url+"multi.m3u8"); !strings.Contains(multi, "128x96") {
		t.Error(multi)
	}
}

func TestWhatCannotBePlayedIsSaidSo(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		raw  string
		code int
		says string
	}{
		"MPEG-2 video":       {args: []string{"-f", "lavfi", "-i", "testsrc=r=25:s=64x64:d=2", "-c:v", "mpeg2video"}, code: 406, says: "MPEG-2 video"},
		"not MPEG-TS":        {raw: strings.Repeat("hello ", 20000), code: 406, says: "not MPEG-TS"},
		"one key frame only": {args: []string{"-f", "lavfi", "-i", "testsrc=r=25:s=64x64:d=30", "-c:v", "libx264", "-preset", "ultrafast", "-g", "9999", "-sc_threshold", "0"}, code: 200, says: "#EXTM3U"},
		"no key frame":       {raw: "cut", args: []string{"-f", "lavfi", "-i", "testsrc=r=25:s=64x64:d=30", "-c:v", "libx264", "-preset", "ultrafast", "-x264-params", "keyint=infinite:scenecut=0:repeat-headers=0"}, code: 503, says: "no key frame"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := &bytes.Buffer{}
			s, url := server(t, Config{Log: slog.New(slog.NewTextHandler(log, nil))})
			switch {
			case c.args == nil:
				_, _ = s.Write([]byte(c.raw))
			case c.raw == "cut":
				var b bytes.Buffer
				f := newFeed(s)
				f.cut = media.NewCutter(discardGroups{&b})
				f.file(t, c.args...)
				_, _ = s.Write(withoutKey(b.Bytes()))
			default:
				newFeed(s).file(t, c.args...)
			}
			res, text := get(t, url+"live.m3u8")
			if res.StatusCode != c.code || !strings.Contains(text, c.says) {
				t.Fatalf("%s %s; want %d, %q", res.Status, text, c.code, c.says)
			}
			if c.code == 200 {
				validate(t, text)
			} else if !strings.Contains(log.String(), c.says) {
				t.Errorf("the log says %s", log)
			}
		})
	}
}

// discardGroups keeps the bytes alone.
type discardGroups struct{ io.Writer }

func (discardGroups) StartGroup([]byte) error { return nil }

// withoutKey takes the first tenth of the video packets' payload out, and with
// them the only key frame.
func withoutKey(b []byte) []byte {
	var out []byte
	for i := 0; i+media.PacketSize <= len(b); i += media.PacketSize {
		p := b[i : i+media.PacketSize]
		if pid := int(p[1]&0x1f)<<8 | int(p[2]); pid == 0x100 && i < len(b)/10 {
			continue
		}
		out = append(out, p...)
	}
	return out
}

func TestAWindowOnDiskLetsPlayersGoBackAndLeavesNothing(t *testing.T) {
	parent := t.TempDir()
	s, url := server(t, Config{Rewind: 2 * time.Minute, RewindDir: parent})
	f := newFeed(s)
	saved := func() { // until all that is whole is on disk
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
			s.mu.Lock()
			left := 0
			for _, g := range s.list {
				if g.saved == "" {
					left++
				}
			}
			s.mu.Unlock()
			if left == 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d segments are not on disk", left)
			}
		}
	}
	s.pack.newInit = s.newInit
	src := media.NewTestSource()
	for at := time.Duration(0); at < 150*time.Second; {
		c, _ := src.Next(context.Background())
		if at = c.Due; at%time.Second < 100*time.Millisecond {
			saved()
		}
		f.at = time.UnixMilli(1_800_000_000_000).Add(at)
		_, _ = f.cut.Write(c.Data)
	}
	_, text := get(t, url+"live.m3u8")
	p := validate(t, text)
	total := 0.0
	for _, g := range p.segments {
		total += g.span
	}
	if total < 110 || total > 121 {
		t.Errorf("the window is %v s long, want 2 minutes", total)
	}
	old := p.segments[0]
	res, b := get(t, url+old.uri)
	if res.StatusCode != 200 || !strings.Contains(b, "moof") {
		t.Errorf("the oldest segment: %s", res.Status)
	}
	s.mu.Lock()
	inMemory := 0
	for _, g := range s.list {
		if g.parts != nil {
			inMemory++
		}
	}
	dir := s.disk.dir
	s.mu.Unlock()
	if inMemory > 20 {
		t.Errorf("%d segments are in memory", inMemory)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(files) > len(p.segments)+20 {
		t.Errorf("%d files for %d segments", len(files), len(p.segments))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if rest, _ := os.ReadDir(parent); len(rest) > 0 {
		t.Errorf("%v is left", rest)
	}
}

func TestADiskThatFailsCostsTheWindowAlone(t *testing.T) {
	var log lockedBuffer
	s, url := server(t, Config{Rewind: time.Minute, RewindDir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err := os.RemoveAll(s.disk.dir); err != nil {
		t.Fatal(err)
	}
	newFeed(s).clip(t, 40*time.Second)
	_, text := get(t, url+"live.m3u8")
	p := validate(t, text)
	total := 0.0
	for _, g := range p.segments {
		total += g.span
		if res, _ := get(t, url+g.uri); res.StatusCode != 200 {
			t.Errorf("%s is listed and cannot be had: %s", g.uri, res.Status)
		}
	}
	if total < 12 || total > 20 {
		t.Errorf("%v s are listed, want what is in memory", total)
	}
	if !strings.Contains(log.String(), "rewind: cannot write") {
		t.Errorf("the log says %s", log.String())
	}
}

// lockedBuffer is a buffer for logs of several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns what was written.
func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func FuzzServer(f *testing.F) {
	var b bytes.Buffer
	src := media.NewTestSource()
	for b.Len() < 100*media.PacketSize {
		c, _ := src.Next(context.Background())
		b.Write(c.Data)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = s.Write(b.Bytes())
		_, _ = s.Write(in)
		s.Gap()
		s.StartGroup(stream.Header{Time: 1})
		_, _ = s.Write(in)
		s.End()
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.list) > 0 {
			s.playlist(false)
		}
	})
}
