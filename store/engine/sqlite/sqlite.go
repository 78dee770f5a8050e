// Package sqlite is the store's engine for one machine: one SQLite file (or
// memory, for tests) with a single writer that commits many transactions with
// one sync.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite" // the driver

	"neutrino/store/engine"
)

// Memory is the path of an engine that keeps nothing after Close.
const Memory = ":memory:"

// DefaultKeep is how many revisions of history are kept for watchers and for
// reads of the past.
const DefaultKeep = 10_000

// Options say where the engine keeps its data and how much of the past.
type Options struct {
	Path string // of the file, or Memory
	Keep int64  // revisions of history, 0 for DefaultKeep
}

// Engine is an [engine.Engine] on SQLite.
type Engine struct {
	keep     int64
	requests chan *request
	looks    chan func(*index) // at the index, which is the writer's
	history  history
	leases   leases

	lock   *os.File // held while open, so that no second server writes
	acked  *acked   // nil in memory
	db     *sql.DB  // has one connection: conn
	connMu sync.Mutex
	conn   *sql.Conn // nobody else can read or write the file
	head   head      // as it was committed; with connMu
	scrub  scrubbed  // with connMu
	harm   atomic.Pointer[error]
	stmts  statements
	index  *index
	first  *engine.List // all that lives, as it was read at the start; nil soon after

	stop     chan struct{} // closed by Close
	finished chan struct{} // closed by the writer
	stopped  sync.WaitGroup
	once     sync.Once
}

var _ engine.Engine = (*Engine)(nil)

// log has the changes of each revision, as chunks. A chunk's number is
// revision<<16 with the position in the revision below, so that the table only
// grows at its end. Which change of a key is its last, the index in memory says.
const ddl = `
CREATE TABLE log (id INTEGER PRIMARY KEY, changes BLOB NOT NULL);
CREATE TABLE lease (id INTEGER PRIMARY KEY AUTOINCREMENT, ttl INTEGER NOT NULL);
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT INTO meta VALUES ('format', 4);`

const (
	format  = 4 // of the tables above
	seqBits = 16
	// checkpointEvery is how often the write-ahead log is copied into the file,
	// between two commits rather than in the middle of one.
	checkpointEvery = time.Second
)

// Open opens the file, or makes it. It fails when another process has it open,
// when it is damaged, or of a newer format.
func Open(ctx context.Context, o Options) (*Engine, error) {
	if o.Keep <= 0 {
		o.Keep = DefaultKeep
	}
	e := newEngine(o.Keep)
	if err := e.open(ctx, o.Path); err != nil {
		e.release()
		return nil, fmt.Errorf("sqlite: open %s: %w", o.Path, withRemedy(asDamage(err)))
	}
	e.stopped.Go(e.write)
	e.stopped.Go(e.expire)
	if e.acked != nil {
		e.stopped.Go(e.checkpoint)
		e.stopped.Go(e.scrubAlways)
	}
	return e, nil
}

func newEngine(keep int64) *Engine {
	return &Engine{
		keep: keep, requests: make(chan *request, maxGroup), looks: make(chan func(*index)),
		leases: leases{kick: make(chan struct{}, 1)},
		stop:   make(chan struct{}), finished: make(chan struct{}),
	}
}

func (e *Engine) open(ctx context.Context, path string) error {
	if path != Memory {
		if err := e.prepare(path); err != nil {
			return err
		}
	}
	var err error
	if e.db, err = sql.Open("sqlite", dsn(path, "synchronous(FULL)", "cache_size(-32768)")); err != nil {
		return err
	}
	e.db.SetMaxOpenConns(1)
	if e.conn, err = e.db.Conn(ctx); err != nil {
		return err
	}
	err = e.admit(ctx, path)
	if errors.Is(asDamage(err), engine.ErrDamaged) && path != Memory {
		err = errors.Join(err, keepWAL(path))
	}
	return err
}

// admit reads the open file, if it is whole.
func (e *Engine) admit(ctx context.Context, path string) error {
	if path != Memory {
		if err := e.acked.check(ctx, e.conn); err != nil {
			return err
		}
	}
	if err := upgrade(ctx, e.conn); err != nil {
		return err
	}
	if err := e.recall(ctx, path); err != nil || path == Memory {
		return err
	}
	return e.mark(ctx)
}

// prepare takes the file for this process, and looks for damage that SQLite would
// remove from sight by opening it.
func (e *Engine) prepare(path string) (err error) {
	if e.lock, err = flock(path + ".lock"); err != nil {
		return err
	}
	if err := private(path); err != nil {
		return err
	}
	if e.acked, err = readAcked(path); err != nil {
		return err
	}
	if err := checkWAL(path); err != nil {
		return err
	}
	return e.acked.checkEmpty(path)
}

