package media

// This file answers: what do an encoder and the RTMP server say to each other on
// one connection?

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// refusal is why an encoder is turned away: what it is told, as a code of RTMP
// and in words, and what the publisher's user is told, if not the same.
type refusal struct {
	code, text, here string
}

// Error implements error.
func (r *refusal) Error() string { return r.text }

// session is one connection.
type session struct {
	server *rtmpServer
	conn   net.Conn
	in     *chunkReader
	peer   string
	app    string
	flv    flvTracks
	push   *Push
	muxed  bool
	held   []Frame // until the tracks are known
	bytes  int     // of held
	acked  int64
	done   chan struct{} // closed when it is over
	silent bool          // a track came too late, and that was told
}

// ending is why a connection is over.
type ending struct{ err error }

func (e ending) text() string {
	var r *refusal
	switch {
	case errors.As(e.err, &r) && r.here != "":
		return r.here
	case errors.As(e.err, &r):
		return r.text
	case e.err == nil:
		return "the encoder has ended"
	case errors.Is(e.err, io.EOF), errors.Is(e.err, io.ErrUnexpectedEOF):
		return "the encoder closed the connection"
	case isTimeout(e.err):
		return fmt.Sprintf("the encoder has sent nothing for %v", rtmpSilence)
	}
	return e.err.Error()
}

