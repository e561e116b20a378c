package baseline

// This file answers: what is the system with one tree?

// newSingle makes a peer of single-tree: every viewer takes the whole stream
// from one parent, a viewer or the publisher. So do the relay trees of CDNs
// and of Media over QUIC (draft-ietf-moq-transport), and early overlay
// multicast: Overcast (Jannotti, Gifford, Johnson, Kaashoek, Kaashoek, O'Toole,
// OSDI 2000), whose newcomers also begin at the root and walk down, whose
// parents also know what is below them, and whose paths also serve against
// loops; and End System Multicast (Chu, Rao, Zhang, SIGMETRICS 2000).
//
// A parent that says nothing for 2 s is dead. Its children go through
// discovery again and resume after the last object they have, from what their
// new parent keeps, as a player that reconnects. Nothing is prepared for that
// moment: that is the point of the comparison.
//
// Kinder than Overcast: several candidates are asked at once, viewers that can
// have children displace such that cannot from full parents, which keeps the
// tree shallow and able to grow (as the contribution-aware trees of Sung,
// Bishop and Rao, IEEE Trans. Multimedia 2007), and those who are displaced or
// whose parent drains are served until they have moved.
func newSingle(b *base) system { return newTree(b, 1) }
