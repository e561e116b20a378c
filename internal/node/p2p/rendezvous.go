package p2p

// This file answers: how is a stream announced in the DHT and kept there?

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/braidway/braidway/failover"
	"github.com/braidway/braidway/stream"
)

const (
	// renewEvery is the pace of renewals, jittered by a fifth: two may fail
	// before a provider record of providerLife is gone.
	renewEvery = 2 * time.Minute
	// announceTimeout bounds one attempt to announce. Nodes that do not answer
	// are waited for, those that do have it by then.
	announceTimeout = 20 * time.Second
	// checkTimeout bounds the look whether a better record is out.
	checkTimeout = 10 * time.Second
	// thin is the number of answering nodes below which an announcement is
	// repeated as soon as the routing table grows.
	thin = 4
	// thinPause is the least time between such repetitions.
	thinPause = time.Second
)

// Announcement is how far a record or provider announcement has come.
type Announcement struct {
	// Since is when it last went out; zero: not yet.
	Since time.Time
	// Nodes is how many DHT nodes answered then.
	Nodes int
	// Attempts counts all attempts.
	Attempts int
	// Err is why the last attempt failed; [ErrSuperseded] and [stream.ErrExpired]
	// need a new record.
	Err error
}

// Rendezvous announces streams and finds them, through a [DHT]. Announcing
// methods return at once and never wait for the network.
type Rendezvous struct {
	d      *DHT
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	closed bool
	live   map[announceKey]*announcer
}

type announceKey struct {
	id      stream.ID
	record  bool // false: provider
	blinded bool // the record is a private stream's
}

// announcer is one announcement with its own goroutine.
type announcer struct {
	key    announceKey
	raw    []byte // the record, when it is one
	cancel context.CancelFunc

	// Under Rendezvous.mu.
	status  Announcement
	changed chan struct{} // closed and replaced when status changes
}

// NewRendezvous returns a rendezvous over d. Close it before d.
func NewRendezvous(d *DHT) *Rendezvous {
	r := &Rendezvous{d: d, live: make(map[announceKey]*announcer)}
	r.ctx, r.cancel = context.WithCancel(d.ctx)
	return r
}

// Close ends all announcements. What was announced expires by itself.
func (r *Rendezvous) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.wg.Wait()
	return nil
}

// Publish puts the signed stream record raw into the DHT and renews it until
// ctx ends, it expires, or another one is published for the same stream. The
// error is about the record itself; how it goes is told by Status.
func (r *Rendezvous) Publish(ctx context.Context, raw []byte) error {
	rec, err := r.d.valid.parse(raw)
	if err != nil {
		return err
	}
	return r.announce(ctx, announceKey{id: rec.ID(), record: true}, append([]byte(nil), raw...))
}

// Provide announces this peer as one that has stream id, and renews that until
// ctx ends.
func (r *Rendezvous) Provide(ctx context.Context, id stream.ID) error {
	return r.announce(ctx, announceKey{id: id}, nil)
}

// announce starts an announcement, or gives a running one a new record and
// context.
func (r *Rendezvous) announce(ctx context.Context, key announceKey, raw []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.ctx.Err() != nil {
		return errClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	a := r.live[key]
	if a != nil {
		a.cancel()
	}
	next := &announcer{key: key, raw: raw, changed: make(chan struct{})}
	if a != nil {
		next.status.Attempts = a.status.Attempts
		close(a.changed)
	}
	own, cancel := context.WithCancel(r.ctx)
	detach := context.AfterFunc(ctx, cancel)
	next.cancel = cancel
	r.live[key] = next
	r.wg.Go(func() {
		defer detach()
		defer cancel()
		r.run(own, next)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.live[key] == next {
			delete(r.live, key)
			close(next.changed)
		}
	})
	return nil
}

// RecordStatus returns how far the record of stream id has come; false when
// none is being published.
func (r *Rendezvous) RecordStatus(id stream.ID) (Announcement, bool) {
	return r.status(announceKey{id: id, record: true})
}

// ProvideStatus returns how far the announcement as a provider has come.
func (r *Rendezvous) ProvideStatus(id stream.ID) (Announcement, bool) {
	return r.status(announceKey{id: id})
}

func (r *Rendezvous) status(key announceKey) (Announcement, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.live[key]
	if a == nil {
		return Announcement{}, false
	}
	return a.status, true
}

// WaitPublished waits until the record of stream id has gone out, its
// announcement has ended, or ctx ends. A superseded or expired record is an error.
func (r *Rendezvous) WaitPublished(ctx context.Context, id stream.ID) error {
	return r.wait(ctx, announceKey{id: id, record: true})
}

// WaitProvided waits until this peer is announced as a provider of stream id.
func (r *Rendezvous) WaitProvided(ctx context.Context, id stream.ID) error {
	return r.wait(ctx, announceKey{id: id})
}

func (r *Rendezvous) wait(ctx context.Context, key announceKey) error {
	for {
		r.mu.Lock()
		a := r.live[key]
		if a == nil {
			r.mu.Unlock()
			return fmt.Errorf("p2p: stream %s is not being announced", key.id)
		}
		status, changed := a.status, a.changed
		r.mu.Unlock()
		switch {
		case errors.Is(status.Err, ErrSuperseded) || errors.Is(status.Err, stream.ErrExpired):
			return status.Err
		case !status.Since.IsZero():
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("p2p: announcing stream %s: %w", key.id, ctx.Err()), status.Err)
		}
	}
}

