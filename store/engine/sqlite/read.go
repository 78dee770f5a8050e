package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"neutrino/store/engine"
)

// replay is how many revisions a watcher reads from the database at once.
const replay = 1024

// reading runs f on a connection inside one read transaction.
func (e *Engine) reading(ctx context.Context, f func(*sql.Conn) error) (err error) {
	if e.isClosed() {
		return engine.ErrClosed
	}
	conn := e.conn
	if e.readers == nil {
		e.connMu.Lock()
		defer e.connMu.Unlock()
	} else {
		if conn, err = e.readers.Conn(ctx); err != nil {
			return e.orClosed(err)
		}
		defer func() { err = errors.Join(err, conn.Close()) }()
	}
	// Without ctx: an interrupted statement must not leave the transaction open.
	quiet := context.WithoutCancel(ctx)
	if _, err := conn.ExecContext(quiet, `BEGIN`); err != nil {
		return e.orClosed(err)
	}
	err = f(conn)
	if _, end := conn.ExecContext(quiet, `ROLLBACK`); end != nil {
		err = errors.Join(err, end)
	}
	return err
}

// orClosed names the cause of an error that Close brought about.
func (e *Engine) orClosed(err error) error {
	if e.isClosed() {
		return engine.ErrClosed
	}
	return err
}

// Range is that of [engine.Engine].
func (e *Engine) Range(ctx context.Context, prefix string, at int64) ([]engine.KV, int64, error) {
	var kvs []engine.KV
	var rev int64
	err := e.reading(ctx, func(c *sql.Conn) error {
		var err error
		if rev, err = e.readable(ctx, c, at); err != nil {
			return err
		}
		kvs, err = e.list(ctx, c, prefix, rev)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("sqlite: range %q at %d: %w", prefix, at, err)
	}
	return kvs, rev, nil
}

// bounds asks for the newest revision and the compacted one.
const bounds = `SELECT COALESCE((SELECT max(id) FROM log), 0) >> 16, (SELECT value FROM meta WHERE name = 'compacted')`

// readable is the revision to read at, if it is still kept.
func (e *Engine) readable(ctx context.Context, c *sql.Conn, at int64) (int64, error) {
	var newest, compacted int64
	err := c.QueryRowContext(ctx, bounds).Scan(&newest, &compacted)
	switch {
	case err != nil:
		return 0, err
	case at == 0:
		return newest, nil
	case at < compacted:
		return 0, engine.ErrCompacted
	case at > newest:
		return 0, fmt.Errorf("%w: revision %d is not made yet, the newest is %d", engine.ErrInvalid, at, newest)
	}
	return at, nil
}

func (e *Engine) list(ctx context.Context, c *sql.Conn, prefix string, rev int64) ([]engine.KV, error) {
	living := e.takeFirst(rev)
	if living == nil {
		all, err := readLog(ctx, c, rev)
		if err != nil {
			return nil, err
		}
		living = newest(inOrder(all))
	}
	kvs := make([]engine.KV, 0, len(living))
	for _, f := range living {
		if strings.HasPrefix(f.Key, prefix) {
			kvs = append(kvs, engine.KV{Key: f.Key, Value: f.Value, Mod: f.chunk >> seqBits})
		}
	}
	return slices.Clip(kvs), nil
}

// takeFirst is what was read at the start, if nothing has been written since
// and nobody has taken it: the log is read once for a server that starts.
func (e *Engine) takeFirst(rev int64) []found {
	if e.readers != nil {
		e.connMu.Lock() // in memory, reading holds it
		defer e.connMu.Unlock()
	}
	first := e.first
	e.first = nil
	if rev != e.history.newest() {
		return nil
	}
	return first
}

// chunksOfPiece is how many chunks are taken apart at once.
const chunksOfPiece = 512

// readLog reads all changes that are kept, up to the revision, in pieces of the
// log. While one goroutine reads, others take apart what was read.
func readLog(ctx context.Context, c *sql.Conn, rev int64) ([][]found, error) {
	rows, err := c.QueryContext(ctx, `SELECT id, changes FROM log WHERE id < ? ORDER BY id`, (rev+1)<<seqBits)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var pieces []*[]found
	var workers errgroup.Group
	workers.SetLimit(runtime.GOMAXPROCS(0))
	var chunks []chunk
	flush := func() {
		list, into := chunks, new([]found)
		chunks, pieces = nil, append(pieces, into)
		workers.Go(func() (err error) {
			*into, err = apart(list)
			return err
		})
	}
	for rows.Next() {
		var ch chunk
		if err := rows.Scan(&ch.id, &ch.changes); err != nil {
			return nil, errors.Join(err, workers.Wait())
		}
		if chunks = append(chunks, ch); len(chunks) == chunksOfPiece {
			flush()
		}
	}
	flush()
	if err := errors.Join(rows.Err(), workers.Wait()); err != nil {
		return nil, err
	}
	out := make([][]found, len(pieces))
	for i, p := range pieces {
		out[i] = *p
	}
	return out, nil
}

// chunk is a row of the log.
type chunk struct {
	id      int64
	changes []byte
}

// apart takes chunks apart.
func apart(chunks []chunk) ([]found, error) {
	var all []found
	for _, ch := range chunks {
		if err := changesOf(ch.changes, func(c change) { all = append(all, found{c, ch.id}) }); err != nil {
			return nil, fmt.Errorf("chunk %d: %w", ch.id, err)
		}
	}
	return all, nil
}

// Watch is that of [engine.Engine].
func (e *Engine) Watch(ctx context.Context, prefix string, from int64) iter.Seq2[[]engine.Batch, error] {
	return func(yield func([]engine.Batch, error) bool) {
		next := max(from, 1)
		for {
			batches, err := e.await(ctx, next)
			if err != nil {
				yield(nil, fmt.Errorf("sqlite: watch %q from %d: %w", prefix, next, err))
				return
			}
			next = batches[len(batches)-1].Revision + 1
			if batches = under(batches, prefix); len(batches) > 0 && !yield(batches, nil) {
				return
			}
		}
	}
}

// await waits until there are batches from the revision on.
func (e *Engine) await(ctx context.Context, from int64) ([]engine.Batch, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		batches, older, wake, err := e.history.since(from)
		switch {
		case err != nil || len(batches) > 0:
			return batches, err
		case older:
			return e.replay(ctx, from)
		}
		select {
		case <-wake:
		case <-ctx.Done():
		}
	}
}

