package rtc

// This file answers: how do RTP packets of a publisher become frames?

import (
	"log/slog"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"

	"github.com/braidway/braidway/internal/media"
)

const (
	videoTrack, audioTrack = 1, 2
	// maxAccessUnit bounds a picture, bytes: a key frame of 64 Mbit/s.
	maxAccessUnit = 4 << 20
)

// receiver puts the frames of one session together.
type receiver struct {
	session *session
	push    *media.Push
	log     *slog.Logger
	began   time.Time

	mu     sync.Mutex // of all below, and of push
	begun  bool       // the first key frame was pushed
	clocks [2]rtpClock
}

func newReceiver(push *media.Push, s *session, log *slog.Logger) *receiver {
	in := &receiver{session: s, push: push, log: log, began: time.Now()}
	in.clocks[0].rate, in.clocks[1].rate = 90000, 48000
	return in
}

// readReports notes what the sender says of its clock.
func (in *receiver) readReports(t *webrtc.TrackRemote, rx *webrtc.RTPReceiver) {
	for {
		packets, _, err := rx.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			if sr, ok := p.(*rtcp.SenderReport); ok && sr.SSRC == uint32(t.SSRC()) {
				in.mu.Lock()
				in.clocks[clockOf(t)].report(sr.NTPTime, sr.RTPTime)
				in.clocks[1].follow(&in.clocks[0])
				in.mu.Unlock()
			}
		}
	}
}

func clockOf(t *webrtc.TrackRemote) int {
	if t.Kind() == webrtc.RTPCodecTypeVideo {
		return 0
	}
	return 1
}

// read reads a track until the session ends.
func (in *receiver) read(t *webrtc.TrackRemote) {
	var q reorder
	video := pictures{}
	for {
		p, _, err := t.ReadRTP()
		if err != nil {
			return
		}
		now := time.Since(in.began)
		for _, p := range q.add(now, p) {
			if t.Kind() != webrtc.RTPCodecTypeVideo {
				if len(p.Payload) > 0 {
					in.frame(now, 1, p.Timestamp, media.Frame{Track: audioTrack, Key: true, Data: p.Payload})
				}
				continue
			}
			for _, u := range video.add(p, q.lost) {
				in.frame(now, 0, u.at, media.Frame{Track: videoTrack, Key: u.key, Data: u.data})
			}
			q.lost = false
			if video.want {
				video.want = false
				in.ask(uint32(t.SSRC()))
			}
		}
	}
}

// frame pushes a frame with the RTP timestamp at.
func (in *receiver) frame(now time.Duration, clock int, at uint32, f media.Frame) {
	in.mu.Lock()
	defer in.mu.Unlock()
	f.PTS = in.clocks[clock].at(now, at)
	f.DTS = f.PTS
	in.begun = in.begun || clock == 0
	if !in.begun { // sound alone, before the first picture
		return
	}
	if err := in.push.Frame(f); err != nil {
		in.session.end(err.Error())
	}
}

// reorder gives packets in the order of their numbers. It waits for a missing
// one, which was asked for again, but not for ever.
type reorder struct {
	begun bool
	next  uint16
	held  map[uint16]*rtp.Packet
	since time.Duration // when a packet began to be missing
	lost  bool          // packets are missing before those that add returned; the caller resets it
}

const (
	// maxWait is how long a missing packet is waited for: some round trips.
	maxWait = 250 * time.Millisecond
	// maxReorder bounds the packets that are held meanwhile.
	maxReorder = 1024
)

// add takes a packet that came at now, and returns those that are next.
func (r *reorder) add(now time.Duration, p *rtp.Packet) (out []*rtp.Packet) {
	if !r.begun {
		r.begun, r.next, r.held = true, p.SequenceNumber, make(map[uint16]*rtp.Packet)
	}
	ahead := int16(p.SequenceNumber - r.next)
	switch {
	case ahead < -maxReorder || ahead > 2*maxReorder: // the sender began anew
		clear(r.held)
		r.next, r.lost, ahead = p.SequenceNumber, true, 0
	case ahead < 0:
		return nil // too late, or twice
	}
	if len(r.held) == 0 && ahead > 0 {
		r.since = now
	}
	r.held[p.SequenceNumber] = p
	for {
		for q := r.held[r.next]; q != nil; q = r.held[r.next] {
			out = append(out, q)
			delete(r.held, r.next)
			r.next++
			r.since = now
		}
		if len(r.held) == 0 || now-r.since < maxWait && len(r.held) < maxReorder || len(out) > 0 {
			return out
		}
		for r.held[r.next] == nil { // give up what is missing
			r.next++
		}
		r.lost = true
	}
}

