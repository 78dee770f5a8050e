// Package failover runs, in the server, what package intent decides on dead
// hosts: it moves their work at a limited rate, and watches whether the store can
// write, because a server that cannot is not to judge others.
package failover

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"neutrino/intent"
	"neutrino/intent/liveness"
	"neutrino/store"
)

// Options say how fast work moves.
type Options struct {
	// Interval is the time between two looks for dead hosts.
	Interval time.Duration
	// Most is how many routers and networks' DHCP services one look moves.
	Most int
}

// The times of the store's watch. An idle server writes once in a probePeriod;
// one that writes for others need not.
const (
	probePeriod  = 10 * time.Second
	probeTimeout = 2 * time.Second
	// probeRetry is the period while the store cannot write.
	probeRetry = time.Second
	// tickPeriod is how often the judge is told that the process runs.
	tickPeriod = 250 * time.Millisecond
	// moveTimeout is how long one look's transaction may take: what it decided is
	// not to be done much later.
	moveTimeout = 5 * time.Second
)

// Mover moves the work of dead hosts. All methods may be called from any
// goroutine.
type Mover struct {
	svc     *intent.Service
	db      *store.DB
	options Options
	probing sync.Mutex // one probe at a time

	mu     sync.Mutex
	last   store.Writes
	good   time.Time // when a write last worked, or Run began
	failed error     // why the last did not
	moved  int
	seen   liveness.Verdict
}

// New makes a mover; [Mover.Run] runs it.
func New(svc *intent.Service, o Options) *Mover {
	return &Mover{svc: svc, db: svc.DB(), options: o}
}

// Run moves and watches until ctx ends, and then returns nil.
func (m *Mover) Run(ctx context.Context) error {
	eg, ctx := errgroup.WithContext(ctx)
	m.mu.Lock()
	m.good, m.failed = time.Now(), fmt.Errorf("the store has not been written to yet")
	m.mu.Unlock()
	m.svc.Judge().Begin()
	eg.Go(func() error { m.watch(ctx); return nil })
	eg.Go(func() error { m.probe(ctx); return nil })
	eg.Go(func() error { m.look(ctx); return nil })
	return eg.Wait()
}

// every calls f at once and then after each time that f says, until ctx ends.
func every(ctx context.Context, f func() time.Duration) {
	for {
		wait := f()
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// watch tells the judge how the store's commits fare, and that the process runs.
func (m *Mover) watch(ctx context.Context) {
	every(ctx, func() time.Duration {
		m.svc.Judge().Tick()
		m.observe(ctx)
		return tickPeriod
	})
}

// observe takes in what has become of commits since the last time.
func (m *Mover) observe(ctx context.Context) {
	m.mu.Lock()
	defer m.mu.Unlock()
	judge, now := m.svc.Judge(), m.db.Writes()
	was := m.failed
	if now.Failed > m.last.Failed {
		m.failed = now.Error
		if now.Error == nil { // others worked since
			m.failed = fmt.Errorf("%d writes failed", now.Failed-m.last.Failed)
		}
		judge.WriteFailed(m.failed.Error())
	}
	switch {
	case now.Stuck > probeTimeout:
		m.failed = fmt.Errorf("no write has ended for %v", now.Stuck.Round(time.Second))
		judge.WriteFailed(m.failed.Error())
	case now.Committed > m.last.Committed && now.Error == nil:
		m.good, m.failed = now.Last, nil
		judge.WriteWorked()
	}
	starting := m.last.Committed == 0 && was != nil
	m.last = now
	switch {
	case was == nil && m.failed != nil:
		slog.ErrorContext(ctx, "store: cannot write; no work of dead hosts moves before it could for the agents' down time", "error", m.failed)
	case was != nil && m.failed == nil && !starting:
		slog.WarnContext(ctx, "store: writes again")
	}
}

// probe writes when nobody else does.
func (m *Mover) probe(ctx context.Context) {
	every(ctx, func() time.Duration {
		if m.age() < probePeriod && m.writing() == nil {
			return probePeriod - m.age()
		}
		if m.tryWrite(ctx) != nil {
			return probeRetry
		}
		return probePeriod
	})
}

// tryWrite finds out whether the store can write now.
func (m *Mover) tryWrite(ctx context.Context) error {
	m.probing.Lock()
	defer m.probing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := m.db.Probe(ctx)
	if err == nil {
		err = m.db.Check(ctx)
	}
	m.observe(ctx)
	return err
}

// age is how long ago a write last worked.
func (m *Mover) age() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Since(m.good)
}

func (m *Mover) writing() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failed
}

// look looks for dead hosts, again and again, and moves what they had.
func (m *Mover) look(ctx context.Context) {
	every(ctx, func() time.Duration {
		v := m.svc.Verdict()
		// Only a server that can write may say who is dead: it asks before it acts.
		if m.anyNew(v) && m.tryWrite(ctx) != nil {
			return m.options.Interval
		}
		if err := m.move(ctx); err != nil && ctx.Err() == nil {
			slog.ErrorContext(ctx, "server: move what dead hosts had", "error", err)
		}
		return m.options.Interval
	})
}

// anyNew reports whether a host is dead that was not at the last look.
func (m *Mover) anyNew(v liveness.Verdict) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	was := m.seen.Movable()
	return slices.ContainsFunc(v.Movable(), func(host string) bool { return !slices.Contains(was, host) })
}

// move is one look.
func (m *Mover) move(ctx context.Context) error {
	last, cancel := context.WithTimeout(ctx, moveTimeout)
	defer cancel()
	var r intent.Rescheduled
	err := m.svc.Do(last, intent.Caller{Admin: true}, func(tx *intent.Tx) (err error) {
		r, err = intent.Reschedule(tx, m.options.Most)
		return err
	})
	if err != nil {
		return err
	}
	m.mu.Lock()
	was := m.seen
	m.seen, m.moved = r.Verdict, m.moved+r.Moved
	m.mu.Unlock()
	if r.Moved > 0 {
		slog.WarnContext(ctx, "server: moved routers and networks away from dead hosts", "moved", r.Moved, "dead", r.Verdict.Dead)
	}
	logVerdict(ctx, was, r.Verdict)
	return nil
}

// logVerdict says what is new: who is dead, and that their work stays, or moves
// again.
func logVerdict(ctx context.Context, was, now liveness.Verdict) {
	switch {
	case len(now.Dead) == 0:
		if len(was.Dead) > 0 {
			slog.WarnContext(ctx, "server: no dead host has anything to move any more", "hosts", was.Dead)
		}
	case slices.Equal(was.Dead, now.Dead) && (was.Held == "") == (now.Held == ""):
	case now.Held != "":
		slog.WarnContext(ctx, "server: hosts seem dead and keep their work", "hosts", now.Dead, "reason", now.Held)
	default:
		slog.WarnContext(ctx, "server: hosts are dead, and their work moves", "hosts", now.Dead)
	}
}
