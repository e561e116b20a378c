package main

// This file answers: how does an input become a stream of this peer?

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/braidway/braidway/internal/media"
	"github.com/braidway/braidway/internal/media/rtc"
	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/internal/web"
	"github.com/braidway/braidway/stream"
)

// endWait is how long a publisher stays after the end, for viewers to fetch it.
const endWait = 3 * time.Second

func publishCommand() *cobra.Command {
	set := &settings{}
	var name, linkFile, contentType, streamKey string
	var raw, standby bool
	var stripes int
	var bitrate, maxBitrate rate
	var private privateFlags
	cmd := &cobra.Command{
		Use:   "publish [INPUT]",
		Short: "Publish a live stream",
		Long: `Publishes INPUT. Prints the link, one line, as soon as others can join.

  test:                       the embedded clip, looped (the default)
  -                           MPEG-TS on standard input
  FILE                        a .ts file at the pace of its clock, others through ffmpeg
  rtmp://ADDR:PORT/APP/KEY    listens for OBS, ffmpeg and other encoders; they need APP and KEY
  whip://ADDR:PORT[?token=T]  listens for browsers and OBS over WebRTC; its page publishes a camera
  srt://ADDR:PORT             listens for SRT, through the installed ffmpeg
  udp://ADDR:PORT             MPEG-TS in datagrams, plain or in RTP; a multicast group is joined
  rtsp://…, http://…, …       whatever else the installed ffmpeg reads

An encoder may go and come back: meanwhile the stream pauses and viewers stay, then
the same players go on. Of two encoders the second is turned away while the first
one sends. H.264 or H.265 with AAC or Opus plays everywhere; a keyframe every 1 or
2 seconds lets viewers start soon. docs/publishing.md has OBS step by step, lines of
ffmpeg for each input, and what to do when something is wrong.

The stream belongs to a key and a name. While one publisher has it, others with
that key are told that it is locked. With --standby they follow it with the same
input, and go on with the group that is on when it dies, freezes or leaves; a
publisher that comes back too late is fenced off, and stands by if it was started
with --standby itself. Inputs should be in step, as udp:// from one encoder is;
test: always is.`,
		Example: "  peer publish test:\n  peer publish movie.ts --name movie --key pub.key\n  ffmpeg -re -i in.mp4 -c copy -f mpegts - | peer publish -\n  peer publish rtmp://0.0.0.0:1935/live/SECRET\n  peer publish srt://0.0.0.0:9000 --max-bitrate 20Mbps\n  peer publish udp://239.0.0.1:5000\n  tar c . | peer publish --raw -\n" +
			"  peer publish udp://239.0.0.1:5000 --key pub.key --standby --bootstrap /ip4/192.0.2.1/udp/4001/quic-v1/p2p/12D3…",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("unexpected argument %q", args[1])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			input := "test:"
			if len(args) == 1 {
				input = args[0]
			}
			switch err := stream.CheckName(name); {
			case err != nil:
				return usagef("%s: %w", set.from.where("name"), err)
			case stripes < 1 || stripes > stream.MaxStripes:
				return set.from.outside("stripes", stripes, fmt.Sprintf("1 to %d", stream.MaxStripes))
			case len(contentType) > stream.MaxContentType || strings.ContainsFunc(contentType, func(c rune) bool { return c < ' ' || c > '~' }):
				return set.from.outside("content-type", strconv.Quote(contentType), fmt.Sprintf("up to %d printable ASCII characters", stream.MaxContentType))
			}
			if maxBitrate != 0 && maxBitrate < max(bitrate, 1000) {
				return set.from.outside("max-bitrate", &maxBitrate, fmt.Sprintf("%v and more, or nothing for no bound", orKilobit(bitrate)))
			}
			if standby && streamKey == "" && set.key == "" {
				return usagef("--standby needs the key of the stream: give --key FILE as to the other publisher, or --stream-key FILE")
			}
			if err := private.check(set, streamKey); err != nil {
				return err
			}
			if input == "test:" && bitrate == 0 {
				bitrate = rate(media.ClipBitrate())
			}
			var pub atomic.Pointer[node.Publication]
			watch := media.NewWatch(set.logger(), uint64(bitrate), func(n media.Notice) {
				if p := pub.Load(); p != nil {
					p.NoteInput(n.Kind, n.Peer, n.Text)
				}
			})
			var src media.Source
			var err error
			var n laterNode
			if strings.HasPrefix(input, rtc.Scheme) {
				src, err = listenWHIP(input, watch, set.logger(), &n, &pub)
			} else {
				src, err = media.Open(cmd.Context(), input, raw, cmd.InOrStdin(), watch)
			}
			if err != nil {
				return err
			}
			defer func() { _ = src.Close() }()
			cfg := node.PublishConfig{Name: name, Stripes: stripes, ContentType: contentType, Bitrate: uint64(bitrate), Align: media.PacketSize, Standby: standby,
				Private: private.config(), Input: func() node.InputState { return inputState(input, watch) }}
			r, err := set.open(cmd, func(n *node.Config) error {
				switch {
				case streamKey != "":
					cfg.Key, err = set.loadKey("stream-key", streamKey)
					return err
				case standby: // two peers cannot have one identity
					cfg.Key = n.Host.Key
					n.Host.Key, err = newIdentity()
					return err
				}
				return nil
			})
			if err != nil {
				return err
			}
			if raw {
				cfg.Align = 1
			}
			if contentType == "" && !raw {
				cfg.ContentType = "video/mp2t"
			}
			in := newFeed(src)
			err = publish(r, cfg, in, linkFile, func(p *node.Publication) *media.Intake {
				n.Store(r.Node)
				pub.Store(p)
				return media.NewIntake(p, media.IntakeConfig{Raw: raw, Live: media.Live(input), MaxBitrate: uint64(maxBitrate), Watch: watch})
			})
			err = errors.Join(err, r.leave()) // the stream goes on until a standby has it
			in.stop()
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "live", "`NAME` of the stream; with the key it makes the stream's id")
	f.StringVar(&linkFile, "link-file", "", "`FILE` to write the link to")
	f.BoolVar(&raw, "raw", false, "INPUT is not MPEG-TS: any bytes, in groups of a second")
	f.StringVar(&contentType, "content-type", "", "media type (default video/mp2t)")
	f.Var(&bitrate, "bitrate", "bitrate of INPUT, as 4Mbps, for the first guess of slots (default: measured)")
	f.Var(&maxBitrate, "max-bitrate", "let no more of INPUT through, as 20Mbps: what is over it is left out up to a later keyframe (default: no bound)")
	f.IntVar(&stripes, "stripes", 4, "stripes (k), 1 to 16")
	f.BoolVar(&standby, "standby", false, "stand by while another publisher has the stream, and take over from it")
	f.StringVar(&streamKey, "stream-key", "", "`FILE` of the stream's key; made when missing (default: --key)")
	private.bind(f)
	set.bind(cmd)
	return cmd
}

