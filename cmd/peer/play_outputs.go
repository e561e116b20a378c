package main

// This file answers: where does what a viewer plays go to?

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/braidway/braidway/internal/media"
	"github.com/braidway/braidway/internal/media/hls"
	"github.com/braidway/braidway/internal/media/rtc"
	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/internal/web"
	"github.com/spf13/cobra"
)

// outputs of `peer play`, as its flags say.
type outputs struct {
	file       string // "-": standard output
	http       string
	cert, key  string
	rewind     time.Duration
	rewindSize size
	rewindDir  string
	record     string

	sinks []io.Writer
	live  *web.Live
	hls   *hls.Server
	whep  *rtc.WHEP
	rec   *media.Recorder
	node  laterNode
	start *web.Open      // waits for the link; nil: the command line has it
	close []func() error // in this order
}

func (o *outputs) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	o.rewindSize = 1 << 30
	f.StringVarP(&o.file, "output", "o", "", "`FILE` to write the stream to; - is standard output")
	f.StringVar(&o.http, "http", "", "`ADDR` to serve players on: MPEG-TS, HLS, low-latency HLS and WebRTC (WHEP)")
	f.StringVar(&o.cert, "tls-cert", "", "`FILE` with a certificate chain (PEM): --http then speaks HTTP/2 and HTTP/3 too")
	f.StringVar(&o.key, "tls-key", "", "`FILE` with the certificate's key (PEM)")
	f.DurationVar(&o.rewind, "rewind", 0, "how far back HLS players can go, 1m to 24h, kept on disk until the end (default: what is in memory, 14 s)")
	f.Var(&o.rewindSize, "rewind-size", "most that --rewind takes of the disk, 16MiB and more")
	f.StringVar(&o.rewindDir, "rewind-dir", "", "`DIR` in which --rewind makes its own, removed at the end (default: the system's for temporary files)")
	f.StringVar(&o.record, "record", "", "`DIR` to record into: segments that play on their own, and a playlist")
}

// check says what is wrong with the flags.
func (o *outputs) check(from origins) error {
	switch {
	case o.rewind != 0 && (o.rewind < time.Minute || o.rewind > 24*time.Hour):
		return from.outside("rewind", o.rewind, "1m to 24h, or 0s")
	case o.rewindSize < 16<<20:
		return from.outside("rewind-size", &o.rewindSize, "16MiB and more")
	case o.rewind != 0 && o.http == "":
		return usagef("%s needs --http: HLS players go back", from.where("rewind"))
	case (o.cert == "") != (o.key == ""):
		return usagef("%s and %s belong together: one is missing", from.where("tls-cert"), from.where("tls-key"))
	case o.cert != "" && o.http == "":
		return usagef("%s needs --http", from.where("tls-cert"))
	}
	return nil
}

// beyondLoopback says whether players on other machines reach --http.
func (o *outputs) beyondLoopback() bool {
	host, _, err := net.SplitHostPort(o.http)
	ip := net.ParseIP(host)
	return err == nil && host != "localhost" && (ip == nil || !ip.IsLoopback())
}

// open opens them all; end closes them, also when open failed.
func (o *outputs) open(log *slog.Logger, say io.Writer) (node.GroupSink, error) {
	switch o.file {
	case "":
	case "-":
		o.sinks = append(o.sinks, os.Stdout)
	default:
		f, err := os.Create(o.file)
		if err != nil {
			return nil, fmt.Errorf("-o: %w", err)
		}
		o.close = append(o.close, f.Close)
		o.sinks = append(o.sinks, f)
	}
	if o.record != "" {
		r, err := media.NewRecorder(o.record, log)
		if err != nil {
			return nil, err
		}
		o.rec = r
		o.close = append(o.close, r.Close)
		o.sinks = append(o.sinks, r)
		log.Info("recording", "playlist", r.Playlist())
	}
	if o.http != "" {
		var err error
		if o.hls, err = hls.New(hls.Config{Rewind: o.rewind, RewindSize: int64(o.rewindSize), RewindDir: o.rewindDir, Log: log}); err != nil {
			return nil, err
		}
		o.live, o.whep = web.NewLive(), rtc.NewWHEP(rtc.WHEPConfig{Log: log})
		parts := web.Parts{Live: o.live, HLS: o.hls, WHEP: o.whep, State: o.node.handler((*node.Node).ServeState), Events: o.node.handler((*node.Node).ServeEvents)}
		if o.start != nil {
			parts.Open = o.start
		}
		page := web.New(parts)
		site, err := web.Serve(web.SiteConfig{Addr: o.http, Handler: page, CertFile: o.cert, KeyFile: o.key, Log: log})
		if err != nil {
			return nil, errors.Join(err, o.hls.Close())
		}
		o.close = append(o.close, o.whep.Close, site.Close, o.hls.Close)
		o.sinks = append(o.sinks, o.live, o.hls, o.whep)
		if o.start != nil {
			fmt.Fprintf(say, "paste the link of a stream on %s\n", site.URL)
		} else {
			fmt.Fprintf(say, "watch on %s\n", site.URL)
		}
	}
	return node.Outputs(o.sinks...), nil
}

// ended tells players that the stream is over, and gives them time to hear it;
// stop ends that.
func (o *outputs) ended(stop <-chan struct{}) {
	if o.rec != nil {
		o.rec.End()
	}
	if o.live == nil {
		return
	}
	o.live.End()
	o.hls.End()
	if wait := o.hls.Linger(); wait > 0 {
		select {
		case <-time.After(wait):
		case <-stop:
		}
	}
}

// drain takes no new players.
func (o *outputs) drain() {
	if o.live != nil {
		o.live.Drain()
		o.hls.Drain()
		o.whep.Drain()
	}
}

// end closes what is open.
func (o *outputs) end() {
	for _, f := range o.close {
		_ = f()
	}
	o.close = nil
}
