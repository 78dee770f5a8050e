package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"neutrino/store/engine"
)

// The scrubber reads the whole log between the writer's commits, some chunks at a
// time with a rest after them: some 5 MB in a second. After a pass it rests longer.
const (
	scrubEvery  = 10 * time.Minute
	scrubRest   = 50 * time.Millisecond
	scrubChunks = 64
)

// Remedy is what to do about a damaged file.
const Remedy = "restore a backup with neutrino restore FILE"

// asDamage names an error of SQLite that means damage.
func asDamage(err error) error {
	if err == nil || errors.Is(err, engine.ErrDamaged) {
		return err
	}
	for _, code := range []int{sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB} {
		if isCode(err, code) {
			return fmt.Errorf("%w: %w", engine.ErrDamaged, err)
		}
	}
	return err
}

func withRemedy(err error) error {
	if errors.Is(err, engine.ErrDamaged) {
		return fmt.Errorf("%w; %s", err, Remedy)
	}
	return err
}

// Health is what was found to be damaged since the start, with the remedy; nil
// while nothing is. The error is [engine.ErrDamaged].
func (e *Engine) Health() error {
	if err := e.harm.Load(); err != nil {
		return *err
	}
	return nil
}

// noticed ends serving if the error means damage: from here on every answer is the
// error.
func (e *Engine) noticed(err error) error {
	err = asDamage(err)
	if !errors.Is(err, engine.ErrDamaged) {
		return err
	}
	if harm := withRemedy(err); e.harm.CompareAndSwap(nil, &harm) {
		e.history.fail(harm)
		slog.Error("sqlite: the store serves no more", "err", harm)
	}
	return err
}

// scrubbed is how far the scrubber is.
type scrubbed struct {
	at  int64  // the last chunk that was read
	sum uint64 // of the sums of the chunks up to it, as they are now
}

// scrubAlways looks for damage until Close.
func (e *Engine) scrubAlways() {
	for wait := scrubEvery; e.rest(wait); {
		done, err := e.scrubSome()
		if err = e.noticed(err); errors.Is(err, engine.ErrDamaged) {
			return
		} else if err != nil && !e.isClosed() {
			slog.Warn("sqlite: look for damage", "err", err)
		}
		if wait = scrubRest; done || err != nil {
			wait = scrubEvery
		}
	}
}

// rest waits, and is false after Close.
func (e *Engine) rest(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-e.stop:
		return false
	case <-timer.C:
		return true
	}
}

// scrubSome reads some more chunks from the file. After the last one it compares
// all of them with the head, and is done: the next call begins anew.
func (e *Engine) scrubSome() (done bool, err error) {
	e.connMu.Lock()
	defer e.connMu.Unlock()
	if e.isClosed() {
		return true, nil
	}
	ctx := context.Background()
	// What SQLite has in memory says nothing about the disk.
	if _, err := e.conn.ExecContext(ctx, `PRAGMA shrink_memory`); err != nil {
		return true, err
	}
	n, err := e.scrub.read(ctx, e.conn)
	if err != nil || n == scrubChunks {
		return err != nil, err
	}
	pass := e.scrub
	e.scrub = scrubbed{}
	h, err := readHead(ctx, e.conn)
	if err != nil {
		return true, err
	}
	if h != e.head {
		return true, fmt.Errorf("%w: the head of the log, of revision %d, is another than was written", engine.ErrDamaged, e.head.revision)
	}
	return true, h.whole(ctx, e.conn, pass.sum)
}

func (s *scrubbed) read(ctx context.Context, c *sql.Conn) (n int, err error) {
	rows, err := c.QueryContext(ctx, `SELECT id, changes FROM log WHERE id > ? ORDER BY id LIMIT ?`, s.at, scrubChunks)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for ; rows.Next(); n++ {
		var id int64
		var blob sql.RawBytes
		if err := rows.Scan(&id, &blob); err != nil {
			return n, err
		}
		_, sum, err := unseal(id, blob)
		if err != nil {
			return n, err
		}
		s.at, s.sum = id, s.sum+sum
	}
	return n, rows.Err()
}

// sound asks SQLite whether the file's pages are in order.
func sound(ctx context.Context, c *sql.Conn) error {
	var said string
	if err := c.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&said); err != nil {
		return err
	}
	if said != "ok" {
		return fmt.Errorf("%w: %s", engine.ErrDamaged, said)
	}
	return nil
}
