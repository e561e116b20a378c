// Package stream holds what a stream is made of: its id, objects and their
// wire form, batch signatures, and the sets and windows that track which
// objects are there.
//
// It promises: whatever parses has one encoding only and stays within
// limits.go; whatever verifies was signed by the publisher whose key the
// stream id commits to. What can go wrong is hostile input: parsers allocate
// nothing that the input did not pay for, and return typed errors.
package stream
