package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

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
	s       *statements
	rev     int64 // newest revision, with those of this transaction
	batches []engine.Batch
	dirty   bool
}

// statements are prepared on the writer's connection.
type statements struct {
	begin, commit, rollback     *sql.Stmt
	newest, later, insert       *sql.Stmt
	leaseHas, leaseAdd, leaseOf *sql.Stmt
	leaseDel                    *sql.Stmt
	forget, bury, compacted     *sql.Stmt
}

func (s *statements) all() map[**sql.Stmt]string {
	return map[**sql.Stmt]string{
		&s.begin:    `BEGIN IMMEDIATE`,
		&s.commit:   `COMMIT`,
		&s.rollback: `ROLLBACK`,
		&s.newest:   `SELECT id, dead FROM kv WHERE key = ? ORDER BY id DESC LIMIT 1`,
		&s.later: `SELECT EXISTS (SELECT 1 FROM kv WHERE key >= ? AND key < ? AND id >= ? AND NOT dead
			AND NOT EXISTS (SELECT 1 FROM kv n WHERE n.key = kv.key AND n.id > kv.id))`,
		&s.insert:   `INSERT INTO kv (id, key, value, dead, lease) VALUES (?, ?, ?, ?, ?)`,
		&s.leaseHas: `SELECT EXISTS (SELECT 1 FROM lease WHERE id = ?)`,
		&s.leaseAdd: `INSERT INTO lease (ttl) VALUES (?)`,
		&s.leaseDel: `DELETE FROM lease WHERE id = ?`,
		&s.leaseOf: `SELECT key FROM kv WHERE lease = ? AND lease != 0 AND NOT dead
			AND NOT EXISTS (SELECT 1 FROM kv n WHERE n.key = kv.key AND n.id > kv.id) ORDER BY key`,
		&s.forget: `DELETE FROM kv WHERE id IN (SELECT old.id FROM kv new CROSS JOIN kv old
			ON old.key = new.key AND old.id < new.id WHERE new.id >= ? AND new.id < ?)`,
		&s.bury:      `DELETE FROM kv WHERE id >= ? AND id < ? AND dead`,
		&s.compacted: `UPDATE meta SET value = ? WHERE name = 'compacted'`,
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
	w := &writing{s: &e.stmts, rev: e.history.newest()}
	compacted, err := e.transact(w, group)
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
		if ok, err := w.holds(c); err != nil || !ok {
			return err
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

func (w *writing) holds(c engine.Compare) (bool, error) {
	if c.Test == engine.RangeBefore {
		later, err := w.flag(w.s.later, c.Key, upper(c.Key), (c.Rev+1)<<seqBits)
		return !later, err
	}
	mod, err := w.mod(c.Key)
	if err != nil {
		return false, err
	}
	switch c.Test {
	case engine.Absent:
		return mod == 0, nil
	case engine.Present:
		return mod != 0, nil
	default:
		return mod == c.Rev, nil
	}
}

// mod is the revision of a key's last change, 0 when it does not exist.
func (w *writing) mod(key string) (int64, error) {
	var id int64
	var dead bool
	err := w.s.newest.QueryRow(key).Scan(&id, &dead)
	switch {
	case errors.Is(err, sql.ErrNoRows) || err == nil && dead:
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("read %q: %w", key, err)
	}
	return id >> seqBits, nil
}

func (w *writing) flag(s *sql.Stmt, args ...any) (bool, error) {
	var is bool
	err := s.QueryRow(args...).Scan(&is)
	return is, err
}

// change does the operations as the next revision; none is made when they come
// to nothing.
func (w *writing) change(ops []engine.Op) error {
	b := engine.Batch{Revision: w.rev + 1}
	for _, op := range ops {
		if op.Delete {
			mod, err := w.mod(op.Key)
			if err != nil {
				return err
			}
			if mod == 0 {
				continue
			}
			op.Value, op.Lease = nil, 0
		} else if op.Value == nil {
			op.Value = []byte{}
		}
		id := b.Revision<<seqBits | int64(len(b.Changes))
		if _, err := w.s.insert.Exec(id, op.Key, op.Value, op.Delete, int64(op.Lease)); err != nil {
			return fmt.Errorf("write %q: %w", op.Key, err)
		}
		b.Changes = append(b.Changes, engine.Change{Key: op.Key, Value: op.Value, Deleted: op.Delete})
	}
	if len(b.Changes) > 0 {
		w.rev, w.dirty = b.Revision, true
		w.batches = append(w.batches, b)
	}
	return nil
}

// compactStep is how many revisions are compacted together.
const compactStep = 256

// compact forgets the oldest revisions when there are more than are kept: the
// versions that were superseded then, and the marks of deleted keys. It returns
// the compacted revision, 0 when nothing was done.
func (e *Engine) compact(w *writing) (int64, error) {
	from := e.history.compactedTo()
	if w.rev-from < e.keep+compactStep {
		return 0, nil
	}
	// Catch up by two steps at most, so that one commit does not stall.
	to := min(w.rev-e.keep, from+2*compactStep)
	first, end := (from+1)<<seqBits, (to+1)<<seqBits
	if _, err := w.s.forget.Exec(first, end); err != nil {
		return 0, fmt.Errorf("compact: %w", err)
	}
	if _, err := w.s.bury.Exec(first, end); err != nil {
		return 0, fmt.Errorf("compact: %w", err)
	}
	if _, err := w.s.compacted.Exec(to); err != nil {
		return 0, fmt.Errorf("compact: %w", err)
	}
	return to, nil
}
