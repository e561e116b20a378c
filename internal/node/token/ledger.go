package token

// This file answers: which tokens were issued, and which of them are revoked?

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/braidway/braidway/stream"
)

const (
	// ledgerMode is the mode of a ledger: it names an audience.
	ledgerMode fs.FileMode = 0o600
	// maxLedger bounds the file: 65,536 tokens of some streams at 300 bytes a line.
	maxLedger = 64 << 20
	// maxLabel bounds a label.
	maxLabel = 128
)

// Entry is one line of a ledger. The last line of a token counts.
type Entry struct {
	Stream  stream.ID `json:"stream"`
	Number  uint16    `json:"number"`
	Peer    peer.ID   `json:"-"`
	PeerID  string    `json:"peer,omitempty"` // empty: whoever has it
	Rights  string    `json:"rights"`
	Label   string    `json:"label,omitempty"` // what its owner calls it
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
	Revoked time.Time `json:"revoked,omitzero"`
}

// Ledger is the file of a stream key's tokens, one JSON object a line; lines are
// only ever added. It holds no secret, but who the audience is.
type Ledger struct{ File string }

// Read returns the tokens of a stream by number; a file that does not exist has none.
func (l Ledger) Read(id stream.ID) ([]Entry, error) {
	info, err := os.Stat(l.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	if info.Size() > maxLedger {
		return nil, fmt.Errorf("ledger %s has %d bytes, allowed are %d", l.File, info.Size(), maxLedger)
	}
	b, err := os.ReadFile(l.File)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	all := make(map[uint16]Entry)
	scan, line := bufio.NewScanner(bytes.NewReader(b)), 0
	for scan.Scan() {
		line++
		if len(bytes.TrimSpace(scan.Bytes())) == 0 {
			continue
		}
		var e Entry
		if err := json.Unmarshal(scan.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("ledger %s, line %d: %w; mend the line, or restore the file", l.File, line, err)
		}
		if e.Stream != id {
			continue
		}
		if e.PeerID != "" {
			if e.Peer, err = peer.Decode(e.PeerID); err != nil {
				return nil, fmt.Errorf("ledger %s, line %d: peer: %w", l.File, line, err)
			}
		}
		all[e.Number] = e
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("ledger %s: %w", l.File, err)
	}
	list := make([]Entry, 0, len(all))
	for _, e := range all {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Entry) int { return int(a.Number) - int(b.Number) })
	return list, nil
}

// Add gives the token the next number, and appends it. Two processes that add at
// once get different numbers: the file is locked for that.
func (l Ledger) Add(t Token, label string) (Token, error) {
	if len(label) > maxLabel {
		return t, fmt.Errorf("ledger: label of %d bytes, allowed are %d", len(label), maxLabel)
	}
	err := l.locked(func() error {
		list, err := l.Read(t.Stream)
		if err != nil {
			return err
		}
		next := 1 // 0 is the publisher's own
		if len(list) > 0 {
			next = int(list[len(list)-1].Number) + 1
		}
		if next >= stream.MaxTokens {
			return fmt.Errorf("ledger %s: all %d tokens of the stream were issued; publish it under another name", l.File, stream.MaxTokens-1)
		}
		t.Number = uint16(next)
		e := Entry{Stream: t.Stream, Number: t.Number, Rights: t.Rights.String(), Label: label, Issued: t.Issued, Expires: t.Expires}
		if t.Peer != "" {
			e.PeerID = t.Peer.String()
		}
		return l.append(e)
	})
	return t, err
}

// Revoke marks tokens of a stream as revoked at now.
func (l Ledger) Revoke(id stream.ID, numbers []uint16, now time.Time) error {
	return l.locked(func() error {
		list, err := l.Read(id)
		if err != nil {
			return err
		}
		var add []Entry
		for _, n := range numbers {
			at := slices.IndexFunc(list, func(e Entry) bool { return e.Number == n })
			if at < 0 {
				return fmt.Errorf("ledger %s has no token %d of stream %v; peer token show lists them", l.File, n, id)
			}
			if e := &list[at]; e.Revoked.IsZero() {
				e.Revoked = now.UTC().Truncate(time.Second)
				add = append(add, *e)
			}
		}
		if n := len(Revoked(list, now)); n > stream.MaxRevoked {
			return fmt.Errorf("%d revoked tokens that have not expired, allowed are %d: publish the stream under another name", n, stream.MaxRevoked)
		}
		return l.append(add...)
	})
}

// Revoked returns the numbers of the tokens that are revoked and have not expired.
func Revoked(list []Entry, now time.Time) (numbers []uint16) {
	for _, e := range list {
		if !e.Revoked.IsZero() && now.Before(e.Expires.Add(2*Skew)) {
			numbers = append(numbers, e.Number)
		}
	}
	return numbers
}

func (l Ledger) append(entries ...Entry) error {
	var b []byte
	for _, e := range entries {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		b = append(append(b, line...), '\n')
	}
	f, err := os.OpenFile(l.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, ledgerMode)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// locked runs fn while no other process does. The lock is a file beside the
// ledger; one that was left behind is taken after lockOld.
func (l Ledger) locked(fn func() error) error {
	const lockOld, lockWait = 30 * time.Second, 5 * time.Second
	if err := os.MkdirAll(filepath.Dir(l.File), 0o700); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	name := l.File + ".lock"
	for end := time.Now().Add(lockWait); ; time.Sleep(20 * time.Millisecond) {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, ledgerMode)
		if err == nil {
			_ = f.Close()
			break
		}
		if !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("ledger: %w", err)
		}
		if info, err := os.Stat(name); err == nil && time.Since(info.ModTime()) > lockOld {
			_ = os.Remove(name)
			continue
		}
		if time.Now().After(end) {
			return fmt.Errorf("ledger %s is in use by another process: remove %s if there is none", l.File, name)
		}
	}
	defer func() { _ = os.Remove(name) }()
	return fn()
}
