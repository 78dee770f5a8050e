package sqlite

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"neutrino/store/engine"
)

// written is a closed file with some revisions in it, of several chunks.
func written(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	e := open(t, path)
	for i := range 20 {
		ops := []engine.Op{engine.Put(fmt.Sprintf("/a/%02d", i), []byte(strings.Repeat("v", 600)))}
		if i > 0 {
			ops = append(ops, engine.Delete(fmt.Sprintf("/a/%02d", i-1)), engine.Put(fmt.Sprintf("/b/%02d", i), []byte("other")))
		}
		if _, _, err := e.Txn(t.Context(), nil, ops); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// tamper changes a closed database as somebody with a tool for SQLite would.
func tamper(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever is taken away, added or put elsewhere behind the engine's back, the file
// is refused: fewer or other rows are never served as if they were the truth.
func TestAFileThatIsNotWhatWasWrittenIsRefused(t *testing.T) {
	for name, statement := range map[string]string{
		"a chunk is missing":        `DELETE FROM log WHERE id = (SELECT id FROM log ORDER BY id LIMIT 1 OFFSET 7)`,
		"the last chunk is missing": `DELETE FROM log WHERE id = (SELECT max(id) FROM log)`,
		"a chunk has another place": `UPDATE log SET id = id + 1 WHERE id = (SELECT max(id) FROM log)`,
		"a chunk is another's":      `UPDATE log SET changes = (SELECT changes FROM log ORDER BY id LIMIT 1) WHERE id = (SELECT max(id) FROM log)`,
		"a chunk is longer":         `UPDATE log SET changes = changes || x'00' WHERE id = (SELECT max(id) FROM log)`,
		"a chunk is empty":          `UPDATE log SET changes = x'' WHERE id = (SELECT max(id) FROM log)`,
		"a lease that nobody made":  `INSERT INTO lease VALUES (7, 1000)`,
		"no head":                   `DELETE FROM meta WHERE name = 'head'`,
		"an empty head":             `UPDATE meta SET value = x'' WHERE name = 'head'`,
		"no format":                 `DELETE FROM meta WHERE name = 'format'`,
		"no log":                    `DROP TABLE log`,
	} {
		t.Run(name, func(t *testing.T) {
			path := written(t)
			tamper(t, path, statement)
			e, err := Open(t.Context(), Options{Path: path})
			if err == nil {
				e.Close()
				t.Fatal("it was opened")
			}
			if name != "no log" && !errors.Is(err, engine.ErrDamaged) {
				t.Errorf("it does not say that the file is damaged: %v", err)
			}
		})
	}
}

// scrubAll is a pass of the scrubber.
func scrubAll(e *Engine) error {
	for {
		if done, err := e.scrubSome(); done || err != nil {
			return err
		}
	}
}

// What is found damaged while it serves ends it: nothing is read or written any more,
// and it says what to do.
func TestDamageThatIsFoundLaterEndsServing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	e := open(t, path)
	for i := range 200 {
		if _, err := put(t, e, fmt.Sprintf("/a/%03d", i), 3000); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.conn.ExecContext(t.Context(), `PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
		t.Fatal(err)
	}
	if err := scrubAll(e); err != nil {
		t.Fatalf("nothing is damaged: %v", err)
	}
	flip(t, path, func(b []byte) int { return bytes.Index(b, []byte("/a/123")) })
	err := e.noticed(scrubAll(e))
	if !errors.Is(err, engine.ErrDamaged) || !strings.Contains(err.Error(), "revision 124") {
		t.Fatalf("the scrubber finds %v", err)
	}
	_, _, read := e.Range(t.Context(), "/a/003", 0)
	_, write := put(t, e, "/c", 3)
	var watched error
	for _, err := range e.Watch(t.Context(), "/", 201) {
		watched = err
	}
	for what, err := range map[string]error{"read": read, "write": write, "health": e.Health(), "watch": watched} {
		if !errors.Is(err, engine.ErrDamaged) || !strings.Contains(err.Error(), "neutrino restore FILE") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// flip changes a bit of a file in place.
func flip(t *testing.T, path string, find func([]byte) int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := find(b)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte{b[at] ^ 1}, int64(at))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// The scrubber's sum follows what compaction changes behind it.
func TestTheScrubberGoesOnBesideCompaction(t *testing.T) {
	e, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "db"), Keep: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	passes := 0
	for i := range 4 * compactStep {
		if _, err := put(t, e, fmt.Sprint("/", i%100), 20); err != nil {
			t.Fatal(err)
		}
		done, err := e.scrubSome()
		if err != nil {
			t.Fatalf("after %d changes: %v", i, err)
		}
		if done {
			passes++
		}
	}
	if passes == 0 || e.history.compactedTo() == 0 {
		t.Errorf("%d passes, compacted to %d", passes, e.history.compactedTo())
	}
}

// crashed is a copy of all files of an open database, as a crash leaves them.
func crashed(t *testing.T, path string, suffixes ...string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "db")
	for _, suffix := range suffixes {
		b, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// A copy of an open file, whatever is missing of it, is refused, and the file after
// a crash opens.
func TestACopyOfAnOpenFileIsRefusedAndACrashIsNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	e := open(t, path)
	for i := range 5 {
		if _, err := put(t, e, fmt.Sprint("/", i), 3); err != nil {
			t.Fatal(err)
		}
	}
	for what, suffixes := range map[string][]string{
		"alone":                        {""},
		"without what is acknowledged": {"", walSuffix},
		"without the write-ahead log":  {"", ackedSuffix},
	} {
		to := crashed(t, path, suffixes...)
		for range 2 { // and the refusal changes nothing
			c, err := Open(t.Context(), Options{Path: to})
			if !errors.Is(err, engine.ErrDamaged) || !strings.Contains(err.Error(), "neutrino") {
				t.Errorf("%s: %v", what, err)
			}
			if err == nil {
				c.Close()
			}
		}
	}
	to := crashed(t, path, "", walSuffix, ackedSuffix)
	for range 2 {
		c, err := Open(t.Context(), Options{Path: to})
		if err != nil {
			t.Fatalf("after a crash: %v", err)
		}
		if got := listed(t, c, 0); strings.Count(got, "@") != 5 {
			t.Errorf("after a crash: %s", got)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A frame of the write-ahead log that is not what was written is damage when
// commits follow it; at its end, it is a commit that a crash cut off.
func TestDamageInTheMiddleOfTheWriteAheadLogIsSeen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	e := open(t, path)
	for i := range 20 {
		if _, err := put(t, e, fmt.Sprint("/", i), 3); err != nil {
			t.Fatal(err)
		}
	}
	wal, err := os.ReadFile(path + walSuffix)
	if err != nil {
		t.Fatal(err)
	}
	check := func(b []byte) error {
		t.Helper()
		name := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(name+walSuffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return checkWAL(name)
	}
	if err := check(wal); err != nil {
		t.Fatalf("without damage: %v", err)
	}
	for _, at := range []int{0, 9, 25, walHeader + 1, walHeader + 9, walHeader + 17, walHeader + frameHeader + 100, len(wal) / 2} {
		bad := append([]byte(nil), wal...)
		bad[at] ^= 1
		if err := check(bad); !errors.Is(err, engine.ErrDamaged) {
			t.Errorf("byte %d: %v", at, err)
		}
	}
	for _, cut := range []int{0, walHeader - 1, walHeader, len(wal) - 1, len(wal) - 3000} {
		if err := check(wal[:cut]); err != nil {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
}
