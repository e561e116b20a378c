package media

// This file answers: where in the output's time does a run go on, and what goes
// out of a packet?

// hold keeps a packet at a splice until it is known where all streams begin.
func (s *Splicer) hold(b []byte, p packet, src *source) error {
	s.waits += PacketSize
	if !s.ready {
		// A decoder is to find a keyframe first, with its tables.
		if s.video && s.waits < blindRun {
			if src != s.srcs[s.main] || !p.start || !s.random(p) {
				return nil
			}
		}
		s.ready = true
		s.waits = 0
	}
	if p.hasPCR && (s.begins || s.pcrSeen && leaps(p.pcr/300, s.pcrLast)) && !s.pcrHas {
		s.pcrHead, s.pcrHas = p.pcr/300, true
	}
	dts, _, ok := dtsOf(p)
	if ok && src.timed {
		switch {
		case !src.moved && (s.begins || !src.begun || leaps(dts, src.last)):
			src.moved, src.first, src.last, src.begun = true, dts, dts, true
		case leaps(dts, src.last): // twice within a splice: it is what it is
			src.first, src.last = dts, dts
		default:
			src.last = dts
		}
	}
	h := held{b: append([]byte(nil), b...), src: src}
	if h.old, h.oldPCR = !s.begins && !src.moved, !s.begins && !s.pcrHas; h.old {
		h.shift = src.shift
	}
	s.queue = append(s.queue, h)
	if s.settled(src, dts, ok) || s.waits > maxSplice {
		return s.flush()
	}
	return nil
}

// settled reports whether nothing more is to be waited for.
func (s *Splicer) settled(src *source, dts uint64, ok bool) bool {
	all := true
	for _, o := range s.srcs {
		all = all && (!o.timed || o.moved)
	}
	if all {
		return true
	}
	if !ok || !src.timed {
		return false
	}
	from := src.first
	if !src.moved { // an old time that goes on beside the new one
		from = s.oldFrom(src)
	}
	return behind(dts, from) > spliceWait
}

// oldFrom returns the first DTS in the queue of a stream that has not jumped.
func (s *Splicer) oldFrom(src *source) uint64 {
	for _, h := range s.queue {
		if h.src == src {
			p, _ := parsePacket(h.b)
			if dts, _, ok := dtsOf(p); ok {
				return dts
			}
		}
	}
	return src.last
}

// random reports whether a decoder can start at packet p of the main stream.
func (s *Splicer) random(p packet) bool {
	s.flags = s.flags || p.random
	return p.random || !s.flags && keyframe(s.kind, p.payload)
}

// flush ends a splice: what was held goes on where the output has ended.
func (s *Splicer) flush() error {
	if !s.holding {
		return nil
	}
	s.holding = false
	queue := s.queue
	s.queue = nil
	oldClock := s.clock
	if shift, ok := s.fit(); ok {
		for _, src := range s.srcs {
			if src.moved || s.begins {
				src.shift = shift
			}
		}
		if s.pcrHas || s.begins {
			s.clock = shift
		}
	}
	if len(queue) > 0 && s.begins {
		if err := s.tables(pidPAT); err != nil {
			return err
		}
		if err := s.tables(s.pmtID); err != nil {
			return err
		}
	}
	for _, h := range queue {
		p, _ := parsePacket(h.b)
		if p.hasPCR {
			s.pcrLast, s.pcrSeen = p.pcr/300, true
		}
		shift, clock := h.src.shift, s.clock
		if h.old {
			shift = h.shift
		}
		if h.oldPCR {
			clock = oldClock
		}
		if err := s.emit(h.b, p, h.src, shift, clock); err != nil {
			return err
		}
	}
	for _, src := range s.srcs {
		src.moved = false
	}
	return nil
}

// fit returns what is added to the times of the new run.
func (s *Splicer) fit() (shift uint64, ok bool) {
	var base, end uint64
	for _, src := range s.srcs {
		if src.moved && (!ok || behind(src.first, base) < 0) {
			base, ok = src.first, true
		}
	}
	if !ok {
		return 0, false
	}
	some := false
	for _, t := range s.tracks {
		if t.begun && (!some || behind(t.end, end) > 0) {
			end, some = t.end, true
		}
	}
	if !some {
		return 0, false
	}
	shift = (end - base) % ptsWrap
	// The clock must not run back either: another multiplexer may be further
	// ahead of its frames.
	if s.pcrHas && s.hasPCR {
		if d := behind(s.pcrHead+shift, s.pcr); d <= 0 {
			shift = (shift + uint64(1-d) + defaultStep) % ptsWrap
		}
	}
	return shift, true
}

// emit writes a packet with its new PID, counter and times, shift added to PTS and
// DTS and clock to PCR, 90 kHz, and notes where the output is.
func (s *Splicer) emit(b []byte, p packet, src *source, shift, clock uint64) error {
	t := s.track(src.to)
	if src.fresh {
		src.fresh = false
		if s.runs > 0 && t.seen {
			next := t.cc
			if p.payload != nil {
				next++
			}
			src.ccAdd = next - b[3]&0x0f
		}
	}
	if src.ccAdd != 0 {
		b[3] = b[3]&0xf0 | (b[3]+src.ccAdd)&0x0f
	}
	t.cc, t.seen = b[3]&0x0f, true
	if src.to != p.pid {
		b[1], b[2] = b[1]&0xe0|byte(src.to>>8), byte(src.to)
	}
	if p.hasPCR {
		if clock != 0 {
			writePCR(b[p.pcrAt:], p.pcr+clock*300)
		}
		s.pcr, s.hasPCR = (p.pcr/300+clock)%ptsWrap, true
	}
	if dts, pts, ok := dtsOf(p); ok && src.timed {
		if shift != 0 {
			ptsAt, dtsAt := stamps(p.payload)
			for _, at := range []int{ptsAt, dtsAt} {
				if at >= 0 {
					writeStamp(p.payload[at:], readStamp(p.payload[at:])+shift)
				}
			}
		}
		s.note(t, (dts+shift)%ptsWrap, (pts+shift)%ptsWrap)
	}
	return s.pass(b)
}

// note moves a stream of the output on.
func (s *Splicer) note(t *track, dts, pts uint64) {
	if t.begun {
		if d := behind(dts, t.last); d > 0 && d < spliceWait {
			t.step = uint64(d)
		}
		if behind(dts, t.last) > 0 {
			t.last = dts
		}
	} else {
		t.last, t.begun = dts, true
		t.end = pts
	}
	if end := (pts + t.step) % ptsWrap; behind(end, t.end) > 0 {
		t.end = end
	}
}
