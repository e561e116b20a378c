package stream

// This file answers: how large may anything on the wire be, and why?

import "time"

const (
	// MaxPayload is the largest payload of an object, bytes: larger ones would
	// delay the objects behind them on slow uplinks (16 KiB take 13 ms at 10 Mbit/s).
	MaxPayload = 16 << 10
	// MaxStripes is the largest number of data stripes; beyond 8 control
	// traffic grows faster than resilience.
	MaxStripes = 16
	// MaxBatch is the largest number of objects under one signature; a power
	// of two, so that a proof has at most MaxProof hashes.
	MaxBatch = 64
	// MaxProof is log2(MaxBatch), hashes of 32 bytes.
	MaxProof = 6
	// MaxHeader bounds an object's header, bytes: one flag byte and six varints.
	MaxHeader = 1 + 6*10
	// MaxAuth bounds the authentication section, bytes.
	MaxAuth = 2 + 32*MaxProof + 64
	// MaxObject bounds an encoded object, bytes.
	MaxObject = MaxHeader + MaxPayload + MaxAuth
	// MaxName is the longest name of a stream, bytes.
	MaxName = 128
	// FlushInterval is the longest that bytes wait for the signature of their batch.
	FlushInterval = 25 * time.Millisecond
)
