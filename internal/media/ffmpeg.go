package media

// This file answers: what if the input is something that only ffmpeg reads?

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
)

// ffmpeg is a running ffmpeg that muxes its input to MPEG-TS. At the end of its
// output Read tells whether it was content: an input that it cannot read must
// not look like one that ended.
type ffmpeg struct {
	input  string
	cmd    *exec.Cmd
	out    io.Reader
	said   lastLines
	got    bool
	once   sync.Once
	result error
}

// openFFmpeg starts the installed ffmpeg; ctx ends it. It listens on rtmp:// and
// srt://, as ingest servers do.
func openFFmpeg(ctx context.Context, input string) (Source, error) {
	path, err := exec.LookPath("ffmpeg")
	if err != nil {
		return nil, fmt.Errorf("input %s needs ffmpeg, which is not installed; MPEG-TS files, - and udp:// work without", input)
	}
	f := &ffmpeg{input: input, cmd: exec.CommandContext(ctx, path, ffmpegArgs(input)...)}
	f.cmd.Stderr = &f.said
	if f.out, err = f.cmd.StdoutPipe(); err == nil {
		err = f.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("input %s: ffmpeg: %w", input, err)
	}
	return newReaderSource(f), nil
}

func ffmpegArgs(input string) []string {
	args := []string{"-hide_banner", "-loglevel", "error", "-nostdin"}
	switch scheme, rest, url := strings.Cut(input, "://"); {
	case !url:
		args = append(args, "-re") // a file, at its own pace
	case scheme == "rtmp":
		args = append(args, "-listen", "1")
	case scheme == "srt" && !strings.Contains(rest, "mode="):
		sep := "?"
		if strings.Contains(rest, "?") {
			sep = "&"
		}
		input += sep + "mode=listener"
	}
	return append(args, "-i", input, "-c", "copy", "-f", "mpegts", "-mpegts_flags", "+pat_pmt_at_frames+resend_headers", "pipe:1")
}

// Read implements io.Reader.
func (f *ffmpeg) Read(p []byte) (int, error) {
	n, err := f.out.Read(p)
	f.got = f.got || n > 0
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	switch f.wait(); {
	case f.result == nil:
		return n, io.EOF
	case f.got:
		return n, fmt.Errorf("input %s: ffmpeg: %w: %s", f.input, f.result, f.said.text())
	default:
		return n, fmt.Errorf("input %s: ffmpeg cannot read it: %s; publish other bytes with --raw", f.input, f.said.text())
	}
}

func (f *ffmpeg) wait() { f.once.Do(func() { f.result = f.cmd.Wait() }) }

// Close ends ffmpeg.
func (f *ffmpeg) Close() error {
	_ = f.cmd.Process.Kill()
	f.wait()
	return nil
}

// lastLines keeps the end of what a program says about its errors.
type lastLines struct {
	mu sync.Mutex
	b  []byte
}

// maxSaid is enough for a few lines of ffmpeg.
const maxSaid = 1 << 10

// Write implements io.Writer.
func (l *lastLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, p...)
	l.b = l.b[max(0, len(l.b)-maxSaid):]
	return len(p), nil
}

// text returns it on one line.
func (l *lastLines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(bytes.Join(bytes.FieldsFunc(bytes.TrimSpace(l.b), func(r rune) bool { return r == '\n' }), []byte("; ")))
}
