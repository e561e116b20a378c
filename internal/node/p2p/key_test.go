package p2p

// This file answers: is a peer's identity kept, guarded and never destroyed?

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestAMissingKeyIsMadeOnceAndReadBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "key.pem")
	key, created, err := LoadOrCreateKey(path)
	if err != nil || !created {
		t.Fatalf("created %v, error %v", created, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, error %v, want 0600", info.Mode(), err)
	}
	again, created, err := LoadOrCreateKey(path)
	if err != nil || created || !again.Equal(key) {
		t.Fatalf("created %v, error %v, equal %v", created, err, again.Equal(key))
	}
	if _, err := NewKey(path); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path) {
		t.Fatalf("NewKey over a key: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 1 {
		t.Fatalf("files in the folder: %v", left)
	}
}

func TestProcessesThatStartTogetherAgreeOnOneKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	keys := make([]ed25519.PrivateKey, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			var err error
			if keys[i], _, err = LoadOrCreateKey(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, k := range keys {
		if !k.Equal(keys[0]) {
			t.Fatal("two keys from one file")
		}
	}
}

func TestAKeyThatOthersCanReadIsRefusedWithTheCommandThatFixesIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	if _, err := NewKey(path); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620, 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, _, err := LoadOrCreateKey(path)
		var loose *KeyPermissionError
		if !errors.As(err, &loose) || loose.File != path || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

func TestADamagedKeyIsNamedAndLeftAlone(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good.pem")
	if _, err := NewKey(good); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(other)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"empty":          {},
		"cut short":      whole[:len(whole)/2],
		"no PEM":         []byte("hello"),
		"another block":  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}}),
		"not PKCS 8":     pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: []byte{1, 2, 3}}),
		"an RSA key":     pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}),
		"larger than 8K": bytes.Repeat([]byte{'a'}, maxKeyFile+1),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key.pem")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			_, created, err := LoadOrCreateKey(path)
			var kf *KeyFileError
			if created || !errors.As(err, &kf) || kf.File != path || kf.Fix == "" || !strings.Contains(err.Error(), path) {
				t.Fatalf("created %v, error %v", created, err)
			}
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, content) {
				t.Fatal("the file was changed")
			}
		})
	}
	if _, _, err := LoadOrCreateKey(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder as key file: %v", err)
	}
}

// A file that lost nothing but the line break at its end is still whole.
func TestAKeyFileCutShortIsNoKey(t *testing.T) {
	whole, key := keyFile(t)
	for n := range len(whole) {
		got, err := parseKey(whole[:n])
		if n < len(whole)-1 && err == nil || err == nil && !got.Equal(key) {
			t.Errorf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
}

// keyFile returns a key and the bytes of its file.
func keyFile(t testing.TB) ([]byte, ed25519.PrivateKey) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.pem")
	key, err := NewKey(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b, key
}

func FuzzParseKey(f *testing.F) {
	whole, _ := keyFile(f)
	f.Add(whole)
	f.Add(append([]byte("a comment before it\n"), whole...))
	f.Add(whole[:len(whole)/2])
	f.Add(bytes.Replace(whole, []byte("PRIVATE"), []byte("PUBLIC"), 2))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: []byte{0x30, 0x80}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		key, err := parseKey(b)
		if err != nil {
			if key != nil {
				t.Fatal("an error and a key")
			}
			return
		}
		msg := []byte("signed")
		if len(key) != ed25519.PrivateKeySize || !ed25519.Verify(key.Public().(ed25519.PublicKey), msg, ed25519.Sign(key, msg)) {
			t.Fatalf("a key of %d bytes that does not sign", len(key))
		}
	})
}

func TestKeyAndPeerIDTurnIntoEachOther(t *testing.T) {
	key := newKey(t)
	pub := key.Public().(ed25519.PublicKey)
	id, err := PeerID(pub)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := PublicKey(id); err != nil || !back.Equal(pub) {
		t.Fatalf("public key of %s: %v", id, err)
	}
	lk, err := Libp2pKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if !id.MatchesPrivateKey(lk) {
		t.Fatal("the libp2p key is another one")
	}
	if _, err := PublicKey("nonsense"); err == nil {
		t.Fatal("nonsense is a peer id")
	}
	if _, err := Libp2pKey(key[:10]); err == nil {
		t.Fatal("10 bytes are a key")
	}
}
