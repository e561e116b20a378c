package main

// This file answers: do real players play what a viewer three hops from the
// publisher serves, every frame of it, and how long after it was published?

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/braidway/braidway/internal/media"
	"github.com/braidway/braidway/internal/testnet"
	"github.com/braidway/braidway/internal/testnet/need"
)

// chain starts a publisher of the clip, relays with room for one child in each
// stripe, and a viewer with args behind them all; it returns the viewer and
// where it serves.
func chain(t *testing.T, relays int, args ...string) (viewer *testnet.Process, url string) {
	t.Helper()
	pub := start(t, "publisher", "publish", "test:", "--name", "t", "--max-children", "1")
	link := pub.Line(t)
	for i := range relays {
		start(t, fmt.Sprintf("relay %d", i), "relay", link, "--max-children", "1").Line(t)
	}
	viewer = start(t, "viewer", append([]string{"play", link, "--no-relay", "--http", "127.0.0.1:0"}, args...)...)
	watch := regexp.MustCompile(`watch on (https?://\S+)/`)
	await(t, "the viewer's address", func() bool {
		if m := watch.FindStringSubmatch(viewer.Log()); m != nil {
			url = m[1]
		}
		return url != ""
	})
	await(t, "the first segment", func() bool {
		code, _ := fetch(t, url+"/hls/live.m3u8")
		return code == http.StatusOK
	})
	return viewer, url
}

// await asks until ok, for half a minute.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30s", what)
		}
	}
}

// fetch returns status and body.
func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	b, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(b)
}

// evenFrames lets ffprobe decode input and fails unless every frame follows the
// one before it, sound and pictures in step. It returns how many pictures there are.
func evenFrames(t *testing.T, input string, seconds int) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	args := []string{"-v", "error", "-show_entries", "frame=media_type,pts_time", "-of", "csv=p=0"}
	if seconds > 0 {
		args = append(args, "-read_intervals", fmt.Sprintf("%%+%d", seconds))
	}
	cmd := exec.CommandContext(ctx, need.Program(t, "ffprobe"), append(args, input)...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || errs.Len() > 0 {
		t.Fatalf("%s: %v: %s", input, err, errs.String())
	}
	at := map[string][]float64{}
	for _, line := range strings.Fields(string(out)) {
		f := strings.Split(line, ",")
		if v, err := strconv.ParseFloat(f[1], 64); err == nil {
			at[f[0]] = append(at[f[0]], v)
		}
	}
	for kind, step := range map[string]float64{"video": 0.04, "audio": 1024.0 / 48000} {
		times := at[kind]
		if len(times) < max((seconds-1)*int(1/step), 1) {
			t.Fatalf("%s: %d frames of %s", input, len(times), kind)
		}
		for i := 1; i < len(times); i++ {
			if d := times[i] - times[i-1]; math.Abs(d-step) > 0.002 {
				t.Fatalf("%s: %s frame %d comes %.4f s after the one before, want %.4f", input, kind, i, d, step)
			}
		}
	}
	if d := at["video"][0] - at["audio"][0]; math.Abs(d) > 0.3 {
		t.Errorf("%s: sound begins %.3f s before the pictures", input, d)
	}
	return len(at["video"])
}

func TestPlayersDecodeEveryFrameThreeHopsAway(t *testing.T) {
	need.Program(t, "ffprobe")
	dir := t.TempDir()
	viewer, url := chain(t, 2, "--buffer", "3s", "--record", dir, "--rewind", "1m", "--rewind-dir", dir)
	t.Run("players", func(t *testing.T) {
		for name, path := range map[string]string{"HTTP-TS": "/live.ts", "HLS": "/hls/live.m3u8", "HLS, multivariant": "/hls/multi.m3u8"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				evenFrames(t, url+path, 5)
			})
		}
		t.Run("latency of HTTP-TS", func(t *testing.T) {
			t.Parallel()
			p50, p99 := latencyTS(t, url+"/live.ts", 100)
			t.Logf("HTTP-TS, from the publisher's input to a demultiplexed picture: p50 %v, p99 %v", p50, p99)
			if most := latencyBound(500 * time.Millisecond); p50 > most {
				t.Errorf("p50 %v, want at most %v", p50, most)
			}
		})
		t.Run("hls.js", func(t *testing.T) {
			t.Parallel()
			playHLSJS(t, url+"/hls/live.m3u8")
		})
	})
	viewer.Signal(os.Interrupt)
	select {
	case <-viewer.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the viewer does not end")
	}
	segments, _ := filepath.Glob(filepath.Join(dir, "*.ts"))
	lists, _ := filepath.Glob(filepath.Join(dir, "*.m3u8"))
	rest, _ := filepath.Glob(filepath.Join(dir, "braidway-rewind-*"))
	if len(segments) < 2 || len(lists) != 1 || len(rest) != 0 {
		t.Fatalf("recorded %d segments and %d playlists; of the rewind window there is %q", len(segments), len(lists), rest)
	}
	all, sum := evenFrames(t, lists[0], 0), 0
	for _, s := range segments {
		sum += evenFrames(t, s, 0)
	}
	if all != sum {
		t.Errorf("%d pictures in the recording, %d in its segments each on its own", all, sum)
	}
}

// latencyBound returns the target where the machine is this test's alone (make
// latency); beside other tests it is only to be seen that nobody falls behind.
func latencyBound(target time.Duration) time.Duration {
	if os.Getenv("BRAIDWAY_CHAOS_LATENCY") != "" {
		return target
	}
	return 5 * time.Second
}

