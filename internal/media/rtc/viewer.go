package rtc

// This file answers: when is which packet sent to a viewer?

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

const (
	// viewerQueue bounds what waits for a viewer, in frames: about 3 s of 30
	// pictures and 50 Opus packets a second. Who is further behind goes on at
	// the next key frame.
	viewerQueue = 256
	// squeeze is from picture to picture in the group that a newcomer gets at
	// once: it runs through it, and is at the live edge.
	squeeze = time.Millisecond
	// catchUp is how much faster than they were made pictures go out that have
	// come all at once, after a gap.
	catchUp = 4
	// burst bytes go out at once, then lineRate bytes a second: a key frame
	// must not overrun the buffers on its way. 64 Mbit/s.
	burst    = 32 << 10
	lineRate = 8 << 20
)

// viewer is the sending side of a session.
type viewer struct {
	session      *session
	video, audio *webrtc.TrackLocalStaticRTP // nil: not sent
	queue        chan *unit

	// Guarded by the feed's mu.
	begin   []*unit // the group that it starts with
	wait    bool    // for a key frame
	skipped int

	// Of send alone.
	pace               pace
	videoSeq, audioSeq uint16
	packets            int

	nacks, plis atomic.Int64
}

// give queues a frame; it never waits. The feed's mu is held.
func (v *viewer) give(u *unit) {
	switch {
	case u.video && v.video == nil || !u.video && v.audio == nil:
		return
	case v.wait && u.video && !u.key:
		v.skipped++
		return
	}
	select {
	case v.queue <- u:
		v.wait = v.wait && !u.video
	default:
		v.skipped++
		v.wait = v.wait || u.video
	}
}

// send sends until the session is to end.
func (v *viewer) send() {
	began := time.Now()
	v.videoSeq, v.audioSeq = uint16(rand.Uint32()), uint16(rand.Uint32())
	begin := v.begin
	v.begin = nil
	for i, u := range begin {
		at := begin[len(begin)-1].pts - time.Duration(len(begin)-1-i)*squeeze
		if !v.unit(u, max(at, u.pts), began) {
			return
		}
	}
	for {
		select {
		case u := <-v.queue:
			if !v.unit(u, u.pts, began) {
				return
			}
		case <-v.session.done:
			return
		}
	}
}

// unit sends one frame with the timestamp pts; false: the session has ended.
func (v *viewer) unit(u *unit, pts time.Duration, began time.Time) bool {
	track, seq, rate := v.audio, &v.audioSeq, int64(48000)
	if u.video {
		track, seq, rate = v.video, &v.videoSeq, 90000
		if !v.sleep(v.pace.picture(time.Since(began), pts)) {
			return false
		}
	}
	for i, b := range u.payloads {
		p := rtp.Packet{Header: rtp.Header{Version: 2, Marker: u.video && i == len(u.payloads)-1, SequenceNumber: *seq, Timestamp: rtpTime(pts, rate)}, Payload: b}
		*seq++
		v.packets++
		if err := track.WriteRTP(&p); err != nil {
			v.session.end("sending: " + err.Error())
			return false
		}
		if u.video && !v.sleep(v.pace.packet(time.Since(began), len(b))) {
			return false
		}
	}
	return true
}

// sleep waits; false: the session has ended.
func (v *viewer) sleep(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-v.session.done:
		return false
	}
}

// readReports lets the interceptors see what the viewer reports, and counts.
func (v *viewer) readReports(s *webrtc.RTPSender) {
	for {
		packets, _, err := s.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			switch p.(type) {
			case *rtcp.TransportLayerNack:
				v.nacks.Add(1)
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				v.plis.Add(1) // nobody can be asked: the next group brings a key frame
			}
		}
	}
}

// rtpTime is a time on an RTP clock of rate Hz. RTP timestamps are the stream's
// own, so that a measurement can name a picture.
func rtpTime(d time.Duration, rate int64) uint32 {
	s, rest := int64(d/time.Second), int64(d%time.Second)
	return uint32(s*rate + (rest*rate+int64(time.Second)/2)/int64(time.Second))
}

// pace spreads what has come all at once. Times are since the session began.
type pace struct {
	begun bool
	sent  time.Duration // when the last picture was due
	pts   time.Duration // its timestamp
	level float64       // bytes that are under way, about
	at    time.Duration // when that was
}

// picture returns how long to wait before a picture is sent.
func (p *pace) picture(now, pts time.Duration) time.Duration {
	due := now
	if step := pts - p.pts; p.begun && step > 0 && step < time.Second {
		due = max(now, p.sent+step/catchUp)
	}
	p.begun, p.sent, p.pts = true, due, pts
	return due - now
}

// packet returns how long to wait after a packet of n bytes.
func (p *pace) packet(now time.Duration, n int) time.Duration {
	p.level = max(0, p.level-(now-p.at).Seconds()*lineRate) + float64(n)
	p.at = now
	if wait := time.Duration((p.level - burst) / lineRate * float64(time.Second)); wait >= time.Millisecond {
		return wait
	}
	return 0 // timers are not that fine
}
