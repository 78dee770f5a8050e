package sqlite

import (
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

// One that is found damaged while it serves answers nothing more.
func TestDamageThatIsFoundLaterEndsServing(t *testing.T) {
	path := written(t)
	e := open(t, path)
	tamper(t, path, `UPDATE log SET changes = x'00' WHERE id = (SELECT id FROM log ORDER BY id LIMIT 1 OFFSET 7)`)
	if err := e.scrubOnce(t.Context()); !errors.Is(err, engine.ErrDamaged) {
		t.Fatalf("the scrubber finds %v", err)
	} else {
		e.damaged(err)
	}
	if _, _, err := e.Range(t.Context(), "/b/03", 0); !errors.Is(err, engine.ErrDamaged) {
		// What was read at the start is right, and may still be taken once.
		if _, _, err := e.Range(t.Context(), "/b/03", 0); !errors.Is(err, engine.ErrDamaged) {
			t.Errorf("it is read: %v", err)
		}
	}
	if _, err := put(t, e, "/c", 3); !errors.Is(err, engine.ErrDamaged) {
		t.Errorf("it is written: %v", err)
	}
}

// A copy of an open file lacks what only its write-ahead log has: it is refused.
// The file itself opens after a crash, with its log and, if somebody's tool has
// put the log into the file, without it.
func TestACopyOfAnOpenFileIsRefusedAndACrashIsNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	e := open(t, path)
	for i := range 5 {
		if _, err := put(t, e, fmt.Sprint("/", i), 3); err != nil {
			t.Fatal(err)
		}
	}
	crashed := filepath.Join(t.TempDir(), "crashed")
	for _, suffix := range []string{"", walSuffix} {
		b, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(crashed+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	copied := filepath.Join(t.TempDir(), "copy")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := Open(t.Context(), Options{Path: copied}); !errors.Is(err, engine.ErrDamaged) || !strings.Contains(err.Error(), "neutrino backup") {
		t.Errorf("the copy: %v", err)
		if err == nil {
			c.Close()
		}
	}
	c, err := Open(t.Context(), Options{Path: crashed})
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