// latencyTS reads n pictures from an MPEG-TS of the clip, and returns how long
// after they were due at the publisher each came out of the demuxer. The clip is
// in step with Unix time wherever it is published.
func latencyTS(t *testing.T, url string, n int) (p50, p99 time.Duration) {
	t.Helper()
	first := time.Duration(-1)
	d := media.NewDemuxer(func(f media.Frame) {
		if first < 0 && f.Key {
			first = f.DTS
		}
	})
	for src := media.NewTestSource(); first < 0; {
		c, _ := src.Next(context.Background())
		_, _ = d.Write(c.Data)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var late []time.Duration
	const wrap = (1 << 33) * time.Second / 90000
	var d2 *media.Demuxer
	d2 = media.NewDemuxer(func(f media.Frame) {
		for _, tr := range d2.Tracks() {
			if tr.ID == f.Track && tr.Codec.Video() {
				// The source begins with the tables before a key frame, which are
				// due with the picture before: it is that one picture early.
				const early = 40 * time.Millisecond
				late = append(late, (time.Duration(time.Now().UnixNano())-(f.DTS-first)+early)%wrap)
			}
		}
	})
	buf := make([]byte, 64<<10)
	for len(late) < n {
		k, err := res.Body.Read(buf)
		if _, werr := d2.Write(buf[:k]); err != nil || werr != nil {
			t.Fatal(err, werr)
		}
	}
	late = late[25:] // what came at once, from the group's start
	slices.Sort(late)
	return late[len(late)/2], late[len(late)*99/100]
}

// playerState is what the page of playHLSJS says, four times a second.
type playerState struct {
	At      float64  `json:"at"`      // currentTime, s
	Latency float64  `json:"latency"` // behind the newest part, s
	Behind  float64  `json:"behind"`  // behind the publisher's clock, s
	Width   int      `json:"width"`
	Errors  []string `json:"errors"`
}

const hlsPage = `<!doctype html><video muted autoplay playsinline></video><script type="module">
import Hls from "/hls.mjs";
const v = document.querySelector("video"), errors = [];
const hls = new Hls({lowLatencyMode: true, maxLiveSyncPlaybackRate: 1.5}); // the start took its time: catch up
hls.on(Hls.Events.ERROR, (_, e) => errors.push(e.type + " " + e.details + (e.fatal ? " (fatal)" : "") + " " + (e.error || "")));
hls.loadSource(%q);
hls.attachMedia(v);
hls.on(Hls.Events.MANIFEST_PARSED, () => v.play());
setInterval(() => fetch("/state", {method: "POST", body: JSON.stringify({at: v.currentTime, latency: hls.latency || 0,
  behind: hls.playingDate ? (Date.now() - hls.playingDate) / 1000 : 0, width: v.videoWidth, errors})}), 250);
</script>`

// playHLSJS plays a playlist in a browser, from another origin, until it has
// played for 8 s, and checks that it plays evenly near the edge.
func playHLSJS(t *testing.T, playlist string) {
	chromium := need.Browser(t)
	var mu sync.Mutex
	var states []playerState
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, hlsPage, playlist)
	})
	mux.HandleFunc("GET /hls.mjs", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		http.ServeFile(w, r, "../../internal/web/assets/vendor/hls.light.min.mjs")
	})
	mux.HandleFunc("POST /state", func(w http.ResponseWriter, r *http.Request) {
		var s playerState
		if json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&s) == nil {
			mu.Lock()
			states = append(states, s)
			mu.Unlock()
		}
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	profile, err := os.MkdirTemp("", "braidway")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // its processes are killed, and may still write for a moment
		for end := time.Now().Add(5 * time.Second); os.RemoveAll(profile) != nil && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		}
	})
	cmd := exec.CommandContext(ctx, chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--mute-audio", "--no-first-run",
		"--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required", "--user-data-dir="+profile, srv.URL)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = cmd.Wait()
	}()
	last := func() (s playerState, first float64) {
		mu.Lock()
		defer mu.Unlock()
		for _, x := range states {
			if x.At > 0 {
				first = x.At
				break
			}
		}
		if len(states) > 0 {
			s = states[len(states)-1]
		}
		return s, first
	}
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if s, first := last(); first > 0 && s.At-first > 8 {
			break
		}
		if time.Now().After(deadline) {
			s, _ := last()
			t.Fatalf("hls.js has not played 8 s within a minute: %+v", s)
		}
	}
	s, _ := last()
	mu.Lock()
	defer mu.Unlock()
	var behind []float64
	for _, x := range states[len(states)-16:] {
		behind = append(behind, x.Behind)
	}
	slices.Sort(behind)
	t.Logf("hls.js plays %.2f s behind the newest part and %.2f s behind the publisher's clock (4 s, median); %d by-the-way errors %q",
		s.Latency, behind[len(behind)/2], len(s.Errors), s.Errors)
	if most := latencyBound(1500 * time.Millisecond).Seconds(); s.Width != 640 || behind[len(behind)/2] > most {
		t.Errorf("the picture is %d wide and %.2f s behind, want 640 and at most %.1f s", s.Width, behind[len(behind)/2], most)
	}
	for _, e := range s.Errors {
		if strings.Contains(e, "fatal") {
			t.Error(e)
		}
	}
}
