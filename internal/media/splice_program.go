package media

// This file answers: which PIDs do the streams of an encoder that comes back get,
// and do players know its codecs?

import "strings"

// enter takes the streams of a run's PMT: each gets the PID of one of its kind in
// the output, where there is one.
func (s *Splicer) enter(prog *program) {
	s.main, s.kind, s.video, _ = mainOf(prog.section)
	s.judge(prog)
	pids, used := make(map[uint16]uint16), map[uint16]bool{pidPAT: true, s.pmtID: true}
	old := s.prog
	for _, e := range prog.elements {
		if s.runs == 0 {
			pids[e.pid] = e.pid
			continue
		}
		for _, o := range old.elements {
			if o.kind == e.kind && !used[o.pid] {
				pids[e.pid], used[o.pid] = o.pid, true
				break
			}
		}
	}
	changed := len(prog.elements) != len(old.elements)
	for _, e := range prog.elements {
		if _, ok := pids[e.pid]; ok {
			continue
		}
		changed = true
		to := e.pid
		for used[to] || s.tracks[to] != nil || to < 0x20 {
			to = (to + 1) & 0x1fff
		}
		pids[e.pid], used[to] = to, true
	}
	if _, ok := pids[prog.pcr]; !ok && prog.pcr != pidNull { // a PID of its own
		to := prog.pcr
		if s.runs > 0 && s.ownPCR(&old) {
			to = old.pcr
		}
		pids[prog.pcr] = to
		prog.elements = append(prog.elements, element{pid: prog.pcr, kind: 0xff})
	}
	srcs := make(map[uint16]*source)
	for _, e := range prog.elements {
		_, _, timed := codecOf(e)
		src := s.srcs[e.pid]
		if src == nil || src.to != pids[e.pid] {
			src = &source{to: pids[e.pid], timed: timed, fresh: true, shift: s.shift()}
		}
		srcs[e.pid] = src
		t := s.track(src.to)
		t.kind, t.timed = e.kind, timed
	}
	s.srcs = srcs
	if s.runs == 0 {
		s.prog, s.pmtID = *prog, s.runPMT
		return
	}
	if prog.elements[len(prog.elements)-1].kind == 0xff {
		prog.elements = prog.elements[:len(prog.elements)-1]
	}
	section := prog.rewrite(pids, old.number(), old.version())
	if string(section) != string(old.section) {
		section = prog.rewrite(pids, old.number(), old.version()+1)
	}
	if changed {
		s.watch.Warn(NoticeCodec, "the encoder came back with other streams (%s): players that are open may have to be opened again", describe(prog))
	}
	s.pmt = packetise(section, s.pmtID)
	if next, ok := parsePMT(section); ok {
		s.prog = next
	}
}

// ownPCR reports whether a program's PCR has a PID of its own.
func (s *Splicer) ownPCR(p *program) bool {
	for _, e := range p.elements {
		if e.pid == p.pcr && e.kind != 0xff {
			return false
		}
	}
	return true
}

// shift is that of any stream that goes on; 0 where there is none.
func (s *Splicer) shift() uint64 {
	if src := s.srcs[s.main]; src != nil {
		return src.shift
	}
	return 0
}

// judge warns of streams that players do not know.
func (s *Splicer) judge(prog *program) {
	var strange []string
	known := false
	for _, e := range prog.elements {
		name, plays, timed := codecOf(e)
		known = known || timed
		if timed && !plays {
			strange = append(strange, name)
		}
	}
	switch {
	case !known:
		s.watch.Warn(NoticeCodec, "the input has no video or audio that is known in MPEG-TS (%s): send H.264 or H.265 video, and AAC or Opus audio", describe(prog))
	case len(strange) > 0:
		s.watch.Warn(NoticeCodec, "browsers do not play %s: it is carried as it is, for players such as ffplay and VLC; send H.264 or H.265 video, and AAC or Opus audio", strings.Join(strange, " and "))
	}
}

func describe(prog *program) string {
	var names []string
	for _, e := range prog.elements {
		if name, _, _ := codecOf(e); e.kind != 0xff {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}
