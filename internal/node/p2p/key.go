package p2p

// This file answers: where does a peer's identity live on disk, and how does
// it turn into a libp2p key and a peer id?

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	// keyMode is the mode of a new key file.
	keyMode fs.FileMode = 0o600
	// keyLoose are the bits that a key file must not have: anything for group or others.
	keyLoose fs.FileMode = 0o077
	// maxKeyFile is the most bytes of a key file: one PEM block has 119, the
	// rest is room for text around it.
	maxKeyFile = 8 << 10
	// keyBlock is the PEM type of PKCS #8, as written by "openssl genpkey".
	keyBlock = "PRIVATE KEY"
)

// KeyPermissionError says that others than its owner may use a key file.
type KeyPermissionError struct {
	File string
	Mode fs.FileMode
}

// Error names the command that repairs it.
func (e *KeyPermissionError) Error() string {
	return fmt.Sprintf("p2p: key file %s has mode %04o, so others on this machine can use it: run chmod 600 %s",
		e.File, e.Mode.Perm(), e.File)
}

// KeyFileError says that a key file cannot be read, written or understood.
type KeyFileError struct {
	File string
	// Fix is what the user can do.
	Fix string
	Err error
}

// Error names the file, the cause and the fix.
func (e *KeyFileError) Error() string {
	return fmt.Sprintf("p2p: key file %s: %v: %s", e.File, e.Err, e.Fix)
}

// Unwrap returns the cause, so that errors.Is(err, fs.ErrExist) and the like work.
func (e *KeyFileError) Unwrap() error { return e.Err }

// LoadOrCreateKey reads the ed25519 key in path, or makes one there when the
// file does not exist. It never changes an existing file. The file is PKCS #8
// in PEM with mode 0600. Errors are a *[KeyPermissionError] or a *[KeyFileError].
func LoadOrCreateKey(path string) (key ed25519.PrivateKey, created bool, err error) {
	key, err = LoadKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, false, err
	}
	key, err = NewKey(path)
	if errors.Is(err, fs.ErrExist) { // another process made it in between
		key, err = LoadKey(path)
		return key, false, err
	}
	return key, err == nil, err
}

// LoadKey reads the ed25519 key in path. Errors are a *[KeyPermissionError] or
// a *[KeyFileError]; a missing file is fs.ErrNotExist.
func LoadKey(path string) (ed25519.PrivateKey, error) {
	fail := func(err error, fix string) (ed25519.PrivateKey, error) {
		return nil, &KeyFileError{File: path, Fix: fix, Err: err}
	}
	// Look before opening: opening a named pipe would wait for its writer.
	info, err := os.Stat(path)
	if err != nil {
		return fail(reason(err), "name a readable key file, or one that does not exist yet")
	}
	if !info.Mode().IsRegular() {
		return fail(errors.New("not a regular file"), "name a key file, or one that does not exist yet")
	}
	f, err := os.Open(path)
	if err != nil {
		return fail(reason(err), "make it readable for the user that runs this program")
	}
	defer func() { _ = f.Close() }()
	if info, err = f.Stat(); err != nil {
		return fail(reason(err), "make it readable for the user that runs this program")
	}
	if info.Mode().Perm()&keyLoose != 0 && runtime.GOOS != "windows" {
		return nil, &KeyPermissionError{File: path, Mode: info.Mode()}
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return fail(reason(err), "make it readable for the user that runs this program")
	}
	key, err := parseKey(b)
	if err != nil {
		return fail(err, "restore it from a backup, or move it away to get a new identity")
	}
	return key, nil
}

// NewKey makes a key and writes it to path, which must not exist: then the
// error is fs.ErrExist. Missing folders are made with mode 0700. The file
// appears complete or not at all.
func NewKey(path string) (ed25519.PrivateKey, error) {
	fail := func(err error, fix string) (ed25519.PrivateKey, error) {
		return nil, &KeyFileError{File: path, Fix: fix, Err: err}
	}
	if _, err := os.Lstat(path); err == nil {
		return fail(fs.ErrExist, "keys are never overwritten; name another file, or move this one away")
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fail(err, "try again")
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fail(err, "try again")
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(reason(err), "name a file in a folder that this user may write to")
	}
	if err := writeOnce(dir, path, pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der})); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fail(fs.ErrExist, "keys are never overwritten; name another file, or move this one away")
		}
		return fail(reason(err), "name a file in a folder that this user may write to")
	}
	return key, nil
}

// writeOnce writes b beside path and links it to path: a link fails when path
// exists, a rename would replace it.
func writeOnce(dir, path string, b []byte) error {
	tmp, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	if _, err = tmp.Write(b); err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	err = os.Link(tmp.Name(), path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	// A file system without links: create it exclusively instead.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, keyMode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err != nil {
		err = errors.Join(err, os.Remove(path)) // half a key is no key
	}
	return err
}

func parseKey(b []byte) (ed25519.PrivateKey, error) {
	if len(b) == 0 {
		return nil, errors.New("the file is empty")
	}
	if len(b) > maxKeyFile {
		return nil, fmt.Errorf("more than %d bytes, no key is that long", maxKeyFile)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, errors.New("no complete PEM block in it")
	}
	if block.Type != keyBlock {
		return nil, fmt.Errorf("a PEM block %q, wanted is %q", block.Type, keyBlock)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("not a PKCS #8 key: %w", err)
	}
	key, ok := k.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a %T, wanted is an ed25519 key", k)
	}
	return key, nil
}

// reason strips the operation and the path from an error of package os; the
// message names the path already.
func reason(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// Libp2pKey returns key as libp2p's type.
func Libp2pKey(key ed25519.PrivateKey) (crypto.PrivKey, error) {
	k, err := crypto.UnmarshalEd25519PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("p2p: ed25519 key of %d bytes: %w", len(key), err)
	}
	return k, nil
}

// PeerID returns the id of the peer whose public key is pub.
func PeerID(pub ed25519.PublicKey) (peer.ID, error) {
	k, err := crypto.UnmarshalEd25519PublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("p2p: ed25519 public key of %d bytes: %w", len(pub), err)
	}
	return peer.IDFromPublicKey(k)
}

// PublicKey returns the ed25519 public key inside a peer id. Ids of other kinds
// of keys are refused: Braidway's peers have ed25519 keys only.
func PublicKey(id peer.ID) (ed25519.PublicKey, error) {
	k, err := id.ExtractPublicKey()
	if err != nil {
		return nil, fmt.Errorf("p2p: peer id %s: %w", id, err)
	}
	if k.Type() != crypto.Ed25519 {
		return nil, fmt.Errorf("p2p: peer id %s is of a %s key, wanted is ed25519", id, k.Type())
	}
	raw, err := k.Raw()
	if err != nil {
		return nil, fmt.Errorf("p2p: peer id %s: %w", id, err)
	}
	return ed25519.PublicKey(raw), nil
}
