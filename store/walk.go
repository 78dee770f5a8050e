package store

import (
	"iter"

	"neutrino"
)

// Way says where a walk over rows begins and which way it goes.
type Way struct {
	// From is the row after which the walk begins, in its direction; "" is the
	// beginning.
	From neutrino.ID
	// Back lets the IDs descend.
	Back bool
	// KeysBack lets the keys of [WalkIndex] descend.
	KeysBack bool
}

// Walk yields the rows of a table by ID. It costs nothing to begin anywhere.
func Walk[T any](s *Snapshot, t *Table[T], w Way) iter.Seq[*T] {
	return typed[T](t.spec, func(yield func(*row) bool) {
		rows, from := s.tables[t.spec.number].rows, string(w.From)
		visit := func(p place) bool { return p.Has(from) || yield(p.Ref) }
		switch {
		case !w.Back:
			rows.Ascend(from, "", visit)
		case from == "":
			rows.Back(visit)
		default:
			rows.Descend(from, "", visit)
		}
	})
}

// WalkKey yields the rows that have the index key, by ID.
func WalkKey[T any](s *Snapshot, ix *Index[T], key string, w Way) iter.Seq[*T] {
	return typed[T](ix.spec.table, func(yield func(*row) bool) { s.walkKey(ix.spec, key, w, yield) })
}

// WalkIndex yields all rows of a table by the index key and, where that is the
// same, by ID. Every row must have one key: [Index.IsTotal].
func WalkIndex[T any](s *Snapshot, ix *Index[T], w Way) iter.Seq[*T] {
	return typed[T](ix.spec.table, func(yield func(*row) bool) {
		rows := s.index(ix.spec)
		key, found := "", false
		if from := s.row(ix.spec.table, string(w.From)); from != nil {
			key, found = keysOf(ix.spec, from, nil)[0], true
			if !s.walkKey(ix.spec, key, w, yield) {
				return
			}
		}
		for {
			next := func(p place) bool {
				key, found = string(p.Key), true
				return false
			}
			begun := found
			switch found = false; {
			case !w.KeysBack && begun:
				rows.Ascend(after(key), "", next)
			case !w.KeysBack:
				rows.Scan(next)
			case begun:
				rows.Descend(key, "", next)
			default:
				rows.Back(next)
			}
			if !found {
				return
			}
			if !s.walkKey(ix.spec, key, Way{Back: w.Back}, yield) {
				return
			}
		}
	})
}

// IsTotal reports whether each row of the table has exactly one key.
func (ix *Index[T]) IsTotal() bool { return ix.spec.total }

// walkKey is false when yield was.
func (s *Snapshot) walkKey(ix *indexSpec, key string, w Way, yield func(*row) bool) bool {
	rows, more := s.index(ix), true
	visit := func(p place) bool {
		if !p.Has(key) {
			return false
		}
		more = p.Ref.id == string(w.From) || yield(p.Ref)
		return more
	}
	switch {
	case !w.Back:
		rows.Ascend(key, string(w.From), visit)
	case w.From == "":
		rows.Descend(after(key), "", visit)
	default:
		rows.Descend(key, string(w.From), visit)
	}
	return more
}
