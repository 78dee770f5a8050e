package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"neutrino/store/engine"
)

// Limit is a bound on the rows that have one key of an index.
type Limit struct {
	Index string // as [Index.Name] gives it
	Key   string
	Max   int
}

// LimitError is the answer of [DB.Update] to a transaction after which more
// rows would have a key than [AtMost] allows. Nothing was written.
type LimitError struct {
	Exceeded []Limit // in the order in which the transaction named them
}

// Error names the limits that do not hold.
func (e *LimitError) Error() string {
	texts := make([]string, len(e.Exceeded))
	for i, l := range e.Exceeded {
		texts[i] = fmt.Sprintf("%s %q: more than %d", l.Index, l.Key, l.Max)
	}
	return "store: " + strings.Join(texts, ", ")
}

// AtMost makes the transaction hold only if, when it is committed, at most so
// many rows have the key, its own and those of all others counted; if not,
// Update answers a [LimitError]. It is exact among the transactions of this
// process that name a limit for the key, and holds nobody up who is far from
// it: there is no row that all of them would write. A transaction that names no
// limit is counted as soon as it is committed.
//
// It reports whether the snapshot has room for one row more, so that a request
// that cannot succeed may end early.
func AtMost[T any](tx *Tx, ix *Index[T], key string, most int) bool {
	at := slices.IndexFunc(tx.limits, func(l limit) bool { return l.ix == ix.spec && l.key == key })
	if at < 0 {
		tx.limits = append(tx.limits, limit{ix.spec, key, most})
	} else {
		tx.limits[at].most = min(tx.limits[at].most, most)
	}
	return tx.snap.count(ix.spec, key) < most
}

// keysOf are the keys of a row that may be missing or deleted.
func keysOf(ix *indexSpec, r *row, to []string) []string {
	if !r.there() {
		return to
	}
	return ix.keys(ix.table.value(r), to)
}

func (s *Snapshot) count(ix *indexSpec, key string) int {
	rows := s.index(ix)
	return rows.Rank(after(key), "") - rows.Rank(key, "")
}

func (tx *Tx) count(ix *indexSpec, key string) int {
	n := tx.snap.count(ix, key)
	for _, w := range tx.writes[ix.table] {
		n += w.grows(ix, key)
	}
	return n
}

// grows is by how much a row that the transaction wrote changes the number of
// rows with the key: 1, 0 or -1.
func (w *rowWrite) grows(ix *indexSpec, key string) int {
	var buf [8]string
	n := 0
	if slices.Contains(keysOf(ix, &w.row, buf[:0]), key) {
		n++
	}
	if slices.Contains(keysOf(ix, w.was, buf[:0]), key) {
		n--
	}
	return n
}

// limit is a demand of one transaction.
type limit struct {
	ix   *indexSpec
	key  string
	most int
}

// counter names what is counted.
type counter struct {
	ix  *indexSpec
	key string
}

// charge is a limit with what the transaction adds under the key.
type charge struct {
	limit
	adds int
}

// charges weighs what the transaction adds. A row that it takes away, or
// replaces, must still be there when it commits: else two transactions could
// count on the same place.
func (tx *Tx) charges() []charge {
	out := make([]charge, 0, len(tx.limits))
	for _, l := range tx.limits {
		c := charge{limit: l}
		for id, w := range tx.writes[l.ix.table] {
			c.adds += w.grows(l.ix, l.key)
			var buf [8]string
			if slices.Contains(keysOf(l.ix, w.was, buf[:0]), l.key) {
				tx.require(about{l.ix.table, id}, engine.Compare{Test: engine.ModRevision, Rev: w.was.mod})
			}
		}
		out = append(out, c)
	}
	return out
}

// admission is a transaction in flight: its charges are counted from before its
// commit until the snapshot shows it.
type admission struct {
	charges []charge
	rev     Revision // of its commit, 0 while that is not known
}

// admissions are the transactions with limits that are in flight.
type admissions struct {
	mu      sync.Mutex
	pending map[counter][]*admission
	left    chan struct{} // closed when one is taken away
}

// admit returns when the charges can be committed within all limits, or with a
// [LimitError] when what is committed leaves no room. While only transactions in
// flight take the room, it waits for these: they may fail. A nil admission is one
// of a transaction without limits.
func (db *DB) admit(ctx context.Context, charges []charge) (*admission, error) {
	if len(charges) == 0 {
		return nil, nil
	}
	a := &admission{charges: charges}
	for {
		applied := db.log.changed()
		left, err := db.admissions.try(db, a)
		if err != nil {
			return nil, err
		}
		if left == nil {
			return a, nil
		}
		select {
		case <-left:
		case <-applied:
		case <-db.closed:
			return nil, fmt.Errorf("store: wait for other transactions: %w", engine.ErrClosed)
		case <-ctx.Done():
			return nil, fmt.Errorf("store: wait for other transactions: %w", ctx.Err())
		}
	}
}

// try takes the admission in, or gives what to wait for.
func (l *admissions) try(db *DB, a *admission) (wait <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	snap := db.Snapshot() // under the lock: it shows all that were taken away
	var exceeded []Limit
	crowded := false
	for _, c := range a.charges {
		sure := snap.count(c.ix, c.key) + c.adds
		if sure > c.most {
			exceeded = append(exceeded, Limit{c.ix.table.name + " by " + c.ix.name, c.key, c.most})
			continue
		}
		adds, most := l.inFlight(counter{c.ix, c.key}, snap.rev)
		crowded = crowded || sure+adds > min(c.most, most)
	}
	switch {
	case exceeded != nil:
		return nil, &LimitError{exceeded}
	case crowded:
		if l.left == nil {
			l.left = make(chan struct{})
		}
		return l.left, nil
	}
	if l.pending == nil {
		l.pending = map[counter][]*admission{}
	}
	for _, c := range a.charges {
		k := counter{c.ix, c.key}
		l.pending[k] = append(l.pending[k], a)
	}
	return nil, nil
}

// inFlight is what the transactions in flight add under a key at most, and the
// least of their limits. Those that the snapshot shows are no longer in flight.
func (l *admissions) inFlight(k counter, shown Revision) (adds, most int) {
	most = maxCount
	list := slices.DeleteFunc(l.pending[k], func(a *admission) bool { return a.rev > 0 && a.rev <= shown })
	for _, a := range list {
		for _, c := range a.charges {
			if c.ix == k.ix && c.key == k.key {
				adds += max(c.adds, 0) // it may fail: what it gives back is not there yet
				most = min(most, c.most)
			}
		}
	}
	l.keep(k, list)
	return adds, most
}

// maxCount is no limit.
const maxCount = int(^uint(0) >> 1)

func (l *admissions) keep(k counter, list []*admission) {
	if len(list) == 0 {
		delete(l.pending, k)
		return
	}
	l.pending[k] = list
}

// committed says at which revision an admission will be in the snapshot.
func (l *admissions) committed(a *admission, rev Revision) {
	if a == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	a.rev = rev
}

// remove takes an admission away that failed, or that the snapshot shows. One
// that is committed but not shown yet, because its caller went away, stays.
func (l *admissions) remove(a *admission, shown Revision) {
	if a == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.rev > shown {
		return
	}
	for _, c := range a.charges {
		k := counter{c.ix, c.key}
		l.keep(k, slices.DeleteFunc(l.pending[k], func(other *admission) bool { return other == a }))
	}
	if l.left != nil {
		close(l.left)
		l.left = nil
	}
}
