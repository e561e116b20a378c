package stream

// This file answers: who can read a private stream, and what can nobody change in it?

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func testPrivate(t testing.TB) Private {
	t.Helper()
	p, err := NewPrivate(testKey(), testID())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func testContent(n uint32) (c Content) {
	c.Number = n
	for i := range c.Secret {
		c.Secret[i] = byte(n) + byte(i)
	}
	return c
}

func testList(t testing.TB, seq uint64, revoked []uint16, contents ...Content) (*AccessList, []byte) {
	t.Helper()
	raw, err := SignAccessList(testKey(), AccessList{ID: testID(), Sequence: seq, Issued: 1_700_000_000, Revoked: revoked}, contents)
	if err != nil {
		t.Fatal(err)
	}
	l, err := ParseAccessList(raw, testPub())
	if err != nil {
		t.Fatal(err)
	}
	return l, raw
}

func testOpener(t testing.TB, token uint16) *Opener {
	t.Helper()
	o, err := NewOpener(testPrivate(t), testID(), NewKeyTree(testKey(), testID()).Path(token))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// sealedStream builds some groups of a private stream.
func sealedStream(t testing.TB, content Content, text string) []Parsed {
	t.Helper()
	s, err := NewSealer(testPrivate(t), testID(), content)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewBuilder(BuilderConfig{Key: testKey(), ID: testID(), Epoch: 3, Stripes: 4, Seal: s})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := b.StartGroup([]byte("tables")); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Write(bytes.Repeat([]byte(text), 4000)); err != nil {
			t.Fatal(err)
		}
	}
	b.End()
	out, err := b.Flush(1_700_000_000_000_000)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAPrivateStreamIsReadByItsViewersAndByNobodyElse(t *testing.T) {
	const text = "nobody is to read this. "
	content := testContent(5)
	objects := sealedStream(t, content, text)
	list, _ := testList(t, 1, []uint16{9}, content, testContent(4))
	viewer := testOpener(t, 7)
	if err := viewer.Learn(list); err != nil {
		t.Fatal(err)
	}
	v := testVerifier(t)
	var got []byte
	nonces := map[string]bool{}
	for _, o := range objects {
		p, err := ParseObject(o.Wire)
		if err == nil {
			err = v.Verify(&p)
		}
		if err != nil || !p.Encrypted {
			t.Fatalf("object %d: encrypted %v, %v", p.Seq, p.Encrypted, err)
		}
		if len(p.Payload) > MaxPayload || len(p.Wire) > MaxDataObject {
			t.Errorf("object %d has %d bytes", p.Seq, len(p.Payload))
		}
		if bytes.Contains(p.Wire, []byte(text)) || bytes.Contains(p.Wire, []byte("tables")) {
			t.Fatal("what nobody is to read is there to read")
		}
		key := viewer.private.objectKey(content.Secret[:], testID(), p.Epoch, p.Group)
		nonce := sealNonce(p.Payload[4:8], p.Seq)
		if id := string(key) + string(nonce[:]); nonces[id] {
			t.Fatalf("object %d: a nonce comes twice under one key", p.Seq)
		} else {
			nonces[id] = true
		}
		plain, err := viewer.Open(nil, &p.Object)
		if err != nil {
			t.Fatal(err)
		}
		if p.Flags != FlagPreamble {
			got = append(got, plain...)
		} else if string(plain) != "tables" {
			t.Errorf("preamble %q", plain)
		}
		// Whatever is changed is noticed, though the signature is not looked at.
		for name, change := range map[string]func(o *Object){
			"epoch": func(o *Object) { o.Epoch++ }, "group": func(o *Object) { o.Group++ }, "seq": func(o *Object) { o.Seq++ },
			"time": func(o *Object) { o.Time++ }, "flag": func(o *Object) { o.Flags ^= FlagPreamble },
			"salt":   func(o *Object) { o.Payload[5] ^= 1 },
			"cipher": func(o *Object) { o.Payload[len(o.Payload)-1] ^= 1 },
		} {
			c := p.Object
			c.Payload = bytes.Clone(p.Payload)
			change(&c)
			if _, err := viewer.Open(nil, &c); !errors.Is(err, ErrSealed) {
				t.Errorf("object %d with another %s: %v", p.Seq, name, err)
			}
		}
	}
	if want := bytes.Repeat([]byte(text), 12000); !bytes.Equal(got, want) {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
	first := objects[0].Object
	revoked := testOpener(t, 9)
	if err := revoked.Learn(list); !errors.Is(err, ErrNoKey) {
		t.Errorf("a revoked token learns the secret: %v", err)
	}
	if _, err := revoked.Open(nil, &first); !errors.Is(err, ErrNoKey) {
		t.Errorf("a revoked token reads: %v", err)
	}
	// With the content secret, but of another link.
	other := testOpener(t, 7)
	other.private.Secret[0] ^= 1
	other.Add(content)
	if _, err := other.Open(nil, &first); !errors.Is(err, ErrSealed) {
		t.Errorf("without the link's secret: %v", err)
	}
	if _, err := NewOpener(testPrivate(t).ForRelays(), testID(), PathKeys{}); err == nil {
		t.Error("a relay's link makes a viewer")
	}
}

func TestTheCoverReachesAllTokensButTheRevoked(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 2, 17, MaxRevoked} {
		var revoked []uint16
		for len(revoked) < n {
			r := uint16(rng.Uint32())
			if len(revoked) == 0 {
				r = 0
			} else if len(revoked) == 1 {
				r = MaxTokens - 1
			}
			if at, found := slices.BinarySearch(revoked, r); !found {
				revoked = slices.Insert(revoked, at, r)
			}
		}
		nodes := cover(revoked)
		if len(nodes) > MaxCover {
			t.Errorf("%d nodes for %d revoked tokens, allowed are %d", len(nodes), n, MaxCover)
		}
		reached := 0
		for token := range MaxTokens {
			k := PathKeys{Token: uint16(token)}
			hits := 0
			for _, node := range nodes {
				if k.key(node) != nil {
					hits++
				}
			}
			_, out := slices.BinarySearch(revoked, uint16(token))
			if hits > 1 || (hits == 1) == out {
				t.Fatalf("token %d (revoked: %v) is reached %d times", token, out, hits)
			}
			reached += hits
		}
		if reached != MaxTokens-n {
			t.Errorf("%d tokens reached with %d revoked", reached, n)
		}
	}
	// The worst case: revoked tokens as far apart as they can be.
	var spread []uint16
	for i := range MaxRevoked {
		spread = append(spread, uint16(i*(MaxTokens/MaxRevoked)))
	}
	if n := len(cover(spread)); n != MaxCover {
		t.Errorf("%d nodes in the worst case, MaxCover is %d", n, MaxCover)
	}
	_, raw := testList(t, MaxSeq, spread, testContent(1<<32-1), testContent(1), testContent(0))
	if len(raw) > MaxAccessList || len(raw) < MaxAccessList*9/10 {
		t.Errorf("the largest list has %d bytes, MaxAccessList is %d", len(raw), MaxAccessList)
	}
}

func TestAccessListsEndEarlyAtEveryPrefixAndNobodyElseSignsThem(t *testing.T) {
	_, raw := testList(t, 7, []uint16{0, 1, 500}, testContent(3), testContent(2))
	for n := range raw {
		if _, err := ParseAccessList(raw[:n], testPub()); err == nil {
			t.Fatalf("the first %d of %d bytes are a list", n, len(raw))
		}
		changed := bytes.Clone(raw)
		changed[n] ^= 1
		if _, err := ParseAccessList(changed, testPub()); err == nil {
			t.Fatalf("byte %d may be changed", n)
		}
	}
	if _, err := ParseAccessList(append(bytes.Clone(raw), 0), testPub()); err == nil {
		t.Error("a byte too many is passed over")
	}
	_, other, _ := ed25519.GenerateKey(nil)
	if _, err := ParseAccessList(raw, other.Public().(ed25519.PublicKey)); !errors.Is(err, ErrSignature) {
		t.Errorf("signed by somebody else: %v", err)
	}
	for name, l := range map[string]AccessList{
		"too many":      {ID: testID(), Sequence: 1, Revoked: make([]uint16, MaxRevoked+1)},
		"not ascending": {ID: testID(), Sequence: 1, Revoked: []uint16{2, 1}},
		"twice":         {ID: testID(), Sequence: 1, Revoked: []uint16{2, 2}},
		"no sequence":   {ID: testID()},
	} {
		if _, err := SignAccessList(testKey(), l, []Content{testContent(1)}); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}

func TestAnOpenerKeepsTheNewestSecrets(t *testing.T) {
	o := testOpener(t, 1)
	for n := range uint32(20) {
		list, _ := testList(t, uint64(n)+1, nil, testContent(n+2), testContent(n+1), testContent(n))
		if err := o.Learn(list); err != nil {
			t.Fatal(err)
		}
	}
	var numbers []uint32
	for _, c := range o.known {
		if c != testContent(c.Number) {
			t.Errorf("content %d is another one", c.Number)
		}
		numbers = append(numbers, c.Number)
	}
	if !slices.Equal(numbers, []uint32{14, 15, 16, 17, 18, 19, 20, 21}) {
		t.Errorf("known are %v", numbers)
	}
}

func TestABlindedRecordShowsNothingAndIsTheStreams(t *testing.T) {
	raw := vectorRecord(t)
	sealed, err := SealRecord(testKey(), raw)
	if err != nil {
		t.Fatal(err)
	}
	for what, b := range map[string][]byte{"name": []byte("test"), "key": testPub(), "publisher": []byte("peer"), "content type": []byte("video"), "id": vectorID()} {
		if bytes.Contains(sealed, b) {
			t.Errorf("it shows the %s", what)
		}
	}
	p := testPrivate(t)
	b, err := ParseBlindedRecord(sealed)
	if err != nil || b.ID() != p.BlindID() {
		t.Fatalf("id %v, want %v: %v", b.ID(), p.BlindID(), err)
	}
	relay := p.ForRelays()
	rec, got, err := b.Unseal(&relay, testID())
	if err != nil || !bytes.Equal(got, raw) || rec.Name != "test" {
		t.Errorf("record %+v: %v", rec, err)
	}
	stranger := relay
	stranger.Meet[3] ^= 1
	if _, _, err := b.Unseal(&stranger, testID()); !errors.Is(err, ErrSealed) {
		t.Errorf("a stranger: %v", err)
	}
	for n := range sealed {
		if _, err := ParseBlindedRecord(sealed[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes are a record", n, len(sealed))
		}
		changed := bytes.Clone(sealed)
		changed[n] ^= 1
		if _, err := ParseBlindedRecord(changed); err == nil {
			t.Fatalf("byte %d may be changed", n)
		}
	}
}

func vectorID() []byte { id := testID(); return id[:] }

func TestALinkOfAPrivateStreamIsReadBackAndARelaysHasNoSecret(t *testing.T) {
	p := testPrivate(t)
	l := testLink(t, "test", "/ip4/127.0.0.1/udp/4001/quic-v1")
	l.Private = &p
	back, err := ParseLink(l.String())
	if err != nil || *back.Private != p || back.ID != l.ID {
		t.Fatalf("%v: %v", back, err)
	}
	forRelays := p.ForRelays()
	l.Private = &forRelays
	back, err = ParseLink(l.String())
	if err != nil || *back.Private != forRelays || back.Private.CanRead() {
		t.Fatalf("%v: %v", back, err)
	}
	good := testLink(t, "test").String() + "#k=" + strings.Repeat("A", 42) + "E"
	for name, c := range map[string]struct{ link, want string }{
		"no blinded key":   {good, "parameter b"},
		"a short secret":   {strings.TrimSuffix(good, "E") + "&b=x", "secret cut short"},
		"twice":            {good + "&k=" + strings.Repeat("B", 43), "twice"},
		"k and r":          {good + "&r=" + strings.Repeat("A", 42) + "E&b=" + strings.Repeat("A", 43), "has k"},
		"nothing behind #": {testLink(t, "test").String() + "#", "has k"},
	} {
		if _, err := ParseLink(c.link); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want …%s…", name, err, c.want)
		}
	}
	secret := testPrivate(t)
	l.Private = &secret
	shown := fmt.Sprintf("%v %+v %#v %s", secret, secret, secret, l.Redacted()) + fmt.Sprint(testContent(1), NewKeyTree(testKey(), testID()).Path(3))
	for _, part := range []string{hex.EncodeToString(secret.Secret[:4]), strings.SplitN(l.String(), "#k=", 2)[1][:20]} {
		if strings.Contains(shown, part) {
			t.Errorf("%s shows a secret", shown)
		}
	}
}

func TestTheVectorsOfPrivateStreamsAreRight(t *testing.T) {
	v := vectors(t)
	p := testPrivate(t)
	blind := p.BlindID()
	s, err := NewSealer(p, testID(), testContent(5))
	if err != nil {
		t.Fatal(err)
	}
	s.salt = [saltSize]byte{1, 2, 3, 4}
	h := Header{Epoch: 3, Group: 1, GroupFirst: 300, Seq: 301, Time: 1_700_000_000_000_000, Encrypted: true}
	path := NewKeyTree(testKey(), testID()).Path(1)
	key := p.objectKey(s.content.Secret[:], testID(), 3, 1)
	for name, want := range map[string][]byte{
		"link secret": p.Secret[:], "meeting secret": p.Meet[:], "blinded key": p.BlindKey[:], "blinded id": blind[:],
		"node key 1": path.Keys[:nodeKeySize], "node key 65537": path.Keys[PathKeysSize-nodeKeySize:],
		"content secret 5": s.content.Secret[:], "key of group 1": key,
		"payload 301": s.append(nil, &h, []byte("hello")),
	} {
		if v[name] != hex.EncodeToString(want) {
			t.Errorf("%s is\n%x\nin PROTOCOL.md\n%s", name, want, v[name])
		}
	}
}

func FuzzParseAccessList(f *testing.F) {
	_, raw := testList(f, 7, []uint16{0, 1, 500}, testContent(3), testContent(2))
	f.Add(raw[:len(raw)-signatureSize])
	f.Fuzz(func(t *testing.T, body []byte) {
		// Signed, so that the fuzzer gets past the signature.
		b := append(bytes.Clone(body), ed25519.Sign(testKey(), accessText(body))...)
		l, err := ParseAccessList(b, testPub())
		if err != nil {
			return
		}
		if len(l.Revoked) > MaxRevoked || !slices.IsSorted(l.Revoked) || len(l.nodes) > MaxCover || len(l.wrapped) != len(l.nodes)*wrappedSize {
			t.Errorf("%+v", l)
		}
		_, _ = l.unwrap(NewKeyTree(testKey(), testID()).Path(3))
	})
}

func FuzzParseBlindedRecord(f *testing.F) {
	key := ed25519.NewKeyFromSeed(sha256.New().Sum(nil)[:32])
	sealed, err := SealRecord(testKey(), vectorRecord(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed[1+publicKeySize : len(sealed)-signatureSize])
	f.Fuzz(func(t *testing.T, rest []byte) {
		body := append(append([]byte{wireVersion}, key.Public().(ed25519.PublicKey)...), rest...)
		b := append(bytes.Clone(body), ed25519.Sign(key, blindedText(body))...)
		r, err := ParseBlindedRecord(b)
		if err != nil {
			return
		}
		rec := r.Record()
		_ = rec.Check(time.Now().Unix())
		p := Private{}
		if _, _, err := r.Unseal(&p, testID()); err == nil {
			t.Error("unsealed without the secret")
		}
	})
}

func BenchmarkSealing(b *testing.B) {
	content := testContent(1)
	list, _ := testList(b, 1, nil, content)
	payload := make([]byte, 6<<10)
	for name, size := range map[string]int{"1kB": 1 << 10, "6kB": 6 << 10, "16kB": MaxPayload - SealOverhead} {
		payload := append([]byte(nil), append(payload, make([]byte, MaxPayload)...)[:size]...)
		b.Run("seal-"+name, func(b *testing.B) {
			s, err := NewSealer(testPrivate(b), testID(), content)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size))
			buf := make([]byte, 0, MaxPayload)
			for i := range b.N {
				h := Header{Epoch: 1, Seq: uint64(i), Group: uint64(i / 80), Encrypted: true}
				buf = s.append(buf[:0], &h, payload)
			}
		})
		b.Run("open-"+name, func(b *testing.B) {
			s, err := NewSealer(testPrivate(b), testID(), content)
			if err != nil {
				b.Fatal(err)
			}
			o := testOpener(b, 1)
			if err := o.Learn(list); err != nil {
				b.Fatal(err)
			}
			h := Header{Epoch: 1, Encrypted: true}
			object := Object{Header: h, Payload: s.append(nil, &h, payload)}
			b.SetBytes(int64(size))
			buf := make([]byte, 0, MaxPayload)
			for range b.N {
				if _, err := o.Open(buf, &object); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
