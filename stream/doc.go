// Package stream is what a stream is made of: objects, groups, signatures,
// the window that serves repairs, the playout clock, parity, the stream
// record and the link. It knows nothing of the network.
//
// # What it promises
//
//   - One object has exactly one wire form: parsers accept only the shortest
//     encoding, and the signature covers everything that is not the signature.
//     Relays forward the bytes that they received, and parity over those bytes
//     rebuilds the same ones.
//   - A parser reads nothing that it has not bounded first, and returns an
//     error that names the field, the position and the allowed range; it never
//     panics, and never keeps memory in proportion to a number it only read.
//   - Seq never skips within an epoch, and an object never spans two groups.
//   - [Playout] never waits longer than its buffer and [MaxLag] for anything,
//     whatever it is given.
//
// # What can go wrong, and the answer
//
//   - A relay changes a byte of the payload, the proof or the signature:
//     [Verifier.Verify] refuses, whether or not it has the batch in its cache.
//   - The publisher's clock steps or drifts: playout follows it (see [Playout]).
//   - A publisher lies in a parity object: [RowDecoder] returns an error and
//     gives that row up.
//
// Nothing here starts a goroutine or reads a clock. Only [Verifier] may be
// used by several goroutines at once.
package stream
