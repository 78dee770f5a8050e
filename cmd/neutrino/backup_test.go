package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"neutrino/store/engine"
	"neutrino/store/engine/sqlite"
	"neutrino/store/identity"
)

// keyCount is how many keys of the test a database has.
func keyCount(t *testing.T, d database) int {
	t.Helper()
	e, _, err := d.admit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	list, _, err := e.Range(t.Context(), "/t/", 0)
	if err != nil {
		t.Fatal(err)
	}
	return list.Len()
}

func write(t *testing.T, e *sqlite.Engine, key string) {
	t.Helper()
	if _, _, err := e.Txn(t.Context(), nil, []engine.Op{engine.Put("/t/"+key, []byte("v"))}); err != nil {
		t.Fatal(err)
	}
}

// An operator makes a backup while the server runs, loses the database, and restores
// it: the server starts on what the backup has, in a life that follows the lost one, and
// the database of before is kept.
func TestABackupIsRestored(t *testing.T) {
	dir := t.TempDir()
	d := database{file: filepath.Join(dir, "neutron.sqlite"), trace: filepath.Join(dir, identity.TraceName)}
	e, first, err := d.admit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	if err := d.serveBackups(ctx, e); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(d.control()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info, err)
	}
	write(t, e, "a")
	backup := filepath.Join(dir, "backup")
	if _, err := d.backUp(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	if _, err := d.backUp(t.Context(), backup); err == nil {
		t.Error("a backup was written over")
	}
	if _, err := d.restore(t.Context(), backup); err == nil {
		t.Error("the database of a server that runs was replaced")
	}
	write(t, e, "made-since")
	stop()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	aside, err := d.restore(t.Context(), backup)
	if err != nil {
		t.Fatal(err)
	}
	if n := keyCount(t, d); n != 1 {
		t.Errorf("%d keys are restored, want 1", n)
	}
	if n := keyCount(t, database{aside, filepath.Join(t.TempDir(), identity.TraceName)}); n != 2 {
		t.Errorf("%d keys are in the database of before, want 2", n)
	}
	now, err := identity.ReadTrace(t.Context(), d.trace)
	if err != nil || now.Cluster != first.Cluster || now.Life == first.Life {
		t.Errorf("the trace is %+v, was %+v, %v", now, first, err)
	}
	if left, _ := filepath.Glob(d.file + ".restore-*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A damaged backup changes nothing.
func TestADamagedBackupIsNotRestored(t *testing.T) {
	dir := t.TempDir()
	d := database{file: filepath.Join(dir, "neutron.sqlite"), trace: filepath.Join(dir, identity.TraceName)}
	e, _, err := d.admit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	write(t, e, "a")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(dir, "backup")
	if _, err := d.backUp(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(backup, 4096); err != nil {
		t.Fatal(err)
	}
	if _, err := d.restore(t.Context(), backup); err == nil {
		t.Error("it was restored")
	}
	if n := keyCount(t, d); n != 1 {
		t.Errorf("%d keys, want 1", n)
	}
}
