package store

import (
	"bytes"
	"iter"

	"neutrino"
	"neutrino/store/engine"
	"neutrino/store/tree"
)

// Reader is what rows are read from: a *[Snapshot], or a *[Tx], which sees its
// own writes. The functions Get, Peek, All, By, Count and Claims take one.
type Reader interface {
	// Revision is that of the snapshot that is read.
	Revision() Revision
	// Holder is the owner of a claim.
	Holder(key string) (owner string, held bool)

	row(t *tableSpec, id string) *row
	observe(t *tableSpec, id string)
	all(t *tableSpec) iter.Seq[*row]
	by(ix *indexSpec, key string) iter.Seq[*row]
	count(ix *indexSpec, key string) int
	length(t *tableSpec) int
	claims(prefix string) iter.Seq2[string, string]
	countClaims(prefix string) int
}

// Snapshot is all rows and claims as they were at one revision. It never
// changes and costs nothing to take or to keep.
type Snapshot struct {
	rev     Revision
	name    neutrino.StoreIdentity
	tables  []*tableRows
	claimed *tree.Map // see claim
}

// rows are some rows by a key; those with the same key are in the order of their
// IDs.
type rows = tree.Tree[*row]

// place is a row's place in rows.
type place = tree.Entry[*row]

// tableRows are the rows of a table by ID, and by the keys of each index.
type tableRows struct {
	rows    *rows
	indexes []*rows
}

func newTableRows(spec *tableSpec) *tableRows {
	t := &tableRows{rows: tree.NewIndex(noTie)}
	for range spec.indexes {
		t.indexes = append(t.indexes, tree.NewIndex(idOf))
	}
	return t
}

// noTie is the tie of rows by ID: no two have one.
func noTie(*row) string { return "" }

// edit is a copy to change, which shares everything with t.
func (t *tableRows) edit() *tableRows {
	c := &tableRows{rows: t.rows.Edit(), indexes: make([]*rows, len(t.indexes))}
	for i, ix := range t.indexes {
		c.indexes[i] = ix.Edit()
	}
	return c
}

// Revision is the revision that the snapshot shows.
func (s *Snapshot) Revision() Revision { return s.rev }

// Position is the snapshot's revision with the identity of the store, which has no
// name where nobody gave it one ([neutrino/store/identity]).
func (s *Snapshot) Position() neutrino.StorePosition {
	return neutrino.StorePosition{StoreIdentity: s.name, Revision: s.rev}
}

// Holder is the owner of a claim.
func (s *Snapshot) Holder(key string) (string, bool) {
	c, ok := s.claim(key)
	return c.owner, ok
}

func (s *Snapshot) row(t *tableSpec, id string) *row {
	r, _ := s.tables[t.number].rows.Find(id, "")
	return r
}

func (s *Snapshot) observe(*tableSpec, string) {}

func (s *Snapshot) all(t *tableSpec) iter.Seq[*row] {
	return func(yield func(*row) bool) {
		s.tables[t.number].rows.Scan(func(p place) bool { return yield(p.Ref) })
	}
}

func (s *Snapshot) by(ix *indexSpec, key string) iter.Seq[*row] {
	return func(yield func(*row) bool) {
		s.index(ix).Ascend(key, "", func(p place) bool { return p.Has(key) && yield(p.Ref) })
	}
}

// begins reports whether a row has an ID that begins with the prefix.
func (s *Snapshot) begins(t *tableSpec, prefix string) bool {
	return s.tables[t.number].rows.Begins(prefix)
}

func (s *Snapshot) index(ix *indexSpec) *rows {
	return s.tables[ix.table.number].indexes[ix.number]
}

// after is the least key above a key.
func after(key string) string { return key + "\x00" }

// Get is the row with the ID. The value must not be changed: copy it first. In
// a [Tx], the transaction holds only if the row (or its absence) is still the
// same when it commits.
func Get[T any](r Reader, t *Table[T], id neutrino.ID) (*T, bool) {
	r.observe(t.spec, string(id))
	return Peek(r, t, id)
}

// Peek is Get without the condition that the row stays the same.
func Peek[T any](r Reader, t *Table[T], id neutrino.ID) (*T, bool) {
	val, ok := t.spec.value(r.row(t.spec, string(id))).(*T)
	return val, ok
}

// All yields every row in the order of IDs. It adds no condition to a [Tx].
func All[T any](r Reader, t *Table[T]) iter.Seq[*T] { return typed[T](t.spec, r.all(t.spec)) }

// By yields the rows that have the index key, in the order of IDs. It adds no
// condition to a [Tx].
func By[T any](r Reader, ix *Index[T], key string) iter.Seq[*T] {
	return typed[T](ix.spec.table, r.by(ix.spec, key))
}

// Keys yields the keys of an index that begin with the prefix, each once and in
// order. It costs a descent for each key, however many rows have it.
func Keys[T any](s *Snapshot, ix *Index[T], prefix string) iter.Seq[string] {
	rows := s.index(ix.spec)
	return func(yield func(string) bool) {
		for from := prefix; ; {
			key, found := "", false
			rows.Ascend(from, "", func(p place) bool {
				key, found = string(p.Key), bytes.HasPrefix(p.Key, []byte(prefix))
				return false
			})
			if !found || !yield(key) {
				return
			}
			from = after(key)
		}
	}
}

func typed[T any](t *tableSpec, rows iter.Seq[*row]) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for r := range rows {
			if !yield(t.value(r).(*T)) {
				return
			}
		}
	}
}

// Count is the number of rows that have the index key. It costs the same
// however many they are.
func Count[T any](r Reader, ix *Index[T], key string) int { return r.count(ix.spec, key) }

// Len is the number of rows of a table.
func Len[T any](r Reader, t *Table[T]) int { return r.length(t.spec) }

func (s *Snapshot) length(t *tableSpec) int { return s.tables[t.number].rows.Len() }

func (tx *Tx) length(t *tableSpec) int {
	n := tx.snap.length(t)
	for _, w := range tx.writes[t] {
		n += boolInt(w.there()) - boolInt(w.was != nil)
	}
	return n
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// ModRevision is the revision of the last committed change of a row, 0 when
// there is none. It adds no condition to a [Tx].
func ModRevision[T any](r Reader, t *Table[T], id neutrino.ID) Revision {
	if found := r.row(t.spec, string(id)); found != nil {
		return found.mod
	}
	return 0
}

// Claims yields the claims under a prefix, with their owners, in key order. It
// adds no condition to a [Tx].
func Claims(r Reader, prefix string) iter.Seq2[string, string] { return r.claims(prefix) }

// CountClaims is the number of claims under a prefix, which ends in a slash. It
// costs the same however many they are.
func CountClaims(r Reader, prefix string) int { return r.countClaims(prefix) }

func (s *Snapshot) claims(prefix string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		s.claimed.Ascend(prefix, "", func(e tree.Entry[struct{}]) bool {
			if !bytes.HasPrefix(e.Key, []byte(prefix)) {
				return false
			}
			key := string(e.Key)
			return yield(key, claimOf(key, e.Value).owner)
		})
	}
}

func (s *Snapshot) countClaims(prefix string) int {
	from, to := s.claimed.Rank(prefix, ""), s.claimed.Len()
	if end := engine.PrefixEnd(prefix); end != "" {
		to = s.claimed.Rank(end, "")
	}
	return to - from
}
