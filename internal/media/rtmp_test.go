package media

// This file answers: do encoders publish over RTMP, and what do those hear that
// may not?

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/braidway/braidway/internal/testnet/need"
)

// freePort returns an address of loopback that nobody listened on just now.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

// rtmpIn opens an input at rtmp://ADDR/live/secret.
func rtmpIn(t *testing.T) (in *Ingest, w *Watch, addr string) {
	t.Helper()
	addr, w = freePort(t), NewWatch(nil, 0, nil)
	in, err := openRTMP("rtmp://"+addr+"/live/secret", w)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close() })
	return in, w, addr
}

// pushing starts ffmpeg as an encoder that does not end by itself.
func pushing(t *testing.T, url string, args ...string) (cmd *exec.Cmd, said *bytes.Buffer) {
	t.Helper()
	need.Program(t, "ffmpeg")
	said = &bytes.Buffer{}
	all := append([]string{"-v", "error", "-re", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=25", "-f", "lavfi", "-i", "sine=sample_rate=44100",
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac"}, args...)
	cmd = exec.Command("ffmpeg", append(all, "-f", "flv", url)...)
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, said
}

// collect reads until n bytes came.
func collect(t *testing.T, in Source, n int) (b []byte, fresh int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for len(b) < n {
		c, err := in.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if c.Fresh {
			fresh++
		}
		b = append(b, c.Data...)
	}
	return b, fresh
}

func TestFFmpegPublishesOverRTMPAndASecondEncoderIsToldWhyNot(t *testing.T) {
	in, w, addr := rtmpIn(t)
	wrong, saidWrong := pushing(t, "rtmp://"+addr+"/live/guess")
	if err := wrong.Wait(); err == nil || !strings.Contains(saidWrong.String(), "the stream key is wrong") {
		t.Errorf("with a wrong key: %v: %s", err, saidWrong)
	}
	app, saidApp := pushing(t, "rtmp://"+addr+"/other/secret")
	if err := app.Wait(); err == nil || !strings.Contains(saidApp.String(), "connect error") {
		t.Errorf("with a wrong application: %v: %s", err, saidApp)
	}
	first, _ := pushing(t, "rtmp://"+addr+"/live/secret")
	b, fresh := collect(t, in, 20_000)
	if fresh != 1 {
		t.Errorf("%d begins", fresh)
	}
	b = b[:len(b)/PacketSize*PacketSize]
	continuous(t, b)
	second, said := pushing(t, "rtmp://"+addr+"/live/secret")
	done := make(chan error, 1)
	go func() { done <- second.Wait() }()
	for waiting := true; waiting; {
		select {
		case err := <-done:
			waiting = false
			if err == nil || !strings.Contains(said.String(), "another encoder publishes with this stream key") {
				t.Errorf("a second encoder: %v: %s", err, said)
			}
		default:
			collect(t, in, 1)
		}
	}
	if got := w.Input(); got.Counts[NoticeRefused] < 3 || !strings.Contains(got.Warning, "a second encoder") {
		t.Errorf("told %d times: %s", got.Counts[NoticeRefused], got.Warning)
	}
	_ = first.Process.Kill()
	third, _ := pushing(t, "rtmp://"+addr+"/live/secret")
	for fresh := 0; fresh == 0; { // fails when it does not come
		_, fresh = collect(t, in, 1)
	}
	_ = third.Process.Kill()
}

func TestWhatRTMPCannotCarryIsToldOnBothSides(t *testing.T) {
	_, w, addr := rtmpIn(t)
	old, said := pushing(t, "rtmp://"+addr+"/live/secret", "-c:v", "flv1", "-c:a", "libmp3lame")
	if err := old.Wait(); err == nil || !strings.Contains(said.String(), "cannot be published: set the encoder to H.264 or H.265") {
		t.Errorf("%v: %s", err, said)
	}
	_ = w
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if b, err := io.ReadAll(c); len(b) > 0 {
		t.Errorf("an HTTP client is answered %q, %v", b, err)
	}
	for end := time.Now().Add(5 * time.Second); !strings.Contains(w.Input().Warning, "does not speak RTMP"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("told: %q", w.Input().Warning)
		}
	}
	if _, err := openRTMP("rtmp://"+addr+"/live/secret", nil); err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a port in use: %v", err)
	}
}

