package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"neutrino/store/engine"
)

// ErrListAgain ends a watch that is too far behind: take a new snapshot and
// watch from the revision after it.
var ErrListAgain = errors.New("store: revision is too old to watch from: list again")

// Batch is what one revision changed, in the order of the writes. Changes is
// empty for a revision that changed claims only.
type Batch struct {
	Revision Revision
	Changes  []Change
	Cause    string // what [Tx.Because] said, for logs
}

// Change is one row's change. Old and New are pointers of the table's type
// (*neutrino.Port, …), or nil where the row did not or does not exist; they
// must not be changed.
type Change struct {
	Table    string
	ID       string
	Old, New any
	Revision Revision
}

// Watch yields the changes from the given revision on, that one included and in
// order: after a snapshot s, Watch(ctx, s.Revision()+1). Each revision is yielded
// after it is in Snapshot. A slow reader holds nobody up; it ends with
// [ErrListAgain] when it is too far behind. The last pair has the error: that,
// engine.ErrClosed, or that of ctx.
func (db *DB) Watch(ctx context.Context, from Revision) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		next := from
		for {
			batches, err := db.await(ctx, next)
			if err != nil {
				yield(Batch{}, err)
				return
			}
			for _, a := range batches {
				if ctx.Err() != nil || !yield(a.batch(), nil) {
					return
				}
				next = a.rev + 1
			}
		}
	}
}

// batch reads the rows that the revision changed.
func (a applied) batch() Batch {
	b := Batch{Revision: a.rev, Changes: make([]Change, len(a.changes)), Cause: a.cause}
	for i, c := range a.changes {
		change := Change{Table: c.table.name, Revision: a.rev, Old: c.table.value(c.old), New: c.table.value(c.new)}
		if c.new != nil {
			change.ID = c.new.id
		} else if c.old != nil {
			change.ID = c.old.id
		}
		b.Changes[i] = change
	}
	return b
}

// await waits until there are batches from the revision on.
func (db *DB) await(ctx context.Context, from Revision) ([]applied, error) {
	for {
		changed := db.log.changed()
		batches, err := db.log.since(from)
		if err != nil || len(batches) > 0 {
			return batches, err
		}
		select {
		case <-changed:
		case <-db.closed:
			return nil, fmt.Errorf("store: watch: %w", engine.ErrClosed)
		case <-ctx.Done():
			return nil, fmt.Errorf("store: watch: %w", ctx.Err())
		}
	}
}

// logLength is how many revisions a watcher may be behind, at least, unless
// these changed more than logChanges rows.
const (
	logLength  = 8192
	logChanges = 100_000
)

// changeLog keeps the last changes for watchers and wakes them.
type changeLog struct {
	mu      sync.Mutex
	floor   Revision  // everything after it is in batches
	batches []applied // appended to and cut off only, so that readers share it
	changes int       // in the batches
	wake    chan struct{}
}

func (l *changeLog) init(rev Revision) {
	l.floor, l.wake = rev, make(chan struct{})
}

// changed is closed at the next change.
func (l *changeLog) changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wake
}

func (l *changeLog) add(batches []applied) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batches = append(l.batches, batches...)
	for _, b := range batches {
		l.changes += len(b.changes)
	}
	l.cut()
	l.signal()
}

// cut forgets the oldest half of the batches when they are too many.
func (l *changeLog) cut() {
	if len(l.batches) <= 2*logLength && l.changes <= 2*logChanges {
		return
	}
	first := max(len(l.batches)-logLength, 0)
	l.changes = 0
	for i, b := range slices.Backward(l.batches) {
		if i < first || l.changes+len(b.changes) > logChanges && i < len(l.batches)-1 {
			first = i + 1
			break
		}
		l.changes += len(b.changes)
	}
	if first > 0 {
		l.floor = l.batches[first-1].rev
		l.batches = slices.Clone(l.batches[first:])
	}
}

// reset forgets all changes: watchers behind the revision must list again.
func (l *changeLog) reset(rev Revision) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.floor, l.batches, l.changes = rev, nil, 0
	l.signal()
}

func (l *changeLog) signal() {
	close(l.wake)
	l.wake = make(chan struct{})
}

func (l *changeLog) since(from Revision) ([]applied, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if from <= l.floor {
		return nil, ErrListAgain
	}
	i, _ := slices.BinarySearchFunc(l.batches, from, func(a applied, rev Revision) int {
		return cmp.Compare(a.rev, rev)
	})
	return l.batches[i:len(l.batches):len(l.batches)], nil
}