// run owns all attempts of one announcement.
func (r *Rendezvous) run(ctx context.Context, a *announcer) {
	retry := failover.Backoff{Base: 250 * time.Millisecond, Cap: 10 * time.Second, Floor: 20 * time.Millisecond}
	rng := newRand()
	for {
		// Taken before the attempt: what comes while it runs is not missed.
		grown := r.d.whenGrown()
		nodes, err := r.attempt(ctx, a)
		if ctx.Err() != nil {
			return
		}
		var wait, pause time.Duration
		switch {
		case err == nil:
			retry.Reset()
			wait, pause = jitter(rng, renewEvery), thinPause
			if nodes >= thin {
				grown = nil
			}
		case errors.Is(err, stream.ErrExpired):
			// Nothing left to renew; Publish brings a new record.
			<-ctx.Done()
			return
		case errors.Is(err, ErrSuperseded):
			wait, grown = jitter(rng, renewEvery), nil
		default:
			wait, pause = retry.Next(rng), 50*time.Millisecond
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-grown:
			if !sleep(ctx, min(pause, wait)) {
				timer.Stop()
				return
			}
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// attempt announces once and records how it went. It returns the number of
// nodes that answered.
func (r *Rendezvous) attempt(ctx context.Context, a *announcer) (nodes int, err error) {
	if a.key.record {
		nodes, err = r.putRecord(ctx, a)
	} else {
		nodes, err = r.putProvider(ctx, a)
	}
	if ctx.Err() == nil && err != nil && !errors.Is(err, ErrNobody) {
		r.d.log.Warn("announcement failed", "stream", a.key.id, "record", a.key.record, "err", err)
	}
	return nodes, err
}

// note records an attempt's end; those who wait are told.
func (r *Rendezvous) note(a *announcer, nodes int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live[a.key] != a {
		return
	}
	a.status.Err = err
	if err == nil {
		a.status.Since, a.status.Nodes = r.d.valid.now(), nodes
	}
	close(a.changed)
	a.changed = make(chan struct{})
}

func (r *Rendezvous) count(a *announcer) {
	r.mu.Lock()
	a.status.Attempts++
	r.mu.Unlock()
}

func (r *Rendezvous) putRecord(ctx context.Context, a *announcer) (nodes int, err error) {
	r.count(a)
	defer func() { r.note(a, nodes, err) }()
	_, rec, err := r.d.valid.numbers(a.raw, a.key.blinded)
	if err != nil {
		return 0, err
	}
	key := RecordKey(a.key.id)
	if a.key.blinded {
		key = BlindRecordKey(a.key.id)
	}
	short, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	count := newNodeCount()
	q, stop := counted(short, count)
	putErr := r.d.kad.PutValue(q, key, a.raw)
	stop()
	_, nodes = count.get()
	if nodes == 0 && r.d.Size() == 0 {
		return 0, ErrNobody
	}
	if nodes > 0 && putErr == nil {
		r.note(a, nodes, nil) // it is out; what follows is only a check
	}
	// kad-dht does not say that nodes have refused the record for a better one.
	short, cancel = context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	best := stream.Record{}
	raw, err := r.findValue(short, key, newNodeCount())
	if err == nil {
		_, best, err = r.d.valid.numbers(raw, a.key.blinded)
	}
	switch {
	case err == nil && best.Better(rec):
		return nodes, ErrSuperseded
	case nodes == 0:
		return 0, errors.Join(ErrNobody, putErr)
	}
	return nodes, nil
}

func (r *Rendezvous) putProvider(ctx context.Context, a *announcer) (nodes int, err error) {
	r.count(a)
	defer func() { r.note(a, nodes, err) }()
	short, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	count := newNodeCount()
	q, stop := counted(short, count)
	err = r.d.kad.Provide(q, contentID(a.key.id), true)
	stop()
	if _, nodes = count.get(); nodes == 0 {
		return 0, errors.Join(ErrNobody, err)
	}
	return nodes, nil // those that did not answer are not waited for
}
