package store_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"neutrino"
	"neutrino/store"
	"neutrino/store/engine"
	"neutrino/store/engine/sqlite"
)

// ill is an engine that does what the test says instead of writing.
type ill struct {
	engine.Engine
	txn func(context.Context) error // nil writes
}

func (i *ill) Txn(ctx context.Context, compares []engine.Compare, then []engine.Op) (int64, bool, error) {
	if i.txn != nil {
		if err := i.txn(ctx); err != nil {
			return 0, false, err
		}
	}
	return i.Engine.Txn(ctx, compares, then)
}

func TestWritesSaysHowCommitsFare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner, err := sqlite.Open(t.Context(), sqlite.Options{Path: sqlite.Memory})
		if err != nil {
			t.Fatal(err)
		}
		e := &ill{Engine: inner}
		db, err := store.Open(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		defer inner.Close()
		defer db.Close()
		put := func(ctx context.Context) error {
			_, err := db.Update(ctx, func(tx *store.Tx) error {
				store.Put(tx, store.Networks, &neutrino.Network{ID: "n"})
				return nil
			})
			return err
		}
		if err := errors.Join(put(t.Context()), db.Probe(t.Context()), db.Check(t.Context())); err != nil {
			t.Fatal(err)
		}
		if w := db.Writes(); w.Committed != 2 || w.Failed != 0 || w.Error != nil || w.Last.IsZero() || w.Stuck != 0 {
			t.Errorf("after two writes: %+v", w)
		}
		e.txn = func(context.Context) error { return engine.ErrUnavailable }
		if put(t.Context()) == nil || db.Probe(t.Context()) == nil {
			t.Error("a failed write is not said")
		}
		if w := db.Writes(); w.Committed != 2 || w.Failed != 2 || !errors.Is(w.Error, engine.ErrUnavailable) {
			t.Errorf("after two failures: %+v", w)
		}
		e.txn = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		hanging := make(chan error, 1)
		go func() { hanging <- put(ctx) }()
		time.Sleep(10 * time.Second)
		if w := db.Writes(); w.Stuck != 10*time.Second || w.Failed != 2 {
			t.Errorf("a commit hangs: %+v", w)
		}
		if <-hanging; db.Writes().Failed != 2 {
			t.Error("that a client did not wait is held against the store")
		}
		short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := db.Probe(short); !errors.Is(err, context.DeadlineExceeded) || db.Writes().Failed != 3 {
			t.Errorf("a probe that took too long: %v, %+v", err, db.Writes())
		}
		e.txn = nil
		if err := put(t.Context()); err != nil || db.Writes().Error != nil || db.Writes().Stuck != 0 {
			t.Errorf("it works again: %v, %+v", err, db.Writes())
		}
	})
}