// stranger is what is said of who never published; "": nothing.
func (e ending) stranger() string {
	if e.err == nil || errors.Is(e.err, io.EOF) || errors.Is(e.err, net.ErrClosed) {
		return ""
	}
	return e.text()
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func (e *session) run() ending {
	_ = e.conn.SetDeadline(time.Now().Add(rtmpHello))
	if err := e.handshake(); err != nil {
		return ending{err}
	}
	e.in = newChunkReader(e.conn)
	e.done = make(chan struct{})
	defer close(e.done)
	for {
		m, err := e.in.next()
		if err == nil {
			err = e.message(m)
		}
		var bad *CodecError
		if errors.As(err, &bad) {
			err = &refusal{code: "NetStream.Publish.Rejected", text: bad.Error()}
		}
		var r *refusal
		switch {
		case errors.As(err, &r):
			e.turnAway(r)
			return ending{err}
		case errors.Is(err, errFinished):
			return ending{nil}
		case err != nil:
			return ending{err}
		}
		if e.push == nil {
			if e.in.read > maxRTMPHello {
				return ending{errors.New("it sends much, and publishes nothing")}
			}
			continue
		}
		_ = e.conn.SetReadDeadline(time.Now().Add(rtmpSilence))
		if e.in.read-e.acked >= rtmpWindow/2 {
			e.acked = e.in.read
			if err := e.send(2, rtmpAck, 0, binary.BigEndian.AppendUint32(nil, uint32(e.in.read))); err != nil {
				return ending{err}
			}
		}
	}
}

// handshake is the simple one (5.2): encoders take it, whichever they begin.
func (e *session) handshake() error {
	var c [1 + 1536]byte
	if _, err := io.ReadFull(e.conn, c[:1]); err != nil {
		return err
	}
	if c[0] != 3 {
		return errors.New("it does not speak RTMP; RTMPS needs a TLS proxy in front")
	}
	if _, err := io.ReadFull(e.conn, c[1:]); err != nil {
		return err
	}
	s := make([]byte, 1+1536, 1+2*1536)
	s[0] = 3
	_, _ = rand.Read(s[9:])
	if _, err := e.conn.Write(append(s, c[1:]...)); err != nil {
		return err
	}
	_, err := io.ReadFull(e.conn, c[1:])
	return err
}

func (e *session) send(id, kind byte, stream uint32, payload []byte) error {
	_ = e.conn.SetWriteDeadline(time.Now().Add(rtmpHello))
	_, err := e.conn.Write(appendChunks(nil, id, rtmpOurChunk, kind, stream, payload))
	return err
}

// status sends the outcome of a command on the encoder's stream.
func (e *session) status(level, code, text string) error {
	return e.send(5, rtmpCommand, 1, appendAMF(nil, "onStatus", 0.0, nil,
		[]amfPair{{"level", level}, {"code", code}, {"description", text}}))
}

// turnAway tells an encoder why, and gives it the time to read that.
func (e *session) turnAway(r *refusal) {
	if strings.HasPrefix(r.code, "NetConnection") {
		_ = e.send(2, rtmpSetChunkSize, 0, binary.BigEndian.AppendUint32(nil, rtmpOurChunk))
		_ = e.send(3, rtmpCommand, 0, appendAMF(nil, "_error", 1.0, nil, []amfPair{{"level", "error"}, {"code", r.code}, {"description", r.text}}))
	} else {
		_ = e.status("error", r.code, r.text)
	}
	if c, ok := e.conn.(*net.TCPConn); ok {
		_ = c.CloseWrite()
	}
	_ = e.conn.SetReadDeadline(time.Now().Add(rtmpGoodbye))
	_, _ = io.Copy(io.Discard, io.LimitReader(e.conn, maxRTMPMessage))
}

// errFinished says that the encoder said goodbye.
var errFinished = errors.New("rtmp: finished")

func (e *session) message(m rtmpMessage) error {
	switch m.kind {
	case rtmpCommandAMF3:
		if len(m.payload) == 0 || m.payload[0] != 0 {
			return nil
		}
		return e.command(m.payload[1:])
	case rtmpCommand:
		return e.command(m.payload)
	case rtmpUserControl:
		if len(m.payload) == 6 && m.payload[1] == 6 { // ping
			return e.send(2, rtmpUserControl, 0, append([]byte{0, 7}, m.payload[2:]...))
		}
	case rtmpVideo, rtmpAudio:
		if e.push == nil {
			return nil
		}
		return e.media(m)
	}
	return nil
}

func (e *session) command(b []byte) error {
	v, err := parseAMF(b)
	if len(v) < 2 {
		return errors.Join(errAMF, err)
	}
	name, _ := v[0].(string)
	id, _ := v[1].(float64)
	text := func(i int) string {
		if i < len(v) {
			s, _ := v[i].(string)
			return s
		}
		return ""
	}
	switch name {
	case "connect":
		if len(v) > 2 {
			o, _ := v[2].(map[string]any)
			e.app, _ = o["app"].(string)
		}
		e.app = strings.Trim(e.app, "/")
		if s := e.server; s.app != "" && !same(e.app, s.app) && !same(e.app, s.app+"/"+s.key) {
			return &refusal{code: "NetConnection.Connect.Rejected", text: "there is no application of this name here: look at the server URL, rtmp://ADDR/APP"}
		}
		err := e.send(2, rtmpWindowAck, 0, binary.BigEndian.AppendUint32(nil, rtmpWindow))
		return errors.Join(err, e.send(2, rtmpPeerBand, 0, append(binary.BigEndian.AppendUint32(nil, rtmpWindow), 2)),
			e.send(2, rtmpSetChunkSize, 0, binary.BigEndian.AppendUint32(nil, rtmpOurChunk)),
			e.send(3, rtmpCommand, 0, appendAMF(nil, "_result", id, []amfPair{{"fmsVer", "FMS/3,0,1,123"}, {"capabilities", 31.0}},
				[]amfPair{{"level", "status"}, {"code", "NetConnection.Connect.Success"}, {"description", "Connection succeeded."}, {"objectEncoding", 0.0}})))
	case "createStream":
		return e.send(3, rtmpCommand, 0, appendAMF(nil, "_result", id, nil, 1.0))
	case "publish":
		return e.publish(text(3))
	case "play":
		return &refusal{code: "NetStream.Play.Failed", text: "encoders publish here; watch with peer play LINK"}
	case "FCUnpublish", "deleteStream", "closeStream":
		return errFinished
	}
	return nil
}

// same compares in a time that tells nothing.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// publish gives the encoder its place.
func (e *session) publish(key string) error {
	s := e.server
	key = strings.Trim(key, "/")
	inApp := key == "" && same(e.app, s.app+"/"+s.key) // some encoders take the whole path for the application
	if s.key != "" && !same(key, s.key) && !inApp {
		return &refusal{code: "NetStream.Publish.BadName", text: "the stream key is wrong: it is the last part of the URL that peer publish was given"}
	}
	if e.push != nil {
		return nil
	}
	push, err := s.in.Begin(e.peer)
	var busy *BusyError
	switch {
	case errors.As(err, &busy):
		return &refusal{"NetStream.Publish.BadName", "another encoder publishes with this stream key: stop it first, or give this one a publisher of its own",
			fmt.Sprintf("it is a second encoder, and %s publishes already; stop one of them", busy.Holder)}
	case err != nil:
		return &refusal{code: "NetStream.Publish.Rejected", text: err.Error()}
	}
	e.push = push
	e.in.most = maxRTMPMessage
	begin := append([]byte{0, 0}, 0, 0, 0, 1) // user control: the stream begins
	if err := e.send(2, rtmpUserControl, 0, begin); err != nil {
		return err
	}
	go func() { // another one gets the place when this one is silent
		select {
		case <-push.Gone():
			_ = e.conn.Close()
		case <-e.done:
		}
	}()
	return e.status("status", "NetStream.Publish.Start", "Publishing.")
}

// media takes a message with audio or video.
func (e *session) media(m rtmpMessage) error {
	take := e.flv.sound
	if m.kind == rtmpVideo {
		take = e.flv.picture
	}
	f, ok, err := take(m.payload, m.time)
	if err != nil || !ok {
		return err
	}
	if e.muxed {
		return e.frame(f)
	}
	e.held = append(e.held, f)
	e.bytes += len(f.Data)
	both := e.flv.video.Codec != "" && e.flv.audio.Codec != ""
	late := f.DTS-e.held[0].DTS >= lateTrack || e.bytes > maxRTMPMessage || len(e.held) > 512
	if !both && !late {
		return nil
	}
	var tracks []Track
	for _, t := range []Track{e.flv.video, e.flv.audio} {
		if t.Codec != "" {
			tracks = append(tracks, t)
		}
	}
	if err := e.push.Tracks(tracks); err != nil {
		return &refusal{code: "NetStream.Publish.Rejected", text: err.Error()}
	}
	e.muxed = true
	for _, f := range e.held {
		if err := e.frame(f); err != nil {
			return err
		}
	}
	e.held = nil
	return nil
}

// frame hands a frame on; one of a track that came too late is left out.
func (e *session) frame(f Frame) error {
	for i := range e.push.mux.tracks {
		if e.push.mux.tracks[i].ID == f.Track {
			return e.push.Frame(f)
		}
	}
	if !e.silent {
		e.silent = true
		e.server.watch.Warn(NoticeCodec, "audio or video began more than %v after the other, and is left out: stop and start the encoder", lateTrack)
	}
	return nil
}
