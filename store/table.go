package store

import (
	"reflect"

	"neutrino"
	"neutrino/store/coding"
)

// tableSet is a list of tables; a DB holds the rows of all of them.
type tableSet struct{ tables []*tableSpec }

// tableSpec is what the store knows of a table without knowing its type.
type tableSpec struct {
	name    string
	number  int // position in the set and in each snapshot
	id      func(v any) neutrino.ID
	coder   *coding.Coder
	packed  bool // rows are kept coded: there may be millions
	indexes []*indexSpec
}

// indexSpec is one secondary index: keys gives the keys of a row.
type indexSpec struct {
	name   string
	table  *tableSpec
	number int  // position among the indexes of the table
	total  bool // each row has exactly one key
	keys   func(v any, to []string) []string
}

// Table is a table of rows of one type. It holds no rows itself: a [Reader]
// does.
type Table[T any] struct{ spec *tableSpec }

// Name is the table's name in the engine and in a [Change].
func (t *Table[T]) Name() string { return t.spec.name }

// ID is the ID under which the table keeps the row.
func (t *Table[T]) ID(v *T) neutrino.ID { return t.spec.id(v) }

// Index finds rows of a table by a key that is a function of the row.
type Index[T any] struct{ spec *indexSpec }

// Name is the index's name: "ports by network".
func (ix *Index[T]) Name() string { return ix.spec.table.name + " by " + ix.spec.name }

func newTable[T any](set *tableSet, name string, id func(*T) neutrino.ID) *Table[T] {
	spec := &tableSpec{
		name:   name,
		number: len(set.tables),
		id:     func(v any) neutrino.ID { return id(v.(*T)) },
		coder:  coding.New(name, reflect.TypeFor[T]()),
	}
	set.tables = append(set.tables, spec)
	return &Table[T]{spec}
}

// newPackedTable is newTable for rows of which there may be so many that each is
// kept as it is on disk, and read anew whenever somebody looks at it.
func newPackedTable[T any](set *tableSet, name string, id func(*T) neutrino.ID) *Table[T] {
	t := newTable(set, name, id)
	t.spec.packed = true
	return t
}

func newIndex[T any](t *Table[T], name string, key func(*T) string) *Index[T] {
	ix := newMultiIndex(t, name, func(v *T, to []string) []string { return append(to, key(v)) })
	ix.spec.total = true
	return ix
}

func newMultiIndex[T any](t *Table[T], name string, keys func(v *T, to []string) []string) *Index[T] {
	spec := &indexSpec{
		name: name, table: t.spec, number: len(t.spec.indexes),
		keys: func(v any, to []string) []string { return keys(v.(*T), to) },
	}
	t.spec.indexes = append(t.spec.indexes, spec)
	return &Index[T]{spec}
}
