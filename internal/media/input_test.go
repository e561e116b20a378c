package media

// This file answers: what does a user hear of an input that is not as it should be?

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/braidway/braidway/internal/testnet/need"
	"github.com/braidway/braidway/stream"
)

// noise is a log that a test reads.
type noise struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (n *noise) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.Write(p)
}

func (n *noise) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.String()
}

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within 10 s: " + what)
		}
	}
}

func TestOfTwoSendersOverUDPTheFirstIsTakenUntilItIsSilent(t *testing.T) {
	probe, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := probe.LocalAddr().String()
	_ = probe.Close()
	w := NewWatch(nil, 0, nil)
	src, err := openUDP("udp://"+addr, w)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = src.Close() }()
	dial := func() net.Conn {
		c, err := net.Dial("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	a, b := dial(), dial()
	send := func(c net.Conn, p []byte) {
		if _, err := c.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	next := func() Chunk {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		c, err := src.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	rtp := append([]byte{0x80, 33, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}, clip[:7*PacketSize]...)
	send(a, rtp)
	if c := next(); !c.Fresh || !bytes.Equal(c.Data, clip[:7*PacketSize]) {
		t.Errorf("of RTP %d bytes came, fresh: %v", len(c.Data), c.Fresh)
	}
	send(b, clip[:PacketSize])
	waitFor(t, "the second sender is refused", func() bool { return w.Input().Counts[NoticeRefused] == 1 })
	send(a, clip[PacketSize:2*PacketSize])
	if c := next(); c.Fresh || !bytes.Equal(c.Data, clip[PacketSize:2*PacketSize]) {
		t.Error("the second sender's datagram passed")
	}
	if text := w.Input().Warning; !strings.Contains(text, "two encoders send to udp://"+addr) || !strings.Contains(text, b.LocalAddr().String()) {
		t.Errorf("told: %q", text)
	}
	time.Sleep(udpTurn) // the protocol's own time: the first one is silent
	send(b, clip[:PacketSize])
	if c := next(); !c.Fresh || w.Input().Peer != b.LocalAddr().String() {
		t.Errorf("the second sender does not get the place of a silent one: fresh %v, %s", c.Fresh, w.Input().Peer)
	}
}

func TestAMulticastGroupIsJoined(t *testing.T) {
	lo := ""
	all, _ := net.Interfaces()
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 {
			lo = i.Name
		}
	}
	src, err := openUDP("udp://239.255.77.7:0?iface="+lo, nil)
	if err != nil {
		t.Skipf("SKIPPED: no multicast here: %v", err)
	}
	_ = src.Close()
	if _, err := openUDP("udp://239.255.77.7:5000?iface=nosuch0", nil); err == nil || !strings.Contains(err.Error(), "nosuch0") {
		t.Error(err)
	}
}

func TestFFmpegsWordsAreInOurLogAndItIsStartedAgain(t *testing.T) {
	need.Program(t, "ffmpeg")
	var log noise
	w := NewWatch(slog.New(slog.NewTextHandler(&log, nil)), 0, nil)
	src, err := openChild("tcp://user:hidden@"+freePort(t), w)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = src.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err = src.Next(ctx)
	if err == nil || !strings.Contains(err.Error(), "ffmpeg cannot read it") || !strings.Contains(err.Error(), "Connection refused") || strings.Contains(err.Error(), "hidden") {
		t.Errorf("%v", err)
	}
	if n := w.Input().Counts[NoticeRetry]; n != childTries-1 {
		t.Errorf("started again %d times", n)
	}
	if s := log.String(); !strings.Contains(s, "level=ERROR msg=\"ffmpeg: ") || strings.Contains(s, "hidden") {
		t.Errorf("logged: %s", s)
	}
}

func TestWhatMPEGTSCannotCarryIsNamed(t *testing.T) {
	need.Program(t, "ffmpeg")
	file := t.TempDir() + "/a.webm"
	if out, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=64x64:d=0.4", "-c:v", "libvpx-vp9", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	src, err := Open(context.Background(), file, false, nil, nil)
	if err == nil {
		_ = src.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "vp9 cannot be published") || !strings.Contains(err.Error(), "libx264") {
		t.Errorf("%v", err)
	}
}

// A camera at ten times the highest bitrate: what passes is that and not more,
// it begins with keyframes, nothing is kept, and the user is told.
func TestAnEncoderAtTenTimesTheBitrateIsBounded(t *testing.T) {
	now := time.Unix(0, 0)
	w := NewWatch(nil, 300_000, nil)
	g := &groups{}
	l := &limiter{out: g, max: 1e6, watch: w, now: func() time.Time { return now }}
	frame := make([]byte, 50_000) // 25 a second are 10 Mbit/s
	for i := range 25 * 60 {
		if i%25 == 0 {
			if err := l.StartGroup(nil); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := l.Write(frame); n != len(frame) || err != nil {
			t.Fatal(n, err)
		}
		now = now.Add(40 * time.Millisecond)
	}
	rate := float64(g.all.Len()) * 8 / 60
	if rate > 1.1e6 || rate < 0.5e6 {
		t.Errorf("%.0f bit/s pass, allowed are 1000000", rate)
	}
	if len(g.starts) < 20 {
		t.Errorf("viewers get %d groups in a minute", len(g.starts))
	}
	if in := w.Input(); in.Dropped == 0 || !strings.Contains(in.Warning, "--max-bitrate 1.0Mbps") {
		t.Errorf("%d bytes dropped; told: %q", in.Dropped, in.Warning)
	}
	for i := range overFor {
		over := w.rate.look(3e6)
		if (over != "") != (i == overFor-1) {
			t.Errorf("window %d: %q", i, over)
		}
		if over != "" && (!strings.Contains(over, "3.0Mbps") || !strings.Contains(over, "announced are 300kbps")) {
			t.Errorf("told: %q", over)
		}
	}
}

// pending is a publisher that is full now and then.
type pending struct {
	groups
	full bool
}

func (p *pending) Write(b []byte) (int, error) {
	if p.full = !p.full; p.full && len(b) > 1 {
		n, _ := p.groups.Write(b[:len(b)/2])
		return n, fmt.Errorf("%w: full", stream.ErrPending)
	}
	return p.groups.Write(b)
}

func TestAPublisherThatIsFullIsWaitedForAndNoByteIsLost(t *testing.T) {
	p := &pending{}
	in := NewIntake(p, IntakeConfig{})
	if err := in.Copy(context.Background(), newReaderSource(io.NopCloser(bytes.NewReader(clip[:100*PacketSize])))); err != nil || in.Close() != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(p.all.Bytes(), clip[:100*PacketSize]) {
		t.Error("the bytes changed")
	}
}

func TestAStreamWithoutKeyframesIsCutByTimeAndTold(t *testing.T) {
	in := encode(t, 20*25, "-g", "1000", "-x264-params", "keyint=infinite:scenecut=0")
	w := NewWatch(nil, 0, nil)
	g := &groups{}
	c := NewCutter(g)
	c.Watch = w
	if _, err := c.Write(in); err != nil || c.Close() != nil || !bytes.Equal(g.all.Bytes(), in) {
		t.Fatal("the bytes changed", err)
	}
	if c.Blind != 1 || len(g.starts) != 2 || w.Input().Counts[NoticeGroups] != 2 || !strings.Contains(w.Input().Warning, "keyframe interval to 1 or 2 s") {
		t.Errorf("%d groups, %d of them without a keyframe; told %d times: %q", len(g.starts), c.Blind, w.Input().Counts[NoticeGroups], w.Input().Warning)
	}
}

func TestAnInputThatFallsSilentPausesAndGoesOn(t *testing.T) {
	var told []string
	w := NewWatch(nil, 0, func(n Notice) { told = append(told, n.Kind) })
	if w.Input().State != InputWaiting {
		t.Error(w.Input().State)
	}
	w.up("a")
	w.came(100)
	if in := w.Input(); in.State != InputLive || in.Peer != "a" || in.Runs != 1 {
		t.Errorf("%+v", in)
	}
	w.look(time.Now().Add(InputIdle))
	if in := w.Input(); in.State != InputPaused || in.Bitrate != 0 {
		t.Errorf("%+v", in)
	}
	w.came(100)
	w.end()
	w.look(time.Now().Add(InputIdle))
	if in := w.Input(); in.State != InputLive || in.Runs != 2 {
		t.Errorf("%+v", in)
	}
	if fmt.Sprint(told) != "[up down up]" {
		t.Error(told)
	}
}

func TestSecretsOfAnInputAreNotShown(t *testing.T) {
	for in, want := range map[string]string{
		"rtmp://0.0.0.0:1935/live/secret": "rtmp://0.0.0.0:1935/live/…", "srt://h:1?passphrase=x": "srt://h:1?…",
		"rtsp://me:pw@cam/1": "rtsp://…@cam/1", "udp://h:1": "udp://h:1", "movie.ts": "movie.ts", "rtmp://h": "rtmp://h",
	} {
		if got := Redact(in); got != want {
			t.Errorf("%s is shown as %s, want %s", in, got, want)
		}
	}
}

func TestWithoutFFmpegTheUserIsToldWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := Open(context.Background(), "srt://127.0.0.1:9000", false, nil, nil); !errors.Is(err, ErrNoFFmpeg) || !strings.Contains(err.Error(), "apt install ffmpeg") {
		t.Error(err)
	}
}
