// Package loopback runs a scenario of package sim as real processes on this
// machine: a publisher and viewers, each a peer command of its own, over real
// sockets on 127.0.0.1, in real time. It gives the same result as the model and
// the full stack, so that all three can be laid side by side.
//
// What is real: everything, the operating system included. What is not: the
// network. Round trips are next to nothing, nobody is behind a NAT, and lines
// have no rate; a viewer's slots are those of the same host in the full stack,
// as its --upload-limit. Peers are killed and frozen by signal.
//
// What is measured is what `peer play --report` says of a viewer's whole time,
// from its request on, so what the settle time hides elsewhere counts here. Of
// those that were killed nothing is known. Gaps after single deaths, false
// switches and the floor are not measured.
package loopback
