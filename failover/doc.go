// Package failover decides when a peer is in doubt and what a retry may cost.
//
// It promises: a silent sender is suspect within MaxBound and not before
// MinBound; a paused stream starves nobody; no schedule of retries goes over
// its budget. What can go wrong is an observer that was itself stopped: Excuse
// it. Everything is a small value without pointers, since a simulation holds
// millions of them, and pure: time and randomness are passed in.
package failover
