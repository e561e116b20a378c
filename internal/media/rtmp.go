package media

// This file answers: how does an encoder publish over RTMP (Adobe's RTMP 1.0,
// with Enhanced RTMP's codecs)?
//
// gomedia has an RTMP server; it is not used, since it must not meet strangers: a
// message of length 0 keeps it busy for ever, an unknown codec or type of value
// panics, partial messages are kept without bound, and what a refused encoder is
// told cannot be chosen.

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// rtmpPort is taken where the URL names none.
	rtmpPort = "1935"
	// rtmpHello is how long a connection may take until it publishes.
	rtmpHello = 10 * time.Second
	// rtmpSilence ends a connection whose encoder sends nothing any more.
	rtmpSilence = 10 * time.Second
	// rtmpGoodbye is how long a refused encoder has to read why.
	rtmpGoodbye = time.Second
	// maxRTMPConns at a time; more are closed at once.
	maxRTMPConns = 32
	// maxRTMPHello is the most that is read of who has not published yet.
	maxRTMPHello = 256 << 10
	// lateTrack is how long the second of two tracks is waited for.
	lateTrack = time.Second
)

// rtmpServer listens for encoders.
type rtmpServer struct {
	in       *Ingest
	watch    *Watch
	app, key string // "": any
	ln       net.Listener

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	wg    sync.WaitGroup
}

// openRTMP listens on rtmp://[host][:port][/app[/key]]. Where app and key are
// given, encoders have to give them too.
func openRTMP(input string, watch *Watch) (*Ingest, error) {
	u, err := url.Parse(input)
	if err != nil || u.Scheme != "rtmp" {
		return nil, fmt.Errorf("input %s: give rtmp://ADDR:PORT/APP/KEY, as rtmp://0.0.0.0:1935/live/SECRET", Redact(input))
	}
	s := &rtmpServer{in: NewIngest(watch), watch: watch, conns: make(map[net.Conn]struct{})}
	s.app, s.key, _ = strings.Cut(strings.Trim(u.Path, "/"), "/")
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = rtmpPort
	}
	s.ln, err = net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("input %s: %w; encoders come to this address, choose one of this machine and a free port", Redact(input), err)
	}
	s.in.stop = s.close
	s.wg.Go(s.accept)
	return s.in, nil
}

func (s *rtmpServer) close() error {
	err := s.ln.Close()
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return err
}

func (s *rtmpServer) accept() {
	for {
		c, err := s.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of files, for now
			select {
			case <-time.After(100 * time.Millisecond):
				continue
			case <-s.in.done:
				return
			}
		}
		s.mu.Lock()
		full := len(s.conns) >= maxRTMPConns
		if !full {
			s.conns[c] = struct{}{}
		}
		s.mu.Unlock()
		if full {
			_ = c.Close()
			continue
		}
		s.wg.Go(func() {
			s.serve(c)
			_ = c.Close()
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.conns, c)
		})
	}
}

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

func (s *rtmpServer) serve(c net.Conn) {
	e := &session{server: s, conn: c, peer: c.RemoteAddr().String()}
	why := e.run()
	if e.push != nil {
		e.push.End(why.text())
		return
	}
	if t := why.stranger(); t != "" {
		s.watch.refuse(e.peer, "a connection was turned away: "+t)
	}
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
	if s.key != "" && !same(key, s.key) && !(key == "" && same(e.app, s.app+"/"+s.key)) {
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

// Redact leaves out of an input's URL what is secret: the stream key of RTMP,
// passwords, and all parameters.
func Redact(input string) string {
	scheme, rest, ok := strings.Cut(input, "://")
	if !ok {
		return input
	}
	rest, _, query := strings.Cut(rest, "?")
	host, path, _ := strings.Cut(rest, "/")
	if at := strings.LastIndex(host, "@"); at > 0 {
		host = "…@" + host[at+1:]
	}
	if scheme == "rtmp" || scheme == "rtmps" {
		if app, key, ok := strings.Cut(path, "/"); ok && key != "" {
			path = app + "/…"
		}
	}
	if path != "" {
		host += "/" + path
	}
	if query {
		host += "?…"
	}
	return scheme + "://" + host
}

var _ Source = (*Ingest)(nil)
