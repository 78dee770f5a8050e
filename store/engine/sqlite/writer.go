package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	moderncsqlite "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"neutrino/store/engine"
)

// maxGroup is how many requests share one commit at most.
const maxGroup = 512

// request is work for the writer: do runs inside the writer's transaction.
// Its own refusal is kept in refused; an error of SQLite fails the group.
type request struct {
	do      func(w *writing) error
	rev     int64
	ok      bool
	refused error
	done    chan error
}

// writing is one SQLite transaction of the writer.
type writing struct {
	s         *statements
	index     *index
	rev       int64 // newest revision, with those of this transaction
	head      head  // as the transaction leaves it
	scrub     scrubbed
	batches   []engine.Batch
	placed    []placed // of the last change
	dirty     bool
	forgotten int // dead changes that the transaction compacts
}

// statements are prepared on the writer's connection.
type statements struct {
	begin, commit, rollback      *sql.Stmt
	insert, chunk, replace, drop *sql.Stmt
	leaseHas, leaseAdd, leaseDel *sql.Stmt
	head                         *sql.Stmt
}

func (s *statements) all() map[**sql.Stmt]string {
	return map[**sql.Stmt]string{
		&s.begin:    `BEGIN IMMEDIATE`,
		&s.commit:   `COMMIT`,
		&s.rollback: `ROLLBACK`,
		&s.insert:   `INSERT INTO log (id, changes) VALUES (?, ?)`,
		&s.chunk:    `SELECT changes FROM log WHERE id = ?`,
		&s.replace:  `UPDATE log SET changes = ? WHERE id = ?`,
		&s.drop:     `DELETE FROM log WHERE id = ?`,
		&s.leaseHas: `SELECT EXISTS (SELECT 1 FROM lease WHERE id = ?)`,
		&s.leaseAdd: `INSERT INTO lease (ttl) VALUES (?)`,
		&s.leaseDel: `DELETE FROM lease WHERE id = ? RETURNING ttl`,
		&s.head:     `UPDATE meta SET value = ? WHERE name = 'head'`,
	}
}

