package hls

// This file answers: what are the bytes of an initialization segment and of a
// part (ISO/IEC 14496-12 and -15, fragmented)?
//
// gomedia's MP4 counts in milliseconds, in which neither 30 pictures a second
// nor a frame of AAC is a whole number.

import (
	"encoding/binary"
	"time"

	"github.com/braidway/braidway/internal/media"
)

// videoScale is the timescale of video tracks, Hz.
const videoScale = 90000

// box is a buffer to which boxes are appended.
type box struct{ b []byte }

func (w *box) u8(v uint8)      { w.b = append(w.b, v) }
func (w *box) u16(v uint16)    { w.b = binary.BigEndian.AppendUint16(w.b, v) }
func (w *box) u32(v uint32)    { w.b = binary.BigEndian.AppendUint32(w.b, v) }
func (w *box) u64(v uint64)    { w.b = binary.BigEndian.AppendUint64(w.b, v) }
func (w *box) bytes(v ...byte) { w.b = append(w.b, v...) }
func (w *box) zeros(n int)     { w.b = append(w.b, make([]byte, n)...) }

// in appends a box around what body appends.
func (w *box) in(name string, body func()) {
	at := len(w.b)
	w.u32(0)
	w.b = append(w.b, name...)
	body()
	binary.BigEndian.PutUint32(w.b[at:], uint32(len(w.b)-at))
}

// full is in for a box with version and flags.
func (w *box) full(name string, version uint8, flags uint32, body func()) {
	w.in(name, func() {
		w.u32(uint32(version)<<24 | flags)
		body()
	})
}

// track is one track of an MP4.
type track struct {
	id    uint32 // from 1
	media media.Track
	look  picture // of video
	scale int64   // Hz

	due   int64 // sound: where the next frame is to begin, in scale
	begun bool
}

// initSegment returns ftyp and moov.
func initSegment(tracks []*track) []byte {
	w := &box{}
	w.in("ftyp", func() {
		w.bytes([]byte("iso6\x00\x00\x00\x01iso6cmfcmp41")...)
	})
	w.in("moov", func() {
		w.full("mvhd", 0, 0, func() {
			w.zeros(8)
			w.u32(1000)
			w.u32(0)
			w.u32(0x00010000)
			w.u16(0x0100)
			w.zeros(10)
			w.matrix()
			w.zeros(24)
			w.u32(uint32(len(tracks) + 1))
		})
		for _, t := range tracks {
			w.trak(t)
		}
		w.in("mvex", func() {
			for _, t := range tracks {
				w.full("trex", 0, 0, func() {
					w.u32(t.id)
					w.u32(1)
					w.zeros(12)
				})
			}
		})
	})
	return w.b
}

func (w *box) matrix() {
	for _, v := range []uint32{0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000} {
		w.u32(v)
	}
}

func (w *box) trak(t *track) {
	video := t.media.Codec.Video()
	w.in("trak", func() {
		w.full("tkhd", 0, 3, func() {
			w.zeros(8)
			w.u32(t.id)
			w.zeros(4 + 4 + 8)
			w.zeros(4) // layer, group
			if video {
				w.u16(0)
			} else {
				w.u16(0x0100)
			}
			w.u16(0)
			w.matrix()
			w.u32(uint32(t.look.width) << 16)
			w.u32(uint32(t.look.height) << 16)
		})
		w.in("mdia", func() {
			w.full("mdhd", 0, 0, func() {
				w.zeros(8)
				w.u32(uint32(t.scale))
				w.u32(0)
				w.u16(0x55c4) // undetermined language
				w.u16(0)
			})
			w.full("hdlr", 0, 0, func() {
				w.u32(0)
				if video {
					w.bytes([]byte("vide")...)
				} else {
					w.bytes([]byte("soun")...)
				}
				w.zeros(12)
				w.bytes([]byte("Braidway\x00")...)
			})
			w.in("minf", func() {
				if video {
					w.full("vmhd", 0, 1, func() { w.zeros(8) })
				} else {
					w.full("smhd", 0, 0, func() { w.zeros(4) })
				}
				w.in("dinf", func() {
					w.full("dref", 0, 0, func() {
						w.u32(1)
						w.full("url ", 0, 1, func() {})
					})
				})
				w.in("stbl", func() {
					w.full("stsd", 0, 0, func() {
						w.u32(1)
						w.entry(t)
					})
					w.full("stts", 0, 0, func() { w.u32(0) })
					w.full("stsc", 0, 0, func() { w.u32(0) })
					w.full("stsz", 0, 0, func() { w.zeros(8) })
					w.full("stco", 0, 0, func() { w.u32(0) })
				})
			})
		})
	})
}

// entry appends the sample entry.
func (w *box) entry(t *track) {
	switch t.media.Codec {
	case media.H264:
		w.visual("avc1", t.look, func() { w.in("avcC", func() { w.bytes(t.look.record...) }) })
	case media.H265:
		w.visual("hvc1", t.look, func() { w.in("hvcC", func() { w.bytes(t.look.record...) }) })
	case media.AAC:
		w.sound("mp4a", t, func() {
			config := t.media.Config
			n := len(config)
			w.full("esds", 0, 0, func() {
				w.bytes(0x03, byte(3+5+13+2+n+3), 0, 0, 0)
				w.bytes(0x04, byte(13+2+n), 0x40, 0x15, 0, 0, 0)
				w.zeros(8)
				w.bytes(0x05, byte(n))
				w.bytes(config...)
				w.bytes(0x06, 1, 2)
			})
		})
	case media.Opus:
		w.sound("Opus", t, func() {
			w.in("dOps", func() {
				w.bytes(0, byte(t.media.Channels))
				w.u16(0)
				w.u32(uint32(t.media.Rate))
				w.u16(0)
				w.opusMapping(t.media.Channels)
			})
		})
	}
}

