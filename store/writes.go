package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"neutrino/store/engine"
)

// probeKey is the engine's key that [DB.Probe] writes. It is no row.
const probeKey = "/p"

// Writes is how the commits of this process have fared.
type Writes struct {
	Committed int64 // commits that became durable
	Failed    int64 // commits that the engine could not make
	// Error is why the commit that ended last failed, nil when it did not.
	Error error
	// Last is when a commit last became durable; zero for never.
	Last time.Time
	// Stuck is for how long commits have waited without one that ended; 0 when
	// none waits.
	Stuck time.Duration
}

// writes watches the commits.
type writes struct {
	mu      sync.Mutex
	now     Writes
	waiting int
	since   time.Time // when one ended last, or the first began to wait
}

func (w *writes) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting++; w.waiting == 1 {
		w.since = time.Now()
	}
}

// end counts how a commit ended. That who asked for it is gone says nothing of
// the engine.
func (w *writes) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting--
	switch {
	case err == nil || errors.Is(err, engine.ErrInvalid):
		w.now.Committed++
		w.now.Error, w.now.Last, w.since = nil, time.Now(), time.Now()
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
	default:
		w.failed(err)
	}
}

func (w *writes) failed(err error) {
	w.now.Failed++
	w.now.Error, w.since = err, time.Now()
}

// Writes says how the commits of this process have fared so far.
func (db *DB) Writes() Writes {
	db.writes.mu.Lock()
	defer db.writes.mu.Unlock()
	out := db.writes.now
	if db.writes.waiting > 0 {
		out.Stuck = time.Since(db.writes.since)
	}
	return out
}

// Probe writes a key that means nothing, as durably as any change: the error says
// why the store cannot write. When ctx has a deadline and the write takes longer,
// that counts as a failure. It makes a revision.
func (db *DB) Probe(ctx context.Context) error {
	db.writes.begin()
	_, _, err := db.engine.Txn(ctx, nil, []engine.Op{engine.Put(probeKey, nil)})
	db.writes.end(err)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("store: write to the engine: %w", err)
	if errors.Is(err, context.DeadlineExceeded) {
		db.writes.mu.Lock()
		db.writes.failed(err)
		db.writes.mu.Unlock()
	}
	return err
}
