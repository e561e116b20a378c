package media

// This file answers: what if the input is something that only ffmpeg reads? It
// runs as a child: its words are in our log, it is started again when its input
// ends, and it ends with this process.

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/braidway/braidway/failover"
)

const (
	// childTries is how often ffmpeg is started for an input of which nothing
	// ever came, until that is an error.
	childTries = 3
	// childSilence is when a listening ffmpeg whose encoder has fallen silent is
	// started again: SRT itself notices after 5 s, and takes nobody else until then.
	childSilence = 3 * time.Second
	// childLines of ffmpeg are logged in childPause; the others are counted.
	childLines = 20
	childPause = 10 * time.Second
	// wordsTime is what ffmpeg gets to say why its output has no track.
	wordsTime = time.Second
)

// childBackoff is the pace at which ffmpeg is started again.
func childBackoff() failover.Backoff {
	return failover.Backoff{Base: 500 * time.Millisecond, Cap: 10 * time.Second, Floor: 50 * time.Millisecond}
}

// ErrNoFFmpeg says that an input needs ffmpeg, which is not installed.
var ErrNoFFmpeg = errors.New("ffmpeg is not installed, which reads this kind of input; install it (apt install ffmpeg, brew install ffmpeg), or use what works without: MPEG-TS files, -, udp:// and rtmp://")

// child supervises ffmpeg.
type child struct {
	input  string
	shown  string // input without its secrets
	path   string
	scheme string // "": a file
	listen bool   // encoders come to it
	watch  *Watch
	log    *slog.Logger
	out    chan item
	err    error // set before out is closed
	ctx    context.Context
	cancel context.CancelFunc
	ended  chan struct{}
}

