package stream

// This file answers: does PROTOCOL.md, section 7, say what this package does?

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

// vectorObjects are those of PROTOCOL.md: a preamble and two objects of one batch.
func vectorObjects(t *testing.T) []Parsed {
	t.Helper()
	h := Header{Epoch: 3, Group: 1, GroupFirst: 300, Time: 1_700_000_000_000_000}
	at := func(seq uint64, f Flags, payload string) Object {
		o := Object{Header: h, Payload: []byte(payload)}
		o.Seq, o.Flags = seq, f
		return o
	}
	return signed(t, []Object{at(300, FlagPreamble, "tables"), at(301, 0, "hello"), at(302, FlagEnd, "")})
}

// vectorRecord is that of PROTOCOL.md.
func vectorRecord(t testing.TB) []byte {
	t.Helper()
	b, err := SignRecord(testKey(), Record{Name: "test", Epoch: 3, Sequence: 1, K: 4, ContentType: "video/mp2t", Bitrate: 4_000_000,
		PublisherID: []byte("peer"), Addrs: [][]byte{{4, 127, 0, 0, 1}}, Issued: 1_700_000_000, Expires: 1_700_000_600})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// vectors reads the lines "name: value" and their continuations.
func vectors(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile("../PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(b), "\n## 7. Test vectors\n")
	if !ok {
		t.Fatal("PROTOCOL.md has no section 7. Test vectors")
	}
	_, private, ok := strings.Cut(section, "\n### Test vectors\n")
	if !ok {
		t.Fatal("PROTOCOL.md, section 8, has no test vectors")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	v, name := map[string]string{}, ""
	for line := range strings.Lines(section + "\n" + private) {
		switch key, value, ok := strings.Cut(line, ": "); {
		case strings.HasPrefix(line, " "):
			v[name] += strings.TrimSpace(line)
		case ok:
			name = key
			v[name] = strings.TrimSpace(value)
		}
	}
	return v
}

func TestTheVectorsOfTheProtocolAreRight(t *testing.T) {
	v := vectors(t)
	seed, err := hex.DecodeString(v["seed"])
	if err != nil || !bytes.Equal(ed25519.NewKeyFromSeed(seed), testKey()) {
		t.Fatalf("seed %q: %v", v["seed"], err)
	}
	objects := vectorObjects(t)
	for name, want := range map[string]string{
		"public key": hex.EncodeToString(testPub()),
		"stream id":  testID().String(),
		"link":       testLink(t, "test", "/ip4/127.0.0.1/udp/4001/quic-v1").String(),
		"object 300": hex.EncodeToString(objects[0].Wire),
		"object 301": hex.EncodeToString(objects[1].Wire),
		"object 302": hex.EncodeToString(objects[2].Wire),
		"record":     hex.EncodeToString(vectorRecord(t)),
	} {
		if v[name] != want {
			t.Errorf("%s is\n%s\nwant\n%s", name, v[name], want)
		}
	}
	// Read from the document alone.
	for _, name := range []string{"object 300", "object 301", "object 302"} {
		b, _ := hex.DecodeString(v[name])
		p, err := ParseObject(b)
		if err == nil {
			err = testVerifier(t).Verify(&p)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
