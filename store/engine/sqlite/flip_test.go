package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"neutrino/store/engine"
)

// Whatever happens to the bytes of a file on the disk, a start has the rows that
// were written, or refuses. With -short a sample is tried.
func TestNoDamageOfTheFileChangesRows(t *testing.T) {
	step := 61
	if testing.Short() {
		step = 401
	}
	t.Run("closed", func(t *testing.T) {
		path := written(t)
		tryDamages(t, crashed(t, path, "", ackedSuffix), "", step)
	})
	t.Run("write-ahead log", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "db")
		e := open(t, path)
		for i := range 4 {
			if _, err := put(t, e, fmt.Sprint("/", i), 30); err != nil {
				t.Fatal(err)
			}
		}
		tryDamages(t, crashed(t, path, "", walSuffix, ackedSuffix), walSuffix, step)
	})
}

// tryDamages damages one of a database's files in every way, each time anew.
func tryDamages(t *testing.T, path, suffix string, step int) {
	content := map[string][]byte{}
	for _, s := range []string{"", walSuffix, ackedSuffix} {
		if b, err := os.ReadFile(path + s); err == nil {
			content[s] = b
		}
	}
	whole := content[suffix]
	want, err := rowsOf(t, content)
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string, damaged []byte) {
		content[suffix] = damaged
		got, err := rowsOf(t, content)
		if err == nil && got != want {
			t.Errorf("%s: it was opened, with %.200s", what, got)
		}
	}
	for at := 0; at < len(whole); at += step {
		b := append([]byte(nil), whole...)
		b[at] ^= 1 << (at % 8)
		try(fmt.Sprintf("byte %d flipped", at), b)
	}
	for _, size := range []int{512, 4096} {
		for at := 0; at < len(whole); at += size {
			b := append([]byte(nil), whole...)
			clear(b[at:min(at+size, len(b))])
			try(fmt.Sprintf("%d bytes from %d on zeroed", size, at), b)
		}
	}
	for size := 0; size < len(whole); size += 16 * step {
		try(fmt.Sprintf("cut to %d bytes", size), whole[:size])
	}
}

func rowsOf(t *testing.T, content map[string][]byte) (string, error) {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "db")
	for suffix, b := range content {
		if err := os.WriteFile(path+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		return "", err
	}
	list, rev, err := e.Range(t.Context(), "", 0)
	out := fmt.Sprint(rev, ": ")
	for kv := range list.All() {
		out += fmt.Sprintf("%s=%s@%d ", kv.Key, kv.Value, kv.Mod)
	}
	if err := errors.Join(err, e.Close()); err != nil && !errors.Is(err, engine.ErrDamaged) {
		t.Logf("after the opening: %v", err)
	}
	return out, nil
}