// H.265 comes as Enhanced RTMP says it; ffmpeg 5.1 does not write that yet.
func TestH265OfEnhancedRTMPPlays(t *testing.T) {
	in := encode(t, 50, "-c:v", "libx265", "-x265-params", "log-level=none:keyint=25:bframes=2", "-c:a", "aac")
	want, sounds := decode(t, in)
	var f flvTracks
	var frames []Frame
	d := NewDemuxer(func(fr Frame) { fr.Data = bytes.Clone(fr.Data); frames = append(frames, fr) })
	_, _ = d.Write(in)
	d.Flush()
	tracks := d.Tracks()
	// The record of ISO/IEC 14496-15, with one array for each set.
	record := append(make([]byte, 21), 3, 0)
	NALUnits(tracks[0].Config, func(nal []byte) {
		record[22]++
		record = append(record, nalType(H265, nal), 0, 1)
		record = append(binary.BigEndian.AppendUint16(record, uint16(len(nal))), nal...)
	})
	if _, ok, err := f.picture(append([]byte{0x90, 'h', 'v', 'c', '1'}, record...), 0); ok || err != nil {
		t.Fatal(ok, err)
	}
	if _, ok, err := f.sound(append([]byte{0xaf, 0}, tracks[1].Config...), 0); ok || err != nil {
		t.Fatal(ok, err)
	}
	var out bytes.Buffer
	m, err := NewMuxer(&out, []Track{f.video, f.audio})
	if err != nil {
		t.Fatal(err)
	}
	for _, fr := range frames {
		ms := uint32(fr.DTS.Milliseconds()) - 500 // wraps on the way
		var got Frame
		var ok bool
		if fr.Track == tracks[0].ID {
			shift := uint32((fr.PTS - fr.DTS).Milliseconds())
			tag := append([]byte{0xa1, 'h', 'v', 'c', '1'}, byte(shift>>16), byte(shift>>8), byte(shift))
			if fr.Key {
				tag[0] = 0x91
			}
			NALUnits(fr.Data, func(nal []byte) { tag = append(binary.BigEndian.AppendUint32(tag, uint32(len(nal))), nal...) })
			got, ok, err = f.picture(tag, ms)
		} else {
			got, ok, err = f.sound(append([]byte{0xaf, 1}, fr.Data...), ms)
		}
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		if err := m.WriteFrame(got); err != nil {
			t.Fatal(err)
		}
	}
	if v, a := decode(t, out.Bytes()); v != want || a != sounds {
		t.Errorf("%d pictures and %d frames of sound, want %d and %d", v, a, want, sounds)
	}
}

