package p2p

// This file answers: what do values that strangers store in the DHT do to it?

import (
	"bytes"
	"testing"
	"time"

	"github.com/braidway/braidway/stream"
)

func FuzzRecordValidator(f *testing.F) {
	_, key := keyFile(f)
	now := time.Unix(1_700_000_000, 0)
	r := stream.Record{Name: "test", Epoch: 3, K: 4, PublisherID: []byte("peer"), Issued: now.Unix(), Expires: now.Unix() + 600}
	good, err := stream.SignRecord(key, r)
	if err != nil {
		f.Fatal(err)
	}
	parsed, err := stream.ParseRecord(good)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(RecordKey(parsed.ID()), good, good)
	f.Add(RecordKey(parsed.ID()), good[:len(good)-1], []byte{})
	f.Add("/pk/x", []byte{1}, good)
	v := recordValidator{now: func() time.Time { return now }}
	f.Fuzz(func(t *testing.T, key string, a, b []byte) {
		errA, errB := v.Validate(key, a), v.Validate(key, b)
		at, err := v.Select(key, [][]byte{a, b})
		if (errA == nil || errB == nil) && err != nil {
			t.Errorf("one is valid, none is selected: %v", err)
		}
		if err == nil && (at < 0 || at > 1) {
			t.Errorf("value %d of two is selected", at)
		}
		// Only who has the key makes another valid record.
		if errA == nil && !bytes.Equal(a, good) && key == RecordKey(parsed.ID()) {
			t.Errorf("%x is valid", a)
		}
	})
}