// listenWHIP opens a whip:// input, with the page that publishes a camera. What
// the node does is shown only where nobody but this machine comes.
func listenWHIP(input string, watch *media.Watch, log *slog.Logger, n *laterNode, pub *atomic.Pointer[node.Publication]) (media.Source, error) {
	return rtc.Listen(input, rtc.ListenConfig{Watch: watch, Log: log,
		Site: func(endpoint http.Handler, guarded bool) http.Handler {
			parts := web.Parts{WHIP: endpoint}
			if !guarded {
				parts.State, parts.Events = n.handler((*node.Node).ServeState), n.handler((*node.Node).ServeEvents)
			}
			return web.New(parts)
		},
		Link: func() string {
			if p := pub.Load(); p != nil {
				return p.Link().String()
			}
			return ""
		}})
}

// feed copies an input, also while the peer is already leaving.
type feed struct {
	src    media.Source
	ctx    context.Context
	cancel context.CancelFunc
	begun  bool
	done   chan struct{}
	err    error // valid when done is closed
}

func newFeed(src media.Source) *feed {
	f := &feed{src: src, done: make(chan struct{})}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

func (f *feed) start(in *media.Intake) {
	f.begun = true
	go func() {
		defer close(f.done)
		f.err = in.Copy(f.ctx, f.src)
	}()
}

// stop ends the copying, if it was begun.
func (f *feed) stop() {
	if f.cancel(); f.begun {
		<-f.done
	}
}

// publish runs until the input ends, another publisher takes over, or the peer is to leave.
func publish(r *running, cfg node.PublishConfig, in *feed, linkFile string, intake func(*node.Publication) *media.Intake) error {
	p, err := r.Publish(r.ctx, cfg)
	if err != nil {
		return err
	}
	link := p.Link().String()
	if linkFile != "" {
		// Whole or not at all: others wait for this file.
		mode := os.FileMode(0o644)
		if cfg.Private != nil {
			mode = 0o600 // it is a secret
		}
		if err := os.WriteFile(linkFile+".part", []byte(link+"\n"), mode); err != nil {
			return fmt.Errorf("--link-file: %w", err)
		}
		if err := os.Rename(linkFile+".part", linkFile); err != nil {
			return fmt.Errorf("--link-file: %w", err)
		}
	}
	fmt.Println(link)
	r.begun.Store(true)
	cut := intake(p)
	in.start(cut)
	select {
	case <-r.ctx.Done():
		return nil // stopped, perhaps to be started again: no end is said
	case <-p.Done():
	case <-in.done:
	}
	if err := p.Err(); err != nil {
		if errors.Is(err, node.ErrEnded) {
			return nil
		}
		return err
	}
	if end := cut.Close(); in.err == nil {
		in.err = end
	}
	if in.err != nil {
		return in.err
	}
	p.End()
	select {
	case <-time.After(endWait):
	case <-r.ctx.Done():
	}
	return nil
}