func under(batches []engine.Batch, prefix string) []engine.Batch {
	var out []engine.Batch
	for _, b := range batches {
		if b = engine.Under(b, prefix); len(b.Changes) > 0 {
			out = append(out, b)
		}
	}
	return out
}

// replay reads old batches from the database.
func (e *Engine) replay(ctx context.Context, from int64) ([]engine.Batch, error) {
	var batches []engine.Batch
	err := e.reading(ctx, func(c *sql.Conn) error {
		if _, err := e.readable(ctx, c, from-1); err != nil && from > 1 {
			return err
		}
		rows, err := c.QueryContext(ctx, `SELECT id, changes FROM log WHERE id >= ? AND id < ? ORDER BY id`,
			from<<seqBits, (from+replay)<<seqBits)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id int64
			var chunk []byte
			if err := rows.Scan(&id, &chunk); err != nil {
				return err
			}
			if rev := id >> seqBits; len(batches) == 0 || batches[len(batches)-1].Revision != rev {
				batches = append(batches, engine.Batch{Revision: rev})
			}
			b := &batches[len(batches)-1]
			if err := changesOf(chunk, func(c change) { b.Changes = append(b.Changes, c.Change) }); err != nil {
				return fmt.Errorf("chunk %d: %w", id, err)
			}
		}
		return rows.Err()
	})
	if err == nil && len(batches) == 0 {
		err = engine.ErrCompacted
	}
	return batches, err
}
