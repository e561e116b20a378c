// Package overlay decides who relays what to whom: the pure core of Braidway.
//
// A Peer is the state machine of one peer in one stream. It is driven by
// [Peer.Step] with events and answers with actions; it does no I/O, starts no
// goroutine, takes no lock, reads no clock, draws randomness only from the
// source it was given, and never lets the order of a map decide. The live
// runtime, the full-stack simulation and the model all run it unchanged.
//
// # What it promises
//
//   - One parent per stripe, and standbys whose own path does not run through
//     that parent, wherever the known network allows; Snapshot says where not.
//   - A silent parent is replaced: what is missing is pulled from a standby at
//     the first suspicion, the standby is subscribed when the silence lasts,
//     and only then the old parent is dropped.
//   - No object is delivered twice, and none after it was given up.
//   - No lasting loop: a parent refuses a child that is on its path, a child
//     refuses a parent on whose path it finds itself, and paths are passed down.
//   - Slots are kept: ordinary children never exceed them; urgent ones and
//     push-downs exceed them by a bounded few, which are moved on gently.
//   - Hedges and repairs spend no more than their budget.
//
// # What can go wrong, and the answer
//
//   - The peer itself is stopped (SIGSTOP, a suspended laptop): every parent
//     looks silent at once. A timeout that comes late excuses all of them.
//   - The publisher pauses: no stripe advances anywhere, beacons go on, nobody
//     switches.
//   - A parent repairs itself: its beacons stand still while other stripes
//     advance. It is starved, not dead: what the playout deadline needs is
//     pulled elsewhere, and it is left only when that lasts.
//   - Two orphans subscribe to each other's children at the same moment: who has
//     children is taken in only by a relay that got something newer from its own
//     parent, and so is not behind it (lead.go). Where a loop closes all the same, as
//     between peers that move, the new paths travel down both trees, and the peer that
//     finds itself in its own path lets go.
//   - An answer is lost or late: every attempt has a nonce-free single owner,
//     the stripe's attempt, with one timer; late answers of other peers are
//     declined by Unsubscribe.
//   - A restarted publisher: objects of a higher epoch end the lower one.
//   - A publisher that stood by as a relay takes over under a higher epoch
//     ([EvPublish]): it keeps its children, and who has lost a parent or was
//     asked to leave it takes a peer of a higher epoch before all others. That a
//     peer claims one is not proof: only objects, which are signed, end an epoch.
//   - Children die and nobody says so: those whose orphans report them get
//     nothing until they answer, or feeding the dead would drown the living. A
//     full peer that turns an orphan away calls the roll, and who does not answer
//     holds no place.
//     Where all answer late, the line of this peer is why.
//   - Neighbours lie: what was measured is believed over what is told, what one
//     neighbour or network costs or owns is bounded, and nobody is banned for what
//     it passed on in good faith (docs/adversaries.md). A newcomer, which has
//     measured nothing, goes by who names somebody.
//
// # Files
//
// peer.go is the way in; event.go, action.go and message.go are its words and
// wire.go the bytes of the last. One file per concern: object.go (arrival and
// forwarding), epoch.go (another publisher), choose.go (the best parent), parent.go (joining and moving),
// switching.go (silence and replacement), child.go (subscriptions), admit.go
// (who is let in), makeroom.go (who moves for it), door.go (who comes first), lead.go
// (who hangs from whom), standby.go, repair.go, spare.go (what is given beside live
// objects), neighbour.go (who is connected), view.go (who is known), named.go (who of
// them is dialled first), confined.go (who reaches few), trust.go (what a neighbour
// did), allowance.go (what it may ask for), ban.go, drain.go, snapshot.go.
package overlay
