package hls

// This file answers: where does a segment end, and where a part? Segments are
// the stream's groups, parts are whole frames of all tracks.

import (
	"errors"
	"fmt"
	"time"

	"github.com/braidway/braidway/internal/media"
)

const (
	// partAim is how long a part is at most, unless a frame is longer: hls.js
	// plays about five of them behind the edge.
	partAim = 200 * time.Millisecond
	// leastSegment joins shorter groups: each segment costs a player a request.
	leastSegment = 500 * time.Millisecond
	// audioSegment is the least length where there is no video.
	audioSegment = 950 * time.Millisecond
	// leastTarget and mostTarget bound the target duration, which must not
	// change: it is the first segment's length, rounded up. A group that is
	// longer by half a second is cut in two.
	leastTarget = 2 * time.Second
	mostTarget  = 12 * time.Second
	// soundWait is how long a track of the program map is waited for.
	soundWait = time.Second
	// maxPart bounds the bytes of a part, and maxWaiting the frames before the first.
	maxPart    = 16 << 20
	maxWaiting = 4096
	// dateGroups are so many groups, of which the one with the least delay says
	// what the date of a timestamp is: what holds a publisher up only adds to it.
	dateGroups = 5
	// maxDrift is how far that may move until dates are told anew.
	maxDrift = 50 * time.Millisecond
)

// part is a piece of a segment that is given out as soon as it is whole.
type part struct {
	data []byte
	span time.Duration
	key  bool // a player can start here
}

// segment is a group, or several short ones, or a piece of a long one.
type segment struct {
	msn   int64
	start time.Duration // DTS of its first frame
	span  time.Duration // once it is whole
	parts []*part
	size  int64
	date  time.Time // of its first frame, by the publisher's clock; zero: not known
	init  int       // number of its initialization segment
	jump  bool      // its codec settings are not those of the segment before
	key   bool      // a player can start with its first frame
	begun bool      // the first of its parts is out
	whole bool
	count int    // parts it has, once it is whole
	saved string // its file, of a rewind window
	gone  bool   // nobody can ask for it any more
}

// packager turns frames into parts and segments. It is owned by who holds the
// server's lock, and hands out through the callbacks.
type packager struct {
	demux   *media.Demuxer
	newInit func(tracks []*track, b []byte) int // returns its number
	changed func()                              // a part or a segment is whole

	waiting  []media.Frame // until all tracks are known
	tracks   []*track      // main track first; nil: not begun
	byID     map[int]*track
	current  int // number of the initialization segment
	fragment uint32

	seg     *segment
	nextMSN int64
	samples []sample      // of the part in progress
	bytes   int           // of them
	began   time.Duration // DTS of the part's first main frame
	held    *sample       // the main track's last frame, whose length is not known
	jump    bool          // the next segment does not go on from the last
	begun   bool          // there was an initialization segment

	date    time.Time // publisher's clock at the last group start
	dateNew bool
	zeros   []time.Time // dates of DTS 0, as the last groups have it
	zero    time.Time   // the one in force
	dated   time.Time   // of the last segment

	partTarget time.Duration // no part is longer
	partLeast  time.Duration // a part is cut at the next frame after
	intervals  int           // measured before the first part
	target     time.Duration
	whole      []*segment // finished since last taken
	refused    error      // why the stream cannot be packaged
	unfit      error      // the same, of the program map in force
	noKey      bool       // there were pictures for long, and no key frame
	firstAt    time.Duration
	seen       bool
}

func newPackager() *packager {
	p := &packager{}
	p.demux = media.NewDemuxer(p.frame)
	return p
}

// Refusal says why a stream cannot be had as HLS.
type Refusal struct{ Why string }

// Error implements error.
func (r *Refusal) Error() string { return r.Why }

func refusef(format string, args ...any) error { return &Refusal{fmt.Sprintf(format, args...)} }

// write takes the next bytes of the stream.
func (p *packager) write(b []byte) {
	if _, err := p.demux.Write(b); errors.Is(err, media.ErrNotTS) {
		p.refused = refusef("the stream is not MPEG-TS: HLS cannot carry it")
		return
	}
	p.unfit = nil
	if un := p.demux.Unsupported(); len(un) > 0 && p.mainOf() == nil {
		p.unfit = refusef("HLS cannot carry %s: publish H.264 or H.265 with AAC or Opus", list(un))
	}
}

// why returns why there is no HLS of the stream as it is; nil: there is.
func (p *packager) why() error {
	if p.unfit != nil {
		return p.unfit
	}
	return p.refused
}

// group notes that a group begins, cut at date.
func (p *packager) group(date time.Time) { p.date, p.dateNew = date, true }

// frame takes the next frame from the demuxer.
func (p *packager) frame(f media.Frame) {
	if p.tracks != nil {
		p.take(f)
		return
	}
	m := p.mainOf()
	if m == nil {
		return
	}
	if !p.seen {
		p.seen, p.firstAt = true, f.DTS
	}
	if len(p.waiting) == 0 {
		if f.Track != m.ID || !f.Key || len(m.Config) == 0 && m.Codec != media.Opus {
			p.noKey = f.DTS-p.firstAt > mostTarget
			return
		}
		p.noKey = false
	}
	p.waiting = append(p.waiting, f)
	ready := f.DTS-p.waiting[0].DTS >= soundWait || len(p.waiting) >= maxWaiting
	if !ready {
		for _, t := range p.demux.Tracks() {
			if len(t.Config) == 0 && t.Codec != media.Opus {
				return
			}
		}
	}
	if err := p.start(m.ID); err != nil {
		p.refused, p.waiting = err, nil
		return
	}
	frames := p.waiting
	p.waiting, p.refused = nil, nil
	for _, f := range frames {
		p.take(f)
	}
}

