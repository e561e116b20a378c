// Package hls makes HLS and low-latency HLS (RFC 8216bis) of a stream: fragmented
// MP4, its segments the stream's groups, its parts about 0.2 s long. Nothing is
// coded anew: frames are put into other boxes.
package hls

// This file answers: what is kept of a stream for players, and for how long?

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/braidway/braidway/stream"
)

const (
	// leastWindow is how much a playlist lists at least, where there is no
	// rewind window: enough for six target durations of most streams.
	leastWindow = 14 * time.Second
	// maxMemory bounds the bytes of segments in memory, those included that
	// are no longer listed but may still be asked for.
	maxMemory = 128 << 20
	// keepListed segments stay listed however big they are.
	keepListed = 4
)

// Config says how much is kept.
type Config struct {
	// Rewind is how far back players can go, from a window on disk; 0: as far
	// as the memory reaches, 14 s.
	Rewind time.Duration
	// RewindSize bounds the window's bytes; 0: 1 GiB.
	RewindSize int64
	// RewindDir is where the window's directory is made; "": the system's for
	// temporary files.
	RewindDir string
	// Log takes what operators want to know; nil: nothing is logged.
	Log *slog.Logger
}

// Server takes a stream's bytes and serves players. Its methods may be called
// from any goroutine; those that take the stream never wait for players or the disk.
type Server struct {
	cfg  Config
	log  *slog.Logger
	id   string // in the path of all media, which is never the same for other bytes
	disk *rewind

	mu       sync.Mutex
	pack     *packager
	inits    map[int]*initial
	list     []*segment // listed and whole, oldest first
	past     []*segment // no longer listed
	dropped  int        // segments that are no longer listed and began with a discontinuity
	version  uint64     // of the playlist
	news     chan struct{}
	rendered [2][]byte // the playlist, and its delta update
	leaving  bool
	ended    bool
	said     string // the last refusal that was logged
	asked    time.Time
	peak     int64 // bit/s of the biggest segment
	bits     int64 // of all segments, for the average
	bitsTime time.Duration
}

// initial is an initialization segment.
type initial struct {
	b          []byte
	codecs     string
	resolution string
}

// New returns a server without segments. The error is that of making the
// rewind window's directory.
func New(cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.RewindSize == 0 {
		cfg.RewindSize = 1 << 30
	}
	var id [4]byte
	_, _ = rand.Read(id[:])
	s := &Server{cfg: cfg, log: cfg.Log, id: hex.EncodeToString(id[:]), pack: newPackager(), inits: make(map[int]*initial),
		news: make(chan struct{})}
	s.pack.newInit, s.pack.changed = s.newInit, s.changed
	if cfg.Rewind > 0 {
		d, err := openRewind(cfg.RewindDir, s.log, s.saved)
		if err != nil {
			return nil, err
		}
		s.disk = d
	}
	return s, nil
}

// Write takes the next bytes of the stream; it never fails.
func (s *Server) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pack.write(b)
	if err := s.pack.why(); err != nil && err.Error() != s.said {
		s.said = err.Error()
		s.log.Warn("no HLS", "why", s.said)
	} else if s.pack.noKey && s.said != whyNoKey {
		s.said = whyNoKey
		s.log.Warn("no HLS", "why", s.said)
	}
	return len(b), nil
}

// StartGroup says that the next Write begins a group; h is of its first object.
func (s *Server) StartGroup(h stream.Header) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pack.group(time.UnixMicro(h.Time))
}

// Gap says that bytes are missing before the next Write.
func (s *Server) Gap() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pack.demux.Gap()
}

// End says that the stream has ended: players play what there is, and stop.
func (s *Server) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.ended = true
		s.pack.end()
		s.changed()
	}
}

// Drain takes no new players (503 with Retry-After); those that play go on.
func (s *Server) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving = true
}

// Close removes the rewind window.
func (s *Server) Close() error {
	if s.disk == nil {
		return nil
	}
	return s.disk.close()
}

// Linger returns how long players need to hear that the stream has ended: 0
// when none asked for anything lately.
func (s *Server) Linger() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.asked) > 3*mostTarget {
		return 0
	}
	return min(2*max(s.pack.target, leastTarget), 10*time.Second)
}

// newInit keeps an initialization segment; s.mu is held.
func (s *Server) newInit(tracks []*track, b []byte) int {
	n := 0
	for k := range s.inits {
		n = max(n, k+1)
	}
	in := &initial{b: b}
	for i, t := range tracks {
		if i > 0 {
			in.codecs += ","
		}
		in.codecs += codecOf(t)
		if t.media.Codec.Video() {
			in.resolution = fmt.Sprintf("%dx%d", t.look.width, t.look.height)
		}
	}
	s.inits[n] = in
	s.log.Info("HLS", "codecs", in.codecs, "resolution", in.resolution)
	return n
}

