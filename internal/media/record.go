package media

// This file answers: how does a stream come to the disk in pieces that play on
// their own, and what if the disk is slow or full?

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/braidway/braidway/stream"
)

const (
	// recordSegment is how long a segment is at least: 6 s is what HLS players
	// are used to.
	recordSegment = 5500 * time.Millisecond
	// recordQueue bounds the bytes that wait for the disk.
	recordQueue = 64 << 20
	// recordRest is how long a disk that failed is left alone.
	recordRest = 10 * time.Second
)

// Recorder writes an MPEG-TS into a directory: segments of whole groups that
// begin with tables and a key frame, and an HLS playlist of them. Each run has
// names of its own, from the time it began. It never holds up the stream: what
// the disk cannot take is left out, at a group's border.
type Recorder struct {
	dir, name string
	log       *slog.Logger
	done      chan struct{}

	mu     sync.Mutex
	more   sync.Cond
	queue  []piece
	queued int
	skip   bool // until the next group: the queue was full
	closed bool
	over   bool // the stream has ended, and its last picture with it

	// Of the writing goroutine.
	tables  Tables
	demux   *Demuxer
	file    *os.File
	rest    time.Time // the disk is not tried before
	failing bool
	jumps   uint64
	jumped  bool // the next segment does not go on from the last
	main    int  // PID of the track that times are of
	last    time.Duration
	step    time.Duration
	seen    bool // last is
	list    []recorded
	open    *recorded
	size    int64 // bytes in file
	whole   int64 // of which so many hold no picture that has not ended
}

// piece is what is to be written.
type piece struct {
	b      []byte
	starts bool // it begins a group, cut at date
	date   time.Time
	gap    bool // bytes are missing before it
}

// recorded is one segment.
type recorded struct {
	file   string
	begun  bool
	start  time.Duration
	span   time.Duration
	date   time.Time
	jumped bool
}

// NewRecorder makes dir where it is missing, and returns a recorder into it.
func NewRecorder(dir string, log *slog.Logger) (*Recorder, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("--record: %w", err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r := &Recorder{dir: dir, name: time.Now().UTC().Format("20060102T150405.000Z"), log: log, done: make(chan struct{})}
	probe := filepath.Join(dir, r.name+".tmp")
	if err := os.WriteFile(probe, nil, 0o644); err != nil {
		return nil, fmt.Errorf("--record: %w; choose a directory that can be written to", err)
	}
	_ = os.Remove(probe)
	r.more.L = &r.mu
	r.demux = NewDemuxer(r.frame)
	go r.run()
	return r, nil
}

// Playlist returns the path of the playlist, which is there after the first segment.
func (r *Recorder) Playlist() string { return filepath.Join(r.dir, r.name+".m3u8") }

// Write takes the next bytes of the stream, which are not written to any more:
// it keeps them. It never fails nor waits.
func (r *Recorder) Write(b []byte) (int, error) {
	r.put(piece{b: b})
	return len(b), nil
}

// StartGroup says that the next Write begins a group.
func (r *Recorder) StartGroup(h stream.Header) {
	r.put(piece{starts: true, date: time.UnixMicro(h.Time)})
}

// Gap says that bytes are missing before the next Write.
func (r *Recorder) Gap() { r.put(piece{gap: true}) }

func (r *Recorder) put(p piece) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return
	case r.skip && !p.starts:
		return
	case r.queued+len(p.b) > recordQueue:
		r.log.Error("record: the disk is too slow: a part of the recording is left out", "dir", r.dir)
		r.skip = true
		return
	case r.skip && r.queued > recordQueue/2:
		return
	}
	if r.skip {
		r.skip = false
		r.queue = append(r.queue, piece{gap: true})
	}
	r.queue = append(r.queue, p)
	r.queued += len(p.b)
	r.more.Signal()
}

// End says that the stream has ended: its last picture is whole.
func (r *Recorder) End() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
}

// Close writes what is left, up to the last whole picture, and ends the playlist.
func (r *Recorder) Close() error {
	r.mu.Lock()
	r.closed = true
	r.more.Signal()
	r.mu.Unlock()
	<-r.done
	return nil
}

func (r *Recorder) run() {
	defer close(r.done)
	var group piece // whose bytes come next
	for {
		r.mu.Lock()
		for len(r.queue) == 0 && !r.closed {
			r.more.Wait()
		}
		queue := r.queue
		r.queue = nil
		closed, over := r.closed && len(queue) == 0, r.over
		r.mu.Unlock()
		if closed {
			if over {
				r.demux.Flush()
			} else {
				r.truncate()
			}
			r.finish(r.last + r.step)
			r.write(true)
			return
		}
		for _, p := range queue {
			switch {
			case p.gap:
				r.truncate()
				r.demux.Gap()
				r.jumped = true
			case p.starts:
				group = p
			default:
				if !r.take(p.b, group) {
					r.give()
					return
				}
				group = piece{}
			}
			r.mu.Lock()
			r.queued -= len(p.b)
			r.mu.Unlock()
		}
	}
}

// give ends the recording: nothing is to be queued any more.
func (r *Recorder) give() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed, r.queue = true, nil
}

