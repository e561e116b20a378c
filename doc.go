// Package braidway publishes, watches and relays live streams from another Go
// program. It is a thin layer over the live runtime; cmd/peer is the same
// runtime behind a command line, and the two understand each other.
//
// Publish what a reader gives, here MPEG-TS from an encoder:
//
//	peer, err := braidway.New(braidway.Config{})
//	defer peer.Close()
//	show, err := peer.Publish(ctx, "my show", braidway.PublishConfig{})
//	fmt.Println(show.Link())
//	_, err = io.Copy(show, os.Stdin)
//
// Watch, and relay what is watched:
//
//	peer, err := braidway.New(braidway.Config{})
//	defer peer.Close()
//	view, err := peer.Watch(ctx, link, braidway.WatchConfig{})
//	_, err = io.Copy(os.Stdout, view)
//
// Relay only: peer.Relay(ctx, link) returns when ctx ends. [Peer.State] tells at
// any time who feeds whom.
//
// # Lifetimes
//
// The context that Publish, Watch and Relay are given is the life of what they
// begin: when it ends, so does that. One Peer takes part in any number of
// streams, once in each. [Peer.Drain] hands the children over before a peer
// leaves; Close alone leaves at once, and the peers behind it switch to their
// standbys.
//
// # Bytes
//
// A viewer gets the publisher's bytes, unchanged and in order, from the start
// of a group on: a point at which a decoder can start. MPEG-TS is cut at its
// random-access points; other bytes ([PublishConfig].Raw) every second, or where
// the program says so ([Publication.StartGroup]). What could not be had in time
// is left out, up to the next object; it is never replaced by something else.
//
// # Errors
//
// What a program may want to decide by is one of the Err values of this
// package, for errors.Is; the text says what was tried, on what, and what to do.
//
// # Stability
//
// Fields and functions may be added; none is taken away or changes its meaning
// before the next major version. The zero value of every Config works.
package braidway

// This file answers: what is this package for, and what may its users rely on?
