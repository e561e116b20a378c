// Package node is the live runtime: it drives the core of package overlay with
// real hosts, sockets and clocks.
//
// # What it promises
//
//   - The core's loop never waits for the network: reading, verifying and
//     writing run in goroutines of their own, joined to it by bounded queues.
//   - Objects are verified before anyone else sees them, and are forwarded as
//     the bytes that were received. Who sends one that does not verify, or a
//     message that does not parse, loses the connection and is banned.
//   - A child that does not keep up loses whole groups, then its place; its
//     siblings never wait for it.
//   - The DHT is not on the path of a running stream: it is asked for
//     candidates, in the background, and may be dead.
//
// # What can go wrong, and the answer
//
//   - A peer dies and libp2p keeps its connection for 30 to 45 s: the core
//     decides by stream progress; who is evicted for silence has its
//     connection closed, so that the next dial makes a new one.
//   - Two peers open an exchange to each other at once: the one that the
//     smaller peer id opened stays.
//   - An object overtakes the Accept it belongs to, on another stream: a data
//     stream is read only once its Accept was handed to the core.
//
// # Files
//
// node.go is the host with its sessions, session.go one stream's loop,
// locate.go how a session finds its first peers, link.go the exchange with one
// neighbour, sender.go the bounded queues, frame.go the bytes on both kinds of
// streams, book.go who is behind a short id, slots.go how many children there
// is room for, publish.go the publisher's side, term.go how one publisher follows
// another, opening.go how an exchange begins, private.go and issue.go who is let into
// a private stream and when its key changes, package token what is shown for that, guard.go
// who may ask the admin API, lease.go and leasewire.go who may publish and who stands by, backlog.go
// what a standby keeps of its input, state.go, events.go and admin.go what
// operators see, player.go what viewers see.
package node