// recall reads what the engine keeps in memory: the newest revision, the
// compacted one, the index and the leases.
func (e *Engine) recall(ctx context.Context, path string) error {
	h, err := readHead(ctx, e.conn)
	if err != nil {
		return err
	}
	e.index = newIndex()
	l, err := e.readAll(ctx, path, h.revision)
	if err != nil {
		return err
	}
	if err := h.whole(ctx, e.conn, l.sum); err != nil {
		return err
	}
	all := l.list()
	e.first, e.head = &all, h
	e.history.init(h.revision, h.compacted)
	if err := e.stmts.prepare(ctx, e.conn); err != nil {
		return err
	}
	return e.leases.load(ctx, e.conn)
}

// readAll reads the log with a connection for each processor, into which the file
// is mapped: it is read once and from one end to the other. Nobody writes
// meanwhile, and nothing is in the write-ahead log, so that these need no locks.
// Another connection looks at the structure of the file. A file in memory, or whose
// write-ahead log cannot be put into it, has one connection only.
func (e *Engine) readAll(ctx context.Context, path string, rev int64) (l *changeLog, err error) {
	if path == Memory || !e.emptyWAL(ctx) {
		l, err = readLog(ctx, []*sql.Conn{e.conn}, rev, e.index)
		return l, errors.Join(err, sound(ctx, e.conn))
	}
	db, err := sql.Open("sqlite", still(path))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var conns []*sql.Conn
	defer func() { err = errors.Join(err, closeAll(conns)) }()
	for range runtime.GOMAXPROCS(0) + 1 {
		c, err := db.Conn(ctx)
		if err != nil {
			return nil, err
		}
		conns = append(conns, c)
	}
	var looking errgroup.Group
	looking.Go(func() error {
		return guarded(func() error { return sound(ctx, conns[0]) })
	})
	l, err = readLog(ctx, conns[1:], rev, e.index)
	return l, errors.Join(looking.Wait(), err)
}

// emptyWAL puts all of the write-ahead log into the file, if it can.
func (e *Engine) emptyWAL(ctx context.Context) bool {
	var busy, inLog, copied int
	err := e.conn.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &inLog, &copied)
	return err == nil && busy == 0 && inLog == copied
}

// mapped is the most of a file that SQLite can map into memory.
const mapped = "mmap_size(2147418112)"

// dsn names a file for the one connection that works with it. Its lock is exclusive
// before the write-ahead log is first used: SQLite then keeps the log's index in
// memory, and not in a file that others can lock.
func dsn(path string, pragmas ...string) string {
	return named(path, url.Values{"_pragma": append([]string{"locking_mode(EXCLUSIVE)", "busy_timeout(2000)", "journal_mode(WAL)",
		"cell_size_check(1)", "wal_autocheckpoint(20000)", "journal_size_limit(67108864)"}, pragmas...)})
}

// still names a file that nobody changes, without a write-ahead log.
func still(path string) string {
	return named(path, url.Values{"mode": {"ro"}, "immutable": {"1"}, "_pragma": {"cell_size_check(1)", mapped}})
}

func named(path string, v url.Values) string {
	if path == Memory {
		return "file::memory:"
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: v.Encode()}).String()
}

func flock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("in use by another process: %w", err), f.Close())
	}
	return f, nil
}

// Close ends the watches, lets what was accepted finish, and closes the file.
func (e *Engine) Close() error {
	var err error
	e.once.Do(func() {
		close(e.stop)
		e.history.close()
		e.stopped.Wait()
		err = e.release()
	})
	return err
}

func (e *Engine) release() error {
	e.connMu.Lock()
	defer e.connMu.Unlock()
	var errs []error
	if e.conn != nil {
		if e.head.open != 0 && e.Health() == nil {
			errs = append(errs, e.unmark())
		}
		e.stmts.close()
		errs = append(errs, e.conn.Close())
	}
	if e.db != nil {
		errs = append(errs, e.db.Close())
	}
	if e.acked != nil {
		errs = append(errs, e.acked.close())
	}
	if e.lock != nil {
		errs = append(errs, e.lock.Close())
	}
	return errors.Join(errs...)
}

func (e *Engine) isClosed() bool {
	select {
	case <-e.stop:
		return true
	default:
		return false
	}
}

// checkpoint keeps the write-ahead log short.
func (e *Engine) checkpoint() {
	tick := time.NewTicker(checkpointEvery)
	defer tick.Stop()
	last := e.history.newest()
	for {
		select {
		case <-e.stop:
			return
		case <-tick.C:
		}
		if rev := e.history.newest(); rev != last {
			// A failure is that of the disk: the writer reports it, and the next
			// tick tries again.
			e.connMu.Lock()
			_, err := e.conn.ExecContext(context.Background(), `PRAGMA wal_checkpoint(PASSIVE)`)
			e.connMu.Unlock()
			if err == nil && e.acked.sync() == nil {
				last = rev
			}
		}
	}
}