// changed takes over finished segments and wakes those who wait; s.mu is held.
func (s *Server) changed() {
	for _, g := range s.pack.whole {
		s.list = append(s.list, g)
		if g.span > 0 {
			s.peak = max(s.peak, int64(float64(g.size*8)/max(g.span, leastSegment).Seconds()))
			s.bits, s.bitsTime = s.bits+g.size*8, s.bitsTime+g.span
		}
		if s.disk != nil {
			s.disk.add(g)
		}
	}
	if len(s.pack.whole) > 0 {
		s.pack.whole = s.pack.whole[:0]
		s.trim()
	}
	s.version++
	s.rendered = [2][]byte{}
	close(s.news)
	s.news = make(chan struct{})
}

// window is how much of the stream is listed from memory.
func (s *Server) window() time.Duration { return max(leastWindow, 7*s.pack.target) }

// trim forgets what is too old, or too much; s.mu is held.
func (s *Server) trim() {
	var span time.Duration
	var memory, disk int64
	cut := 0 // segments before it are no longer listed
	for i := len(s.list) - 1; i >= 0 && cut == 0; i-- {
		g := s.list[i]
		few := len(s.list)-i <= keepListed
		inMemory := span < s.window() && memory+g.size <= maxMemory/2 || few
		if inMemory {
			memory += g.size
		}
		switch {
		case inMemory:
		case s.disk == nil || g.saved == "" || span >= s.cfg.Rewind || disk+g.size > s.cfg.RewindSize:
			cut = i + 1
		case g.parts != nil:
			g.drop()
		}
		span += g.span
		disk += g.size
	}
	for _, g := range s.list[:cut] {
		if g.jump {
			s.dropped++
		}
	}
	s.past = append(s.past, s.list[:cut]...)
	s.list = append([]*segment(nil), s.list[cut:]...)
	s.trimPast(memory)
	used := map[int]bool{s.pack.current: true}
	for _, all := range [][]*segment{s.past, s.list} {
		for _, g := range all {
			used[g.init] = true
		}
	}
	for n := range s.inits {
		if !used[n] {
			delete(s.inits, n)
		}
	}
}

// trimPast forgets what nobody can be reading any more; memory is what is listed.
func (s *Server) trimPast(memory int64) {
	var span time.Duration
	keep := len(s.past)
	for ; keep > 0 && span < s.window(); keep-- {
		g := s.past[keep-1]
		if g.parts != nil {
			if memory += g.size; memory > maxMemory {
				break
			}
		}
		span += g.span
	}
	for _, g := range s.past[:keep] {
		g.drop()
		if g.saved != "" {
			s.disk.drop(g.saved)
		}
		g.gone = true
	}
	s.past = append([]*segment(nil), s.past[keep:]...)
}

// drop forgets the bytes in memory.
func (g *segment) drop() { g.parts = nil }

// saved notes that a segment is on disk, as file; "": it could not be written.
func (s *Server) saved(g *segment, file string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g.gone && file != "" {
		s.disk.drop(file)
		return
	}
	g.saved = file
}

// find returns the whole segment with a media sequence number; nil: not there.
func (s *Server) find(msn int64) *segment {
	for _, all := range [][]*segment{s.list, s.past} {
		if len(all) > 0 {
			if i := msn - all[0].msn; i >= 0 && i < int64(len(all)) && all[i].msn == msn {
				return all[i]
			}
		}
	}
	return nil
}

// lastWhole returns the number of the newest whole segment; -1: none.
func (s *Server) lastWhole() int64 {
	if len(s.list) == 0 {
		return -1
	}
	return s.list[len(s.list)-1].msn
}

// next returns the segment and part that will be out next.
func (s *Server) next() (msn int64, part int) {
	if g := s.pack.seg; g != nil {
		return g.msn, len(g.parts)
	}
	return s.pack.nextMSN, 0
}

// pieces reads byte slices one after the other, from any place.
type pieces struct {
	parts []*part
	size  int64
	at    int64
}

// Read implements io.Reader.
func (p *pieces) Read(b []byte) (int, error) {
	skip := p.at
	for _, q := range p.parts {
		if skip < int64(len(q.data)) {
			n := copy(b, q.data[skip:])
			p.at += int64(n)
			return n, nil
		}
		skip -= int64(len(q.data))
	}
	return 0, io.EOF
}

// Seek implements io.Seeker.
func (p *pieces) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += p.at
	case io.SeekEnd:
		offset += p.size
	}
	if offset < 0 {
		return 0, fmt.Errorf("hls: seek to %d", offset)
	}
	p.at = offset
	return offset, nil
}
