package store

import (
	"iter"
	"maps"
	"slices"
	"strings"

	"neutrino"
	"neutrino/store/engine"
)

// Tx is one attempt of an [DB.Update]: it reads the newest snapshot and its own
// writes, and collects the conditions under which they may be committed. It is
// used by one goroutine.
type Tx struct {
	snap    *Snapshot
	db      *DB
	attempt int

	writes   map[*tableSpec]map[string]*rowWrite
	written  []write // each row once, in the order of first writing
	claimed  map[string]*claimWrite
	order    []*claimWrite // in the order of first writing
	compares map[about]engine.Compare
	none     []string // prefixes that must hold no claim in the end
	limits   []limit
	grown    map[string]int // claims more than in the snapshot, by [parent]
	cause    string
}

type write struct {
	table *tableSpec
	row   *rowWrite
}

// rowWrite is a row that the transaction writes, in the place of one in the
// snapshot.
type rowWrite struct {
	row
	was *row // nil when there is none
}

// about is what a condition is about: a row, or rows whose IDs begin alike, or
// without a table a key of the engine. The engine's key of a row is made when all
// conditions are known: most are asked for again and again.
type about struct {
	table *tableSpec
	key   string
}

func (a about) engineKey() string {
	if a.table == nil {
		return a.key
	}
	return rowKey(a.table, a.key)
}

func newTx(db *DB, snap *Snapshot, attempt int) *Tx {
	return &Tx{
		snap: snap, db: db, attempt: attempt,
		writes:  map[*tableSpec]map[string]*rowWrite{},
		claimed: map[string]*claimWrite{}, compares: map[about]engine.Compare{}, grown: map[string]int{},
	}
}

// maxCause is how many bytes of a cause are kept.
const maxCause = 128

// Because says what the transaction is made for, a request's id: watchers find
// it beside what changed ([Batch.Cause]), so that logs of hosts can name it.
func (tx *Tx) Because(cause string) { tx.cause = cause[:min(len(cause), maxCause)] }

// Revision is that of the snapshot underneath.
func (tx *Tx) Revision() Revision { return tx.snap.rev }

// Attempt is how often the transaction lost a race: 0 at first. An allocator
// that may choose freely can choose more widely when it is not 0.
func (tx *Tx) Attempt() int { return tx.attempt }

// Full reports whether the transaction holds half of what one may hold: who has
// more to do than fits does the rest in another.
func (tx *Tx) Full() bool {
	return max(len(tx.compares)+len(tx.order), len(tx.written)+len(tx.order)) > engine.MaxOps/2
}

// Put writes a row, as a whole. v must not be changed before the transaction
// ends. It adds no condition: read the row with [Get] where that matters.
func Put[T any](tx *Tx, t *Table[T], v *T) { tx.put(t.spec, string(t.spec.id(v)), v) }

// Delete removes a row; nothing happens when there is none.
func Delete[T any](tx *Tx, t *Table[T], id neutrino.ID) { tx.put(t.spec, string(id), nil) }

// Exists reports whether there is a row with the ID. The transaction holds only
// if that is still so when it commits, while the row itself may change.
func Exists[T any](tx *Tx, t *Table[T], id neutrino.ID) bool {
	found := tx.row(t.spec, string(id))
	if _, own := tx.writes[t.spec][string(id)]; !own {
		test := engine.Absent
		if found != nil {
			test = engine.Present
		}
		tx.require(about{t.spec, string(id)}, engine.Compare{Test: test})
	}
	return found.there()
}

// TakePrefix takes the beginning of an ID for a row that the transaction makes. It
// is false when a row of the table has an ID that begins so, or this transaction
// took it before. When another transaction makes such a row first, this one is
// tried again.
func TakePrefix[T any](tx *Tx, t *Table[T], prefix string) bool {
	rows := about{t.spec, prefix}
	if _, again := tx.compares[rows]; again || tx.snap.begins(t.spec, prefix) {
		return false
	}
	tx.require(rows, engine.RangeEmpty(""))
	return true
}

// RequireNone makes the transaction hold only if no claim under the prefix
// remains after it: those that it releases itself do not count. If one remains
// already in the snapshot, Update answers a Conflict.
func (tx *Tx) RequireNone(claimPrefix string) { tx.none = append(tx.none, claimPrefix) }

func (tx *Tx) put(t *tableSpec, id string, v any) {
	rows := tx.writes[t]
	if rows == nil {
		rows = map[string]*rowWrite{}
		tx.writes[t] = rows
	}
	w := rows[id]
	if w == nil {
		w = &rowWrite{was: tx.snap.row(t, id)}
		tx.written = append(tx.written, write{t, w})
		rows[id] = w
	}
	w.row = row{id: id, val: v}
	if w.was != nil {
		w.mod = w.was.mod
	}
}

