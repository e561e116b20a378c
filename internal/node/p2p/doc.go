// Package p2p is everything below the data plane: the peer's identity, its
// libp2p host, the DHT and the ways of finding other peers.
//
// # What it promises
//
//   - A key file is never overwritten, and never used while others can read it.
//   - A host listens on every address that it was told to, or says which one
//     failed and what to do.
//   - Nothing here is on the path of a running stream. When every DHT node is
//     dead, connections between peers go on; only finding new ones suffers.
//   - What is announced (a stream record, oneself as a provider) is announced
//     by goroutines of this package: callers never wait for the network. An
//     announcement made before any DHT node is reachable goes out when one
//     appears, and is renewed until its context ends.
//   - Everything that comes from the DHT is checked before it is returned:
//     records by the publisher's signature, their key and their expiry.
//
// # What can go wrong, and the answer
//
//   - A DHT node lies about a record: the validator refuses it. It may hide a
//     record; that is why look-ups are raced against mDNS and link addresses.
//   - Nobody answers: retries have one owner each, with full jitter and a cap.
//   - A test or a demonstration wants a peer to vanish as if its cable were
//     pulled: see [Fault].
//
// # Files
//
// key.go is the identity, host.go the host with limits.go its limits and
// fault.go its death, dht.go the DHT with record.go its validator, store.go its
// memory, rendezvous.go the announcements and lookup.go the look-ups, mdns.go
// the local network, find.go the race and summary.go what it tells.
package p2p
