package braidway

// This file answers: which errors may a program decide by?

import (
	"errors"
	"fmt"

	"github.com/braidway/braidway/internal/media"
	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/stream"
)

// Errors, for errors.Is.
var (
	// ErrConfig: a field of a Config has a value that is not allowed.
	ErrConfig = errors.New("braidway: not an allowed value")
	// ErrLink: the text is not a link, or one that is broken or cut short.
	ErrLink = errors.New("braidway: not a link")
	// ErrNotFound: the stream was not found in time.
	ErrNotFound = errors.New("braidway: stream not found")
	// ErrFull: the stream was found, and nobody had a slot in time.
	ErrFull = errors.New("braidway: stream is full")
	// ErrDenied: the stream is private, and the peer has no token for it that holds.
	ErrDenied = errors.New("braidway: access denied")
	// ErrTakesPart: the peer takes part in this stream already.
	ErrTakesPart = errors.New("braidway: takes part in the stream already")
	// ErrLocked: another publisher has the stream.
	ErrLocked = errors.New("braidway: stream is locked")
	// ErrFenced: another publisher has taken the stream over.
	ErrFenced = errors.New("braidway: another publisher has taken over")
	// ErrFormat: what is published is not MPEG-TS, and Raw is not set.
	ErrFormat = errors.New("braidway: not MPEG-TS")
	// ErrEnded: the stream was ended; nothing can be written to it. Readers get io.EOF.
	ErrEnded = errors.New("braidway: the stream has ended")
	// ErrClosed: the Peer, Publication or Viewer was closed.
	ErrClosed = errors.New("braidway: closed")
)

// kindError says err, and is one of the errors above.
type kindError struct {
	error
	kind error
}

// Unwrap returns both, so that errors.Is and errors.As find either.
func (e kindError) Unwrap() []error { return []error{e.error, e.kind} }

// as makes err one of kind, with its own text.
func as(kind, err error) error { return kindError{fmt.Errorf("braidway: %w", err), kind} }

// outside says that a field is not in its range.
func outside(field string, value any, allowed string) error {
	return as(ErrConfig, fmt.Errorf("%s is %v, allowed is %s", field, value, allowed))
}

// public turns an error of the runtime into one of this package.
func public(err error) error {
	var locked *node.LockedError
	var fenced *node.FencedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &locked):
		return as(ErrLocked, fmt.Errorf("peer %v publishes the stream under epoch %d; stop that publisher, or stand by for it with PublishConfig.Standby", locked.Holder, locked.Epoch))
	case errors.As(err, &fenced):
		return as(ErrFenced, fmt.Errorf("peer %v has taken the stream over, under epoch %d; to come back as its standby, publish with PublishConfig.Standby", fenced.Holder, fenced.Epoch))
	case errors.Is(err, node.ErrEnded), errors.Is(err, stream.ErrEnded):
		return ErrEnded
	case errors.Is(err, node.ErrTakesPart):
		return as(ErrTakesPart, err)
	case errors.Is(err, node.ErrDenied):
		return as(ErrDenied, err)
	case errors.Is(err, node.ErrClosed):
		return ErrClosed
	case errors.Is(err, media.ErrNotTS):
		return as(ErrFormat, errors.New("the input is not MPEG-TS; publish other bytes with PublishConfig.Raw"))
	}
	return fmt.Errorf("braidway: %w", err)
}