// require adds a condition. One that names the revision says more than one that
// names only presence, and replaces it.
func (tx *Tx) require(a about, c engine.Compare) {
	if have, ok := tx.compares[a]; !ok || have.Test != engine.ModRevision {
		tx.compares[a] = c
	}
}

func (tx *Tx) row(t *tableSpec, id string) *row {
	if w, own := tx.writes[t][id]; own {
		return &w.row
	}
	return tx.snap.row(t, id)
}

func (tx *Tx) observe(t *tableSpec, id string) {
	if _, own := tx.writes[t][id]; own {
		return
	}
	c := engine.Compare{Test: engine.Absent}
	if r := tx.snap.row(t, id); r != nil {
		c.Test, c.Rev = engine.ModRevision, r.mod
	}
	tx.require(about{t, id}, c)
}

func (tx *Tx) all(t *tableSpec) iter.Seq[*row] {
	return tx.merge(t, tx.snap.all(t), func(any) bool { return true })
}

func (tx *Tx) by(ix *indexSpec, key string) iter.Seq[*row] {
	var buf []string
	return tx.merge(ix.table, tx.snap.by(ix, key), func(v any) bool {
		buf = ix.keys(v, buf[:0])
		return slices.Contains(buf, key)
	})
}

// merge yields rows of the snapshot with the transaction's own in their place,
// by ID. It shows what was written when the iteration began.
func (tx *Tx) merge(t *tableSpec, base iter.Seq[*row], match func(any) bool) iter.Seq[*row] {
	if len(tx.writes[t]) == 0 {
		return base
	}
	return func(yield func(*row) bool) {
		written := maps.Clone(tx.writes[t])
		var own []*row
		for _, w := range written {
			if r := w.row; r.there() && match(r.val) {
				own = append(own, &r)
			}
		}
		slices.SortFunc(own, func(a, b *row) int { return strings.Compare(a.id, b.id) })
		for r := range base {
			if _, replaced := written[r.id]; replaced {
				continue
			}
			for len(own) > 0 && own[0].id < r.id {
				if !yield(own[0]) {
					return
				}
				own = own[1:]
			}
			if !yield(r) {
				return
			}
		}
		for _, r := range own {
			if !yield(r) {
				return
			}
		}
	}
}

// commands are the conditions and the changes in the engine's terms.
func (tx *Tx) commands() ([]engine.Compare, []engine.Op, error) {
	compares, err := tx.conditions()
	if err != nil {
		return nil, nil, err
	}
	ops := make([]engine.Op, 0, len(tx.written)+len(tx.order)+1)
	var code []byte
	for _, w := range tx.written {
		key := rowKey(w.table, w.row.id)
		switch {
		case w.row.there():
			code = w.table.coder.Append(code[:0], w.row.val)
			if w.row.was != nil {
				code = append(code, w.table.newer(w.row.was)...)
			}
			ops = append(ops, engine.Put(key, slices.Clone(code)))
		case w.row.was != nil:
			ops = append(ops, engine.Delete(key))
		}
	}
	var owner []byte // those who claim something claim more of it
	for _, w := range tx.order {
		if w.held {
			if string(owner) != w.owner {
				owner = []byte(w.owner)
			}
			ops = append(ops, engine.Put(w.key, owner))
		} else if w.was.mod != 0 {
			ops = append(ops, engine.Delete(w.key))
		}
	}
	if tx.cause != "" && len(ops) > 0 {
		ops = append(ops, engine.Put(causeKey, []byte(tx.cause)))
	}
	return compares, ops, nil
}

func (tx *Tx) conditions() ([]engine.Compare, error) {
	compares := make([]engine.Compare, 0, len(tx.compares)+len(tx.order)+len(tx.none))
	for a, c := range tx.compares {
		c.Key = a.engineKey()
		compares = append(compares, c)
	}
	for _, w := range tx.order {
		compares = append(compares, w.condition())
	}
	slices.SortFunc(compares, func(a, b engine.Compare) int { return strings.Compare(a.Key, b.Key) })
	for _, prefix := range tx.none {
		for key, owner := range tx.claims(prefix) {
			return nil, neutrino.Errorf(neutrino.Conflict, "Conflict", "%s is in use by %s.", key, owner)
		}
		c := engine.RangeEmpty(claimKey(prefix))
		for range tx.snap.claims(prefix) {
			// All of these are released here; none may have come since.
			c.Rev = tx.snap.rev
			break
		}
		compares = append(compares, c)
	}
	return compares, nil
}
