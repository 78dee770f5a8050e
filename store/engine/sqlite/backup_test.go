package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"neutrino/store/engine"
)

// A backup that is made while the store is written has everything that was
// acknowledged before it began, is whole, and is nobody else's to read.
func TestABackupBesideTheWriterIsWhole(t *testing.T) {
	e := open(t, filepath.Join(t.TempDir(), "db"))
	for i := range 300 {
		if _, err := put(t, e, fmt.Sprintf("/before/%03d", i), 3000); err != nil {
			t.Fatal(err)
		}
	}
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if _, _, err := e.Txn(t.Context(), nil, []engine.Op{engine.Put(fmt.Sprint("/while/", i), []byte("v"))}); err != nil {
				stopped <- err
				return
			}
		}
	}()
	to := filepath.Join(t.TempDir(), "backup")
	r, err := e.Backup(t.Context(), to)
	close(stop)
	if err := errors.Join(err, <-stopped); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(to)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if r.Revision < 300 || r.Keys < 300 || r.Path != to {
		t.Errorf("the report is %+v", r)
	}
	if _, err := e.Backup(t.Context(), to); !errors.Is(err, os.ErrExist) {
		t.Errorf("a backup was written over: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(to), ".neutrino*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	copied := open(t, to)
	if list, rev, err := copied.Range(t.Context(), "/before/", 0); err != nil || list.Len() != 300 || rev != r.Revision {
		t.Errorf("%d keys at revision %d, %v", list.Len(), rev, err)
	}
}

// A check says what is wrong with a file, and changes nothing of it.
func TestACheckNamesWhatIsWrong(t *testing.T) {
	path := written(t)
	if r, err := Check(t.Context(), path); err != nil || r.Revision != 20 {
		t.Fatalf("a whole file: %+v, %v", r, err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(before)
	bad[bytes.LastIndex(bad, []byte("/b/19"))] ^= 1
	for name, content := range map[string][]byte{"a flipped bit": bad, "half of it": before[:len(before)/2], "another file": []byte("#!/bin/sh\n")} {
		other := filepath.Join(t.TempDir(), "other")
		if err := os.WriteFile(other, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Check(t.Context(), other); !errors.Is(err, engine.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.ReadFile(other); err != nil || !bytes.Equal(after, content) {
			t.Errorf("%s: the check changed it, %v", name, err)
		}
	}
	if _, err := Check(t.Context(), filepath.Join(t.TempDir(), "nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	e := open(t, path)
	if _, err := Check(t.Context(), path); err == nil {
		t.Error("a file that a server has open was checked")
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}
