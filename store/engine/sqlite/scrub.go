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

// The scrubber reads the whole file, piece by piece with a rest after each, at the
// start and then at intervals.
const (
	scrubEvery = time.Hour
	scrubRest  = 10 * time.Millisecond
)

// asDamage names an error of SQLite that means damage.
func asDamage(err error) error {
	if err != nil && !errors.Is(err, engine.ErrDamaged) && (isCode(err, sqlite3.SQLITE_CORRUPT) || isCode(err, sqlite3.SQLITE_NOTADB)) {
		return fmt.Errorf("%w: %w", engine.ErrDamaged, err)
	}
	return err
}

// damage is what was found to be damaged, nil while nothing is.
func (e *Engine) damage() error {
	if err := e.harm.Load(); err != nil {
		return *err
	}
	return nil
}

// damaged ends serving: from here on every answer is the error.
func (e *Engine) damaged(err error) {
	if e.harm.CompareAndSwap(nil, &err) {
		slog.Error("sqlite: the store is damaged and serves no more; restore a backup with neutrino restore FILE", "err", err)
	}
}

// scrub looks for damage until Close.
func (e *Engine) scrub() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-e.stop
		cancel()
	}()
	tick := time.NewTicker(scrubEvery)
	defer tick.Stop()
	for {
		if err := asDamage(e.scrubOnce(ctx)); errors.Is(err, engine.ErrDamaged) {
			e.damaged(err)
			return
		} else if err != nil && ctx.Err() == nil {
			slog.Warn("sqlite: looking for damage", "err", err)
		}
		select {
		case <-e.stop:
			return
		case <-tick.C:
		}
	}
}

// scrubOnce looks at the structure of the file and at every chunk.
func (e *Engine) scrubOnce(ctx context.Context) error {
	c, err := e.readers.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := sound(ctx, c); err != nil {
		return err
	}
	h, err := readHead(ctx, c)
	if err != nil {
		return err
	}
	pieces, err := ranges(ctx, c, (h.revision+1)<<seqBits)
	if err != nil {
		return err
	}
	for _, p := range pieces {
		if err := guarded(func() error { return p.read(ctx, c) }); err != nil {
			return err
		}
		p.chunks = nil
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(scrubRest):
		}
	}
	return nil
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

// mark notes in the file that it is open. A copy of the file that was made
// meanwhile, without its write-ahead log, is refused by it: it lacks what was
// acknowledged. The file itself is known by its inode, whoever has put its log
// away.
func (e *Engine) mark(ctx context.Context, m mark) error {
	if m.inode == 0 {
		return nil
	}
	if e.head.open != 0 && e.head.open != m.inode && !m.hasWAL {
		return errCopied
	}
	if err := e.setMark(ctx, m.inode); err != nil {
		return err
	}
	// So that the file itself says so, and not only its log.
	_, err := e.conn.ExecContext(ctx, `PRAGMA wal_checkpoint(PASSIVE)`)
	return err
}

var errCopied = fmt.Errorf("%w: it was copied while a server had it open, so what the server acknowledged may be missing; "+
	"copy with neutrino backup FILE, or bring the file beside it whose name ends with %s too", engine.ErrDamaged, walSuffix)

// unmark notes that the file is closed.
func (e *Engine) unmark() error { return e.setMark(context.Background(), 0) }

func (e *Engine) setMark(ctx context.Context, inode uint64) error {
	h := e.head
	h.open = inode
	if _, err := e.conn.ExecContext(ctx, `UPDATE meta SET value = ? WHERE name = 'head'`, h.encode()); err != nil {
		return err
	}
	e.head = h
	return nil
}
