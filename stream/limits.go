package stream

// This file answers: how large may anything be, in which unit, and why?
// A reader refuses what is over a limit before it allocates for it.

import "time"

// Limits of an object.
const (
	// MaxPayload is the most bytes of the stream in one object: large enough
	// that headers and signatures are under 1 % of it, small enough that one
	// takes 13 ms on a 10 Mbit/s uplink.
	MaxPayload = 16 << 10
	// MaxBatch is the most objects under one signature, so that a proof has at
	// most MaxProof hashes. A flush of 25 ms holds more only above 300 Mbit/s.
	MaxBatch = 64
	// MaxProof is the most hashes in a Merkle proof: log2 of MaxBatch.
	MaxProof = 6
	// MaxHeader is the most bytes of an encoded header: version and flags 1;
	// epoch, group, group's first Seq and distance from it 9 each; time 8;
	// payload length 3.
	MaxHeader = 1 + 4*9 + 8 + 3
	// MaxAuth is the most bytes of an authentication section: batch size 1,
	// index 1, proof, signature.
	MaxAuth = 2 + MaxProof*hashSize + signatureSize
	// MaxDataObject is the most bytes of an encoded object that is not parity.
	MaxDataObject = MaxHeader + MaxPayload + MaxAuth
	// MaxParityPayload is the most bytes of a parity object's payload: a shard
	// is as long as the longest encoded object of its row; before it come the
	// row 9, index, k and m 1 each, and a length of 3 for each object.
	MaxParityPayload = 9 + 3 + MaxStripes*3 + MaxDataObject
	// MaxObject is the most bytes of any encoded object.
	MaxObject = MaxHeader + MaxParityPayload + MaxAuth
)

// Limits of numbers. They leave room for sums in 64 bits.
const (
	// MaxSeq is the highest Seq, group and parity Seq: QUIC's range of
	// variable-length integers, 1.8 billion years at 80 objects a second.
	MaxSeq = 1<<62 - 1
	// MaxEpoch is the highest epoch; the same range. Epoch 0 is no epoch.
	MaxEpoch = 1<<62 - 1
	// MaxTime is the latest publisher clock in µs since the Unix epoch: in the
	// year 2255, exact in a JSON number, and in nanoseconds still an int64.
	MaxTime = 1<<53 - 1
	// MaxBitrate is the highest bitrate of a record in bit/s: 1 Tbit/s, above
	// anything that one publisher sends.
	MaxBitrate = 1_000_000_000_000
	// MaxUnixTime is the latest time of a record in seconds since the Unix
	// epoch, the same instant as MaxTime.
	MaxUnixTime = MaxTime / 1_000_000
)

// Limits of a stream's shape.
const (
	// MaxStripes is the most data stripes (k). Measured: 8 already doubles
	// control traffic; 16 leaves room for experiments.
	MaxStripes = 16
	// MaxParity is the most parity stripes (m): more than half of MaxStripes
	// would cost more than a second copy of the usual 4 stripes.
	MaxParity = 8
)

// Limits of names, records and links.
const (
	// MaxName is the most bytes of a stream's name (UTF-8): a line of text.
	MaxName = 128
	// MaxContentType is the most bytes of a content type: the longest
	// registered media types have about 80.
	MaxContentType = 96
	// MaxPeerID is the most bytes of a binary peer id: libp2p's have 34 to 42;
	// 64 leaves room for another hash.
	MaxPeerID = 64
	// MaxRecordAddrs is the most addresses in a record: a host with several
	// interfaces, two transports and two relays has about 12.
	MaxRecordAddrs = 16
	// MaxAddr is the most bytes of one address, binary in a record or text in
	// a link: WebTransport over a relay with two certificate hashes has about 230.
	MaxAddr = 256
	// MaxRecord is the most bytes of an encoded record, with every field full.
	MaxRecord = 1 + publicKeySize + 2 + MaxName + 9 + 9 + 1 + 1 + 1 + MaxContentType +
		6 + 1 + 1 + MaxPeerID + 1 + MaxRecordAddrs*(2+MaxAddr) + 5 + 5 + signatureSize
	// MaxRecordLife is the longest time between a record's issue and its
	// expiry: a record is renewed every few minutes, so a day is a mistake.
	MaxRecordLife = 24 * time.Hour
	// MaxRecordSkew is how far a record's issue may lie in the reader's future:
	// what clocks of hosts without NTP are usually off. A guess.
	MaxRecordSkew = 5 * time.Minute
	// MaxLinkAddrs is the most addresses in a link, as in a record.
	MaxLinkAddrs = 16
	// MaxLink is the most bytes of a link: every valid one fits, even with
	// every byte of every address percent-encoded.
	MaxLink = 16 << 10
	// MaxLinkParams is the most parameters of a link, known and unknown.
	MaxLinkParams = 64
)

// Limits of private streams.
const (
	// MaxRevoked is the most tokens that an access list revokes. Those that have
	// expired need not stand in it: 128 at a time is more than an audience of
	// 65,536 tokens was seen to need. A guess.
	MaxRevoked = 128
	// MaxCover is the most nodes of an access list's cover: r·log2(MaxTokens/r)
	// for r = MaxRevoked.
	MaxCover = MaxRevoked * 9
	// MaxPrevious is the most older content secrets in an access list: with the
	// newest they cover the 20 s of a window at any pace of rotation allowed.
	MaxPrevious = 2
	// MaxAccessList is the most bytes of an access list with every field full:
	// 41 kB, sent once to each neighbour when it changes.
	MaxAccessList = 1 + hashSize + 9 + 5 + nonceSize + 2 + MaxRevoked*3 + 4 + 2 + MaxCover*(3+wrappedSize) +
		1 + MaxPrevious*(4+contentSize) + tagSize + signatureSize
	// MaxBlindedRecord is the most bytes of a blinded record.
	MaxBlindedRecord = 1 + publicKeySize + 9 + 9 + 5 + 5 + nonceSize + 2 + MaxRecord + tagSize + signatureSize
)

// Limits of local state.
const (
	// MaxPending is the most bytes that a [Builder] holds between two flushes:
	// 5 s of 100 Mbit/s.
	MaxPending = 64 << 20
	// MaxWindowObjects is the most Seqs that a [Window] spans: 10 s of 400 Mbit/s
	// in full objects. An empty place costs 200 bytes.
	MaxWindowObjects = 32768
	// MaxParityRows is the most rows that a [RowDecoder] holds: 3 s of 80 objects
	// a second in rows of 4, more than paths of different stripes differ.
	MaxParityRows = 64
	// MaxPlayoutObjects is the most objects that a [Playout] holds of one
	// epoch: 100 s of 80 objects a second.
	MaxPlayoutObjects = 8192
	// MaxPlayoutBytes is the most payload bytes that a [Playout] holds of one
	// epoch: 50 s of 10 Mbit/s.
	MaxPlayoutBytes = 64 << 20
)

// Times of the protocol.
const (
	// FlushInterval is the longest time that a publisher may hold bytes back
	// before they are cut, signed and sent: at 20 ms per hop it is one hop more.
	FlushInterval = 25 * time.Millisecond
	// MaxLag is how far playout may fall behind its buffer, after stalls or by
	// starting at an old group, before it catches up at once. A guess: three
	// times the 10 s of window that every peer keeps, so nothing later can be repaired.
	MaxLag = 30 * time.Second
)

const (
	hashSize      = 32 // SHA-256
	signatureSize = 64 // ed25519
	publicKeySize = 32 // ed25519
)
