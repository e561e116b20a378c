package rtc

// This file answers: do offers, clocks, order and pace hold on their own?

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"pgregory.net/rapid"
)

func TestTheOfferedProfileIsTheStreamsOrOneThatShowsIt(t *testing.T) {
	const baseline, constrained, main, high = "42001f", "42e01f", "4d001f", "64001f"
	sps := func(profile, flags byte) []byte { return []byte{0x67, profile, flags, 30} }
	for _, tc := range []struct {
		name   string
		sps    []byte
		offers []string
		want   string
		exact  bool
	}{
		{"main of Chromium's", sps(77, 0), []string{baseline, constrained, main, high}, main, true},
		{"high", sps(100, 0), []string{baseline, constrained, main, high}, high, true},
		{"constrained baseline with more flags", sps(66, 0xc0), []string{constrained}, constrained, true},
		{"constrained baseline in main", sps(66, 0x40), []string{main}, main, true},
		{"main in high", sps(77, 0), []string{constrained, high}, high, true},
		{"high, but Firefox says baseline", sps(100, 0), []string{constrained}, constrained, false},
		{"an SPS that is too short", []byte{0x67}, []string{main}, main, false},
	} {
		text := "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF"
		lines := ""
		for i, l := range tc.offers {
			id := string([]byte{'1', '0', byte('0' + i)})
			text += " " + id
			lines += "a=rtpmap:" + id + " H264/90000\r\na=fmtp:" + id + " level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=" + l + "\r\n"
		}
		o, err := parseOffer([]byte(text + "\r\n" + lines + "a=recvonly\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		f, exact := o.h264For(tc.sps)
		if got := param(f.params.SDPFmtpLine, "profile-level-id"); got != tc.want || exact != tc.exact {
			t.Errorf("%s: %s, %v", tc.name, got, exact)
		}
	}
}

func FuzzOffer(f *testing.F) {
	f.Add([]byte("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 100 101\r\na=rtpmap:100 H264/90000\r\na=fmtp:100 packetization-mode=1;profile-level-id=42e01f\r\na=rtpmap:101 rtx/90000\r\na=fmtp:101 apt=100\r\na=recvonly\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if o, err := parseOffer(b); err == nil && len(o.h264) > 0 {
			o.h264For([]byte{0x67, 77, 0, 30})
		}
		_, _ = parseFragment(string(b))
	})
}

// TestPicturesComeWholeAndInOrderFromAnyLine: what is lost, late or twice breaks
// no picture, and after a loss the next one is a key frame.
func TestPicturesComeWholeAndInOrderFromAnyLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		loss := rapid.IntRange(0, 20).Draw(t, "percent lost")
		seq := uint16(rapid.IntRange(0, 1<<16-1).Draw(t, "first number"))
		coder := codecs.H264Payloader{DisableStapA: rapid.Bool().Draw(t, "apart")}
		var sent [][]byte
		type due struct {
			at time.Duration
			p  *rtp.Packet
		}
		var line []due
		first := seq
		for i := range 40 {
			nal := bytes.Repeat([]byte{byte(1 + i)}, 2+rng.IntN(4000)) // no start code in it
			nal[0] = 0x41
			var au []byte
			if i%10 == 0 {
				nal[0] = 0x65
				au = append(au, 0, 0, 0, 1, 0x67, 77, 0, 30, 0, 0, 0, 1, 0x68, 1, 2)
			}
			au = append(append(au, 0, 0, 0, 1), nal...)
			sent = append(sent, au)
			parts := coder.Payload(maxPayload, au)
			for j, b := range parts {
				p := &rtp.Packet{Header: rtp.Header{SequenceNumber: seq, Timestamp: uint32(i) * 3000, Marker: j == len(parts)-1}, Payload: b}
				seq++
				if rng.IntN(100) < loss {
					continue
				}
				at := time.Duration(i)*33*time.Millisecond + time.Duration(rng.IntN(60))*time.Millisecond
				line = append(line, due{at, p})
				if rng.IntN(10) == 0 {
					line = append(line, due{at + 5*time.Millisecond, p})
				}
			}
		}
		if len(line) == 0 {
			return
		}
		slices.SortStableFunc(line, func(a, b due) int { return int(a.at - b.at) })
		var q reorder
		v, last, got := pictures{}, -1, 0
		for _, d := range line {
			for _, p := range q.add(d.at, d.p) {
				for _, u := range v.add(p, q.lost) {
					i := int(u.at / 3000)
					if i <= last || !bytes.Equal(bytes.Join(units(u.data), nil), bytes.Join(units(sent[i]), nil)) {
						t.Fatalf("picture %d after %d is not what was sent", i, last)
					}
					if i != last+1 && !u.key {
						t.Fatalf("picture %d after %d is no key frame", i, last)
					}
					last = i
					got++
				}
				q.lost = false
			}
		}
		if loss == 0 && line[0].p.SequenceNumber == first && got != len(sent) {
			t.Fatalf("%d pictures of %d", got, len(sent))
		}
	})
}

func TestSoundIsPutInStepWithThePicture(t *testing.T) {
	video, audio := rtpClock{rate: 90000}, rtpClock{rate: 48000}
	// Both began at 100 s of the sender's clock; the picture took 80 ms longer to come.
	const ntp = uint64(100) << 32
	at := func(d time.Duration, rate int64) uint32 { return 4294960000 + rtpTime(d, rate) } // it wraps soon
	var v, a time.Duration
	for i := range 500 {
		d := time.Duration(i) * 20 * time.Millisecond
		if i == 50 {
			video.report(ntp+uint64(d/time.Second)<<32, at(d, 90000))
			audio.report(ntp+uint64(d/time.Second)<<32, at(d, 48000))
			audio.follow(&video)
		}
		lastV, lastA := v, a
		v, a = video.at(d+80*time.Millisecond, at(d, 90000)), audio.at(d, at(d, 48000))
		if i > 0 && (v <= lastV || a <= lastA || a-lastA > 22*time.Millisecond) {
			t.Fatalf("frame %d: picture %v after %v, sound %v after %v", i, v, lastV, a, lastA)
		}
	}
	if apart := v - a; apart > time.Millisecond || apart < -time.Millisecond {
		t.Errorf("they are %v apart", apart)
	}
	// A jump of the timestamps goes on from where the time is.
	if after := video.at(20*time.Second, at(9*time.Hour, 90000)); after < v || after > 20*time.Second {
		t.Errorf("after a jump %v", after)
	}
}

func TestPicturesThatComeAtOnceAreSpread(t *testing.T) {
	var p pace
	now := time.Second
	if w := p.picture(now, 0); w != 0 {
		t.Errorf("the first waits %v", w)
	}
	// Five pictures of 40 ms came together: each goes a quarter of that later.
	for i := 1; i < 5; i++ {
		w := p.picture(now, time.Duration(i)*40*time.Millisecond)
		if w != 10*time.Millisecond {
			t.Errorf("picture %d waits %v, want 10ms", i, w)
		}
		now += w
	}
	if w := p.picture(now+time.Second, 200*time.Millisecond); w != 0 {
		t.Errorf("one that is late waits %v", w)
	}
	// A megabyte takes as long as the line rate says.
	now = 10 * time.Second
	began := now
	for range 1 << 20 / 1024 {
		now += p.packet(now, 1024)
	}
	want := time.Duration(float64(1<<20-burst) / lineRate * float64(time.Second))
	if took := now - began; took < want-2*time.Millisecond || took > want+2*time.Millisecond {
		t.Errorf("a megabyte takes %v, want %v", took, want)
	}
}
