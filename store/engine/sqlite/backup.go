package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	moderncsqlite "modernc.org/sqlite"
)

// backupPages is how many pages are copied between two commits.
const backupPages = 256

// Backup copies the store into a new file, between commits, so that a server can go
// on. The copy is read and compared before it has its name; it is its owner's only. An
// existing file is an error.
func (e *Engine) Backup(ctx context.Context, to string) (Report, error) {
	r, err := e.backup(ctx, to)
	if err != nil {
		return r, fmt.Errorf("sqlite: back up to %s: %w", to, asDamage(err))
	}
	return r, nil
}

func (e *Engine) backup(ctx context.Context, to string) (r Report, err error) {
	if _, err := os.Lstat(to); err == nil {
		return r, os.ErrExist
	}
	dir, err := os.MkdirTemp(filepath.Dir(to), ".neutrino-backup-") // 0700
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	name := filepath.Join(dir, "copy")
	if err := e.copyPages(ctx, name); err != nil {
		return r, err
	}
	if err := closeCopy(ctx, name); err != nil {
		return r, err
	}
	if r, err = Check(ctx, name); err != nil {
		return r, err
	}
	r.Path = to
	if err := syncFile(name); err != nil {
		return r, err
	}
	if err := unix.Renameat2(unix.AT_FDCWD, name, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE); err != nil {
		return r, err
	}
	return r, syncFile(filepath.Dir(to))
}

// copyPages copies the file some pages at a time. What is committed meanwhile, with
// the same connection, is copied too.
func (e *Engine) copyPages(ctx context.Context, to string) error {
	var b *moderncsqlite.Backup
	err := e.locked(func() error {
		return e.conn.Raw(func(c any) (err error) {
			b, err = c.(interface {
				NewBackup(string) (*moderncsqlite.Backup, error)
			}).NewBackup(to)
			return err
		})
	})
	if err != nil {
		return err
	}
	for more := true; more && err == nil; {
		if err = ctx.Err(); err == nil {
			err = e.locked(func() (err error) { more, err = b.Step(backupPages); return err })
		}
	}
	return errors.Join(err, e.locked(b.Finish))
}

// locked runs f while nobody else uses the writer's connection.
func (e *Engine) locked(f func() error) error {
	e.connMu.Lock()
	defer e.connMu.Unlock()
	if err := e.Health(); err != nil {
		return err
	}
	return f()
}

// closeCopy makes a copy a file that nobody has open.
func closeCopy(ctx context.Context, path string) (err error) {
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	h, err := readHead(ctx, c)
	if err != nil {
		return err
	}
	h.open = 0
	for _, s := range []struct {
		text string
		args []any
	}{{`PRAGMA journal_mode=DELETE`, nil}, {`UPDATE meta SET value = ? WHERE name = 'head'`, []any{h.encode()}}} {
		if _, err := c.ExecContext(ctx, s.text, s.args...); err != nil {
			return err
		}
	}
	return nil
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Report is what a database file has in it.
type Report struct {
	Path      string `json:"path"`
	Revision  int64  `json:"revision"`  // the newest
	Compacted int64  `json:"compacted"` // history before it is forgotten
	Chunks    int    `json:"chunks"`
	Keys      int    `json:"keys"`
}

// Check reads all of a file that no server has open, and changes nothing. The error is
// [engine.ErrDamaged] when it is not what was written, when it was copied from under a
// server, or when it is not a store at all.
func Check(ctx context.Context, path string) (Report, error) {
	r, err := checkFile(ctx, path)
	if err != nil {
		return r, fmt.Errorf("sqlite: check %s: %w", path, asDamage(err))
	}
	return r, nil
}

func checkFile(ctx context.Context, path string) (r Report, err error) {
	r.Path = path
	if err := checkUnused(path); err != nil {
		return r, err
	}
	db, err := sql.Open("sqlite", still(path))
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	c, err := db.Conn(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := sound(ctx, c); err != nil {
		return r, err
	}
	h, err := readHead(ctx, c)
	if err != nil {
		return r, err
	}
	if h.open != 0 {
		return r, errCopied
	}
	l, err := readLog(ctx, []*sql.Conn{c}, h.revision, nil)
	if err != nil {
		return r, err
	}
	list := l.list()
	r.Revision, r.Compacted, r.Chunks, r.Keys = h.revision, h.compacted, len(l.chunks), list.Len()
	return r, h.whole(ctx, c, l.sum)
}

// checkUnused refuses a file that a server has open, or that has a write-ahead log,
// which a start has to put into it first.
func checkUnused(path string) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	if _, err := os.Stat(path + ".lock"); err == nil {
		lock, err := flock(path + ".lock")
		if err != nil {
			return fmt.Errorf("%w; a server looks at its own file while it runs", err)
		}
		defer lock.Close()
	}
	if info, err := os.Stat(path + walSuffix); err == nil && info.Size() > 0 {
		return errors.New("its server did not end by itself: start it once, it compares all of the file")
	}
	return nil
}
