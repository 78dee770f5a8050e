package store

import (
	"iter"
	"strings"

	"github.com/tidwall/btree"

	"neutrino"
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
	claims(prefix string) iter.Seq2[string, string]
}

// row is one row; it never changes. val is a typed pointer, nil in a
// transaction that deleted the row.
type row struct {
	id  string
	mod Revision
	val any
}

type claim struct {
	owner string
	mod   Revision
}

// entry is a row's place in an index. Rows with the same key are in the order
// of their IDs.
type entry struct {
	key string
	row *row
}

func (a entry) before(b entry) bool {
	if a.key != b.key {
		return a.key < b.key
	}
	return a.row.id < b.row.id
}

// Snapshot is all rows and claims as they were at one revision. It never
// changes and costs nothing to take or to keep.
type Snapshot struct {
	rev     Revision
	tables  []*tableRows
	claimed *btree.Map[string, claim]
}

type tableRows struct {
	rows    *btree.Map[string, *row]
	indexes []*btree.BTreeG[entry]
}

func newTableRows(spec *tableSpec) *tableRows {
	t := &tableRows{rows: btree.NewMap[string, *row](0)}
	for range spec.indexes {
		t.indexes = append(t.indexes, btree.NewBTreeGOptions(entry.before, btree.Options{NoLocks: true}))
	}
	return t
}

// clone shares everything with t until one of the two is changed. Only the one
// goroutine that applies changes may call it: it marks t's nodes as shared.
func (t *tableRows) clone() *tableRows {
	c := &tableRows{rows: t.rows.IsoCopy(), indexes: make([]*btree.BTreeG[entry], len(t.indexes))}
	for i, ix := range t.indexes {
		c.indexes[i] = ix.IsoCopy()
	}
	return c
}

// set replaces a row, deletes it when r.val is nil, and returns the one before.
func (t *tableRows) set(spec *tableSpec, r *row) (old *row) {
	old, _ = t.rows.Get(r.id)
	var buf [8]string
	if old != nil {
		for _, ix := range spec.indexes {
			for _, key := range ix.keys(old.val, buf[:0]) {
				t.indexes[ix.number].Delete(entry{key, old})
			}
		}
	}
	if r.val == nil {
		t.rows.Delete(r.id)
		return old
	}
	t.rows.Set(r.id, r)
	for _, ix := range spec.indexes {
		for _, key := range ix.keys(r.val, buf[:0]) {
			t.indexes[ix.number].Set(entry{key, r})
		}
	}
	return old
}

// Revision is the revision that the snapshot shows.
func (s *Snapshot) Revision() Revision { return s.rev }

// Holder is the owner of a claim.
func (s *Snapshot) Holder(key string) (string, bool) {
	c, ok := s.claimed.Get(key)
	return c.owner, ok
}

func (s *Snapshot) row(t *tableSpec, id string) *row {
	r, _ := s.tables[t.number].rows.Get(id)
	return r
}

func (s *Snapshot) observe(*tableSpec, string) {}

func (s *Snapshot) all(t *tableSpec) iter.Seq[*row] {
	return func(yield func(*row) bool) {
		s.tables[t.number].rows.Scan(func(_ string, r *row) bool { return yield(r) })
	}
}

func (s *Snapshot) by(ix *indexSpec, key string) iter.Seq[*row] {
	return func(yield func(*row) bool) {
		first := entry{key, &row{}}
		s.tables[ix.table.number].indexes[ix.number].Ascend(first, func(e entry) bool {
			return e.key == key && yield(e.row)
		})
	}
}

func (s *Snapshot) claims(prefix string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		s.claimed.Ascend(prefix, func(key string, c claim) bool {
			return strings.HasPrefix(key, prefix) && yield(key, c.owner)
		})
	}
}

// Get is the row with the ID. The value must not be changed: copy it first. In
// a [Tx], the transaction holds only if the row (or its absence) is still the
// same when it commits.
func Get[T any](r Reader, t *Table[T], id neutrino.ID) (*T, bool) {
	r.observe(t.spec, string(id))
	return Peek(r, t, id)
}

// Peek is Get without the condition that the row stays the same.
func Peek[T any](r Reader, t *Table[T], id neutrino.ID) (*T, bool) {
	found := r.row(t.spec, string(id))
	if found == nil || found.val == nil {
		return nil, false
	}
	return found.val.(*T), true
}

// All yields every row in the order of IDs. It adds no condition to a [Tx].
func All[T any](r Reader, t *Table[T]) iter.Seq[*T] { return typed[T](r.all(t.spec)) }

// By yields the rows that have the index key, in the order of IDs. It adds no
// condition to a [Tx].
func By[T any](r Reader, ix *Index[T], key string) iter.Seq[*T] {
	return typed[T](r.by(ix.spec, key))
}

// Keys yields the keys of an index that begin with the prefix, each once and in
// order. It costs a descent for each key, however many rows have it.
func Keys[T any](s *Snapshot, ix *Index[T], prefix string) iter.Seq[string] {
	rows := s.tables[ix.spec.table.number].indexes[ix.spec.number]
	return func(yield func(string) bool) {
		for from := prefix; ; {
			key, found := "", false
			rows.Ascend(entry{from, &row{}}, func(e entry) bool {
				key, found = e.key, strings.HasPrefix(e.key, prefix)
				return false
			})
			if !found || !yield(key) {
				return
			}
			from = key + "\x00" // the least key after this one
		}
	}
}

func typed[T any](rows iter.Seq[*row]) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for r := range rows {
			if !yield(r.val.(*T)) {
				return
			}
		}
	}
}

// Count is the number of rows that have the index key; it walks over them.
func Count[T any](r Reader, ix *Index[T], key string) int {
	n := 0
	for range r.by(ix.spec, key) {
		n++
	}
	return n
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
