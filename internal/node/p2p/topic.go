package p2p

// This file answers: under which name does a stream stand in the DHT, and what
// stands there? A private one's is blinded: see PROTOCOL.md, section 8.

import (
	"context"
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/braidway/braidway/stream"
)

// blindNamespace is the first part of the key of a private stream's record.
const blindNamespace = "braidway-private"

// BlindRecordKey returns the key under which the DHT holds the sealed record of
// the private stream whose blinded id is id.
func BlindRecordKey(id stream.ID) string { return "/" + blindNamespace + "/" + id.String() }

// Topic is what is looked for and announced: a stream, with the link's secrets
// if it is private.
type Topic struct {
	ID      stream.ID
	Private *stream.Private // nil: everyone may know
}

// key is the id under which others find the stream.
func (t Topic) key() stream.ID {
	if t.Private != nil {
		return t.Private.BlindID()
	}
	return t.ID
}

// recordKey is the DHT's key of the stream's record.
func (t Topic) recordKey() string {
	if t.Private != nil {
		return BlindRecordKey(t.key())
	}
	return RecordKey(t.ID)
}

// parse reads what the DHT holds of the stream.
func (t Topic) parse(v recordValidator, raw []byte) (stream.Record, []byte, error) {
	if t.Private == nil {
		rec, err := v.parse(raw)
		return rec, raw, err
	}
	b, err := v.parseBlinded(raw)
	if err != nil {
		return stream.Record{}, nil, err
	}
	return b.Unseal(t.Private, t.ID)
}

// parseBlinded reads a blinded record and checks signature and expiry.
func (v recordValidator) parseBlinded(value []byte) (*stream.BlindedRecord, error) {
	b, err := stream.ParseBlindedRecord(value)
	if err != nil {
		return nil, err
	}
	return b, b.Record().Check(v.now().Unix())
}

// numbers returns of a value in the DHT what says which of two is better.
func (v recordValidator) numbers(value []byte, blinded bool) (id stream.ID, rec stream.Record, err error) {
	if blinded {
		b, err := v.parseBlinded(value)
		if err != nil {
			return id, rec, err
		}
		return b.ID(), b.Record(), nil
	}
	rec, err = v.parse(value)
	return rec.ID(), rec, err
}

// blindValidator guards the sealed records of private streams, which it cannot
// look into.
type blindValidator struct{ recordValidator }

// Validate refuses a value that is not the current record, signed by the blinded
// key that the DHT's key is the hash of.
func (v blindValidator) Validate(key string, value []byte) error {
	text, ok := strings.CutPrefix(key, "/"+blindNamespace+"/")
	if !ok {
		return fmt.Errorf("p2p: %q is not the key of a private stream's record", key)
	}
	id, err := stream.ParseID(text)
	if err != nil {
		return err
	}
	got, _, err := v.numbers(value, true)
	if err == nil && got != id {
		err = fmt.Errorf("p2p: record of blinded id %s under the key of %s", got, id)
	}
	return err
}

// Select returns the index of the best valid value.
func (v blindValidator) Select(_ string, values [][]byte) (int, error) { return v.best(values, true) }

// PublishSealed is Publish for the sealed record of a private stream.
func (r *Rendezvous) PublishSealed(ctx context.Context, sealed []byte) error {
	id, _, err := r.d.valid.numbers(sealed, true)
	if err != nil {
		return err
	}
	return r.announce(ctx, announceKey{id: id, record: true, blinded: true}, append([]byte(nil), sealed...))
}

// ProvideTopic is Provide for a stream that may be private.
func (r *Rendezvous) ProvideTopic(ctx context.Context, t Topic) error { return r.Provide(ctx, t.key()) }

// RecordOf is Record for a stream that may be private.
func (r *Rendezvous) RecordOf(ctx context.Context, t Topic) (stream.Record, []byte, error) {
	return r.findRecord(ctx, t, newNodeCount())
}

// FindTopic is Find for a stream that may be private.
func (f *Finder) FindTopic(ctx context.Context, t Topic, link []peer.AddrInfo) *Search {
	return f.find(ctx, t, link)
}