func (s *statements) prepare(ctx context.Context, c *sql.Conn) error {
	for stmt, text := range s.all() {
		var err error
		if *stmt, err = c.PrepareContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

func (s *statements) close() {
	for stmt := range s.all() {
		if *stmt != nil {
			_ = (*stmt).Close() // the connection goes next
		}
	}
}

// submit hands work to the writer and waits until it is durable.
func (e *Engine) submit(ctx context.Context, do func(r *request, w *writing) error) (*request, error) {
	r := &request{done: make(chan error, 1)}
	r.do = func(w *writing) error { return do(r, w) }
	if e.isClosed() {
		return nil, engine.ErrClosed
	}
	if err := e.Health(); err != nil {
		return nil, err
	}
	select {
	case e.requests <- r:
	case <-e.stop:
		return nil, engine.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case err := <-r.done:
		return r, err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-e.finished:
	}
	select {
	case err := <-r.done:
		return r, err
	default:
		return nil, engine.ErrClosed // came too late for the writer
	}
}

// Txn is that of [engine.Engine].
func (e *Engine) Txn(ctx context.Context, compares []engine.Compare, then []engine.Op) (int64, bool, error) {
	if err := engine.Check(compares, then); err != nil {
		return 0, false, fmt.Errorf("sqlite: %w", err)
	}
	r, err := e.submit(ctx, func(r *request, w *writing) error {
		return w.txn(r, compares, then)
	})
	if err != nil {
		return 0, false, fmt.Errorf("sqlite: transaction: %w", err)
	}
	return r.rev, r.ok, nil
}

// write is the one goroutine that changes the database.
func (e *Engine) write() {
	defer close(e.finished)
	for {
		select {
		case <-e.stop:
			return
		case r := <-e.requests:
			e.commit(e.gather(r))
		case look := <-e.looks:
			look(e.index)
		}
	}
}

// gather takes everybody who waits, to share one sync.
func (e *Engine) gather(first *request) []*request {
	group := []*request{first}
	for len(group) < maxGroup {
		select {
		case r := <-e.requests:
			group = append(group, r)
		default:
			return group
		}
	}
	return group
}

// commit does a group of requests in one SQLite transaction, in their order,
// and answers when it is on the disk.
func (e *Engine) commit(group []*request) {
	e.connMu.Lock()
	rev := e.history.newest()
	w := &writing{s: &e.stmts, index: e.index, rev: rev, head: e.head, scrub: e.scrub}
	compacted, err := e.transact(w, group)
	if err == nil {
		e.index.committed()
		e.head, e.scrub = w.head, w.scrub
		if w.dirty {
			e.acked.note(w.head)
		}
		e.index.dead = e.index.dead[w.forgotten:]
		if w.dirty {
			e.first = nil
		}
	} else {
		e.index.rolledBack(rev)
		err = e.noticed(err)
	}
	e.connMu.Unlock()
	if err == nil {
		e.history.add(w.batches, compacted)
	}
	for _, r := range group {
		if err != nil {
			r.done <- err
		} else {
			r.done <- r.refused
		}
	}
}

func (e *Engine) transact(w *writing, group []*request) (compacted int64, err error) {
	if _, err := w.s.begin.Exec(); err != nil {
		return 0, fmt.Errorf("%w: begin: %w", engine.ErrUnavailable, err)
	}
	for _, r := range group {
		if err = r.do(w); err != nil {
			break
		}
	}
	if err == nil {
		compacted, err = e.compact(w)
	}
	if err != nil || !w.dirty {
		return 0, errors.Join(e.rollback(), unavailable(err))
	}
	w.head.revision = w.rev
	w.head.commits++
	if _, err := w.s.head.Exec(w.head.encode()); err != nil {
		return 0, errors.Join(e.rollback(), unavailable(fmt.Errorf("write the head: %w", err)))
	}
	if _, err := w.s.commit.Exec(); err != nil {
		err = fmt.Errorf("commit: %w", err)
		if isCode(err, sqlite3.SQLITE_IOERR) {
			// A failed sync: nobody knows what is on the disk.
			return 0, errors.Join(err, e.rollback())
		}
		return 0, errors.Join(unavailable(err), e.rollback())
	}
	return compacted, nil
}

// rollback ends the transaction, if SQLite has not done so by itself, as it
// does when the disk is full.
func (e *Engine) rollback() error {
	_, err := e.stmts.rollback.Exec()
	if err != nil && isCode(err, sqlite3.SQLITE_ERROR) {
		return nil // no transaction is active
	}
	return err
}

func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", engine.ErrUnavailable, err)
}

func isCode(err error, primary int) bool {
	var e *moderncsqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == primary
}

func (w *writing) txn(r *request, compares []engine.Compare, then []engine.Op) error {
	r.rev, r.ok = w.rev, false
	for _, c := range compares {
		if !w.holds(c) {
			return nil
		}
	}
	for _, op := range then {
		if op.Lease == 0 || op.Delete {
			continue
		}
		if has, err := w.flag(w.s.leaseHas, int64(op.Lease)); err != nil || !has {
			r.refused = engine.ErrNoLease
			return err
		}
	}
	if err := w.change(then); err != nil {
		return err
	}
	r.rev, r.ok = w.rev, true
	return nil
}

func (w *writing) holds(c engine.Compare) bool {
	switch c.Test {
	case engine.RangeBefore:
		return !w.index.later(c.Key, c.Rev)
	case engine.Absent:
		return w.index.mod(c.Key) == 0
	case engine.Present:
		return w.index.mod(c.Key) != 0
	default:
		return w.index.mod(c.Key) == c.Rev
	}
}

func (w *writing) flag(s *sql.Stmt, args ...any) (bool, error) {
	var is bool
	err := s.QueryRow(args...).Scan(&is)
	return is, err
}

// change does the operations as the next revision; none is made when they come
// to nothing.
func (w *writing) change(ops []engine.Op) error {
	rev := w.rev + 1
	b := engine.Batch{Revision: rev, Changes: make([]engine.Change, 0, len(ops))}
	id := rev << seqBits
	var chunk chunkWriter
	w.placed = slices.Grow(w.placed[:0], len(ops))
	for _, op := range ops {
		c := change{engine.Change{Key: op.Key, Value: op.Value, Deleted: op.Delete}, op.Lease}
		switch {
		case op.Delete && w.index.mod(op.Key) == 0:
			continue
		case op.Delete:
			c.Value, c.lease = nil, 0
		case c.Value == nil:
			c.Value = []byte{}
		}
		if len(chunk.chunk) >= chunkSize {
			if err := w.insert(id, chunk.chunk); err != nil {
				return err
			}
			id++
			chunk.reset()
		}
		chunk.add(c)
		w.placed = append(w.placed, placed{c, id})
		b.Changes = append(b.Changes, c.Change)
	}
	if len(b.Changes) == 0 {
		return nil
	}
	w.index.apply(w.placed)
	if err := w.insert(id, chunk.chunk); err != nil {
		return err
	}
	w.rev, w.dirty = rev, true
	w.batches = append(w.batches, b)
	return nil
}

func (w *writing) insert(id int64, chunk []byte) error {
	sealed, sum := seal(id, chunk)
	if _, err := w.s.insert.Exec(id, sealed); err != nil {
		return fmt.Errorf("write chunk %d: %w", id, err)
	}
	w.head.digest += sum
	return nil
}