// opusMapping appends how streams are channels (RFC 7845, 5.1.1), as the
// channel configurations 1 to 8 of MPEG-TS have it.
func (w *box) opusMapping(channels int) {
	if channels <= 2 {
		w.u8(0)
		return
	}
	coupled := [9]byte{3: 1, 4: 2, 5: 2, 6: 2, 7: 2, 8: 3}
	order := [9]string{3: "\x00\x02\x01", 4: "\x00\x01\x02\x03", 5: "\x00\x04\x01\x02\x03", 6: "\x00\x04\x01\x02\x03\x05",
		7: "\x00\x04\x01\x02\x03\x05\x06", 8: "\x00\x06\x01\x02\x03\x04\x05\x07"}
	w.bytes(1, byte(channels)-coupled[channels], coupled[channels])
	w.bytes([]byte(order[channels])...)
}

func (w *box) visual(name string, p picture, config func()) {
	w.in(name, func() {
		w.zeros(6)
		w.u16(1)
		w.zeros(16)
		w.u16(uint16(p.width))
		w.u16(uint16(p.height))
		w.u32(0x00480000)
		w.u32(0x00480000)
		w.u32(0)
		w.u16(1)
		w.zeros(32)
		w.u16(0x18)
		w.u16(0xffff)
		config()
	})
}

func (w *box) sound(name string, t *track, config func()) {
	w.in(name, func() {
		w.zeros(6)
		w.u16(1)
		w.zeros(8)
		w.u16(uint16(max(t.media.Channels, 1)))
		w.u16(16)
		w.u32(0)
		w.u32(uint32(t.media.Rate) << 16)
		config()
	})
}

// sample is a frame that waits for its part.
type sample struct {
	track *track
	pts   time.Duration
	dts   time.Duration
	span  time.Duration
	key   bool
	data  []byte // as MP4 has it: NAL units with their lengths, or sound
}

// inScale converts a time into units of a timescale, to the nearest.
func inScale(d time.Duration, scale int64) int64 {
	s, ns := int64(d/time.Second), int64(d%time.Second)
	return s*scale + (ns*scale+int64(time.Second)/2)/int64(time.Second)
}

// Sample flags.
const (
	flagsKey   = 0x02000000 // depends on no other
	flagsOther = 0x01010000 // depends on others, and is not for starting
)

// fragment returns moof and mdat of the samples, by track in the order of tracks.
func fragment(number uint32, tracks []*track, samples []sample) []byte {
	size := 512 + 16*len(samples)
	for i := range samples {
		size += len(samples[i].data)
	}
	w := &box{b: make([]byte, 0, size)}
	type patch struct{ at, from int }
	var patches []patch
	from := 0
	w.in("moof", func() {
		w.full("mfhd", 0, 0, func() { w.u32(number) })
		for _, t := range tracks {
			n, first := 0, -1
			for i := range samples {
				if samples[i].track == t {
					n++
					if first < 0 {
						first = i
					}
				}
			}
			if n == 0 {
				continue
			}
			w.in("traf", func() {
				w.full("tfhd", 0, 0x020000, func() { w.u32(t.id) }) // offsets from the moof
				base := t.start(samples[first].dts)
				w.full("tfdt", 1, 0, func() { w.u64(uint64(base)) })
				w.full("trun", 1, 0x000f01, func() { // offset; duration, size, flags, composition offset
					w.u32(uint32(n))
					patches = append(patches, patch{len(w.b), from})
					w.u32(0)
					at := base
					for i := range samples {
						s := &samples[i]
						if s.track != t {
							continue
						}
						end := at + t.length(s, at)
						w.u32(uint32(end - at))
						w.u32(uint32(len(s.data)))
						if s.key {
							w.u32(flagsKey)
						} else {
							w.u32(flagsOther)
						}
						w.u32(uint32(max(inScale(s.pts-s.dts, t.scale), 0)))
						at, from = end, from+len(s.data)
					}
					t.due, t.begun = at, true
				})
			})
		}
	})
	head := len(w.b)
	for _, p := range patches {
		binary.BigEndian.PutUint32(w.b[p.at:], uint32(head+8+p.from))
	}
	w.in("mdat", func() {
		for _, t := range tracks {
			for i := range samples {
				if samples[i].track == t {
					w.b = append(w.b, samples[i].data...)
				}
			}
		}
	})
	return w.b
}

// start returns where the track's first sample of a fragment begins. Sound
// goes on where it ended, though its timestamps are rounded to 90 kHz.
func (t *track) start(dts time.Duration) int64 {
	at := max(inScale(dts, t.scale), 0)
	if off := at - t.due; t.begun && !t.media.Codec.Video() && off > -t.scale/100 && off < t.scale/100 {
		return t.due
	}
	return at
}

// length returns how long sample s is, which begins at at.
func (t *track) length(s *sample, at int64) int64 {
	if t.media.Codec.Video() {
		return max(inScale(s.dts+s.span, t.scale)-at, 1)
	}
	return max(inScale(s.span, t.scale), 1)
}
