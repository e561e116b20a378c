// Package sim is the model simulation: it runs the shipped core, package
// overlay, for 100 to 100,000 peers and more in one process and in virtual
// time, and measures what the viewers experience.
//
// # What it promises
//
//   - Every peer is an overlay.Peer driven through Step and Deadline. Playback
//     is stream.Playout, measures are measure.Viewer: nothing imitates them.
//   - One seed, one trace hash: on any machine, with any GOMAXPROCS and any
//     number of shards. Events of one peer are handled in the order of (time,
//     sender, the sender's count); nothing else is ordered, nor needs to be.
//   - What happens to the world (faults, joins, leaves) is decided from
//     streams of randomness of its own, so that a run without the faults has
//     the same viewers, networks and arrivals: the floor of a gap.
//
// # How it runs
//
// Peers are dealt to shards, one goroutine each. Messages between peers take
// at least the lookahead, so all shards can handle one window of that length
// side by side, then exchange what they sent (conservative parallel
// simulation: Chandy and Misra, 1979; the windows are Nicol's YAWNS, 1993).
// Whatever needs to see all peers at once, a fault or a look at who is alive,
// happens between two windows.
//
// # What can go wrong, and the answer
//
//   - A model that is too kind: uplinks and downlinks are queues with a rate,
//     loss delays a stream by a recovery, dials fail behind NATs and take
//     their time-out, look-ups take time and name the dead.
//   - Playout or gaps computed differently from live: they are the live code.
//   - Two runs that differ: TestTheSameSeedGivesTheSameHash walks scenarios
//     with different shards.
//
// docs/simulator.md says what the model does not capture.
//
// # Files
//
// scenario.go and builtin.go say what is asked, settings.go what can be set;
// engine.go runs windows, queue.go orders events, hugepages.go asks for memory that
// is found sooner; peer.go drives one core,
// link.go is what lies between two peers, population.go who they are, dht.go
// how they find each other; fault.go is what goes wrong; baseline.go the
// other cores; viewer.go and result.go what comes out.
package sim
