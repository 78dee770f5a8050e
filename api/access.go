package api

import (
	"iter"
	"slices"
	"time"

	"neutrino"
	"neutrino/api/wire"
	"neutrino/store"
)

// access is one way to the rows of a list: all that match are among these.
type access[T any] struct {
	count int // of the rows, at most
	rows  iter.Seq[*T]
	// key is the one index key that all rows have; index is nil where there is
	// none.
	index *store.Index[T]
	key   string
	all   bool // the rows are the whole table
	mixed bool // some rows are not written, so that no index has them
}

// keyed are rows that an index finds; without one the keys are the rows' ids.
type keyed[T any] struct {
	index *store.Index[T]
	keys  []string
}

// accepts reports whether a row matches and the caller may see it.
func (k *kind[T]) accepts(v view, q *query[T], row *T) bool {
	if !v.work.Step() {
		return false
	}
	for _, match := range q.match {
		if !match(v, row) {
			return false
		}
	}
	return k.visible(v.caller, v.Reader, row) && k.gets(v, row)
}

// accessTo is the way that looks at the fewest rows: the filter whose index has
// the fewest, what belongs to the caller, or the whole table.
func (k *kind[T]) accessTo(v view, q *query[T]) access[T] {
	a := k.accessToWritten(v, q)
	if k.unwritten == nil {
		return a
	}
	more := k.unwritten(v, q.keys)
	if len(more) == 0 {
		return a
	}
	return access[T]{count: a.count + len(more), mixed: true, rows: func(yield func(*T) bool) {
		for row := range a.rows {
			if !yield(row) {
				return
			}
		}
		for _, row := range more {
			if !yield(row) {
				return
			}
		}
	}}
}

func (k *kind[T]) accessToWritten(v view, q *query[T]) access[T] {
	if k.scope != nil {
		return access[T]{rows: k.scope(v)}
	}
	if ids := q.keys["id"]; ids != nil {
		return access[T]{count: len(ids), rows: k.byID(v, ids)}
	}
	best := access[T]{count: store.Len(v.Reader, k.table), rows: store.All(v.Reader, k.table), all: true}
	for _, ix := range k.indexes {
		if keys := q.keys[ix.filter]; keys != nil && !slices.Contains(keys, "") {
			best = k.better(v, best, []keyed[T]{{ix.index, keys}})
		}
	}
	if k.reach != nil && !v.caller.All() {
		best = k.better(v, best, k.reach(v))
	}
	return best
}

// better is the way through the indexes when that is shorter than the other.
func (k *kind[T]) better(v view, other access[T], through []keyed[T]) access[T] {
	n, keys := 0, 0
	for _, part := range through {
		if part.index == nil {
			n += len(part.keys)
			keys += 2 * len(part.keys) // there is no one key that all of them have
			continue
		}
		for _, key := range part.keys {
			n += store.Count(v.Reader, part.index, key)
			keys++
		}
	}
	if n >= other.count && !other.all {
		return other
	}
	found := access[T]{count: n, rows: k.eachOf(v, through)}
	if keys == 1 {
		found.index, found.key = through[0].index, through[0].keys[0]
		found.rows = store.By(v.Reader, found.index, found.key)
	}
	return found
}

// byID yields the rows with the ids.
func (k *kind[T]) byID(v view, ids []string) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for _, id := range ids {
			if row, ok := store.Peek(v.Reader, k.table, neutrino.ID(id)); ok && !yield(row) {
				return
			}
		}
	}
}

// eachOf yields the rows under each of the keys, each row once.
func (k *kind[T]) eachOf(v view, through []keyed[T]) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		seen := map[neutrino.ID]bool{}
		for _, part := range through {
			for _, key := range part.keys {
				for row := range k.under(v, part.index, key) {
					id := k.table.ID(row)
					if seen[id] {
						continue
					}
					seen[id] = true
					if !yield(row) {
						return
					}
				}
			}
		}
	}
}

// under yields the rows that have the index key, or the one of the id.
func (k *kind[T]) under(v view, index *store.Index[T], key string) iter.Seq[*T] {
	if index == nil {
		return k.byID(v, []string{key})
	}
	return store.By(v.Reader, index, key)
}

// walk yields rows in the order of the query, from its marker on, if the table
// or an index has them in that order: then a page costs what it shows. It is
// nil where sorting the rows of the access costs less.
func (k *kind[T]) walk(v view, q *query[T], a access[T]) iter.Seq[*T] {
	s, ok := v.Reader.(*store.Snapshot)
	if !ok || k.scope != nil || q.limit == 0 || a.mixed {
		return nil
	}
	way := store.Way{From: q.marker, Back: q.reverse}
	if len(q.order) == 0 && a.index != nil {
		return store.WalkKey(s, a.index, a.key, way)
	}
	// Where one row in so many is wanted, a page walks over so many times more.
	if total := store.Len(s, k.table); !a.all && q.limit*total/max(a.count, 1) >= a.count {
		return nil
	}
	switch len(q.order) {
	case 0:
		return store.Walk(s, k.table, way)
	case 1:
		if ix := k.sortedBy(q.order[0].attr); ix != nil {
			way.KeysBack = q.order[0].desc != q.reverse
			return store.WalkIndex(s, ix, way)
		}
	}
	return nil
}

// sortedBy is an index that has all rows in the attribute's order, or nil.
func (k *kind[T]) sortedBy(a *wire.Attribute) *store.Index[T] {
	switch p := a.Scratch().(type) {
	case *neutrino.MAC, *time.Time:
	default:
		if wire.AsString(p) == nil {
			return nil // the keys are texts: they order addresses and numbers otherwise
		}
	}
	if k.present != nil {
		return nil
	}
	for _, ix := range k.indexes {
		if ix.filter == a.Name && ix.index.IsTotal() {
			return ix.index
		}
	}
	return nil
}
