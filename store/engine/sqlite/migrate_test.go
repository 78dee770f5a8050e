package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"neutrino/store/engine"
)

// keyFile makes a database of the format before: each statement is run on it.
func keyFile(t *testing.T, statements ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range append([]string{
		`CREATE TABLE kv (id INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB, dead INTEGER NOT NULL, lease INTEGER NOT NULL)`,
		`CREATE UNIQUE INDEX kv_key ON kv (key, id, dead)`,
		`CREATE INDEX kv_lease ON kv (lease) WHERE lease != 0`,
		`CREATE TABLE lease (id INTEGER PRIMARY KEY AUTOINCREMENT, ttl INTEGER NOT NULL)`,
		`CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL)`,
	}, statements...) {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return path
}

func listed(t *testing.T, e *Engine, at int64) string {
	t.Helper()
	kvs, _, err := e.Range(t.Context(), "/", at)
	if err != nil {
		t.Fatal(err)
	}
	out := ""
	for kv := range kvs.All() {
		out += fmt.Sprintf("%s=%.10s@%d ", kv.Key, kv.Value, kv.Mod)
	}
	return out
}

// A database of the format before is taken over with its revisions, its
// history and its leases, and stays so.
func TestTheFormatBeforeIsTakenOver(t *testing.T) {
	row := func(rev, seq int64, key, value string, dead, lease int) string {
		return fmt.Sprintf(`INSERT INTO kv VALUES (%d, '%s', %s, %d, %d)`, rev<<seqBits|seq, key, value, dead, lease)
	}
	long := "'" + strings.Repeat("x", 3*chunkSize) + "'"
	path := keyFile(t,
		`INSERT INTO meta VALUES ('compacted', 2), ('format', 1)`, `INSERT INTO lease VALUES (7, 3600000000000)`,
		row(1, 0, "/old", "'stays'", 0, 0),
		row(3, 0, "/a", "'1'", 0, 0), row(3, 1, "/long", long, 0, 0), row(3, 2, "/b", long, 0, 0), row(3, 3, "/leased", "'l'", 0, 7),
		row(4, 0, "/a", "'2'", 0, 0),
		row(5, 0, "/b", "NULL", 1, 0),
		row(6, 0, "/empty", "x''", 0, 0),
	)
	for range 2 {
		e, err := Open(t.Context(), Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		const now = "/a=2@4 /empty=@6 /leased=l@3 /long=xxxxxxxxxx@3 /old=stays@1 "
		if got := listed(t, e, 0); got != now {
			t.Errorf("the present: %s", got)
		}
		if got := listed(t, e, 3); got != "/a=1@3 /b=xxxxxxxxxx@3 /leased=l@3 /long=xxxxxxxxxx@3 /old=stays@1 " {
			t.Errorf("at revision 3: %s", got)
		}
		if _, _, err := e.Range(t.Context(), "/", 1); !errors.Is(err, engine.ErrCompacted) {
			t.Errorf("at a compacted revision: %v", err)
		}
		if rev, ok, err := e.Txn(t.Context(), []engine.Compare{
			{Test: engine.ModRevision, Key: "/a", Rev: 4}, {Test: engine.Absent, Key: "/b"}, {Test: engine.RangeBefore, Key: "/", Rev: 6},
		}, nil); err != nil || !ok || rev != 6 {
			t.Errorf("a condition on what was taken over: revision %d, %v, %v", rev, ok, err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	e := open(t, path)
	if err := e.Revoke(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	if got := listed(t, e, 0); strings.Contains(got, "/leased") {
		t.Errorf("the lease's key outlives it: %s", got)
	}
	if rev, err := put(t, e, "/next", 1); err != nil || rev != 8 {
		t.Errorf("the next revision is %d, %v", rev, err)
	}
}

func TestANewerFormatIsRefused(t *testing.T) {
	path := keyFile(t, `INSERT INTO meta VALUES ('compacted', 0), ('format', 5)`)
	if _, err := Open(t.Context(), Options{Path: path}); err == nil || !strings.Contains(err.Error(), "format 5, this program knows 4") {
		t.Errorf("opened: %v", err)
	}
}

// A revision of many changes is several chunks, of which compaction takes out
// what was replaced, and a new start finds the same.
func TestBigRevisionsAreCompactedInPieces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	e, err := Open(t.Context(), Options{Path: path, Keep: 10})
	if err != nil {
		t.Fatal(err)
	}
	var ops []engine.Op
	for i := range 500 {
		ops = append(ops, engine.Put(fmt.Sprintf("/many/%03d", i), make([]byte, 100)))
	}
	if _, _, err := e.Txn(t.Context(), nil, ops); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for i := range 500 {
		key := fmt.Sprintf("/many/%03d", i)
		switch i % 4 {
		case 0:
			_, _, err = e.Txn(t.Context(), nil, []engine.Op{engine.Delete(key)})
		case 1:
			_, err = put(t, e, key, 1)
		}
		if want[key] = i%4 != 0; err != nil {
			t.Fatal(err)
		}
	}
	for range 2 * compactStep {
		if _, err := put(t, e, "/other", 1); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string) {
		t.Helper()
		kvs, _, err := e.Range(t.Context(), "/many/", 0)
		if err != nil || kvs.Len() != 375 {
			t.Errorf("%s: %d keys, %v", when, kvs.Len(), err)
		}
		for kv := range kvs.All() {
			if !want[kv.Key] {
				t.Errorf("%s: %s is there", when, kv.Key)
			}
		}
	}
	check("after compaction")
	var changes int
	l, err := readLog(t.Context(), []*sql.Conn{e.conn}, e.history.newest(), nil)
	for _, p := range l.parts {
		for _, r := range p.refs {
			if strings.HasPrefix(l.key(r), "/many/") {
				changes++
			}
		}
	}
	if err != nil || changes != 375 {
		t.Errorf("%d changes remain in the log, %v", changes, err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = open(t, path)
	check("after a new start")
}
