package hls

// This file answers: what does a playlist say (RFC 8216bis)?

import (
	"bytes"
	"fmt"
	"time"
)

const (
	// leastHoldBack is how far behind the edge players of parts stay: at least
	// three parts are asked for; a relay's death costs up to 0.3 s.
	leastHoldBack = time.Second
	// skipTargets is how many target durations from the end a delta update has.
	skipTargets = 6
)

// seconds spells a duration as playlists do.
func seconds(d time.Duration) string { return fmt.Sprintf("%.5f", d.Seconds()) }

// playlist returns the media playlist, or its delta update; s.mu is held.
func (s *Server) playlist(delta bool) []byte {
	kind := 0
	if delta {
		kind = 1
	}
	if s.rendered[kind] == nil {
		s.rendered[kind] = s.render(delta)
	}
	return s.rendered[kind]
}

// render writes the playlist; s.mu is held and there is a segment.
func (s *Server) render(delta bool) []byte {
	w := &bytes.Buffer{}
	target, parts := s.pack.target, s.pack.partTarget
	fmt.Fprintf(w, "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:%d\n", int(target/time.Second))
	fmt.Fprintf(w, "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=%s,HOLD-BACK=%s,PART-HOLD-BACK=%s\n",
		seconds(skipTargets*target), seconds(3*target), seconds(max(3*parts, leastHoldBack)))
	fmt.Fprintf(w, "#EXT-X-PART-INF:PART-TARGET=%s\n#EXT-X-MEDIA-SEQUENCE:%d\n", seconds(parts), s.list[0].msn)
	if s.dropped > 0 {
		fmt.Fprintf(w, "#EXT-X-DISCONTINUITY-SEQUENCE:%d\n", s.dropped)
	}
	open := s.pack.seg
	independent := open == nil || open.key
	var total time.Duration
	for _, g := range s.list {
		independent = independent && g.key
		total += g.span
	}
	if independent {
		w.WriteString("#EXT-X-INDEPENDENT-SEGMENTS\n")
	}
	skip := 0
	left := total
	if delta {
		for skip < len(s.list)-1 && left-s.list[skip].span >= skipTargets*target {
			left -= s.list[skip].span
			skip++
		}
		if skip > 0 {
			fmt.Fprintf(w, "#EXT-X-SKIP:SKIPPED-SEGMENTS=%d\n", skip)
		}
	}
	init := -1
	for _, g := range s.list[skip:] {
		s.head(w, g, &init)
		if left -= g.span; left < 3*target {
			s.parts(w, g)
		}
		fmt.Fprintf(w, "#EXTINF:%s,\n%s/%d.m4s\n", seconds(g.span), s.id, g.msn)
	}
	if s.ended {
		w.WriteString("#EXT-X-ENDLIST\n")
		return w.Bytes()
	}
	if open != nil && open.begun {
		s.head(w, open, &init)
		s.parts(w, open)
	}
	msn, n := s.next()
	fmt.Fprintf(w, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"%s/%d.%d.m4s\"\n", s.id, msn, n)
	return w.Bytes()
}

// head writes what applies from a segment on.
func (s *Server) head(w *bytes.Buffer, g *segment, init *int) {
	if g.jump {
		w.WriteString("#EXT-X-DISCONTINUITY\n")
	}
	if g.init != *init {
		*init = g.init
		fmt.Fprintf(w, "#EXT-X-MAP:URI=\"%s/init%d.mp4\"\n", s.id, g.init)
	}
	if !g.date.IsZero() {
		fmt.Fprintf(w, "#EXT-X-PROGRAM-DATE-TIME:%s\n", g.date.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
}

func (s *Server) parts(w *bytes.Buffer, g *segment) {
	for i, p := range g.parts {
		key := ""
		if p.key {
			key = ",INDEPENDENT=YES"
		}
		fmt.Fprintf(w, "#EXT-X-PART:DURATION=%s,URI=\"%s/%d.%d.m4s\"%s\n", seconds(p.span), s.id, g.msn, i, key)
	}
}

// multivariant returns the playlist of the one rendition there is; s.mu is held.
func (s *Server) multivariant() []byte {
	w := &bytes.Buffer{}
	in := s.inits[s.list[len(s.list)-1].init]
	peak := s.peak
	if peak == 0 {
		peak = 1
	}
	fmt.Fprintf(w, "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-STREAM-INF:BANDWIDTH=%d", peak)
	if s.bitsTime > 0 {
		fmt.Fprintf(w, ",AVERAGE-BANDWIDTH=%d", int64(float64(s.bits)/s.bitsTime.Seconds()))
	}
	fmt.Fprintf(w, ",CODECS=\"%s\"", in.codecs)
	if in.resolution != "" {
		fmt.Fprintf(w, ",RESOLUTION=%s", in.resolution)
	}
	w.WriteString("\nlive.m3u8\n")
	return w.Bytes()
}
