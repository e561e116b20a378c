package hls

// This file answers: which tracks of a stream are played, and when does a
// player need to be told anew what they are?

import (
	"github.com/braidway/braidway/internal/media"
)

// mainOf returns the track that segments are cut at: the first video. Sound
// alone is played only where no video is that cannot be.
func (p *packager) mainOf() *media.Track {
	tracks := p.demux.Tracks()
	for i := range tracks {
		if tracks[i].Codec.Video() {
			return &tracks[i]
		}
	}
	for _, name := range p.demux.Unsupported() {
		if isVideo(name) {
			return nil
		}
	}
	if len(tracks) > 0 {
		return &tracks[0]
	}
	return nil
}

func isVideo(name string) bool {
	for i := 0; i+5 <= len(name); i++ {
		if name[i:i+5] == "video" {
			return true
		}
	}
	return len(name) > 4 && (name[:4] == "HEVC" || name[:4] == "AV01")
}

// start makes an initialization segment of the tracks that are there: the main
// one, and the first of sound beside it.
func (p *packager) start(main int) error {
	var tracks []*track
	byID := make(map[int]*track)
	for _, t := range p.chosen(main) {
		n := &track{id: uint32(len(tracks) + 1), media: t, scale: int64(t.Rate)}
		if t.Codec.Video() {
			look, err := describe(t)
			if err != nil {
				return refusef("%v", err)
			}
			n.look, n.scale = look, videoScale
		}
		tracks = append(tracks, n)
		byID[t.ID] = n
	}
	p.jump = p.begun
	p.tracks, p.byID, p.begun = tracks, byID, true
	p.current = p.newInit(tracks, initSegment(tracks))
	return nil
}

// chosen returns the tracks to be played, the main one first.
func (p *packager) chosen(main int) []media.Track {
	var tracks []media.Track
	all := p.demux.Tracks()
	for _, t := range all {
		if t.ID == main {
			tracks = append(tracks, t)
		}
	}
	for _, t := range all {
		if len(tracks) == 1 && tracks[0].Codec.Video() && !t.Codec.Video() && (len(t.Config) > 0 || t.Codec == media.Opus) {
			tracks = append(tracks, t)
		}
	}
	return tracks
}

// stale reports whether the initialization segment in force is no longer that
// of the stream.
func (p *packager) stale() bool {
	now := p.chosen(p.mainOf().ID)
	if len(now) != len(p.tracks) {
		return true
	}
	for i, t := range p.tracks {
		if now[i].ID != t.media.ID || now[i].Codec != t.media.Codec || string(now[i].Config) != string(t.media.Config) {
			return true
		}
	}
	return false
}

func list(names []string) string {
	s := ""
	for i, n := range names {
		switch {
		case i > 0 && i == len(names)-1:
			s += " and "
		case i > 0:
			s += ", "
		}
		s += n
	}
	return s
}