// take adds a frame to the part in progress, after what it ends.
func (p *packager) take(f media.Frame) {
	if f.Key {
		if m := p.mainOf(); m != nil && m.ID == f.Track && p.stale() {
			p.closePart(f.DTS, true)
			p.tracks = nil
			p.frame(f)
			return
		}
	}
	t := p.byID[f.Track]
	if t == nil {
		return
	}
	s := sample{track: t, pts: f.PTS, dts: f.DTS, span: f.Span, key: f.Key, data: f.Data}
	if t.media.Codec.Video() {
		if s.data = withLengths(t.media.Codec, f.Data); len(s.data) == 0 {
			return
		}
	}
	switch {
	case t == p.tracks[0]:
		p.mainFrame(s)
	case p.seg != nil:
		p.push(s)
		if f.DTS-p.seg.start > p.limit() || p.bytes > maxPart { // the pictures have stopped
			p.closePart(f.DTS, true)
		}
	}
}

// limit is the length at which a segment is cut whatever comes.
func (p *packager) limit() time.Duration {
	if p.target == 0 {
		return mostTarget
	}
	return p.target + 400*time.Millisecond
}

// mainFrame takes a frame of the main track: it says how long the last one was,
// and may begin a part or a segment.
func (p *packager) mainFrame(s sample) {
	if p.held != nil {
		p.held.span = s.dts - p.held.dts
		p.setPart(s.dts)
		p.push(*p.held)
		p.held = nil
	}
	if p.seg != nil {
		length := s.dts - p.seg.start
		video := s.track.media.Codec.Video()
		switch {
		case s.key && video && length >= leastSegment, !video && length >= audioSegment, length > p.limit():
			p.closePart(s.dts, true)
		case s.dts-p.began >= p.partLeast || p.bytes > maxPart:
			p.closePart(s.dts, false)
		}
	}
	if p.seg == nil {
		p.open(s)
	}
	p.held = &s
}

// setPart chooses the parts' length by the mean interval of the frames before
// the first part's end, at dts.
func (p *packager) setPart(dts time.Duration) {
	if p.fragment > 0 || p.seg == nil {
		return
	}
	p.intervals++
	span := max((dts-p.seg.start)/time.Duration(p.intervals), 5*time.Millisecond)
	n := max((partAim+time.Millisecond)/span, 1)
	const step = 10 * time.Millisecond
	p.partTarget = (n*span + step - 1).Truncate(step)
	p.partLeast = n*span - span/2
}

func (p *packager) push(s sample) {
	p.samples = append(p.samples, s)
	p.bytes += len(s.data)
}

// open begins a segment with a frame of the main track.
func (p *packager) open(s sample) {
	date := p.dateAt(s.dts)
	p.seg = &segment{msn: p.nextMSN, start: s.dts, date: date, init: p.current, jump: p.jump, key: s.key}
	p.nextMSN++
	p.jump = false
	p.began = s.dts
}

// dateAt returns the date of a segment that begins at DTS at; zero: not known.
// Dates never run backwards.
func (p *packager) dateAt(at time.Duration) time.Time {
	if p.dateNew {
		p.dateNew = false
		if p.zeros = append(p.zeros, p.date.Add(-at)); len(p.zeros) > dateGroups {
			p.zeros = p.zeros[1:]
		}
		least := p.zeros[0]
		for _, z := range p.zeros {
			if z.Before(least) {
				least = z
			}
		}
		if p.zero.IsZero() || least.Sub(p.zero).Abs() > maxDrift {
			p.zero = least
		}
	}
	if p.zero.IsZero() {
		return p.zero
	}
	if d := p.zero.Add(at); d.After(p.dated) {
		p.dated = d
	} else {
		p.dated = p.dated.Add(time.Millisecond)
	}
	return p.dated
}

// closePart ends the part in progress at DTS end, and its segment too if so said.
func (p *packager) closePart(end time.Duration, segmentToo bool) {
	if p.seg == nil {
		return
	}
	if p.held != nil { // not measured: the main track stopped
		p.held.span = max(end-p.held.dts, time.Millisecond)
		p.push(*p.held)
		p.held = nil
	}
	if len(p.samples) > 0 {
		p.fragment++
		key := false
		for i := range p.samples {
			if p.samples[i].track == p.tracks[0] {
				key = p.samples[i].key
				break
			}
		}
		span := end - p.began
		if len(p.seg.parts) == 0 {
			span = end - p.seg.start
		}
		p.seg.parts = append(p.seg.parts, &part{data: fragment(p.fragment, p.tracks, p.samples), span: span, key: key})
		p.seg.size += int64(len(p.seg.parts[len(p.seg.parts)-1].data))
		p.seg.begun = true
		p.samples, p.bytes, p.began = p.samples[:0], 0, end
	}
	if segmentToo {
		if p.seg.begun {
			p.seg.span, p.seg.whole, p.seg.count = end-p.seg.start, true, len(p.seg.parts)
			if p.target == 0 {
				p.target = min(max((p.seg.span+time.Second-time.Millisecond).Truncate(time.Second), leastTarget), mostTarget)
			}
			p.whole = append(p.whole, p.seg)
		} else {
			p.nextMSN--
		}
		p.seg = nil
	}
	p.changed()
}

// end gives out what is left.
func (p *packager) end() {
	p.demux.Flush()
	if p.seg == nil {
		return
	}
	at := p.began
	if p.held != nil {
		at = p.held.dts + 40*time.Millisecond
		if n := len(p.samples); n > 0 && p.samples[n-1].span > 0 && p.samples[n-1].track == p.held.track {
			at = p.held.dts + p.samples[n-1].span
		}
	}
	p.closePart(at, true)
}
