package store_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"neutrino"
	"neutrino/store"
	"neutrino/store/engine"
	"neutrino/store/engine/sqlite"
)

// putPort makes a port of the project, of which there may be so many.
func putPort(ctx context.Context, db *store.DB, id, project string, most int) error {
	_, err := db.Update(ctx, func(tx *store.Tx) error {
		store.Put(tx, store.Ports, &neutrino.Port{ID: neutrino.ID(id), ProjectID: project})
		store.AtMost(tx, store.PortsByProject, project, most)
		return nil
	})
	return err
}

// refused reports whether the error is that of a limit; any other fails.
func refused(t *testing.T, err error) bool {
	t.Helper()
	over := (*store.LimitError)(nil)
	if err != nil && !errors.As(err, &over) {
		t.Error(err)
	}
	return over != nil
}

func ports(db *store.DB, project string) int {
	n := 0
	for range store.By(db.Snapshot(), store.PortsByProject, project) {
		n++
	}
	return n
}

func TestClientsThatRaceForTheLastPlacesGetExactlyThese(t *testing.T) {
	db := openDB(t, filepath.Join(t.TempDir(), "db"))
	for i := range 5 {
		if err := putPort(t.Context(), db, fmt.Sprint("old-", i), "a", 15); err != nil {
			t.Fatal(err)
		}
	}
	var made, over atomic.Int64
	var wg sync.WaitGroup
	for c := range 64 {
		wg.Go(func() {
			if refused(t, putPort(t.Context(), db, fmt.Sprint("new-", c), "a", 15)) {
				over.Add(1)
			} else {
				made.Add(1)
			}
		})
	}
	wg.Wait()
	if made.Load() != 10 || over.Load() != 54 || ports(db, "a") != 15 {
		t.Errorf("%d made, %d refused, %d there", made.Load(), over.Load(), ports(db, "a"))
	}
}

