package main

// This file answers: how does a publisher's input look to the admin API and in
// `peer status`?

import (
	"fmt"
	"strings"

	"github.com/braidway/braidway/internal/media"
	"github.com/braidway/braidway/internal/node"
)

// inputKind names an input without its secrets.
func inputKind(input string) string {
	switch scheme, _, url := strings.Cut(input, "://"); {
	case input == "test:":
		return "test"
	case input == "-":
		return "stdin"
	case url:
		return scheme
	}
	return "file"
}

func inputState(input string, w *media.Watch) node.InputState {
	in := w.Input()
	return node.InputState{Kind: inputKind(input), State: in.State, Since: in.Since, Encoder: in.Peer, Bitrate: in.Bitrate, Bytes: in.Bytes,
		Dropped: in.Dropped, Groups: in.Groups, Runs: in.Runs, Lost: in.Lost, Notices: in.Counts, Warning: in.Warning}
}

// inputLine is what `peer status` says of an input.
func inputLine(in *node.InputState) string {
	var b strings.Builder
	fmt.Fprintf(&b, "input %s: ", in.Kind)
	switch in.State {
	case node.InputWaiting:
		b.WriteString("nobody encodes yet, viewers wait")
	case node.InputPaused:
		fmt.Fprintf(&b, "nobody encodes since %s, viewers wait; %d groups before", in.Since.Format("15:04:05"), in.Groups)
	default:
		fmt.Fprintf(&b, "live at %.2fMbps, %d groups", in.Bitrate/1e6, in.Groups)
		if in.Encoder != "" {
			fmt.Fprintf(&b, ", from %s", in.Encoder)
		}
	}
	if in.Runs > 1 {
		fmt.Fprintf(&b, ", encoders came %d times", in.Runs)
	}
	if in.Lost > 0 {
		fmt.Fprintf(&b, ", %d packets lost", in.Lost)
	}
	if in.Dropped > 0 {
		fmt.Fprintf(&b, ", %d bytes left out", in.Dropped)
	}
	return b.String()
}

// orKilobit is the least that --max-bitrate may be.
func orKilobit(announced rate) *rate {
	r := max(announced, 1000)
	return &r
}
