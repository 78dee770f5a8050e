// Package storetest opens the station store for tests of the others.
package storetest

import (
	"context"
	"testing"

	"neutrino/store"
	"neutrino/store/engine/sqlite"
)

// Open is an empty store in memory, which ends with the test.
func Open(t testing.TB) *store.DB {
	t.Helper()
	return OpenAt(t, sqlite.Options{Path: sqlite.Memory})
}

// OpenAt is a store somewhere else, which ends with the test.
func OpenAt(t testing.TB, where sqlite.Options) *store.DB {
	t.Helper()
	e, err := sqlite.Open(context.Background(), where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	db, err := store.Open(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}
