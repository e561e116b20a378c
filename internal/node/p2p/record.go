package p2p

// This file answers: which stream records may stand in the DHT, and which of
// two is better?

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/braidway/braidway/stream"
)

// recordNamespace is the first part of a record's key.
const recordNamespace = "braidway-stream"

// RecordKey returns the key under which the DHT holds the record of a stream.
func RecordKey(id stream.ID) string { return "/" + recordNamespace + "/" + id.String() }

// ErrSuperseded says that the DHT holds a better record of the stream than the
// one that was to be published: of a higher epoch, or a later one of the same.
var ErrSuperseded = errors.New("p2p: a better record of this stream is published already")

// recordValidator guards the DHT's values, on what is stored and what is found.
type recordValidator struct{ now func() time.Time }

// Validate refuses a value that is not the current, signed record of the
// stream that key names.
func (v recordValidator) Validate(key string, value []byte) error {
	text, ok := strings.CutPrefix(key, "/"+recordNamespace+"/")
	if !ok {
		return fmt.Errorf("p2p: %q is not the key of a stream record", key)
	}
	id, err := stream.ParseID(text)
	if err != nil {
		return err
	}
	r, err := v.parse(value)
	if err != nil {
		return err
	}
	if got := r.ID(); got != id {
		return fmt.Errorf("p2p: record of stream %s under the key of stream %s", got, id)
	}
	return nil
}

// Select returns the index of the best valid value.
func (v recordValidator) Select(_ string, values [][]byte) (int, error) { return v.best(values, false) }

func (v recordValidator) best(values [][]byte, blinded bool) (int, error) {
	best := -1
	var bestRecord stream.Record
	var firstErr error
	for i, b := range values {
		_, r, err := v.numbers(b, blinded)
		if err != nil {
			firstErr = errors.Join(firstErr, err)
			continue
		}
		if best < 0 || r.Better(bestRecord) {
			best, bestRecord = i, r
		}
	}
	if best < 0 {
		return 0, fmt.Errorf("p2p: none of %d records is valid: %w", len(values), firstErr)
	}
	return best, nil
}

// parse reads a record and checks signature and expiry.
func (v recordValidator) parse(value []byte) (stream.Record, error) {
	if len(value) > stream.MaxRecord {
		return stream.Record{}, fmt.Errorf("p2p: record of %d bytes, allowed are %d", len(value), stream.MaxRecord)
	}
	r, err := stream.ParseRecord(value)
	if err != nil {
		return stream.Record{}, err
	}
	return r, r.Check(v.now().Unix())
}
