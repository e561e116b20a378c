package media

// This file answers: how do the runs of an encoder that goes and comes back
// become one stream? The first run passes as it is. In later ones PCR, PTS and
// DTS go on where the last run ended, continuity counters go on, and the streams
// keep their PIDs: players see a pause, not an end. The same is done where the
// timestamps of a live input jump.

import (
	"fmt"
	"io"
	"time"
)

const (
	// jumpBack and jumpAhead are the steps of a stream's DTS that are not
	// believed, 90 kHz: half a second back, ten seconds ahead.
	jumpBack  = 45_000
	jumpAhead = uint64(pcrJump / time.Microsecond * 9 / 100)
	// maxSplice bounds what is held back at a splice, until all streams have
	// said where they begin.
	maxSplice = 1 << 20
	// spliceWait is how far one stream may go on while another is waited for, 90 kHz.
	spliceWait = 45_000
	// blindRun is how much of a run without a keyframe is left out before its
	// video is taken as it is.
	blindRun = 16 << 20
	// defaultStep is the length of a frame that has no follower, 90 kHz.
	defaultStep = 3_600
)

// track is what a stream has put out; the times are the output's.
type track struct {
	kind  byte
	timed bool   // its timestamps order the splice
	cc    byte   // of the last packet
	seen  bool   // there was one
	last  uint64 // DTS of the last frame, 90 kHz
	end   uint64 // the latest presentation so far and the length of a frame
	step  uint64
	begun bool // last and end are
}

// source is a stream of the present run.
type source struct {
	to    uint16 // its PID in the output
	timed bool
	shift uint64 // what is added to its times, mod ptsWrap
	ccAdd byte
	last  uint64 // its last DTS, as it came
	begun bool
	cc    byte // its last counter, as it came
	seen  bool
	dup   bool
	fresh bool // its first packet is to come
	moved bool // at a splice: it is in the new time
	first uint64
}

// held is a packet that waits at a splice.
type held struct {
	b      []byte
	src    *source
	old    bool   // its stream had not jumped yet
	shift  uint64 // then: what was added to its times
	oldPCR bool   // the clock had not
}

// Splicer makes one MPEG-TS of the runs of a live input. It takes any bytes, and
// passes on whole packets alone.
type Splicer struct {
	out   io.Writer
	watch *Watch
	exact bool // observe only: every byte passes as it came

	part   []byte
	lost   bool // in step is to be found
	tracks map[uint16]*track
	pat    []byte // of the output, the last one
	pmtID  uint16 // of the output
	prog   program
	pcr    uint64 // the last one put out, 90 kHz
	hasPCR bool
	clock  uint64 // what is added to PCRs, 90 kHz

	runs    int
	srcs    map[uint16]*source
	runPMT  uint16
	runProg []byte // the run's PMT as it came
	pmt     []byte // the packet that stands for it
	pcrLast uint64
	pcrSeen bool
	main    uint16
	kind    byte
	video   bool
	flags   bool

	holding bool
	begins  bool // the hold is the begin of a run, not a jump
	queue   []held
	waits   int // bytes seen since the hold began
	ready   bool
	pcrHead uint64 // first PCR of the new time
	pcrHas  bool
}

// NewSplicer returns a splicer in front of out. exact: files and pipes, which
// pass byte for byte; what is wrong with them is noted all the same.
func NewSplicer(out io.Writer, watch *Watch, exact bool) *Splicer {
	return &Splicer{out: out, watch: watch, exact: exact, tracks: make(map[uint16]*track), srcs: make(map[uint16]*source)}
}

// Begin says that what is written from now on comes from an encoder that has just
// come. The rest of a packet of the one before is left out.
func (s *Splicer) Begin() error {
	if s.exact {
		return nil
	}
	if err := s.flush(); err != nil {
		return err
	}
	s.part, s.lost = s.part[:0], false
	if len(s.prog.section) == 0 { // nothing that can be played went out yet
		s.reset()
		return nil
	}
	s.reset()
	s.runs++
	s.holding, s.begins = true, true
	return nil
}

func (s *Splicer) reset() {
	s.srcs, s.runPMT, s.runProg, s.pmt = make(map[uint16]*source), 0, nil, nil
	s.pcrSeen, s.main, s.kind, s.video, s.flags = false, 0, 0, false, false
	s.queue, s.waits, s.ready, s.pcrHas, s.holding, s.begins = nil, 0, false, false, false, false
}

// Write takes the next bytes.
func (s *Splicer) Write(p []byte) (int, error) {
	if s.exact {
		if n, err := s.out.Write(p); err != nil {
			return n, err
		}
	}
	s.part = append(s.part, p...)
	b := s.part
	for len(b) >= PacketSize {
		n := PacketSize
		if b[0] != syncByte {
			n = resync(b)
			if !s.lost {
				s.watch.Warn(NoticeResync, "the input is not in step with packets of MPEG-TS: bytes were lost or are of another kind; what is in between is left out of live inputs")
			}
			s.lost = true
		} else {
			s.lost = false
			if err := s.packet(b[:n:n]); err != nil {
				return 0, err
			}
		}
		b = b[n:]
	}
	s.part = append(s.part[:0], b...)
	return len(p), nil
}

// Close passes on what a splice holds back.
func (s *Splicer) Close() error { return s.flush() }

func (s *Splicer) pass(b []byte) error {
	if s.exact {
		return nil
	}
	_, err := s.out.Write(b)
	return err
}

