package token

// This file answers: which tokens are refused, and does the ledger keep count?

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/braidway/braidway/stream"
)

func newKey(t testing.TB) (ed25519.PrivateKey, ed25519.PublicKey) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key, pub
}

func somebody(t testing.TB) peer.ID {
	t.Helper()
	_, pub := newKey(t)
	k, err := crypto.UnmarshalEd25519PublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	p, err := peer.IDFromPublicKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOnlyATokenOfThisStreamForThisPeerAndThisTimeIsInForce(t *testing.T) {
	key, pub := newKey(t)
	otherKey, _ := newKey(t)
	id, other := stream.NewID(pub, "a"), stream.NewID(pub, "b")
	holder, stranger := somebody(t), somebody(t)
	now := time.Unix(1_800_000_000, 0)
	good := Token{Stream: id, Number: 7, Peer: holder, Rights: Watch | Relay, Issued: now, Expires: now.Add(time.Hour)}
	sign := func(k ed25519.PrivateKey, change func(*Token)) string {
		x := good
		if change != nil {
			change(&x)
		}
		text, err := Sign(k, x)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	text := sign(key, nil)
	got, err := Verify(text, pub, id, holder, now)
	if err != nil || got.Number != 7 || got.Rights != good.Rights || got.Peer != holder || !got.Expires.Equal(good.Expires) {
		t.Fatalf("%+v: %v", got, err)
	}
	if _, err := Verify(sign(key, func(x *Token) { x.Peer = "" }), pub, id, stranger, now); err != nil {
		t.Errorf("a bearer's token: %v", err)
	}
	parts := strings.Split(text, ".")
	header := func(h string) string { return base64.RawURLEncoding.EncodeToString([]byte(h)) }
	// The classic attack: the public key as the secret of a symmetric algorithm.
	confused := header(`{"alg":"HS256","typ":"braidway+jwt"}`) + "." + parts[1]
	mac := hmac.New(sha256.New, pub)
	mac.Write([]byte(confused))
	confused += "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	untyped, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims{Scope: "watch", RegisteredClaims: jwt.RegisteredClaims{Audience: jwt.ClaimStrings{id.String()},
		ID: "1", IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(time.Hour))}}).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text string
		from peer.ID
		id   stream.ID
		at   time.Time
		want error
	}{
		"nothing":              {"", holder, id, now, ErrInvalid},
		"signed by another":    {sign(otherKey, nil), holder, id, now, ErrInvalid},
		"for another stream":   {text, holder, other, now, ErrInvalid},
		"shown by another":     {text, stranger, id, now, ErrInvalid},
		"expired":              {text, holder, id, now.Add(time.Hour + Skew), ErrExpired},
		"from the future":      {text, holder, id, now.Add(-2 * Skew), ErrInvalid},
		"no algorithm":         {header(`{"alg":"none","typ":"braidway+jwt"}`) + "." + parts[1] + ".", holder, id, now, ErrInvalid},
		"a confused algorithm": {confused, holder, id, now, ErrInvalid},
		"of another type":      {untyped, holder, id, now, ErrInvalid},
		"too long":             {text + strings.Repeat("A", Max), holder, id, now, ErrInvalid},
		"with its keys":        {text + "~AAAA", holder, id, now, ErrInvalid},
		"padded":               {text + "=", holder, id, now, ErrInvalid},
	} {
		if _, err := Verify(c.text, pub, c.id, c.from, c.at); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for n := range text {
		if _, err := Verify(text[:n], pub, id, holder, now); err == nil {
			t.Fatalf("the first %d of %d characters are a token", n, len(text))
		}
		changed := []byte(text)
		if changed[n]++; changed[n] == '.'+1 { // the last character of each part holds spare bits
			continue
		}
		if got, err := Verify(string(changed), pub, id, holder, now); err == nil {
			t.Fatalf("character %d may be changed: %+v", n, got)
		}
	}
	for name, change := range map[string]func(*Token){
		"no right":  func(x *Token) { x.Rights = 0 },
		"no life":   func(x *Token) { x.Expires = x.Issued },
		"long life": func(x *Token) { x.Expires = x.Issued.Add(MaxLife + time.Second) },
		"no peer":   func(x *Token) { x.Peer = "me" },
	} {
		x := good
		change(&x)
		if _, err := Sign(key, x); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}

func TestACredentialIsReadBackAndOneToWatchHasKeys(t *testing.T) {
	key, pub := newKey(t)
	id := stream.NewID(pub, "a")
	now := time.Now()
	for _, rights := range []Rights{Watch, Relay, Watch | Relay} {
		c, err := Issue(key, Token{Stream: id, Number: 3, Rights: rights, Issued: now, Expires: now.Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		back, tok, err := ParseCredential(" "+c.Text()+"\n", pub)
		if err != nil || tok.Rights != rights || back.Token != c.Token || (back.Keys == nil) != (rights&Watch == 0) {
			t.Errorf("%v: %v, %v", rights, tok, err)
		}
		if len(c.Text()) > MaxCredential {
			t.Errorf("%d bytes, allowed are %d", len(c.Text()), MaxCredential)
		}
		if shown := fmt.Sprintf("%v %+v %#v", c, c, c); strings.Contains(shown, c.Token[:20]) {
			t.Errorf("logs would show %s", shown)
		}
		if rights&Watch != 0 {
			for _, text := range []string{c.Token, c.Token + "~", c.Text()[:len(c.Text())-2]} {
				if _, _, err := ParseCredential(text, pub); !errors.Is(err, ErrInvalid) {
					t.Errorf("%d of %d bytes: %v", len(text), len(c.Text()), err)
				}
			}
		}
	}
}

func TestTheLedgerCountsRevokesAndSaysWhatIsWrong(t *testing.T) {
	_, pub := newKey(t)
	id, other := stream.NewID(pub, "a"), stream.NewID(pub, "b")
	l := Ledger{File: filepath.Join(t.TempDir(), "deep", "k.tokens")}
	now := time.Now().Truncate(time.Second)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var numbers []uint16
	for range 8 {
		wg.Go(func() {
			tok, err := l.Add(Token{Stream: id, Rights: Watch, Issued: now, Expires: now.Add(time.Hour)}, "one of many")
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			numbers = append(numbers, tok.Number)
		})
	}
	wg.Wait()
	if slices.Sort(numbers); !slices.Equal(numbers, []uint16{1, 2, 3, 4, 5, 6, 7, 8}) {
		t.Errorf("numbers %v", numbers)
	}
	if tok, err := l.Add(Token{Stream: other, Rights: Relay, Issued: now, Expires: now.Add(time.Minute)}, ""); err != nil || tok.Number != 1 {
		t.Errorf("another stream begins with %d: %v", tok.Number, err)
	}
	if info, err := os.Stat(l.File); err != nil || info.Mode().Perm() != ledgerMode {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := l.Revoke(id, []uint16{2, 5}, now); err != nil {
		t.Fatal(err)
	}
	if err := l.Revoke(id, []uint16{99}, now); err == nil || !strings.Contains(err.Error(), "no token 99") {
		t.Errorf("a token that there is not: %v", err)
	}
	list, err := l.Read(id)
	if err != nil || len(list) != 8 || !slices.Equal(Revoked(list, now), []uint16{2, 5}) {
		t.Errorf("%d entries, revoked %v: %v", len(list), Revoked(list, now), err)
	}
	if late := Revoked(list, now.Add(2*time.Hour)); len(late) > 0 {
		t.Errorf("expired tokens are still revoked: %v", late)
	}
	f, err := os.OpenFile(l.File, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString("{broken\n")
	_ = f.Close()
	if _, err := l.Read(id); err == nil || !strings.Contains(err.Error(), "line 12") {
		t.Errorf("a broken line: %v", err)
	}
}

func FuzzParseCredential(f *testing.F) {
	key, pub := newKey(f)
	now := time.Now()
	c, err := Issue(key, Token{Stream: stream.NewID(pub, "a"), Number: 3, Rights: Watch, Issued: now, Expires: now.Add(time.Hour)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(c.Text())
	f.Add(c.Token)
	f.Add(`eyJhbGciOiJub25lIn0.e30.`)
	f.Fuzz(func(t *testing.T, text string) {
		got, tok, err := ParseCredential(text, pub)
		if err == nil && (len(got.Token) > Max || tok.Rights == 0) {
			t.Errorf("%+v", tok)
		}
	})
}
