package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"

	"neutrino/store/engine"
)

// replay is how many revisions a watcher reads from the database at once.
const replay = 1024

// reading runs f on a connection inside one read transaction.
func (e *Engine) reading(ctx context.Context, f func(*sql.Conn) error) (err error) {
	if e.isClosed() {
		return engine.ErrClosed
	}
	if err := e.Health(); err != nil {
		return err
	}
	e.connMu.Lock()
	defer e.connMu.Unlock()
	if e.isClosed() {
		return engine.ErrClosed
	}
	conn := e.conn
	// Without ctx: an interrupted statement must not leave the transaction open.
	quiet := context.WithoutCancel(ctx)
	if _, err := conn.ExecContext(quiet, `BEGIN`); err != nil {
		return e.orClosed(err)
	}
	err = e.noticed(f(conn))
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
func (e *Engine) Range(ctx context.Context, prefix string, at int64) (engine.List, int64, error) {
	if at == 0 {
		if all, rev := e.takeFirst(); all != nil {
			return all.Under(prefix), rev, nil
		}
	}
	var list engine.List
	rev := at
	places, few, err := e.places(ctx, prefix, at)
	if err == nil {
		err = e.reading(ctx, func(c *sql.Conn) (err error) {
			if few {
				rev = places.rev
				list, err = places.read(ctx, c)
				return err
			}
			if rev, err = e.readable(ctx, c, at); err != nil {
				return err
			}
			l, err := readLog(ctx, []*sql.Conn{c}, rev, nil)
			if err != nil {
				return err
			}
			list = l.list().Under(prefix)
			return nil
		})
	}
	if err != nil {
		return engine.List{}, 0, fmt.Errorf("sqlite: range %q at %d: %w", prefix, at, err)
	}
	return list, rev, nil
}

// fewPlaces is how many keys are read one by one; for more the whole log is read.
const fewPlaces = 1000

// present is where some living keys are at a revision.
type present struct {
	rev    int64
	places []place
}

// places asks the writer where the keys under the prefix are now; few is false
// when they are too many, or when the past is asked for.
func (e *Engine) places(ctx context.Context, prefix string, at int64) (p present, few bool, err error) {
	if at != 0 {
		return p, false, nil
	}
	err = e.look(ctx, func(x *index) {
		p.rev = e.history.newest()
		x.under(prefix, func(key []byte, chunk int64) bool {
			p.places = append(p.places, place{string(key), chunk})
			return len(p.places) <= fewPlaces
		})
	})
	return p, len(p.places) <= fewPlaces, err
}

// look lets the writer look something up between two commits.
func (e *Engine) look(ctx context.Context, at func(*index)) error {
	if e.isClosed() {
		return engine.ErrClosed
	}
	seen := make(chan struct{})
	select {
	case e.looks <- func(x *index) { at(x); close(seen) }:
	case <-e.stop:
		return engine.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	<-seen // the writer is at it
	return nil
}

// read reads the values. A key that was changed meanwhile, so often that its
// change is compacted, is an error that says so.
func (p present) read(ctx context.Context, c *sql.Conn) (engine.List, error) {
	kvs := make([]engine.KV, 0, len(p.places))
	for _, at := range p.places {
		var sealed []byte
		if err := c.QueryRowContext(ctx, `SELECT changes FROM log WHERE id = ?`, at.chunk).Scan(&sealed); err != nil {
			return engine.List{}, fmt.Errorf("chunk %d, which has %s: %w", at.chunk, at.key, err)
		}
		chunk, _, err := unseal(at.chunk, sealed)
		if err != nil {
			return engine.List{}, err
		}
		kv := engine.KV{Key: at.key, Mod: at.chunk >> seqBits}
		err = changesOf(chunk, func(_ int, c change) {
			if c.Key == at.key {
				kv.Value = c.Value
			}
		})
		if err != nil {
			return engine.List{}, fmt.Errorf("chunk %d: %w", at.chunk, err)
		}
		kvs = append(kvs, kv)
	}
	return engine.ListOf(kvs), nil
}

// readable is the revision to read at, if it is still kept.
func (e *Engine) readable(ctx context.Context, c *sql.Conn, at int64) (int64, error) {
	h, err := readHead(ctx, c)
	switch {
	case err != nil:
		return 0, err
	case at == 0:
		return h.revision, nil
	case at < h.compacted:
		return 0, engine.ErrCompacted
	case at > h.revision:
		return 0, fmt.Errorf("%w: revision %d is not made yet, the newest is %d", engine.ErrInvalid, at, h.revision)
	}
	return at, nil
}

// takeFirst is what was read at the start, if nothing has been written since
// and nobody has taken it: the log is read once for a server that starts.
func (e *Engine) takeFirst() (*engine.List, int64) {
	e.connMu.Lock()
	defer e.connMu.Unlock()
	first := e.first
	e.first = nil
	return first, e.history.newest()
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
			var sealed []byte
			if err := rows.Scan(&id, &sealed); err != nil {
				return err
			}
			chunk, _, err := unseal(id, sealed)
			if err != nil {
				return err
			}
			if rev := id >> seqBits; len(batches) == 0 || batches[len(batches)-1].Revision != rev {
				batches = append(batches, engine.Batch{Revision: rev})
			}
			b := &batches[len(batches)-1]
			if err := changesOf(chunk, func(_ int, c change) { b.Changes = append(b.Changes, c.Change) }); err != nil {
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