// packet takes one packet of the run; it may change b.
func (s *Splicer) packet(b []byte) error {
	p, ok := parsePacket(b)
	if !ok || b[1]&0x80 != 0 { // the sender says that it is broken
		s.watch.loss(1)
		return nil
	}
	switch {
	case p.pid == pidPAT:
		return s.table(b, p)
	case p.pid == s.runPMT && s.runPMT != 0:
		return s.programMap(b, p)
	}
	src := s.srcs[p.pid]
	if src == nil {
		if s.runs > 0 { // tables of DVB and padding belong to the first run
			return nil
		}
		return s.pass(b)
	}
	s.count(src, p, b)
	if s.holding {
		return s.hold(b, p, src)
	}
	if s.jumped(src, p) {
		s.holding, s.begins, s.queue, s.waits, s.ready, s.pcrHas = true, false, nil, 0, true, false
		for _, o := range s.srcs {
			o.moved = false
		}
		return s.hold(b, p, src)
	}
	return s.emit(b, p, src, src.shift, s.clock)
}

// table takes a PAT.
func (s *Splicer) table(b []byte, p packet) error {
	id, ok := pmtOf(p.section())
	if ok {
		s.runPMT = id
	}
	if s.runs == 0 {
		if ok {
			s.pat, s.pmtID = append(s.pat[:0], b...), id
		}
		s.track(pidPAT).cc, s.track(pidPAT).seen = b[3]&0x0f, true
		return s.pass(b)
	}
	if s.holding { // they are sent at its end
		return nil
	}
	return s.tables(pidPAT)
}

// tables writes the output's PAT or PMT.
func (s *Splicer) tables(pid uint16) error {
	b := s.pat
	if pid != pidPAT {
		b = s.pmt
	}
	if len(b) == 0 {
		return nil
	}
	t := s.track(pid)
	t.cc = (t.cc + 1) & 0x0f
	b[3] = b[3]&0xf0 | t.cc
	return s.pass(append([]byte(nil), b...))
}

func (s *Splicer) track(pid uint16) *track {
	t := s.tracks[pid]
	if t == nil {
		t = &track{step: defaultStep}
		s.tracks[pid] = t
	}
	return t
}

// programMap takes a PMT.
func (s *Splicer) programMap(b []byte, p packet) error {
	if prog, ok := parsePMT(p.section()); ok && string(prog.section) != string(s.runProg) {
		s.runProg = append([]byte(nil), prog.section...)
		prog.section = s.runProg
		s.enter(&prog)
	}
	if s.runs == 0 {
		t := s.track(p.pid)
		t.cc, t.seen = b[3]&0x0f, true
		return s.pass(b)
	}
	if s.holding {
		return nil
	}
	return s.tables(s.pmtID)
}

// count looks at a packet's continuity counter (2.4.3.3).
func (s *Splicer) count(src *source, p packet, b []byte) {
	cc := b[3] & 0x0f
	jump := b[3]&0x20 != 0 && b[4] > 0 && b[5]&0x80 != 0 // announced by the discontinuity indicator
	if src.seen && p.payload != nil && !jump {
		switch missing := (cc - src.cc - 1) & 0x0f; {
		case missing == 0:
			src.dup = false
		case missing == 15 && !src.dup: // a packet may come twice
			src.dup = true
		default:
			s.watch.loss(int(missing))
		}
	}
	src.cc, src.seen = cc, true
}

// behind returns a − b of timestamps that wrap, 90 kHz.
func behind(a, b uint64) int64 {
	d := (a - b) % ptsWrap
	if d >= ptsWrap/2 {
		return int64(d) - ptsWrap
	}
	return int64(d)
}

// leaps reports whether a step of timestamps is not believed.
func leaps(to, from uint64) bool {
	d := behind(to, from)
	return d < -jumpBack || d > int64(jumpAhead)
}

// dtsOf returns a frame's DTS, or its PTS, and its PTS.
func dtsOf(p packet) (dts, pts uint64, ok bool) {
	if !p.start {
		return 0, 0, false
	}
	ptsAt, dtsAt := stamps(p.payload)
	if ptsAt < 0 {
		return 0, 0, false
	}
	pts = readStamp(p.payload[ptsAt:])
	if dtsAt < 0 {
		return pts, pts, true
	}
	return readStamp(p.payload[dtsAt:]), pts, true
}

// jumped reports whether packet p leaves the time of the packets before, and
// notes where it is.
func (s *Splicer) jumped(src *source, p packet) bool {
	if p.hasPCR {
		if s.pcrSeen && leaps(p.pcr/300, s.pcrLast) {
			return s.tellJump(behind(p.pcr/300, s.pcrLast))
		}
	}
	if dts, _, ok := dtsOf(p); ok && src.timed {
		if src.begun && leaps(dts, src.last) {
			return s.tellJump(behind(dts, src.last))
		}
		src.last, src.begun = dts, true
	}
	if p.hasPCR {
		s.pcrLast, s.pcrSeen = p.pcr/300, true
	}
	return false
}

// tellJump returns true where the output is to go on as if nothing had happened.
func (s *Splicer) tellJump(ticks int64) bool {
	d := time.Duration(ticks) * time.Second / 90_000
	what := "is made continuous"
	if s.exact {
		what = "passes as it is, and players may stop there"
		s.pcrSeen = false
		for _, src := range s.srcs {
			src.begun = false
		}
	}
	s.watch.Warn(NoticeJump, "the input's timestamps jumped by %s: the stream %s; look at the encoder's clock", fmt.Sprintf("%+.1f s", d.Seconds()), what)
	return !s.exact
}