// Far from the limit nobody runs twice or waits: no row is written by all.
func TestALimitThatIsFarAwayHoldsNobodyUp(t *testing.T) {
	db := openDB(t, filepath.Join(t.TempDir(), "db"))
	var runs atomic.Int64
	var wg sync.WaitGroup
	for c := range 64 {
		wg.Go(func() {
			for i := range 10 {
				if _, err := db.Update(t.Context(), func(tx *store.Tx) error {
					runs.Add(1)
					store.Put(tx, store.Ports, &neutrino.Port{ID: neutrino.ID(fmt.Sprintf("%d-%d", c, i)), ProjectID: "a"})
					store.AtMost(tx, store.PortsByProject, "a", 10_000)
					return nil
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if runs.Load() != 640 || ports(db, "a") != 640 {
		t.Errorf("%d runs for %d ports", runs.Load(), ports(db, "a"))
	}
}

func TestAFullLimitIsNamedAndNothingIsWritten(t *testing.T) {
	db := openDB(t, sqlite.Memory)
	for i := range 2 {
		if err := putPort(t.Context(), db, fmt.Sprint(i), "a", 2); err != nil {
			t.Fatal(err)
		}
	}
	rev := db.Snapshot().Revision()
	_, err := db.Update(t.Context(), func(tx *store.Tx) error {
		store.Put(tx, store.Ports, &neutrino.Port{ID: "x", ProjectID: "a"})
		if store.AtMost(tx, store.PortsByProject, "a", 2) || !store.AtMost(tx, store.NetworksByProject, "a", 1) {
			t.Error("the snapshot has room where there is none, or none where there is")
		}
		if n := store.Count(tx, store.PortsByProject, "a"); n != 3 {
			t.Errorf("the transaction counts %d", n)
		}
		store.AtMost(tx, store.RoutersByProject, "a", -1) // even without a row of its own
		return nil
	})
	over := (*store.LimitError)(nil)
	if !errors.As(err, &over) || len(over.Exceeded) != 2 ||
		over.Exceeded[0] != (store.Limit{Index: "ports by project", Key: "a", Max: 2}) {
		t.Fatalf("%v", err)
	}
	if db.Snapshot().Revision() != rev {
		t.Error("the refused transaction wrote")
	}
	if err := putPort(t.Context(), db, "y", "b", 1); err != nil {
		t.Errorf("another project is held: %v", err)
	}
}

func TestAPlaceThatWasGivenBackCanBeTakenAtOnce(t *testing.T) {
	db := openDB(t, filepath.Join(t.TempDir(), "db"))
	const most, clients, rounds = 8, 8, 50
	var wg sync.WaitGroup
	for c := range clients { // each has one place: none may ever be refused
		wg.Go(func() {
			for i := range rounds {
				id := fmt.Sprintf("%d-%d", c, i)
				if refused(t, putPort(t.Context(), db, id, "a", most)) {
					t.Errorf("%s was refused", id)
				}
				if _, err := db.Update(t.Context(), func(tx *store.Tx) error {
					store.Delete(tx, store.Ports, neutrino.ID(id))
					return nil
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := store.Count(db.Snapshot(), store.PortsByProject, "a"); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// gate is an engine that holds transactions back until they may go on, or makes
// them lose.
type gate struct {
	engine.Engine
	entered chan struct{}
	open    chan bool // false: it loses
}

func (g *gate) Txn(ctx context.Context, ifs []engine.Compare, then []engine.Op) (int64, bool, error) {
	g.entered <- struct{}{}
	if !<-g.open {
		return 0, false, fmt.Errorf("disk: %w", engine.ErrUnavailable)
	}
	return g.Engine.Txn(ctx, ifs, then)
}

func openGate(t *testing.T) (*gate, *store.DB) {
	t.Helper()
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: sqlite.Memory})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	g := &gate{Engine: e, entered: make(chan struct{}), open: make(chan bool)}
	return g, follower(t, g)
}

// The last place is in flight: who wants it too waits, and gets it when the
// first one fails.
func TestNobodyIsRefusedForATransactionThatFails(t *testing.T) {
	for _, succeeds := range []bool{true, false} {
		g, db := openGate(t)
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- putPort(t.Context(), db, "1", "a", 1) }()
		<-g.entered
		go func() { second <- putPort(t.Context(), db, "2", "a", 1) }()
		select {
		case err := <-second:
			t.Fatalf("it was answered before the first: %v", err)
		case <-g.entered:
			t.Fatal("both are committed at once")
		case <-time.After(50 * time.Millisecond): // long enough for a defect to show
		}
		g.open <- succeeds
		if err := <-first; (err == nil) != succeeds {
			t.Fatalf("the first: %v", err)
		}
		if !succeeds {
			<-g.entered
			g.open <- true
		}
		if refused(t, <-second) != succeeds {
			t.Errorf("the first succeeded: %v, and the second was refused: %v", succeeds, !succeeds)
		}
	}
}

// A client that goes away during its commit leaves an object that counts.
func TestWhatWasCommittedForNobodyIsCounted(t *testing.T) {
	g, db := openGate(t)
	ctx, leave := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- putPort(ctx, db, "1", "a", 1) }()
	<-g.entered
	leave()
	go func() { second <- putPort(t.Context(), db, "2", "a", 1) }()
	g.open <- true
	<-first // whether it was told depends on who was faster
	select {
	case err := <-second:
		if !refused(t, err) || ports(db, "a") != 1 {
			t.Errorf("%d ports where one may be", ports(db, "a"))
		}
	case <-g.entered:
		t.Error("what the first client left is not counted, or not made")
		g.open <- true
		<-second
	}
}

// late is an engine that tells of its commits, and of the changes only when asked
// to.
type late struct {
	engine.Engine
	committed chan struct{}
	show      chan struct{} // closed: changes are shown
}

func (l *late) Txn(ctx context.Context, ifs []engine.Compare, then []engine.Op) (int64, bool, error) {
	rev, ok, err := l.Engine.Txn(ctx, ifs, then)
	l.committed <- struct{}{}
	return rev, ok, err
}

func (l *late) Watch(ctx context.Context, prefix string, from int64) iter.Seq2[[]engine.Batch, error] {
	return func(yield func([]engine.Batch, error) bool) {
		for b, err := range l.Engine.Watch(ctx, prefix, from) {
			select {
			case <-l.show:
			case <-ctx.Done():
			}
			if !yield(b, err) {
				return
			}
		}
	}
}

// A commit is counted before the snapshot shows it, also when nobody waits for
// that any more.
func TestWhatTheSnapshotDoesNotShowYetIsCounted(t *testing.T) {
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: sqlite.Memory})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	l := &late{Engine: e, committed: make(chan struct{}), show: make(chan struct{})}
	db := follower(t, l)
	ctx, leave := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- putPort(ctx, db, "1", "a", 1) }()
	<-l.committed
	leave()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	go func() { second <- putPort(t.Context(), db, "2", "a", 1) }()
	select {
	case <-l.committed:
		t.Error("the second is committed too")
	case <-time.After(50 * time.Millisecond): // long enough for a defect to show
	}
	close(l.show)
	if !refused(t, <-second) || ports(db, "a") != 1 {
		t.Errorf("%d ports where one may be", ports(db, "a"))
	}
}

// Two transactions that replace the same row do not both get its place.
func TestOnePlaceIsNotGivenTwice(t *testing.T) {
	db := openDB(t, sqlite.Memory)
	if err := putPort(t.Context(), db, "old", "a", 1); err != nil {
		t.Fatal(err)
	}
	runs := 0
	_, err := db.Update(t.Context(), func(tx *store.Tx) error {
		store.Delete(tx, store.Ports, "old")
		store.Put(tx, store.Ports, &neutrino.Port{ID: "mine", ProjectID: "a"})
		store.AtMost(tx, store.PortsByProject, "a", 1)
		if runs++; runs == 1 {
			update(t, db, func(tx *store.Tx) {
				store.Delete(tx, store.Ports, "old")
				store.Put(tx, store.Ports, &neutrino.Port{ID: "theirs", ProjectID: "a"})
				store.AtMost(tx, store.PortsByProject, "a", 1)
			})
		}
		return nil
	})
	if !refused(t, err) || ports(db, "a") != 1 {
		t.Errorf("%v: %d ports after %d runs", err, ports(db, "a"), runs)
	}
}

// A limit that is lowered while an object is made under the higher one: one of
// the two is refused.
func TestALowerLimitAndAnObjectUnderTheHigherOneExclude(t *testing.T) {
	g, db := openGate(t)
	made, lowered := make(chan error, 1), make(chan error, 1)
	go func() { made <- putPort(t.Context(), db, "1", "a", 5) }()
	<-g.entered
	go func() {
		_, err := db.Update(t.Context(), func(tx *store.Tx) error {
			tx.Claim("limit", "0")
			store.AtMost(tx, store.PortsByProject, "a", 0)
			return nil
		})
		lowered <- err
	}()
	g.open <- true
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	if !refused(t, <-lowered) {
		t.Error("the limit was lowered below what is there")
	}
}
