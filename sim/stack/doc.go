// Package stack is the full-stack simulation: the live runtime, package
// internal/node, unchanged, with true libp2p hosts, QUIC and kad-dht, in one
// process, on a simulated packet network (simnet) and a virtual clock
// (testing/synctest). It runs the scenarios of package sim, for up to 200
// peers, and gives the same result, so that model and stack can be laid side
// by side. A program that calls [Run] calls [Main] before anything else.
//
// # What is real
//
//   - Everything from the player down to the UDP packet: sessions, the core,
//     signatures, hosts, TLS, QUIC with its congestion control, retransmissions
//     and acknowledgements, identify, connection and resource managers, kad-dht
//     with provider and stream records. Viewers get the publisher's link.
//   - Deaths: packets stop (see port), nobody is told, the host is closed when
//     nobody asks any more. A frozen host's packets wait, as a kernel would keep
//     them; the rest of its program goes on, unlike in the model.
//   - With system=gossip: go-libp2p-pubsub's gossipsub with its defaults, told
//     of ten living hosts; one object is one message. No other baseline is here.
//
// # What is not
//
//   - The network: latency by pair, jitter that keeps the order of packets,
//     Gilbert–Elliott loss, and lines that are queues of at most 300 ms in
//     either direction and count all headers. Sockets, packets and router are
//     simnet's, its links are not: their CoDel drops from a queue of a single
//     packet (simnet v0.0.7 never sets the MTU that RFC 8289 spares), and so from
//     every burst that takes more than 5 ms; and they cost a third of a run.
//   - NATs: everybody has a public address. TCP, mDNS and NAT traversal are off.
//   - Few viewers serve the DHT (serverEvery), and its routing tables are not
//     refreshed: a run costs as its connections do.
//   - The core's settings are those of the live runtime, and there are no
//     bandwidth and publisher faults: [Fits] says what cannot be run.
//   - Runs of one seed have the same hosts, lines, arrivals and victims' draws,
//     but are not the same to the packet (goroutines, cryptography's
//     randomness): compare measures. There is no trace hash, nor a floor.
//
// # Traps
//
//   - Headers, acknowledgements, control and what is sent twice take 10 to 20 %
//     of an uplink beside its objects, and backfill to one child goes before live
//     objects to another: nothing orders different connections. A publisher with
//     room for 4 streams and 20 % of headroom, asked by 40 viewers in 5 s at a
//     jitter of 10 ms, is over its uplink and never comes back; with 30 % all is
//     well. The model counts headers, acknowledgements and handshakes, but drops
//     nothing at a full line, and orders different connections.
//   - The bubble ends only when all goroutines in it have ended. A host, a DHT,
//     a pubsub or simnet that was not closed fails the run.
//   - Nothing may wait for something outside the bubble; time.Now inside is
//     virtual. Progress goes out by a pipe, the wall clock is the parent's.
//   - Simnet's sockets make its router wait when nobody reads them, and then
//     everybody waits: a port reads on when its host is frozen or dead.
//   - kad-dht with a small bucket and without refreshes never leaves its
//     bootstrapping state: every peer replaces another, each newcomer to a
//     table of up to ten is followed by a query to everybody, for ever. At 60
//     hosts 7,571 goroutines waited for it. So buckets have their usual size.
//
// # Files
//
// run.go starts the child process and follows it, child.go is the child;
// world.go is the course of a run, fault.go what goes wrong in it, result.go
// what comes out; network.go says who is there, port.go and wire.go carry the packets;
// system.go is what the world knows of braidway.go, the live peer, and of
// gossip.go with listener.go, the baseline.
package stack
