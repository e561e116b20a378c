package baseline

// This file answers: what does a second path add to the tree?

// newDual makes a peer of dual-path: every object comes twice, from two
// parents, and the first copy wins, as in hitless switching of SMPTE ST
// 2022-7:2019 ("Seamless Protection Switching of RTP Datagrams"). It costs
// two slots a viewer.
//
// There are two trees with the same root. A peer has one parent in each and
// children in one, by its id, so that no peer but the publisher is on both
// paths of anybody: the interior-disjoint trees of SplitStream (Castro,
// Druschel, Kermarrec, Nandi, Rowstron, Singh, SOSP 2003), each with the whole
// stream. The publisher shares its slots out between them. A lost parent (2 s,
// as in single-tree) is replaced while the other one carries on.
//
// ST 2022-7 knows a sender, a receiver and two networks; it says nothing about
// receivers that relay. Here each relay passes on the first copy, whichever
// parent sent it, which is the kinder reading: a death is then felt by those
// only who lose both parents, or hang from such alone.
func newDual(b *base) system { return newTree(b, 2) }
