// Package store is the station that keeps what the API was told: typed tables
// with indexes and O(1) snapshots in memory, optimistic transactions, and a
// watch by revision, on an engine that makes them durable. It knows the names
// and types of the tables and nothing of what a row means.
package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"neutrino"
	"neutrino/store/engine"
)

// Revision counts the committed transactions; each makes the next one.
type Revision = int64

// The attempts of a transaction. After so many lost races it runs alone in this
// process, so that it must win unless another process is faster each time.
const (
	sharedAttempts = 4
	maxAttempts    = 100
	maxJitter      = 2 * time.Millisecond
	everybody      = 1 << 30 // weight of a transaction that runs alone
)

// DB holds all tables in memory, as new as the engine's last answer.
type DB struct {
	engine       engine.Engine
	current      atomic.Pointer[Snapshot]
	scratch      *scratch            // of the goroutine that follows the engine
	turns        *semaphore.Weighted // fair: waiting for a turn alone holds later ones back
	reservations reservations
	admissions   admissions
	log          changeLog
	writes       writes

	stop   context.CancelFunc
	closed chan struct{} // when nothing is applied any more
}

// Open loads all rows from the engine and follows its changes until Close. The
// engine stays the caller's to close, after the DB.
func Open(ctx context.Context, e engine.Engine) (*DB, error) {
	snap, err := load(ctx, e)
	if err != nil {
		return nil, err
	}
	// The loop's life is the DB's, not that of the call that opened it.
	follow, stop := context.WithCancel(context.WithoutCancel(ctx))
	db := &DB{
		engine: e, scratch: newScratch(), turns: semaphore.NewWeighted(everybody),
		stop: stop, closed: make(chan struct{}),
	}
	db.log.init(snap.rev)
	db.current.Store(snap)
	go func() {
		defer close(db.closed)
		db.follow(follow)
	}()
	return db, nil
}

// Close stops following the engine and ends the watches. It does not close the
// engine.
func (db *DB) Close() error {
	db.stop()
	<-db.closed
	return nil
}

// Snapshot is the newest state that was applied: everything that an Update has
// answered is in it.
func (db *DB) Snapshot() *Snapshot { return db.current.Load() }

// Update runs f and commits what it wrote as one revision, if its conditions
// hold; if not, f runs again on a newer snapshot, so it must have no effects
// besides those on tx. It returns when the change is durable and in Snapshot.
// The error of f comes back as it is and nothing is written. Without writes the
// revision is the snapshot's. After many lost races, or when the engine cannot
// write, the error is a [neutrino.Error] of code Unavailable; when ctx ends
// during the commit it is unknown whether it was made.
func (db *DB) Update(ctx context.Context, f func(*Tx) error) (Revision, error) {
	for attempt := range maxAttempts {
		rev, ok, err := db.try(ctx, f, attempt)
		if err != nil || ok {
			return rev, err
		}
		if err := db.Wait(ctx, rev); err != nil {
			return 0, err
		}
		if attempt >= sharedAttempts {
			// Another process is in the way: get out of step with it.
			if err := pause(ctx, rand.N(maxJitter)); err != nil {
				return 0, err
			}
		}
	}
	return 0, neutrino.Errorf(neutrino.Unavailable, "ServiceUnavailable",
		"The request lost %d races with other requests, try again.", maxAttempts)
}

// try is one attempt. When it loses, rev is the revision that made it lose.
func (db *DB) try(ctx context.Context, f func(*Tx) error, attempt int) (Revision, bool, error) {
	weight := int64(1)
	if attempt >= sharedAttempts {
		weight = everybody
	}
	if err := db.turns.Acquire(ctx, weight); err != nil {
		return 0, false, fmt.Errorf("store: wait for a turn: %w", err)
	}
	defer db.turns.Release(weight)

	tx := newTx(db, db.Snapshot(), attempt)
	defer func() { db.reservations.remove(tx.reserved()) }()
	if err := f(tx); err != nil {
		return 0, false, err
	}
	charges := tx.charges()
	compares, ops, err := tx.commands()
	if err != nil {
		return 0, false, err
	}
	if len(ops) == 0 {
		return tx.snap.rev, true, nil
	}
	return db.commit(ctx, charges, compares, ops)
}

// commit writes what a transaction wants, if it may.
func (db *DB) commit(ctx context.Context, charges []charge, compares []engine.Compare, ops []engine.Op) (Revision, bool, error) {
	admitted, err := db.admit(ctx, charges)
	if err != nil {
		return 0, false, err
	}
	defer func() { db.admissions.remove(admitted, db.Snapshot().rev) }()
	commit := ctx
	if admitted != nil {
		// What was made must be known: it is counted.
		commit = context.WithoutCancel(ctx)
	}
	db.writes.begin()
	rev, ok, err := db.engine.Txn(commit, compares, ops)
	db.writes.end(err)
	if err != nil {
		return 0, false, unavailable(err)
	}
	if !ok {
		return rev, false, nil
	}
	db.admissions.committed(admitted, rev)
	return rev, true, db.Wait(ctx, rev)
}

// unavailable lets the API answer 503 while the log keeps the cause.
func unavailable(err error) error {
	if errors.Is(err, engine.ErrInvalid) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("store: commit: %w", err)
	}
	return fmt.Errorf("%w: %w", neutrino.Errorf(neutrino.Unavailable, "ServiceUnavailable",
		"The store cannot write now: %v.", err), err)
}

// Wait returns when Snapshot shows the revision or a newer one.
func (db *DB) Wait(ctx context.Context, rev Revision) error {
	for {
		changed := db.log.changed()
		if db.Snapshot().rev >= rev {
			return nil
		}
		select {
		case <-changed:
		case <-db.closed:
			return fmt.Errorf("store: wait for revision %d: %w", rev, engine.ErrClosed)
		case <-ctx.Done():
			return fmt.Errorf("store: wait for revision %d: %w", rev, ctx.Err())
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("store: retry: %w", ctx.Err())
	}
}

// reservations are the claims that transactions of this process are about to
// make, with the number of transactions that want each.
type reservations struct {
	mu   sync.Mutex
	keys map[string]int
}

func (r *reservations) add(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.keys == nil {
		r.keys = map[string]int{}
	}
	r.keys[key]++
}

func (r *reservations) tryAdd(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.keys == nil {
		r.keys = map[string]int{}
	}
	if r.keys[key] > 0 {
		return false
	}
	r.keys[key] = 1
	return true
}

func (r *reservations) remove(keys iter.Seq[string]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key := range keys {
		if r.keys[key]--; r.keys[key] <= 0 {
			delete(r.keys, key)
		}
	}
}
