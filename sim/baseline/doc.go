// Package baseline holds the systems that Braidway is compared with in the
// model: small, honest cores of their own behind the driver that runs
// overlay.Peer, so that networks, faults, playback and measures are the same.
//
//   - single-tree: one parent for the whole stream; the relay tree of CDNs and
//     of early overlay multicast (Overcast, OSDI 2000).
//   - dual-path: every object from two parents over paths that are disjoint as
//     far as known; the first copy wins (SMPTE ST 2022-7).
//   - mesh-pull: buffer maps and requests (CoolStreaming/DONet, INFOCOM 2005).
//   - gossip: eager push over a random mesh, lazy repair by gossip
//     (gossipsub v1.1, 2020).
//
// # What it promises
//
//   - Pure state machines, as the core of package overlay: no I/O, goroutine or
//     clock; randomness from the source given; no map at all, so none decides.
//   - No object is delivered twice; state and requests are bounded.
//   - Trees keep their slots: at most one child more than there is room for,
//     while one that was asked to move on does so.
//   - What each system does about failures is what its source does. Where the
//     source leaves something open, the kinder choice is taken and named.
//
// # Files
//
// core.go is the way in; shared.go keeps connections, discovery and the window
// of objects. single.go and dual.go say what their systems are and run tree.go,
// with admit.go for the parent's side and seek.go for the child's; mesh.go and
// gossip.go are the other two.
package baseline
