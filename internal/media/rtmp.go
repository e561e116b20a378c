package media

// This file answers: how does an encoder publish over RTMP (Adobe's RTMP 1.0,
// with Enhanced RTMP's codecs)?
//
// gomedia has an RTMP server; it is not used, since it must not meet strangers: a
// message of length 0 keeps it busy for ever, an unknown codec or type of value
// panics, partial messages are kept without bound, and what a refused encoder is
// told cannot be chosen.

import (
	"errors"
	"fmt"
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
