package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"neutrino/store/engine"
)

// acked is a small file beside the database: what was acknowledged last. SQLite
// drops what follows a damaged frame of its write-ahead log, as it must for a
// commit that a crash cut off; only somebody else can know that it was answered.
// It is written after each commit without a sync, so that it is exact when the
// process dies, and up to a second old when the machine does.
type acked struct {
	path string
	mu   sync.Mutex
	file *os.File
	last ack
	bad  bool // the last write failed
}

// ack is a commit: its number, and of its head what tells it from another.
type ack struct {
	open     uint64 // since which opening
	commits  uint64
	revision int64
	digest   uint64
}

func ackOf(h head) ack { return ack{h.open, h.commits, h.revision, h.digest} }

const (
	ackedSuffix = "-acked"
	// ackedID is the number that the sum of the file has in place of a chunk's.
	ackedID = -1<<62 - 1
)

func (a ack) encode() []byte {
	var b []byte
	for _, n := range []uint64{a.open, a.commits, uint64(a.revision), a.digest} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	b, _ = seal(ackedID, b)
	return b
}

// readAcked reads what a database's file beside it says, if there is one.
func readAcked(path string) (*acked, error) {
	a := &acked{path: path + ackedSuffix}
	b, err := os.ReadFile(a.path)
	if errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	if err != nil {
		return nil, err
	}
	fields, _, err := unseal(ackedID, b)
	if err != nil || len(fields) != 4*8 {
		return nil, fmt.Errorf("%w: %s, which says what was acknowledged last, is not what was written", engine.ErrDamaged, a.path)
	}
	n := func(i int) uint64 { return binary.LittleEndian.Uint64(fields[8*i:]) }
	a.last = ack{n(0), n(1), int64(n(2)), n(3)}
	return a, nil
}

// checkEmpty refuses an empty file that was not empty.
func (a *acked) checkEmpty(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() == 0 && a.last.commits > 0 {
		return fmt.Errorf("%w: it is empty, and was acknowledged up to revision %d", engine.ErrDamaged, a.last.revision)
	}
	return nil
}

// check compares it with the head of a database, which is one of before when it
// has none.
func (a *acked) check(ctx context.Context, c *sql.Conn) error {
	var have int
	if c.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = 'format'`).Scan(&have) != nil || have != format {
		return nil // it is new, or upgrade says what is wrong
	}
	h, err := readHead(ctx, c)
	if err != nil {
		return err
	}
	return a.compare(h)
}

func (a *acked) compare(h head) error {
	switch {
	case h.open != 0 && h.open != a.last.open:
		return errCopied
	case h.commits < a.last.commits:
		return fmt.Errorf("%w: it ends at revision %d (commit %d), and was acknowledged up to revision %d (commit %d)",
			engine.ErrDamaged, h.revision, h.commits, a.last.revision, a.last.commits)
	case h.commits == a.last.commits && h.digest != a.last.digest:
		return fmt.Errorf("%w: its head is another than was acknowledged at revision %d", engine.ErrDamaged, a.last.revision)
	}
	return nil
}

var errCopied = fmt.Errorf("%w: it was copied while a server had it open, so that what was acknowledged may be missing; "+
	"copy with neutrino backup FILE, or bring the files beside it whose names end with %s and %s too",
	engine.ErrDamaged, walSuffix, ackedSuffix)

// begin makes the file for a database that says of itself that it is closed.
func (a *acked) begin(h head) error {
	f, err := os.OpenFile(a.path+".new", os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	a.last = ackOf(h)
	_, err = f.WriteAt(a.last.encode(), 0)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), a.path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(a.path))
}

// note says that a commit is about to be answered.
func (a *acked) note(h head) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = ackOf(h)
	if a.file == nil {
		return
	}
	_, err := a.file.WriteAt(a.last.encode(), 0)
	if err != nil && !a.bad {
		slog.Error("sqlite: note what is acknowledged", "file", a.path, "err", err)
	}
	a.bad = err != nil
}

func (a *acked) open() (err error) {
	a.file, err = os.OpenFile(a.path, os.O_RDWR, 0o600)
	return err
}

func (a *acked) sync() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.file.Sync()
}

func (a *acked) close() error {
	if a.file == nil {
		return nil
	}
	return errors.Join(a.file.Sync(), a.file.Close())
}

// mark notes in the database that it is open, and since which opening. A copy of
// it is then known by the file that is not beside it. After a crash the opening
// goes on: there is no moment at which the two files disagree.
func (e *Engine) mark(ctx context.Context) error {
	next := e.head
	if next.open == 0 {
		var b [8]byte
		// It does not fail: crypto/rand ends the program when the system has no randomness.
		_, _ = rand.Read(b[:])
		next.open = binary.LittleEndian.Uint64(b[:]) | 1
		h := e.head
		h.open = next.open
		if err := e.acked.begin(h); err != nil {
			return err
		}
	}
	if err := e.acked.open(); err != nil {
		return err
	}
	if err := e.setHead(ctx, next); err != nil {
		return err
	}
	// So that the database itself says so, and not only its log. When the disk is
	// full, its log is all there is, and a copy without it is older and whole.
	_, _ = e.conn.ExecContext(ctx, `PRAGMA wal_checkpoint(PASSIVE)`)
	return nil
}

// unmark notes that the database is closed.
func (e *Engine) unmark() error {
	next := e.head
	next.open = 0
	return e.setHead(context.Background(), next)
}

func (e *Engine) setHead(ctx context.Context, h head) error {
	h.commits++
	if _, err := e.conn.ExecContext(ctx, `UPDATE meta SET value = ? WHERE name = 'head'`, h.encode()); err != nil {
		return err
	}
	e.head = h
	e.acked.note(h)
	return nil
}

// keepWAL copies the write-ahead log of a file that is refused: SQLite puts what it
// reads of it into the file and removes it, and it may be wanted for a rescue.
func keepWAL(path string) error {
	b, err := os.ReadFile(path + walSuffix)
	if err != nil || len(b) == 0 {
		return nil // there is nothing to keep
	}
	return os.WriteFile(path+walSuffix+".refused", b, 0o600)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
