package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"neutrino/store/engine"
)

// leases are the deadlines of what was granted. The leases themselves are in
// the database; after a restart each gets its full time again, as its holder
// could not keep it alive meanwhile.
type leases struct {
	mu   sync.Mutex
	live map[engine.LeaseID]*lease
	kick chan struct{} // a deadline may be nearer than before
}

type lease struct {
	ttl      time.Duration
	deadline time.Time
}

// retryExpiry is how long an expired lease waits after its keys could not be
// deleted.
const retryExpiry = time.Second

func (l *leases) load(ctx context.Context, c *sql.Conn) error {
	l.live = map[engine.LeaseID]*lease{}
	rows, err := c.QueryContext(ctx, `SELECT id, ttl FROM lease`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id engine.LeaseID
		var ttl time.Duration
		if err := rows.Scan(&id, &ttl); err != nil {
			return err
		}
		l.live[id] = &lease{ttl, time.Now().Add(ttl)}
	}
	return rows.Err()
}

func (l *leases) add(id engine.LeaseID, ttl time.Duration) {
	l.mu.Lock()
	l.live[id] = &lease{ttl, time.Now().Add(ttl)}
	l.mu.Unlock()
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// next is the lease that ends first and the time until then.
func (l *leases) next() (engine.LeaseID, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var first engine.LeaseID
	for id, le := range l.live {
		if first == 0 || le.deadline.Before(l.live[first].deadline) {
			first = id
		}
	}
	if first == 0 {
		return 0, time.Hour
	}
	return first, time.Until(l.live[first].deadline)
}

// Grant is that of [engine.Engine].
func (e *Engine) Grant(ctx context.Context, ttl time.Duration) (engine.LeaseID, error) {
	if ttl <= 0 {
		return 0, fmt.Errorf("sqlite: grant: %w: a lease of %v", engine.ErrInvalid, ttl)
	}
	var id int64
	_, err := e.submit(ctx, func(_ *request, w *writing) error {
		res, err := w.s.leaseAdd.Exec(int64(ttl))
		if err != nil {
			return err
		}
		w.dirty = true
		id, err = res.LastInsertId()
		w.head.digest += leaseSum(id, int64(ttl))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("sqlite: grant: %w", err)
	}
	e.leases.add(engine.LeaseID(id), ttl)
	return engine.LeaseID(id), nil
}

// KeepAlive is that of [engine.Engine].
func (e *Engine) KeepAlive(_ context.Context, id engine.LeaseID) error {
	if e.isClosed() {
		return fmt.Errorf("sqlite: keep lease %d alive: %w", id, engine.ErrClosed)
	}
	e.leases.mu.Lock()
	defer e.leases.mu.Unlock()
	l := e.leases.live[id]
	if l == nil || time.Now().After(l.deadline) {
		return fmt.Errorf("sqlite: keep lease %d alive: %w", id, engine.ErrNoLease)
	}
	l.deadline = time.Now().Add(l.ttl)
	return nil
}

// Revoke is that of [engine.Engine].
func (e *Engine) Revoke(ctx context.Context, id engine.LeaseID) error {
	if err := e.revoke(ctx, id); err != nil {
		return fmt.Errorf("sqlite: revoke lease %d: %w", id, err)
	}
	return nil
}

func (e *Engine) revoke(ctx context.Context, id engine.LeaseID) error {
	_, err := e.submit(ctx, func(r *request, w *writing) error {
		if has, err := w.flag(w.s.leaseHas, int64(id)); err != nil || !has {
			r.refused = engine.ErrNoLease
			return err
		}
		keys := w.index.keysOf(id)
		ops := make([]engine.Op, len(keys))
		for i, key := range keys {
			ops[i] = engine.Delete(key)
		}
		var ttl int64
		if err := w.s.leaseDel.QueryRow(int64(id)).Scan(&ttl); err != nil {
			return err
		}
		w.head.digest -= leaseSum(int64(id), ttl)
		w.dirty = true
		return w.change(ops)
	})
	if err == nil || errors.Is(err, engine.ErrNoLease) {
		e.leases.mu.Lock()
		delete(e.leases.live, id)
		e.leases.mu.Unlock()
	}
	return err
}

// expire ends leases whose time is over.
func (e *Engine) expire() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-e.stop
		cancel()
	}()
	for {
		id, left := e.leases.next()
		if id != 0 && left <= 0 {
			left = 0
			if err := e.revoke(ctx, id); err != nil && ctx.Err() == nil && !errors.Is(err, engine.ErrNoLease) {
				slog.Error("sqlite: expire a lease", "lease", int64(id), "error", err)
				left = retryExpiry
			}
		}
		timer := time.NewTimer(max(left, 0))
		select {
		case <-e.stop:
			timer.Stop()
			return
		case <-e.leases.kick:
			timer.Stop()
		case <-timer.C:
		}
	}
}
