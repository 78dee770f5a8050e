package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"neutrino"
	"neutrino/store"
	"neutrino/store/engine"
	"neutrino/store/engine/sqlite"
)

// tell is a batch in words: "3: networks aaaaaaaa a→b".
func tell(b store.Batch) string {
	out := fmt.Sprint(b.Revision, ":")
	name := func(v any) string {
		if n, ok := v.(*neutrino.Network); ok {
			return n.Name
		}
		return fmt.Sprint(v)
	}
	for _, c := range b.Changes {
		out += fmt.Sprintf(" %s %.8s %s→%s", c.Table, c.ID, name(c.Old), name(c.New))
	}
	return out
}

func TestAWatchTellsEveryRevisionInOrder(t *testing.T) {
	db := openDB(t, sqlite.Memory)
	begin := db.Snapshot().Revision() + 1
	putNetwork(t, db, netA, "a")
	update(t, db, func(tx *store.Tx) {
		store.Put(tx, store.Networks, &neutrino.Network{ID: netB, Name: "b"})
		store.Put(tx, store.Networks, &neutrino.Network{ID: netA, Name: "A"})
		tx.Claim("k", "o")
	})
	update(t, db, func(tx *store.Tx) { tx.Release("k") })
	go func() {
		if _, err := db.Update(t.Context(), func(tx *store.Tx) error { store.Delete(tx, store.Networks, netA); return nil }); err != nil {
			t.Error(err)
		}
	}()
	want := []string{
		"1: networks aaaaaaaa <nil>→a",
		"2: networks bbbbbbbb <nil>→b networks aaaaaaaa a→A",
		"3:",
		"4: networks aaaaaaaa A→<nil>",
	}
	for _, from := range []store.Revision{begin, 3} {
		next := from
		for b, err := range db.Watch(t.Context(), from) {
			if err != nil {
				t.Fatal(err)
			}
			if got := tell(b); b.Revision != next || got != want[next-1] {
				t.Errorf("got  %s\nwant %s", got, want[next-1])
			}
			if at := db.Snapshot().Revision(); at < b.Revision {
				t.Errorf("revision %d is told before it can be seen, at %d", b.Revision, at)
			}
			if next++; next > 4 {
				break
			}
		}
	}
}

func TestASlowWatcherHoldsNobodyUpAndIsToldToListAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: -short: it writes ten thousand revisions")
	}
	db := openDB(t, sqlite.Memory)
	putNetwork(t, db, netA, "a")
	var err error
	for b, e := range db.Watch(t.Context(), 1) {
		if err = e; err != nil {
			break
		}
		if b.Revision == 1 {
			// While this reader sleeps, the store goes on for longer than it keeps.
			for i := range 20_000 {
				update(t, db, func(tx *store.Tx) { tx.Claim(fmt.Sprint(i), "o") })
			}
		}
	}
	if !errors.Is(err, store.ErrListAgain) {
		t.Fatalf("error %v", err)
	}
	s := db.Snapshot()
	rev := putNetwork(t, db, netB, "b")
	for b, err := range db.Watch(t.Context(), s.Revision()+1) {
		if err != nil || b.Revision != rev {
			t.Errorf("after listing again: %v %v", b, err)
		}
		break
	}
}

func TestAWatchEndsWithItsContextAndWithTheStore(t *testing.T) {
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: sqlite.Memory})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	db, err := store.Open(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 3)
	watch := func(ctx context.Context) {
		for _, err := range db.Watch(ctx, 1) {
			ended <- err
		}
	}
	go watch(ctx)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	go watch(t.Context())
	go func() { ended <- db.Wait(t.Context(), 100) }()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := <-ended; !errors.Is(err, engine.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	}
}
