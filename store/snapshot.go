package store

import (
	"iter"
	"strings"

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

// row is one row; it never changes. val is a typed pointer, nil in a
// transaction that deleted the row.
type row struct {
	id  string
	mod Revision
	val any
}

// claim is who holds a key, since which revision.
type claim struct {
	key   string
	owner string
	mod   Revision
}

func compareClaims(a, b claim) int { return strings.Compare(a.key, b.key) }

// entry is a row's place in an index, or in its table by its ID. Rows with the
// same key are in the order of their IDs.
type entry struct {
	key string
	row *row
}

func (a entry) compare(b entry) int {
	if c := strings.Compare(a.key, b.key); c != 0 || a.row == b.row {
		return c
	}
	return strings.Compare(a.row.id, b.row.id)
}

func (a entry) compareKeys(b entry) int { return strings.Compare(a.key, b.key) }

// before is where the rows with the key begin.
func before(key string) entry { return entry{key, noRow} }

// after is where the rows with the key end: at the least key above it.
func after(key string) entry { return entry{key + "\x00", noRow} }

// noRow comes before every row.
var noRow = &row{}

// Snapshot is all rows and claims as they were at one revision. It never
// changes and costs nothing to take or to keep.
type Snapshot struct {
	rev     Revision
	tables  []*tableRows
	claimed *tree.Tree[claim]
}

// tableRows are the rows of a table by ID, and by the keys of each index.
type tableRows struct {
	rows    *tree.Tree[entry]
	indexes []*tree.Tree[entry]
}

func newTableRows(spec *tableSpec) *tableRows {
	t := &tableRows{rows: tree.New(entry.compareKeys)}
	for range spec.indexes {
		t.indexes = append(t.indexes, tree.New(entry.compare))
	}
	return t
}

// edit is a copy to change, which shares everything with t.
func (t *tableRows) edit() *tableRows {
	c := &tableRows{rows: t.rows.Edit(), indexes: make([]*tree.Tree[entry], len(t.indexes))}
	for i, ix := range t.indexes {
		c.indexes[i] = ix.Edit()
	}
	return c
}

// Revision is the revision that the snapshot shows.
func (s *Snapshot) Revision() Revision { return s.rev }

// Holder is the owner of a claim.
func (s *Snapshot) Holder(key string) (string, bool) {
	c, ok := s.claim(key)
	return c.owner, ok
}

func (s *Snapshot) claim(key string) (claim, bool) { return s.claimed.Get(claim{key: key}) }

func (s *Snapshot) row(t *tableSpec, id string) *row {
	e, _ := s.tables[t.number].rows.Get(entry{key: id})
	return e.row
}

func (s *Snapshot) observe(*tableSpec, string) {}

func (s *Snapshot) all(t *tableSpec) iter.Seq[*row] {
	return func(yield func(*row) bool) {
		s.tables[t.number].rows.Scan(func(e entry) bool { return yield(e.row) })
	}
}

func (s *Snapshot) by(ix *indexSpec, key string) iter.Seq[*row] {
	return func(yield func(*row) bool) {
		s.index(ix).Ascend(before(key), func(e entry) bool {
			return e.key == key && yield(e.row)
		})
	}
}

func (s *Snapshot) claims(prefix string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		s.claimed.Ascend(claim{key: prefix}, func(c claim) bool {
			return strings.HasPrefix(c.key, prefix) && yield(c.key, c.owner)
		})
	}
}

func (s *Snapshot) countClaims(prefix string) int {
	from, to := s.claimed.Rank(claim{key: prefix}), s.claimed.Len()
	if end := engine.PrefixEnd(prefix); end != "" {
		to = s.claimed.Rank(claim{key: end})
	}
	return to - from
}

func (s *Snapshot) index(ix *indexSpec) *tree.Tree[entry] {
	return s.tables[ix.table.number].indexes[ix.number]
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
	rows := s.index(ix.spec)
	return func(yield func(string) bool) {
		for from := prefix; ; {
			key, found := "", false
			rows.Ascend(before(from), func(e entry) bool {
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

// Count is the number of rows that have the index key. It costs the same
// however many they are.
func Count[T any](r Reader, ix *Index[T], key string) int { return r.count(ix.spec, key) }

// Len is the number of rows of a table.
func Len[T any](r Reader, t *Table[T]) int { return r.length(t.spec) }

func (s *Snapshot) length(t *tableSpec) int { return s.tables[t.number].rows.Len() }

func (tx *Tx) length(t *tableSpec) int {
	n := tx.snap.length(t)
	for id, r := range tx.writes[t] {
		n += boolInt(r.val != nil) - boolInt(tx.snap.row(t, id) != nil)
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
