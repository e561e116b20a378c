package media

// This file answers: how do packets become access units, and what is one?

import "time"

// elementary is a track that is being put together.
type elementary struct {
	track Track
	place int // in the program map

	buf     []byte // of the PES packet in progress; nil: none
	want    int    // its length; 0: until the next one begins
	random  bool   // it has the random-access indicator
	counter byte   // continuity counter of the last packet
	counted bool

	clock trackClock
	carry []byte        // sound: the beginning of a frame, from the last PES packet
	step  time.Duration // pictures: from the last to the one before
}

// payload adds a packet to the track.
func (d *Demuxer) payload(e *elementary, p packet, counter byte) {
	if e.counted && counter == e.counter { // a duplicate
		return
	}
	lost := e.counted && counter != (e.counter+1)&0x0f
	e.counter, e.counted = counter, true
	if lost && !p.start {
		d.drop(e)
		return
	}
	if p.start {
		d.finish(e)
		if len(p.payload) < 9 || p.payload[0] != 0 || p.payload[1] != 0 || p.payload[2] != 1 || p.payload[6]&0xc0 != 0x80 {
			d.counts.Damaged++
			return
		}
		e.random, e.want = p.random, 0
		if n := int(p.payload[4])<<8 | int(p.payload[5]); n > 0 {
			e.want = 6 + n
		}
		e.buf = make([]byte, 0, max(len(p.payload), min(e.want, maxSound)))
	} else if e.buf == nil {
		return
	}
	most := maxSound
	if e.track.Codec.Video() {
		most = maxPicture
	}
	if len(e.buf)+len(p.payload) > most {
		d.drop(e)
		return
	}
	e.buf = append(e.buf, p.payload...)
	if e.want > 0 && len(e.buf) >= e.want {
		e.buf = e.buf[:e.want]
		d.finish(e)
	}
}

// drop forgets the PES packet in progress.
func (d *Demuxer) drop(e *elementary) {
	if e.buf != nil || len(e.carry) > 0 {
		d.counts.Damaged++
	}
	e.buf, e.carry = nil, nil
}

// finish gives out what is in the PES packet in progress.
func (d *Demuxer) finish(e *elementary) {
	b := e.buf
	e.buf = nil
	if b == nil {
		return
	}
	at := 9 + int(b[8])
	if e.want > 0 && len(b) < e.want || at > len(b) {
		d.counts.Damaged++
		e.carry = nil
		return
	}
	stamp := pesStamps{}
	if p, dt := stamps(b[:max(at, min(len(b), 14))]); p >= 0 && p+5 <= at {
		stamp.has, stamp.pts = true, readStamp(b[p:])
		stamp.dts = stamp.pts
		if dt >= 0 && dt+5 <= at {
			stamp.dts = readStamp(b[dt:])
		}
	}
	switch data := b[at:]; e.track.Codec {
	case AAC:
		d.aac(e, stamp, data)
	case Opus:
		d.opus(e, stamp, data)
	default:
		d.picture(e, stamp, data)
	}
}

// pesStamps are the timestamps of a PES packet, 90 kHz.
type pesStamps struct {
	has      bool
	pts, dts uint64
}

// picture gives out an access unit of video.
func (d *Demuxer) picture(e *elementary, s pesStamps, data []byte) {
	u := scanUnit(e.track.Codec, data)
	if !u.picture {
		return // parameter sets alone, or no NAL unit: nothing to show
	}
	if u.config != nil {
		e.track.Config = u.config
	}
	dts := e.clock.next
	if s.has {
		dts = d.time.place(&e.clock, s.dts)
	}
	pts := dts
	if ahead := int64((s.pts-s.dts)<<31) >> 31; s.has && ahead > 0 && ahead < 10*clockRate {
		pts += ticks(ahead)
	}
	if e.clock.begun {
		if step := dts - e.clock.last; step > 0 && step < time.Second {
			e.step = step
		}
	}
	d.give(e, Frame{PTS: pts, DTS: dts, Key: u.key || e.random && u.config != nil, Data: data}, e.step)
}

// give passes a frame on; span is how long it lasts, as far as is known.
func (d *Demuxer) give(e *elementary, f Frame, span time.Duration) {
	d.time.gave(&e.clock, f.DTS, span)
	f.Track = e.track.ID
	if !e.track.Codec.Video() {
		f.Span = span
	}
	d.counts.Frames++
	d.frame(f)
}
