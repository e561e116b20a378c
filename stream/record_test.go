package stream

// This file answers: is a record read strictly, and which one counts?

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func testRecord() Record {
	return Record{
		PublicKey: testPub(), Name: "test", Epoch: 5, Sequence: 300, K: 4, M: 1,
		ContentType: "video/mp2t", Bitrate: 8_000_000, Access: AccessOpen,
		PublisherID: bytes.Repeat([]byte{9}, 38), Addrs: [][]byte{{4, 127, 0, 0, 1}, bytes.Repeat([]byte{3}, 200)},
		Issued: 1_800_000_000, Expires: 1_800_000_300,
	}
}

func encodedRecord(t testing.TB, r Record) []byte {
	t.Helper()
	b, err := SignRecord(testKey(), r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRecordReadsBack(t *testing.T) {
	full := testRecord()
	full.Name = strings.Repeat("n", MaxName)
	full.Epoch, full.Sequence, full.K, full.M = MaxEpoch, MaxSeq, MaxStripes, MaxParity
	full.ContentType, full.Bitrate = strings.Repeat("c", MaxContentType), MaxBitrate
	full.PublisherID, full.Addrs = make([]byte, MaxPeerID), nil
	for range MaxRecordAddrs {
		full.Addrs = append(full.Addrs, make([]byte, MaxAddr))
	}
	full.Issued, full.Expires = MaxUnixTime-1, MaxUnixTime
	least := Record{PublicKey: testPub(), Name: "a", Epoch: 1, K: 1, PublisherID: []byte{1}, Expires: 1}
	for name, want := range map[string]Record{"usual": testRecord(), "full": full, "least": least} {
		b := encodedRecord(t, want)
		if name == "full" && len(b) > MaxRecord {
			t.Errorf("full: %d bytes, MaxRecord is %d", len(b), MaxRecord)
		}
		got, err := ParseRecord(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want.Signature = got.Signature
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: read\n%+v, signed\n%+v", name, got, want)
		}
		if got.ID() != NewID(testPub(), want.Name) {
			t.Errorf("%s: id %s", name, got.ID())
		}
	}
}

func TestRecordEndsEarlyAtEveryPrefix(t *testing.T) {
	b := encodedRecord(t, testRecord())
	for n := range len(b) {
		if _, err := ParseRecord(b[:n]); !errors.Is(err, ErrTruncated) {
			t.Fatalf("%d bytes: %v, want ErrTruncated", n, err)
		}
	}
	if _, err := ParseRecord(append(bytes.Clone(b), 0)); !errors.Is(err, ErrMalformed) {
		t.Fatalf("one byte too many: %v, want ErrMalformed", err)
	}
}

func TestOneChangedBitOfARecordIsRefused(t *testing.T) {
	b := encodedRecord(t, testRecord())
	for bit := range 8 * len(b) {
		b[bit/8] ^= 1 << (bit % 8)
		if _, err := ParseRecord(b); err == nil {
			t.Fatalf("bit %d of byte %d does not matter", bit%8, bit/8)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
}

func TestRecordsOutsideTheLimitsAreNotSigned(t *testing.T) {
	for name, change := range map[string]func(*Record){
		"empty name":              func(r *Record) { r.Name = "" },
		"name with a line break":  func(r *Record) { r.Name = "a\nb" },
		"long name":               func(r *Record) { r.Name = strings.Repeat("a", MaxName+1) },
		"epoch 0":                 func(r *Record) { r.Epoch = 0 },
		"high epoch":              func(r *Record) { r.Epoch = MaxEpoch + 1 },
		"high sequence":           func(r *Record) { r.Sequence = MaxSeq + 1 },
		"no stripe":               func(r *Record) { r.K = 0 },
		"17 stripes":              func(r *Record) { r.K = MaxStripes + 1 },
		"200 stripes":             func(r *Record) { r.K = 200 },
		"much parity":             func(r *Record) { r.M = MaxParity + 1 },
		"type of control bytes":   func(r *Record) { r.ContentType = "a\x00" },
		"long type":               func(r *Record) { r.ContentType = strings.Repeat("a", MaxContentType+1) },
		"high bitrate":            func(r *Record) { r.Bitrate = MaxBitrate + 1 },
		"no publisher id":         func(r *Record) { r.PublisherID = nil },
		"long publisher id":       func(r *Record) { r.PublisherID = make([]byte, MaxPeerID+1) },
		"17 addresses":            func(r *Record) { r.Addrs = make([][]byte, MaxRecordAddrs+1) },
		"empty address":           func(r *Record) { r.Addrs = [][]byte{{}} },
		"long address":            func(r *Record) { r.Addrs = [][]byte{make([]byte, MaxAddr+1)} },
		"negative issue":          func(r *Record) { r.Issued = -1 },
		"expires as it is issued": func(r *Record) { r.Expires = r.Issued },
		"lives for two days":      func(r *Record) { r.Expires = r.Issued + 2*86400 },
		"after the end of time":   func(r *Record) { r.Issued, r.Expires = MaxUnixTime, MaxUnixTime+1 },
		"another's key":           func(r *Record) { r.PublicKey = make(ed25519.PublicKey, 32) },
	} {
		r := testRecord()
		change(&r)
		if _, err := SignRecord(testKey(), r); err == nil {
			t.Errorf("%s is signed", name)
		}
	}
	if _, err := SignRecord(nil, testRecord()); err == nil {
		t.Error("no key signs")
	}
	if _, err := ParseRecord(make([]byte, MaxRecord+1)); !errors.Is(err, ErrLimit) {
		t.Errorf("%d bytes: %v, want ErrLimit", MaxRecord+1, err)
	}
}

func TestARecordIsInForceFromItsIssueToItsExpiry(t *testing.T) {
	r, skew := testRecord(), int64(MaxRecordSkew/time.Second)
	for now, want := range map[int64]error{
		r.Issued: nil, r.Expires - 1: nil, r.Expires: ErrExpired, r.Expires + 1000: ErrExpired,
		r.Issued - skew: nil, r.Issued - skew - 1: ErrFuture,
	} {
		if err := r.Check(now); !errors.Is(err, want) {
			t.Errorf("at issue %+d s: %v, want %v", now-r.Issued, err, want)
		}
	}
}

func TestTheBetterRecordIsOfTheHigherEpochThenSequenceThenIssue(t *testing.T) {
	list := []Record{
		{Epoch: 1, Sequence: 9, Issued: 9}, {Epoch: 2, Sequence: 1, Issued: 9},
		{Epoch: 2, Sequence: 2, Issued: 1}, {Epoch: 2, Sequence: 2, Issued: 2},
	}
	for i, a := range list {
		for j, b := range list {
			if a.Better(b) != (i > j) {
				t.Errorf("%d better than %d: %v", i, j, a.Better(b))
			}
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add(encodedRecord(f, testRecord()))
	f.Add(encodedRecord(f, Record{Name: "a", Epoch: 1, K: 1, PublisherID: []byte{1}, Expires: 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRecord(b)
		if err != nil {
			return
		}
		if again := append(appendRecord(nil, r), r.Signature...); !bytes.Equal(again, b) {
			t.Fatal("two encodings of one record")
		}
	})
}