// picture is an access unit in Annex B form.
type picture struct {
	at   uint32 // RTP timestamp
	key  bool
	data []byte
}

// pictures puts access units together. After a loss it gives none up to the
// next key frame, and wants one.
type pictures struct {
	depacketizer codecs.H264Packet
	at           uint32
	data         []byte
	size         int // payload bytes since the access unit began
	broken       bool
	running      bool // a key frame has gone by, and nothing was lost since
	want         bool // a key frame; the caller resets it
}

// add takes the next packet; lost: some are missing before it.
func (v *pictures) add(p *rtp.Packet, lost bool) (out []picture) {
	if lost {
		v.reset()
		v.running, v.want, v.broken = false, true, p.Timestamp == v.at
	}
	if len(p.Payload) == 0 {
		return nil // padding
	}
	if p.Timestamp != v.at {
		out = v.finish(out)
		v.at, v.broken = p.Timestamp, false
	}
	v.size += len(p.Payload)
	b, err := v.depacketizer.Unmarshal(p.Payload)
	if err != nil || v.size > maxAccessUnit {
		v.reset()
		v.broken, v.running, v.want = true, false, v.running || v.want
		return out
	}
	v.data = append(v.data, b...)
	if p.Marker {
		out = v.finish(out)
	}
	return out
}

func (v *pictures) reset() { v.depacketizer, v.data, v.size = codecs.H264Packet{}, nil, 0 }

// finish gives out the access unit in progress, if it is one.
func (v *pictures) finish(out []picture) []picture {
	data := v.data
	v.data, v.size = nil, 0
	if len(data) == 0 || v.broken {
		return out
	}
	u := picture{at: v.at, data: data}
	shown, sps := false, false
	media.NALUnits(data, func(nal []byte) {
		kind := nal[0] & 0x1f
		u.key = u.key || kind == 5
		sps = sps || kind == 7
		shown = shown || kind >= 1 && kind <= 5
	})
	switch {
	case !shown:
		return out
	case u.key && !sps && !v.running: // nobody could decode it
		v.want = true
		return out
	case !u.key && !v.running:
		return out
	}
	v.running = true
	return append(out, u)
}

// rtpClock places RTP timestamps on a time line that begins with the session:
// at first by their arrival, then by what the sender reports of its clock, so
// that sound and picture are in step.
type rtpClock struct {
	rate  int64
	begun bool
	last  uint32
	ticks int64         // since the first timestamp, without wrapping
	base  time.Duration // when the first came
	moved time.Duration // by follow, so far
	by    time.Duration // what it is to become
	given time.Duration // the last result

	known bool
	wall  time.Duration // of the first timestamp, on the sender's clock
}

const (
	// maxLeap is the longest step of RTP timestamps that is believed.
	maxLeap = 10 * time.Second
	// slew is the most by which a frame is moved into step.
	slew = time.Millisecond
	// maxApart is the most by which sound and picture are believed to be apart.
	maxApart = 2 * time.Second
)

func (c *rtpClock) span(ticks int64) time.Duration {
	return time.Duration(ticks/c.rate)*time.Second + time.Duration(ticks%c.rate)*time.Second/time.Duration(c.rate)
}

// at returns when a frame is; it grows from call to call.
func (c *rtpClock) at(now time.Duration, ts uint32) time.Duration {
	step := int64(int32(ts - c.last))
	if d := c.span(step); !c.begun || d > maxLeap || d < -maxLeap {
		c.begun, c.ticks, c.base, c.moved, c.by, c.known = true, 0, max(now, c.given), 0, 0, false
		step = 0
	}
	c.last, c.ticks = ts, c.ticks+step
	c.moved += min(max(c.by-c.moved, -slew), slew)
	c.given = max(c.base+c.span(c.ticks)+c.moved, c.given+time.Second/90000+1)
	return c.given
}

// report takes a sender report: at NTP time ntp the clock was at ts.
func (c *rtpClock) report(ntp uint64, ts uint32) {
	if !c.begun {
		return
	}
	wall := time.Duration(ntp>>32)*time.Second + time.Duration((ntp&0xffffffff)*uint64(time.Second)>>32)
	c.wall, c.known = wall-c.span(c.ticks+int64(int32(ts-c.last))), true
}

// follow puts the clock in step with a leader.
func (c *rtpClock) follow(lead *rtpClock) {
	if !c.known || !lead.known {
		return
	}
	if by := lead.base + (c.wall - lead.wall) - c.base; by > -maxApart && by < maxApart {
		c.by = by
	}
}