// take writes b, the beginning of a group if that starts; false: the stream
// cannot be recorded.
func (r *Recorder) take(b []byte, group piece) bool {
	if group.starts {
		r.cut(b, group.date)
	}
	r.tables.Scan(b)
	if _, err := r.demux.Write(b); errors.Is(err, ErrNotTS) {
		r.log.Error("record: the stream is not MPEG-TS: it is not recorded; write it to a file with -o")
		r.discard()
		return false
	}
	if r.file != nil {
		for i := 0; i+PacketSize <= len(b); i += PacketSize {
			if p, ok := parsePacket(b[i : i+PacketSize]); ok && p.start && r.seen && int(p.pid) == r.main {
				r.whole = r.size + int64(i)
			}
		}
		n, err := r.file.Write(b)
		if r.size += int64(n); err != nil {
			r.failed(err)
		}
	}
	return true
}

// truncate takes the picture off that the stream broke off in.
func (r *Recorder) truncate() {
	if r.file != nil && r.whole > 0 && r.whole < r.size {
		if err := r.file.Truncate(r.whole); err == nil {
			_, _ = r.file.Seek(r.whole, io.SeekStart)
			r.size = r.whole
		}
	}
}

// cut ends the segment before a group that begins with b, if it is long enough.
func (r *Recorder) cut(b []byte, date time.Time) {
	jumps := r.demux.Stats().Jumps
	r.jumped = r.jumped || jumps != r.jumps
	r.jumps = jumps
	end := r.last + 2*r.step // the last frame is not out yet
	if r.open != nil && (!r.open.begun || end-r.open.start < recordSegment) && !r.jumped {
		return
	}
	r.finish(end)
	if time.Now().Before(r.rest) {
		return
	}
	name := fmt.Sprintf("%s-%05d.ts", r.name, len(r.list))
	f, err := os.Create(filepath.Join(r.dir, name))
	if err != nil {
		r.failed(err)
		return
	}
	r.file, r.open = f, &recorded{file: name, date: date, jumped: r.jumped && len(r.list) > 0}
	r.jumped = false
	n, err := f.Write(r.tables.Preamble(b))
	if r.size, r.whole = int64(n), 0; err != nil {
		r.failed(err)
	}
}

// frame notes when the main track's frames are.
func (r *Recorder) frame(f Frame) {
	if !r.seen {
		tracks := r.demux.Tracks()
		r.main = tracks[0].ID
		for _, t := range tracks {
			if t.Codec.Video() {
				r.main = t.ID
				break
			}
		}
	}
	if f.Track != r.main {
		return
	}
	if step := f.DTS - r.last; r.seen && step < time.Second {
		r.step = step
	}
	r.last, r.seen = f.DTS, true
	if r.open != nil && !r.open.begun && f.Key {
		r.open.begun, r.open.start = true, f.DTS
		if n := len(r.list); n > 0 && !r.open.jumped { // its last frame was not out when it was cut
			r.list[n-1].span = f.DTS - r.list[n-1].start
		}
		r.write(false)
	}
}

// finish ends the segment in progress at end.
func (r *Recorder) finish(end time.Duration) {
	if r.file == nil {
		return
	}
	err := r.file.Close()
	r.file = nil
	if err != nil {
		r.failed(err)
		return
	}
	if r.failing {
		r.failing = false
		r.log.Info("record: writing again", "dir", r.dir)
	}
	if r.open.span = end - r.open.start; r.open.begun && r.open.span > 0 {
		r.list = append(r.list, *r.open)
	} else {
		_ = os.Remove(filepath.Join(r.dir, r.open.file))
	}
	r.open = nil
}

// failed leaves the segment in progress out, and the disk alone for a while.
func (r *Recorder) failed(err error) {
	r.discard()
	r.rest, r.jumped = time.Now().Add(recordRest), true
	if !r.failing {
		r.failing = true
		r.log.Error("record: cannot write: what comes now is not recorded; it is tried again every 10s", "err", err)
	}
}

// discard removes the segment in progress.
func (r *Recorder) discard() {
	if r.file != nil {
		_ = r.file.Close()
	}
	if r.open != nil {
		_ = os.Remove(filepath.Join(r.dir, r.open.file))
	}
	r.file, r.open = nil, nil
}

// write writes the playlist: of an event that goes on, or of one that is over.
func (r *Recorder) write(over bool) {
	if len(r.list) == 0 {
		return
	}
	var longest time.Duration
	for _, s := range r.list {
		longest = max(longest, s.span)
	}
	kind := "EVENT"
	if over {
		kind = "VOD"
	}
	w := &bytes.Buffer{}
	fmt.Fprintf(w, "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-PLAYLIST-TYPE:%s\n#EXT-X-TARGETDURATION:%d\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-INDEPENDENT-SEGMENTS\n",
		kind, max(int(longest.Round(time.Second)/time.Second), 1))
	for _, s := range r.list {
		if s.jumped {
			w.WriteString("#EXT-X-DISCONTINUITY\n")
		}
		fmt.Fprintf(w, "#EXT-X-PROGRAM-DATE-TIME:%s\n#EXTINF:%.5f,\n%s\n", s.date.UTC().Format("2006-01-02T15:04:05.000Z"), s.span.Seconds(), s.file)
	}
	if over {
		w.WriteString("#EXT-X-ENDLIST\n")
	}
	tmp := r.Playlist() + ".tmp"
	err := os.WriteFile(tmp, w.Bytes(), 0o644)
	if err == nil {
		err = os.Rename(tmp, r.Playlist())
	}
	if err != nil {
		_ = os.Remove(tmp)
		if !r.failing {
			r.log.Error("record: cannot write the playlist", "err", err)
		}
	}
}