func TestCodecsThatCannotBePublishedAreNamed(t *testing.T) {
	for name, tag := range map[string][]byte{"AV1": {0x90, 'a', 'v', '0', '1'}, "VP9": {0x90, 'v', 'p', '0', '9'}, "H.263": {0x12, 0}, "kind 15": {0x1f, 0}} {
		var bad *CodecError
		if _, _, err := new(flvTracks).picture(tag, 0); !errors.As(err, &bad) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, tag := range map[string][]byte{"MP3": {0x2f, 0}, "G.711": {0x7f, 0}, "ac-3": {0x90, 'a', 'c', '-', '3'}} {
		var bad *CodecError
		if _, _, err := new(flvTracks).sound(tag, 0); !errors.As(err, &bad) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestASilentEncoderLosesItsPlaceAndOneThatSendsKeepsIt(t *testing.T) {
	in := NewIngest(nil)
	p, err := in.Begin("a")
	if err != nil {
		t.Fatal(err)
	}
	var busy *BusyError
	if _, err := in.Begin("b"); !errors.As(err, &busy) || busy.Holder != "a" {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.last = p.last.Add(-InputIdle)
	p.mu.Unlock()
	if _, err := in.Begin("b"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Gone():
	default:
		t.Error("the silent one does not hear of it")
	}
	if _, err := p.Write(make([]byte, PacketSize)); err == nil {
		t.Error("it still writes")
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Begin("c"); !errors.Is(err, ErrIngestClosed) {
		t.Error(err)
	}
}

func TestMessagesTravelInChunksOfAnySize(t *testing.T) {
	for _, size := range []int{1, 100, rtmpFirstChunk, 5000} {
		long := bytes.Repeat([]byte("0123456789"), 100)
		b := appendChunks(nil, 2, rtmpFirstChunk, rtmpSetChunkSize, 0, binary.BigEndian.AppendUint32(nil, uint32(size)))
		b = appendChunks(b, 5, size, rtmpData, 1, long)
		b = appendChunks(b, 6, size, rtmpData, 1, nil) // nothing in it: told all the same
		b = appendChunks(b, 5, size, rtmpCommand, 1, []byte("x"))
		c := newChunkReader(bytes.NewReader(b))
		for i, want := range [][]byte{binary.BigEndian.AppendUint32(nil, uint32(size)), long, nil, []byte("x")} {
			if m, err := c.next(); err != nil || !bytes.Equal(m.payload, want) {
				t.Fatalf("size %d, message %d: %d bytes, %v", size, i, len(m.payload), err)
			}
		}
		for n := range b {
			c := newChunkReader(bytes.NewReader(b[:n]))
			for {
				if _, err := c.next(); err != nil {
					break
				}
			}
		}
	}
}

func TestAStrangerMayNotFillMemory(t *testing.T) {
	c := newChunkReader(bytes.NewReader([]byte{5, 0, 0, 0, 0xff, 0xff, 0xff, rtmpVideo, 1, 0, 0, 0}))
	if _, err := c.next(); err == nil || !strings.Contains(err.Error(), "allowed are") {
		t.Error(err)
	}
	var b []byte
	for id := byte(2); id < 60; id++ { // unfinished messages on many streams
		b = append(b, id, 0, 0, 0, 0, 0x30, 0, rtmpVideo, 1, 0, 0, 0)
		b = append(b, make([]byte, rtmpFirstChunk)...)
	}
	c = newChunkReader(bytes.NewReader(b))
	if _, err := c.next(); err == nil || !strings.Contains(err.Error(), "chunk streams") {
		t.Error(err)
	}
}

func FuzzRTMP(f *testing.F) {
	f.Add(appendChunks(nil, 3, 128, rtmpCommand, 0, appendAMF(nil, "connect", 1.0, []amfPair{{"app", "live"}})))
	f.Add(appendChunks(nil, 5, 128, rtmpVideo, 1, []byte{0x17, 0, 0, 0, 0, 1, 100, 0, 31, 0xff, 0xe1, 0, 1, 0x67, 1, 0, 1, 0x68}))
	f.Add(appendChunks(nil, 6, 128, rtmpAudio, 1, []byte{0xaf, 0, 0x11, 0x90}))
	f.Add(appendChunks(nil, 5, 128, rtmpVideo, 1, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := newChunkReader(bytes.NewReader(b))
		c.most = 1 << 20
		var tracks flvTracks
		tracks.nalSize, tracks.video.Codec, tracks.audio.Codec = 4, H264, AAC
		for {
			m, err := c.next()
			if err != nil {
				return
			}
			if c.pending < 0 || len(m.payload) > c.most {
				t.Fatalf("%d pending, a message of %d bytes", c.pending, len(m.payload))
			}
			switch m.kind {
			case rtmpVideo:
				_, _, _ = tracks.picture(m.payload, m.time)
			case rtmpAudio:
				_, _, _ = tracks.sound(m.payload, m.time)
			default:
				_, _ = parseAMF(m.payload)
			}
		}
	})
}
