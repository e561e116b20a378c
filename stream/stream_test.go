package stream

// This file answers: which publisher and which objects do the tests use, and
// does an id have one text form?

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"
)

func testKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32)) }

func testPub() ed25519.PublicKey { return testKey().Public().(ed25519.PublicKey) }

func testID() ID { return NewID(testPub(), "test") }

// signed signs objects in batches of at most MaxBatch.
func signed(t testing.TB, objects []Object) []Parsed {
	t.Helper()
	var out []Parsed
	for len(objects) > 0 {
		n := min(len(objects), MaxBatch)
		part, err := SignBatch(testKey(), testID(), objects[:n])
		if err != nil {
			t.Fatal(err)
		}
		out, objects = append(out, part...), objects[n:]
	}
	return out
}

func testVerifier(t testing.TB) *Verifier {
	t.Helper()
	v, err := NewVerifier(testPub(), testID())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// batch returns one signed batch of n objects of 1250 bytes, and its verifier.
func batch(t testing.TB, n int) ([]Parsed, *Verifier) {
	t.Helper()
	objects := make([]Object, n)
	for i := range objects {
		objects[i] = Object{
			Header:  Header{Epoch: 3, Seq: 100 + uint64(i), Group: 4, GroupFirst: 90, Time: 1e15},
			Payload: bytes.Repeat([]byte{byte(i)}, 1250),
		}
	}
	return signed(t, objects), testVerifier(t)
}

func TestIDTextIsItsOnlyForm(t *testing.T) {
	id := NewID(testPub(), "x")
	s := id.String()
	if got, err := ParseID(s); err != nil || got != id {
		t.Fatal(got, err)
	}
	for n := range len(s) {
		var te *TextError
		if _, err := ParseID(s[:n]); !errors.As(err, &te) || te.Offset != n {
			t.Fatalf("%d characters: %v, want an error at position %d", n, err, n)
		}
	}
	for _, bad := range []string{s[:51] + "7", s + "a", "A" + s[1:], "1" + s[1:]} {
		if _, err := ParseID(bad); err == nil {
			t.Errorf("%q parses", bad)
		}
	}
	var back ID
	if b, _ := id.MarshalText(); back.UnmarshalText(b) != nil || back != id {
		t.Error("MarshalText and UnmarshalText differ")
	}
}

func TestNamesAreLinesOfUTF8(t *testing.T) {
	for name, ok := range map[string]bool{
		"": false, "a": true, "Ærø 1": true, "a\nb": false, "a\x00": false, "\xff": false, "\ufffd": true,
		string(bytes.Repeat([]byte{'a'}, MaxName)): true, string(bytes.Repeat([]byte{'a'}, MaxName+1)): false,
	} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add(testID().String())
	f.Add(ID{}.String())
	f.Add(testID().String()[:51] + "7")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		var te *TextError
		switch {
		case err == nil && id.String() != s:
			t.Fatalf("%q and %q are one id", s, id)
		case err != nil && (!errors.As(err, &te) || te.Offset < 0 || te.Offset > len(s) || !id.IsZero()):
			t.Fatalf("%q: %#v, %v", s, err, id)
		}
	})
}
