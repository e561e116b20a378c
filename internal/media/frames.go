package media

// This file answers: which pictures and sounds are in an MPEG-TS? It takes the
// stream apart into access units, for outputs that are not MPEG-TS.
//
// go-astits reads from an io.Reader, gives a picture only when the next one has
// begun, and keeps packets without bound while it waits; here bytes are pushed
// in, sound is out as soon as it is whole, and memory has a bound per track.

import (
	"fmt"
	"sort"
	"time"
)

// Codec of a track, in the words of ffmpeg.
type Codec string

// The codecs that are taken apart.
const (
	H264 Codec = "h264"
	H265 Codec = "h265"
	AAC  Codec = "aac"
	Opus Codec = "opus"
)

// Video reports whether it codes pictures.
func (c Codec) Video() bool { return c == H264 || c == H265 }

// Track is one elementary stream.
type Track struct {
	ID       int // its PID
	Codec    Codec
	Rate     int // sound: samples a second
	Channels int // sound
	// Config is what a decoder needs before the first frame: the parameter sets
	// of h264 and h265 in Annex B form, an AudioSpecificConfig for aac, nothing
	// for opus. Empty until it was seen.
	Config []byte
}

// Frame is one access unit: a picture, an AAC frame, an Opus packet.
type Frame struct {
	Track int // Track.ID
	// PTS and DTS are on one time line for all tracks, from the first timestamp
	// of the stream on; it goes on evenly where the stream's timestamps wrap,
	// jump or run backwards. The DTS of a track always grows.
	PTS, DTS time.Duration
	Span     time.Duration // how long sound lasts; 0 for pictures
	Key      bool          // a decoder can start here; true for sound
	Data     []byte        // Annex B access unit, AAC frame without ADTS, or Opus packet; not to be written to
}

const (
	maxTracks = 16
	// maxPicture bounds one access unit of video: more than a key frame of 100 Mbit/s.
	maxPicture = 8 << 20
	// maxSound bounds one PES packet of sound.
	maxSound = 256 << 10
	// maxUnsynced is how far into an input its first packet is looked for.
	maxUnsynced = 64 << 10
)

// Demuxer takes MPEG-TS apart. It trusts nothing in it: what is damaged is
// dropped, and it goes on with the next whole access unit.
type Demuxer struct {
	frame  func(Frame)
	part   []byte
	synced bool
	past   int // bytes before the first packet
	pmtID  uint16
	pmt    []byte // the section that is in force
	pids   map[uint16]*elementary
	other  map[uint16]string // streams that cannot be taken apart
	time   timeline
	counts DemuxStats
}

// DemuxStats counts since NewDemuxer.
type DemuxStats struct {
	Frames  uint64
	Damaged uint64 // access units dropped because a part was missing or malformed
	Unsync  uint64 // times that a packet did not begin where it had to
	Jumps   uint64 // times that timestamps jumped or ran backwards
}

// NewDemuxer returns a demuxer that calls frame for each access unit, in the
// order of their arrival, from within Write and Flush.
func NewDemuxer(frame func(Frame)) *Demuxer {
	return &Demuxer{frame: frame, pids: make(map[uint16]*elementary), other: make(map[uint16]string)}
}

// Write takes the next bytes, in pieces of any size. ErrNotTS: no packet in the
// first 64 KiB; then nothing ever comes out.
func (d *Demuxer) Write(b []byte) (int, error) {
	if !d.synced && d.past > maxUnsynced {
		return 0, ErrNotTS
	}
	rest := b
	if len(d.part) > 0 {
		d.part = append(d.part, b...)
		rest = d.part
	}
	for len(rest) >= PacketSize {
		if rest[0] != syncByte || !d.synced && len(rest) > PacketSize && rest[PacketSize] != syncByte {
			n := resync(rest)
			if d.synced {
				d.counts.Unsync++
			} else if d.past += n; d.past > maxUnsynced {
				d.part = nil
				return 0, ErrNotTS
			}
			rest = rest[n:]
			continue
		}
		d.synced = true
		d.packet(rest[:PacketSize])
		rest = rest[PacketSize:]
	}
	d.part = append(d.part[:0], rest...)
	return len(b), nil
}

// Flush gives out the access units that only a next one would have ended: at
// the end of the stream.
func (d *Demuxer) Flush() {
	for _, e := range d.sorted() {
		d.finish(e)
	}
}

// Gap says that bytes are missing before the next Write: what is not whole is dropped.
func (d *Demuxer) Gap() {
	d.part = d.part[:0]
	for _, e := range d.sorted() {
		d.drop(e)
		e.counted = false
	}
}

// Tracks returns the tracks of the table in force that can be taken apart, in
// its order: video and sound as the publisher listed them.
func (d *Demuxer) Tracks() []Track {
	var all []Track
	for _, e := range d.sorted() {
		all = append(all, e.track)
	}
	return all
}

// Unsupported names the streams of the table in force that cannot be taken
// apart, as "MPEG-2 video (PID 256)".
func (d *Demuxer) Unsupported() []string {
	pids := make([]int, 0, len(d.other))
	for pid := range d.other {
		pids = append(pids, int(pid))
	}
	sort.Ints(pids)
	var all []string
	for _, pid := range pids {
		all = append(all, fmt.Sprintf("%s (PID %d)", d.other[uint16(pid)], pid))
	}
	return all
}

// Stats returns the counts so far.
func (d *Demuxer) Stats() DemuxStats {
	s := d.counts
	s.Jumps = d.time.jumps
	return s
}

func (d *Demuxer) sorted() []*elementary {
	all := make([]*elementary, 0, len(d.pids))
	for _, e := range d.pids {
		all = append(all, e)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].place < all[j].place })
	return all
}

func (d *Demuxer) packet(b []byte) {
	p, ok := parsePacket(b)
	switch {
	case !ok || b[1]&0x80 != 0: // transport error
	case p.pid == pidPAT:
		if s := p.section(); wholeSection(s) {
			if id, ok := pmtOf(s); ok {
				d.pmtID = id
			}
		}
	case p.pid == d.pmtID && d.pmtID != 0:
		if s := p.section(); wholeSection(s) && string(s) != string(d.pmt) {
			d.table(s)
		}
	default:
		if e := d.pids[p.pid]; e != nil && p.payload != nil {
			d.payload(e, p, b[3]&0x0f)
		}
	}
}

// table takes a new program map. Tracks that it leaves as they are go on.
func (d *Demuxer) table(s []byte) {
	streams, ok := streamsOf(s)
	if !ok {
		return
	}
	d.pmt = append(d.pmt[:0], s...)
	old := d.pids
	d.pids, d.other = make(map[uint16]*elementary), make(map[uint16]string)
	for i, st := range streams {
		switch e := old[st.pid]; {
		case st.codec == "":
			d.other[st.pid] = st.name
		case e != nil && e.track.Codec == st.codec && (st.codec != Opus || e.track.Channels == st.channels):
			e.place = i
			d.pids[st.pid] = e
		default:
			e = &elementary{place: i, track: Track{ID: int(st.pid), Codec: st.codec}}
			if st.codec == Opus {
				e.track.Rate, e.track.Channels = 48000, st.channels
			}
			d.pids[st.pid] = e
		}
	}
}