// openChild reads input with the installed ffmpeg. It listens on srt://, unless
// mode= says otherwise. A file ends the stream; URLs are read again when they end.
func openChild(input string, watch *Watch) (Source, error) {
	c := &child{input: input, shown: Redact(input), watch: watch, log: slog.New(slog.DiscardHandler), out: make(chan item, 64), ended: make(chan struct{})}
	if watch != nil {
		c.log = watch.log
	}
	var err error
	if c.path, err = exec.LookPath("ffmpeg"); err != nil {
		return nil, fmt.Errorf("input %s: %w", c.shown, ErrNoFFmpeg)
	}
	if scheme, _, ok := strings.Cut(input, "://"); ok {
		c.scheme = scheme
	}
	if c.scheme == "srt" {
		if err := c.prepareSRT(); err != nil {
			return nil, err
		}
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	go c.supervise()
	return c, nil
}

// prepareSRT makes the URL a listener's, and finds out whether it can be one.
func (c *child) prepareSRT() error {
	u, err := url.Parse(c.input)
	if err != nil || u.Port() == "" {
		return fmt.Errorf("input %s: give srt://ADDR:PORT to listen on, as srt://0.0.0.0:9000, or srt://HOST:PORT?mode=caller to fetch", c.shown)
	}
	q := u.Query()
	if q.Get("mode") == "" {
		q.Set("mode", "listener")
	}
	c.listen = q.Get("mode") == "listener"
	u.RawQuery = q.Encode()
	c.input = u.String()
	if !c.listen {
		return nil
	}
	conn, err := net.ListenPacket("udp", u.Host)
	if err != nil {
		return fmt.Errorf("input %s: %w; encoders come to this address, choose one of this machine and a free port", c.shown, err)
	}
	return conn.Close()
}

// args of ffmpeg. SRT carries MPEG-TS already: its bytes are passed on as they
// are, without the seconds that ffmpeg needs to look at streams.
func (c *child) args() []string {
	args := []string{"-hide_banner", "-nostats", "-nostdin", "-loglevel", "repeat+level+warning"}
	if c.scheme == "srt" {
		return append(args, "-f", "data", "-i", c.input, "-map", "0:0", "-c", "copy", "-f", "data", "-flush_packets", "1", "pipe:1")
	}
	switch c.scheme {
	case "", "http", "https": // at its own pace
		args = append(args, "-re")
	case "rtsp", "rtsps":
		args = append(args, "-rtsp_transport", "tcp")
	}
	return append(args, "-i", c.input, "-map", "0:v:0?", "-map", "0:a:0?", "-c", "copy", "-f", "mpegts", "-mpegts_flags", "+pat_pmt_at_frames+resend_headers",
		"-muxdelay", "0", "-muxpreload", "0", "-flush_packets", "1", "pipe:1")
}

// supervise runs ffmpeg until the input has ended, cannot be read, or Close.
func (c *child) supervise() {
	defer close(c.ended)
	defer close(c.out)
	again := childBackoff()
	rng := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	ever := false
	for tries := 0; ; {
		got, said, err := c.run()
		ever = ever || got
		if c.ctx.Err() != nil {
			return
		}
		if got {
			again.Reset()
			tries = 0
		}
		tries++
		var bad *CodecError
		unfit := errors.As(err, &bad)
		switch {
		case err == nil && got && (c.scheme == "" || c.scheme == "http" || c.scheme == "https"):
			return // it has ended well
		case !ever && (c.scheme == "" || !c.listen && tries >= childTries):
			c.err = fmt.Errorf("input %s: ffmpeg cannot read it: %s; publish other bytes with --raw", c.shown, said)
			if unfit {
				c.err = fmt.Errorf("input %s: %w; or let ffmpeg encode: ffmpeg -re -i … -c:v libx264 -g 50 -c:a aac -f mpegts - | peer publish -", c.shown, err)
			}
			return
		case c.scheme == "":
			c.err = fmt.Errorf("input %s: ffmpeg: %w: %s", c.shown, err, said)
			return
		}
		wait := again.Next(rng)
		why := "it ended"
		if said != "" {
			why = said
		} else if err != nil {
			why = err.Error()
		}
		if got {
			select {
			case c.out <- item{down: fmt.Sprintf("the input %s has ended", c.shown)}:
			case <-c.ctx.Done():
				return
			}
		} else {
			c.watch.Warn(NoticeRetry, "ffmpeg cannot read %s (%s): it is started again after at most %v", c.shown, why, again.Cap)
		}
		select {
		case <-time.After(wait):
		case <-c.ctx.Done():
			return
		}
	}
}

// run runs ffmpeg once. It returns whether anything came, and what ffmpeg said last.
func (c *child) run() (got bool, said string, err error) {
	// The kernel kills the child when this thread ends, so the thread is kept.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.path, c.args()...)
	endWithParent(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return false, "", err
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return false, "", err
	}
	if err := cmd.Start(); err != nil {
		return false, "", err
	}
	words := &words{child: c, stop: cancel, told: make(chan struct{})}
	var readers sync.WaitGroup
	readers.Go(func() { words.read(stderr) })
	got = c.pump(out, words.told, cancel)
	readers.Wait()
	err = cmd.Wait()
	if words.unfit != nil {
		err = words.unfit
	}
	return got, words.text(), err
}

// pump passes on what ffmpeg puts out. Where its beginning shows no track that we
// know, ffmpeg is about to say why on another pipe: unfit is closed then.
func (c *child) pump(out io.Reader, unfit <-chan struct{}, stop func()) (got bool) {
	silence := time.AfterFunc(time.Hour, stop)
	defer silence.Stop()
	for {
		b := make([]byte, 64<<10)
		n, err := out.Read(b)
		if n > 0 {
			if c.listen {
				silence.Reset(childSilence)
			}
			if !got && c.scheme != "srt" && !showsTracks(b[:n]) {
				select {
				case <-unfit:
					return false
				case <-time.After(wordsTime):
				case <-c.ctx.Done():
					return false
				}
			}
			select {
			case c.out <- item{Chunk: Chunk{Due: -1, Data: b[:n], Fresh: !got}}:
				got = true
			case <-c.ctx.Done():
				return got
			}
		}
		if err != nil {
			return got
		}
	}
}

// showsTracks says whether this beginning of MPEG-TS lists a track that we know.
func showsTracks(b []byte) bool {
	d := NewDemuxer(func(Frame) {})
	_, _ = d.Write(b)
	return len(d.Tracks()) > 0
}

// Next implements Source.
func (c *child) Next(ctx context.Context) (Chunk, error) {
	for {
		select {
		case i, ok := <-c.out:
			switch {
			case ok && i.tell(c.watch):
				return i.Chunk, nil
			case ok:
			case c.err != nil:
				return Chunk{}, c.err
			default:
				return Chunk{}, io.EOF
			}
		case <-ctx.Done():
			return Chunk{}, ctx.Err()
		}
	}
}

// Close ends ffmpeg.
func (c *child) Close() error {
	c.cancel()
	<-c.ended
	return nil
}

// words is what one run of ffmpeg says.
type words struct {
	child *child
	stop  func()
	last  []string
	unfit error         // a codec that MPEG-TS cannot carry
	told  chan struct{} // closed when unfit is known
	since time.Time
	count int
}

func (w *words) read(r io.Reader) {
	sc := bufio.NewScanner(io.LimitReader(r, 1<<30))
	sc.Buffer(make([]byte, 4<<10), 64<<10)
	for sc.Scan() {
		w.line(strings.TrimSpace(strings.ReplaceAll(sc.Text(), w.child.input, w.child.shown)))
	}
	_, _ = io.Copy(io.Discard, r) // a line without end: ffmpeg must not wait for us
}

// levels of ffmpeg in slog's.
var levels = map[string]slog.Level{"panic": slog.LevelError, "fatal": slog.LevelError, "error": slog.LevelError, "warning": slog.LevelWarn,
	"info": slog.LevelInfo, "verbose": slog.LevelDebug, "debug": slog.LevelDebug, "trace": slog.LevelDebug}

// line logs a line at its level, which ffmpeg writes as [error].
func (w *words) line(line string) {
	if line == "" {
		return
	}
	level := slog.LevelWarn
	for name, l := range levels {
		if before, after, ok := strings.Cut(line, "["+name+"] "); ok {
			level, line = l, before+after
			break
		}
	}
	if codec, ok := privateCodec(line); ok && w.unfit == nil {
		w.unfit = &CodecError{codec}
		close(w.told)
		w.stop()
	}
	w.last = append(w.last, line)[max(0, len(w.last)-2):]
	if w.child.listen && strings.HasSuffix(line, "Input/output error") {
		level = slog.LevelDebug // so ffmpeg calls it that an encoder has left
	}
	if now := time.Now(); now.Sub(w.since) > childPause {
		if w.count > childLines {
			w.child.log.Warn("ffmpeg said more", "lines", w.count-childLines)
		}
		w.since, w.count = now, 0
	}
	if w.count++; w.count <= childLines {
		w.child.log.Log(context.Background(), level, "ffmpeg: "+line)
	}
}

// text returns the last lines as one.
func (w *words) text() string { return strings.Join(w.last, "; ") }

// privateCodec finds the codec that ffmpeg is about to hide in MPEG-TS as data.
func privateCodec(line string) (string, bool) {
	if !strings.Contains(line, "as a private data stream") {
		return "", false
	}
	_, rest, _ := strings.Cut(line, "codec ")
	name, _, _ := strings.Cut(rest, ",")
	return name, true
}
