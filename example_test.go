package braidway_test

// This file answers: how does a program publish, watch, relay and look?

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/braidway/braidway"
)

// onLoopback is for examples that need no network; most programs start with
// the zero Config.
var onLoopback = braidway.Config{Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, NoMDNS: true}

// One program publishes what a reader gives, another one watches.
func Example() {
	ctx := context.Background()

	alice, err := braidway.New(onLoopback)
	check(err)
	defer alice.Close()
	show, err := alice.Publish(ctx, "greetings", braidway.PublishConfig{Raw: true})
	check(err)
	_, err = io.Copy(show, strings.NewReader("hello from Alice\n"))
	check(err)
	check(show.End())

	bob, err := braidway.New(onLoopback)
	check(err)
	defer bob.Close()
	view, err := bob.Watch(ctx, show.Link(), braidway.WatchConfig{})
	check(err)
	_, err = io.Copy(os.Stdout, view)
	check(err)
	// Output: hello from Alice
}

// MPEG-TS needs no more than a reader: it is cut where a decoder can start. Pace
// sends a file as fast as it plays.
func ExamplePeer_Publish() {
	peer, err := braidway.New(onLoopback)
	check(err)
	defer peer.Close()
	clip, err := os.Open("internal/media/clip/clip.ts")
	check(err)
	defer clip.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	show, err := peer.Publish(ctx, "clip", braidway.PublishConfig{Pace: true})
	check(err)
	_, err = io.Copy(show, clip)
	fmt.Println(errors.Is(err, context.DeadlineExceeded), strings.HasPrefix(show.Link(), "braidway://"))
	// Output: true true
}

// A program that knows where its data can be understood from says so.
func ExamplePublication_StartGroup() {
	ctx := context.Background()
	alice, err := braidway.New(onLoopback)
	check(err)
	defer alice.Close()
	prices, err := alice.Publish(ctx, "prices", braidway.PublishConfig{Raw: true})
	check(err)
	for _, line := range []string{"AAA 1\nAAA 2\n", "AAA 3\nAAA 4\n"} {
		check(prices.StartGroup([]byte("symbol price\n"))) // for those who begin here
		_, err = io.WriteString(prices, line)
		check(err)
	}
	check(prices.End())

	bob, err := braidway.New(onLoopback)
	check(err)
	defer bob.Close()
	view, err := bob.Watch(ctx, prices.Link(), braidway.WatchConfig{NoRelay: true})
	check(err)
	_, err = io.Copy(os.Stdout, view)
	check(err)
	// Output:
	// symbol price
	// AAA 3
	// AAA 4
}

// A relay plays nothing, and serves others; its state says from whom it takes
// each stripe.
func ExamplePeer_Relay() {
	ctx, cancel := context.WithCancel(context.Background())
	alice, err := braidway.New(onLoopback)
	check(err)
	defer alice.Close()
	show, err := alice.Publish(ctx, "show", braidway.PublishConfig{Raw: true})
	check(err)
	_, err = io.WriteString(show, "something")
	check(err)

	relay, err := braidway.New(onLoopback)
	check(err)
	defer relay.Close()
	done := make(chan error, 1)
	go func() { done <- relay.Relay(ctx, show.Link()) }()

	fed := func(s braidway.State) bool {
		if len(s.Streams) == 0 {
			return false
		}
		for _, t := range s.Streams[0].Stripes {
			if t.Parent != alice.ID() {
				return false
			}
		}
		return s.Streams[0].Started
	}
	for !fed(relay.State()) {
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Println(relay.State().Streams[0].Role, "of", len(relay.State().Streams[0].Stripes), "stripes")
	cancel()
	fmt.Println(<-done)
	// Output:
	// relay of 4 stripes
	// context canceled
}

// Watch says why there is nothing to see.
func ExamplePeer_Watch() {
	peer, err := braidway.New(onLoopback)
	check(err)
	defer peer.Close()
	_, err = peer.Watch(context.Background(), "braidway://nonsense", braidway.WatchConfig{})
	fmt.Println(errors.Is(err, braidway.ErrLink))
	// Output: true
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
