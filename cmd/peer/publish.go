package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/braidway/braidway/internal/media"
	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/stream"
)

// endWait is how long a publisher stays after the end, for viewers to fetch it.
const endWait = 3 * time.Second

func publishCommand() *cobra.Command {
	set := &settings{}
	var name, linkFile, contentType string
	var raw bool
	var stripes int
	var bitrate rate
	cmd := &cobra.Command{
		Use:   "publish [INPUT]",
		Short: "Publish a live stream",
		Long: `Publishes INPUT: test: (the embedded clip, looped; the default), - (MPEG-TS on
standard input), a .ts file, udp://host:port, srt:// and rtmp:// to listen on, or
whatever else the installed ffmpeg reads. Prints the link, one line, as soon as others can join.`,
		Example: "  peer publish test:\n  peer publish movie.ts --name movie --key pub.key\n  ffmpeg -re -i in.mp4 -c copy -f mpegts - | peer publish -\n  peer publish udp://127.0.0.1:5000\n  tar c . | peer publish --raw -",
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
			src, err := media.Open(cmd.Context(), input, raw, cmd.InOrStdin())
			if err != nil {
				return err
			}
			defer func() { _ = src.Close() }()
			r, err := set.open(cmd, nil)
			if err != nil {
				return err
			}
			cfg := node.PublishConfig{Name: name, Stripes: stripes, ContentType: contentType, Bitrate: uint64(bitrate), Align: media.PacketSize}
			if raw {
				cfg.Align = 1
			}
			if contentType == "" && !raw {
				cfg.ContentType = "video/mp2t"
			}
			if input == "test:" && bitrate == 0 {
				cfg.Bitrate = media.ClipBitrate()
			}
			err = publish(r, cfg, src, raw, linkFile)
			return errors.Join(err, r.leave())
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "live", "`NAME` of the stream; with the key it makes the stream's id")
	f.StringVar(&linkFile, "link-file", "", "`FILE` to write the link to")
	f.BoolVar(&raw, "raw", false, "INPUT is not MPEG-TS: any bytes, in groups of a second")
	f.StringVar(&contentType, "content-type", "", "media type (default video/mp2t)")
	f.Var(&bitrate, "bitrate", "bitrate of INPUT, as 4Mbps, for the first guess of slots (default: measured)")
	f.IntVar(&stripes, "stripes", 4, "stripes (k), 1 to 16")
	set.bind(cmd)
	return cmd
}

// publish runs until the input or ctx ends.
func publish(r *running, cfg node.PublishConfig, src media.Source, raw bool, linkFile string) error {
	p, err := r.Publish(r.ctx, cfg)
	if err != nil {
		return err
	}
	link := p.Link().String()
	if linkFile != "" {
		// Whole or not at all: others wait for this file.
		if err := os.WriteFile(linkFile+".part", []byte(link+"\n"), 0o644); err != nil {
			return fmt.Errorf("--link-file: %w", err)
		}
		if err := os.Rename(linkFile+".part", linkFile); err != nil {
			return fmt.Errorf("--link-file: %w", err)
		}
	}
	fmt.Println(link)
	r.begun.Store(true)
	var cut io.WriteCloser = media.NewCutter(p)
	if raw {
		cut = media.NewRawCutter(p)
	}
	err = media.Copy(r.ctx, cut, src)
	if errors.Is(err, context.Canceled) {
		return nil // stopped, perhaps to be started again: no end is said
	}
	if end := cut.Close(); err == nil {
		err = end
	}
	if err != nil {
		return err
	}
	p.End()
	select {
	case <-time.After(endWait):
	case <-r.ctx.Done():
	}
	return nil
}
