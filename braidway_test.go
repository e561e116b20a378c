package braidway_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/braidway/braidway"
)

func TestAProgramPublishesAndAnotherWatches(t *testing.T) {
	cfg := braidway.Config{Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, NoMDNS: true}
	a, err := braidway.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close(time.Second) }()
	b, err := braidway.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close(time.Second) }()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	pub, err := a.Publish(ctx, "test")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = pub.Write([]byte("hello "))
	var got bytes.Buffer
	first := make(chan struct{}, 1)
	go func() {
		<-first
		_, _ = pub.Write([]byte("world"))
		pub.End()
	}()
	err = b.Watch(ctx, pub.Link(), writer(func(p []byte) {
		got.Write(p)
		select {
		case first <- struct{}{}:
		default:
		}
	}))
	if !errors.Is(err, braidway.ErrEnded) || got.String() != "hello world" {
		t.Fatalf("%q, %v", got.String(), err)
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }
