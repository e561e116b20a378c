package node

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/braidway/braidway/stream"
)

func TestFramesAreReadAsTheyWereWritten(t *testing.T) {
	b := appendFrame(nil, frameMessage, []byte("abc"))
	b = appendFrame(b, frameReady, nil)
	r := bufio.NewReader(bytes.NewReader(b))
	for _, want := range []struct {
		kind byte
		body string
	}{{frameMessage, "abc"}, {frameReady, ""}} {
		kind, body, err := readFrame(r, maxFrame)
		if err != nil || kind != want.kind || string(body) != want.body {
			t.Fatalf("got %d %q %v, want %v", kind, body, err, want)
		}
	}
	if _, _, err := readFrame(r, maxFrame); !errors.Is(err, io.EOF) {
		t.Fatalf("at the end: %v", err)
	}
}

func TestEndOfInputInsideAFrameIsUnexpected(t *testing.T) {
	control := appendFrame(nil, frameMessage, bytes.Repeat([]byte{7}, 200))
	for n := 1; n < len(control); n++ {
		if _, _, err := readFrame(bufio.NewReader(bytes.NewReader(control[:n])), maxFrame); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("control frame cut to %d bytes: %v", n, err)
		}
	}
	for _, data := range [][]byte{appendObjectFrame(nil, bytes.Repeat([]byte{7}, 300)), appendBeaconFrame(nil, 1<<40, 1<<50)} {
		for n := 1; n < len(data); n++ {
			if _, err := readDataFrame(bufio.NewReader(bytes.NewReader(data[:n]))); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("data frame cut to %d of %d bytes: %v", n, len(data), err)
			}
		}
	}
}

func TestAFrameOverTheLimitIsRefusedBeforeItIsRead(t *testing.T) {
	for _, b := range [][]byte{{0xff, 0xff, 0xff, 0xff, 0x0f}, {0x80, 0x00}, bytes.Repeat([]byte{0xff}, 11)} {
		if _, _, err := readFrame(bufio.NewReader(bytes.NewReader(b)), maxFrame); !errors.Is(err, errFrame) {
			t.Errorf("%x: %v", b, err)
		}
		if _, err := readDataFrame(bufio.NewReader(bytes.NewReader(b))); !errors.Is(err, errFrame) {
			t.Errorf("%x: %v", b, err)
		}
	}
}

func FuzzReadFrames(f *testing.F) {
	f.Add(appendFrame(nil, frameCard, []byte("card")))
	f.Add(appendBeaconFrame(appendObjectFrame(nil, []byte("object")), 3, 4))
	f.Fuzz(func(t *testing.T, b []byte) {
		for r := bufio.NewReader(bytes.NewReader(b)); ; {
			if _, body, err := readFrame(r, maxFrame); err != nil {
				break
			} else if len(body) > maxFrame {
				t.Fatal("over the limit")
			}
		}
		for r := bufio.NewReader(bytes.NewReader(b)); ; {
			if d, err := readDataFrame(r); err != nil {
				break
			} else if len(d.wire) > stream.MaxObject {
				t.Fatal("over the limit")
			}
		}
	})
}
