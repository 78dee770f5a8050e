package store

import (
	"fmt"

	"neutrino/store/coding"
)

// row is one row; it never changes. It is a value, or in a packed table its code;
// in a transaction that deleted it, neither.
type row struct {
	id   string
	mod  Revision
	val  any    // a pointer of the table's type
	code string // as [coding.Coder] writes it; beside a value, only what newer is
}

func idOf(r *row) string { return r.id }

// there reports whether there is a row.
func (r *row) there() bool { return r != nil && (r.val != nil || r.code != "") }

// newer are the fields of a row that this program does not have, as a newer one
// wrote them, "" for none: who writes the row anew keeps them.
func (t *tableSpec) newer(r *row) string {
	if r.val != nil {
		return r.code
	}
	return t.coder.Unknown(r.code)
}

// value is the row as its table's type, nil when it is not there. That of a
// packed row is made anew.
func (t *tableSpec) value(r *row) any { return t.valueIn(r, nil) }

// valueIn is value; a packed row is read into the value that is given, if any.
func (t *tableSpec) valueIn(r *row, into any) any {
	switch {
	case !r.there():
		return nil
	case r.val != nil:
		return r.val
	case into == nil:
		into = t.coder.New()
	}
	if err := t.coder.Read(r.code, into); err != nil {
		// It was read when it came in: somebody has written into the memory.
		panic(fmt.Sprintf("store: %s %s: %v", t.name, r.id, err))
	}
	return into
}

// scratch is a value to read one packed row after the other into, nil for a table
// whose rows are kept as values.
func (t *tableSpec) scratch() any {
	if t.packed {
		return t.coder.New()
	}
	return nil
}

// newRow makes a row of its code, which the row keeps, and its value, for the
// indexes: into, where that is not nil.
func (t *tableSpec) newRow(text string, into any) (*row, any, error) {
	if into == nil {
		into = t.coder.New()
	}
	if err := t.coder.Read(text, into); err != nil {
		return nil, nil, err
	}
	if !t.packed {
		return &row{id: string(t.id(into)), val: into, code: t.coder.Unknown(text)}, into, nil
	}
	if !coding.IsCurrent(text) {
		// A row of an old program: its texts are no parts of it.
		text = string(t.coder.Append(nil, into))
		if err := t.coder.Read(text, into); err != nil {
			return nil, nil, err
		}
	}
	return &row{id: string(t.id(into)), code: text}, into, nil
}
