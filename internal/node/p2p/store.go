package p2p

// This file answers: how much may others make a DHT node keep?

import (
	"context"
	"errors"
	"sync"

	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
)

const (
	// maxStoredRecords bounds the stream records that a node keeps for others:
	// at about 1 kB each, at most 5, some 10 MB. Guess: a node is among the 20
	// nearest of 8192 live streams when 400 nodes carry 160,000.
	maxStoredRecords = 8192
	// maxStoredProviders bounds the provider records: at about 150 bytes, 20 MB.
	maxStoredProviders = 1 << 17
)

var errStoreFull = errors.New("p2p: this DHT node keeps as much as it may")

// store is a map in memory that refuses new keys when it is full. Refusing, not
// evicting: a flood must not push out what is there. Entries leave by expiry.
type store struct {
	mu  sync.RWMutex
	m   *ds.MapDatastore
	n   int
	max int
}

var _ ds.Batching = (*store)(nil)

func newStore(max int) *store { return &store{m: ds.NewMapDatastore(), max: max} }

// Put implements ds.Write.
func (s *store) Put(ctx context.Context, key ds.Key, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	have, err := s.m.Has(ctx, key)
	if err != nil {
		return err
	}
	if !have {
		if s.n >= s.max {
			return errStoreFull
		}
		s.n++
	}
	return s.m.Put(ctx, key, value)
}

// Delete implements ds.Write.
func (s *store) Delete(ctx context.Context, key ds.Key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	have, err := s.m.Has(ctx, key)
	if err != nil || !have {
		return err
	}
	s.n--
	return s.m.Delete(ctx, key)
}

// Get implements ds.Read.
func (s *store) Get(ctx context.Context, key ds.Key) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m.Get(ctx, key)
}

// Has implements ds.Read.
func (s *store) Has(ctx context.Context, key ds.Key) (bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m.Has(ctx, key)
}

// GetSize implements ds.Read.
func (s *store) GetSize(ctx context.Context, key ds.Key) (int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m.GetSize(ctx, key)
}

// Query implements ds.Read.
func (s *store) Query(ctx context.Context, q query.Query) (query.Results, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m.Query(ctx, q) // copies what it finds
}

// Sync implements ds.Datastore.
func (s *store) Sync(context.Context, ds.Key) error { return nil }

// Batch implements ds.Batching. A batch goes as far as there is room.
func (s *store) Batch(context.Context) (ds.Batch, error) { return ds.NewBasicBatch(s), nil }

// Close implements ds.Datastore.
func (s *store) Close() error { return nil }
